"""The designer's page is a built file in the repository: it must be what its sources say, and small."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pgweave.notebooks import colours

NOTEBOOKS = Path(colours.__file__).resolve().parent
DESIGNER = NOTEBOOKS / "designer"
BUNDLE = NOTEBOOKS / "static" / "designer.js"
INSTALLED = DESIGNER / "node_modules" / "esbuild"


def source_hash() -> str:
    """The same as `sourceHash` in designer/build.mjs."""
    names = [f"src/{path.name}" for path in (DESIGNER / "src").iterdir()]
    names += ["build.mjs", "package.json", "package-lock.json", "../static/pgweave-mode.js"]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\n".encode())
        digest.update((DESIGNER / name).read_bytes())
    return digest.hexdigest()


def test_the_built_file_is_that_of_the_sources_beside_it():
    first = BUNDLE.read_text(encoding="utf-8").partition("\n")[0]
    assert first.endswith(f"sha256 {source_hash()}"), "run `make designer`"


@pytest.mark.skipif(
    not (INSTALLED.exists() and shutil.which("node")),
    reason="needs Node and `npm ci` in notebooks/designer; the hash of the sources is compared without them",
)
def test_building_it_again_gives_the_same_bytes(tmp_path: Path):
    again = tmp_path / "designer.js"
    subprocess.run(["node", "build.mjs", str(again)], cwd=DESIGNER, check=True)
    assert again.read_bytes() == BUNDLE.read_bytes()


def test_the_built_file_stays_small():
    assert len(gzip.compress(BUNDLE.read_bytes())) < 400_000


def test_its_colours_are_those_of_the_pictures():
    written = colours.TARGET.read_text(encoding="utf-8")
    assert written == colours.stylesheet(), "run `python -m pgweave.notebooks.colours`"


def test_a_build_depends_on_exact_versions_and_on_no_registry():
    package = json.loads((DESIGNER / "package.json").read_text(encoding="utf-8"))
    versions = [*package["dependencies"].values(), *package["devDependencies"].values()]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert '"resolved"' not in (DESIGNER / "package-lock.json").read_text(encoding="utf-8")


def test_no_source_makes_markup_of_text():
    """Everything a program says is shown as text; what would parse it as HTML is not used at all."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (DESIGNER / "src").glob("*.ts*"))
    forbidden = ("dangerouslySetInnerHTML", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    assert [word for word in forbidden if word in sources] == []
