"""What is packaged is what there is.

A wheel is not built here: that needs a newer setuptools than virtual environments come with, so it needs a network.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]
FOLDERS = {name: ROOT / folder for name, folder in SETUPTOOLS["package-dir"].items()}


def packages() -> set[str]:
    """Every folder that holds Python modules, as the package it is."""
    tops = {name: folder for name, folder in FOLDERS.items() if name.count(".") < 2}
    return {
        ".".join((name, *file.parent.relative_to(folder).parts))
        for name, folder in tops.items()
        for file in folder.rglob("__init__.py")
    }


# The source of static/designer.js, and what people read in the repository.
NOT_SHIPPED = {FOLDERS["pgweave.notebooks"] / folder for folder in ("designer", "tutorial")}


def data() -> set[str]:
    """Every file that stands in a package and is no module: code pages, the grammar, SQL."""
    return {
        str(Path(*name.split("."), file.relative_to(folder)))
        for name, folder in FOLDERS.items()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"} and not NOT_SHIPPED & set(file.parents)
    }


def test_every_package_is_listed_with_its_folder() -> None:
    assert set(SETUPTOOLS["packages"]) == FOLDERS.keys() == packages()


def test_every_data_file_matches_a_pattern() -> None:
    listed = {
        str(Path(*name.split("."), file.relative_to(FOLDERS[name])))
        for name, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for file in FOLDERS[name].glob(pattern)
    }
    assert listed == data()
