"""The designer's page is a built file in the repository: it must be built from the sources beside it, and small."""

import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
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


def node_modules(run: Callable[..., None]) -> Path:
    """What package-lock.json names, installed once for this user and not once for every run of the tests.

    A folder appears under its final name only when it is complete: of two runs that install at the same time, one gives
    its copy away.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgweave" / "tests"
    lock = hashlib.sha256((WEB / "package.json").read_bytes() + (WEB / "package-lock.json").read_bytes())
    # esbuild and TypeScript install programs for one system and processor
    target = cache / f"npm-{sys.platform}-{platform.machine()}-{lock.hexdigest()[:16]}"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            package = Path(folder) / "package"
            package.mkdir()
            for name in (".npmrc", "package.json", "package-lock.json"):
                shutil.copy(WEB / name, package)
            run("npm", "ci", "--prefer-offline", folder=package)
            with suppress(OSError):  # another run was faster
                package.rename(target)
    return target / "node_modules"


def test_building_it_again_gives_the_same_bytes(tmp_path: Path) -> None:
    """With Node and npm of the `test` extra, from what package-lock.json names; nothing here needs to be installed."""
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")])}

    def run(*command: str, folder: Path) -> None:
        subprocess.run(command, cwd=folder, check=True, env=environment, stdout=subprocess.DEVNULL)

    copy = tmp_path / "designer" / "web"
    shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules"))
    for target in (tmp_path / "designer" / "static", tmp_path / "notebooks" / "static"):
        target.mkdir(parents=True)
    shutil.copy(MODE, tmp_path / "notebooks" / "static")
    (copy / "node_modules").symlink_to(node_modules(run), target_is_directory=True)
    run("npm", "run", "check", folder=copy)
    run("npm", "run", "build", folder=copy)
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
