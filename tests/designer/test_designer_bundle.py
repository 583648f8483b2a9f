"""The designer's page is a built file in the repository: it must be what its sources say, and small."""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pgweave.designer import colours

ROOT = Path(__file__).parents[2]
WEB = ROOT / "designer" / "web"
BUNDLE = ROOT / "designer" / "static" / "designer.js"
MODE = ROOT / "notebooks" / "static" / "pgweave-mode.js"


def source_hash() -> str:
    """The same as `sourceHash` in designer/web/build.mjs."""
    names = [path.relative_to(WEB).as_posix() for path in (WEB / "src").rglob("*") if path.is_file()]
    names += ["build.mjs", "package.json", "package-lock.json", "../../notebooks/static/pgweave-mode.js"]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\n".encode())
        digest.update((WEB / name).read_bytes())
    return digest.hexdigest()


def test_the_built_file_is_that_of_the_sources_beside_it() -> None:
    first = BUNDLE.read_text(encoding="utf-8").partition("\n")[0]
    assert first.endswith(f"sha256 {source_hash()}"), "run `make designer`"


def test_building_it_again_gives_the_same_bytes(tmp_path: Path) -> None:
    """With Node and npm of the `test` extra, from what package-lock.json names; nothing here needs to be installed."""
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")])}
    copy = tmp_path / "designer" / "web"
    shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules"))
    for target in (tmp_path / "designer" / "static", tmp_path / "notebooks" / "static"):
        target.mkdir(parents=True)
    shutil.copy(MODE, tmp_path / "notebooks" / "static")
    for command in (["npm", "ci", "--prefer-offline"], ["npm", "run", "check"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=copy, check=True, env=environment, stdout=subprocess.DEVNULL)
    assert (tmp_path / "designer" / "static" / "designer.js").read_bytes() == BUNDLE.read_bytes()


def test_the_built_file_stays_small() -> None:
    assert len(gzip.compress(BUNDLE.read_bytes())) < 400_000


def test_its_colours_are_those_of_the_pictures() -> None:
    written = colours.TARGET.read_text(encoding="utf-8")
    assert written == colours.stylesheet(), "run `python -m pgweave.designer.colours`"


def test_a_build_depends_on_exact_versions_and_on_no_registry() -> None:
    package = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    versions = [*package["dependencies"].values(), *package["devDependencies"].values()]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert '"resolved"' not in (WEB / "package-lock.json").read_text(encoding="utf-8")


def test_no_source_makes_markup_of_text() -> None:
    """Everything a program says is shown as text; what would parse it as HTML is not used at all."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (WEB / "src").rglob("*.ts*"))
    forbidden = ("dangerouslySetInnerHTML", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    assert [word for word in forbidden if word in sources] == []
