"""What is packaged is what there is.

A wheel is not built here: that needs a newer setuptools than virtual environments come with, so it needs a network.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]
SOURCE = ROOT / "src" / "pgweave"
TOPS = ("grammar", "compiler", "runtime", "observe", "notebooks", "designer")
FOLDERS = {"pgweave": SOURCE, **{f"pgweave.{top}": ROOT / top for top in TOPS}}

# The source of static/designer.js, and what people read in the repository.
NOT_SHIPPED = {ROOT / "designer" / "web", ROOT / "notebooks" / "tutorial"}


def data() -> set[str]:
    """Every file in a package that is no module: code pages, the grammar, SQL."""
    return {
        str(Path(*name.split("."), file.relative_to(folder)))
        for name, folder in FOLDERS.items()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"} and not NOT_SHIPPED & set(file.parents)
    }


def test_the_package_holds_a_link_to_each_top_folder() -> None:
    """So setuptools, editors and type checkers that only read files see all of pgweave."""
    links = {path.name: path.resolve() for path in SOURCE.iterdir() if path.is_symlink()}
    assert links == {top: ROOT / top for top in TOPS}


def test_every_folder_with_modules_is_a_package() -> None:
    """setuptools packs only folders with an __init__.py."""
    folders = {file.parent for folder in FOLDERS.values() for file in folder.rglob("*.py")}
    assert sorted(folder for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_no_module_name_stands_twice_in_the_house() -> None:
    names = Counter(
        file.stem for folder in FOLDERS.values() for file in folder.rglob("*.py") if not file.stem.startswith("__")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_every_data_file_matches_a_pattern() -> None:
    listed = {
        str(Path(*name.split("."), file.relative_to(FOLDERS[name])))
        for name, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for file in FOLDERS[name].glob(pattern)
    }
    assert listed == data()
