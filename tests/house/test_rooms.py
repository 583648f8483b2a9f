"""Each folder's docstring lists what is in it, so that a stranger finds the module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOPS = ("grammar", "compiler", "runtime", "observe", "notebooks", "designer")
ROOMS = sorted(file.parent for top in TOPS for file in (ROOT / top).rglob("__init__.py") if "web" not in file.parts)


@pytest.mark.parametrize("room", [str(room.relative_to(ROOT)) for room in ROOMS])
def test_the_docstring_of_a_folder_names_each_of_its_modules(room: str) -> None:
    folder = ROOT / room
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    listed = set(re.findall(r"\w+", docstring))
    modules = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("__")}
    assert sorted(modules - listed) == []
