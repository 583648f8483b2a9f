"""Golden programs: one folder each, input and output side by side.

A file's presence asks for that stage. `PGWEAVE_UPDATE_GOLDEN=1 pytest tests/compiler/test_golden.py` writes them again
(and all of them for a folder that has nothing but `input.df`); git shows the change, a person decides.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.dots import colourless

from pgweave.compiler import graph, lower, passes
from pgweave.compiler.pictures import outline, picture
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.parser import parse
from pgweave.grammar.render import render_all
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Definition, Module

GOLDEN = Path(__file__).parents[1] / "golden"
UPDATE = os.environ.get("PGWEAVE_UPDATE_GOLDEN") == "1"
CASES = sorted(folder.parent for folder in GOLDEN.glob("*/input.df"))
OF_THE_GRAMMAR = {"ast.txt", "text.df"}


def diagnostics(module: Module, found: tuple[Diagnostic, ...]) -> str:
    """The source and what is said about it, so that a reviewer needs one file."""
    said = render_all(found, module.source).rstrip() if found else "nothing to say"
    return f"{module.source.text.rstrip()}\n\n----\n\n{said}\n"


def rows(module: Module) -> str:
    return "\n".join(_table(definition) for definition in module.definitions)


def _table(definition: Definition) -> str:
    """Aligned rows; ids as in the picture, n1, n2, ..."""
    cells = [("id", "node_type", "left", "right", "result_name", "query")]
    for row in lower.rows(definition).rows:
        query = "-" if row.query is None else repr(row.query)[1:-1]
        if row.node_type in ("IF", "LOOP", "JOIN"):
            query = re.sub('"([0-9a-f]{8})"', lambda found: f'"{_short(found[1])}"', query)
        links = (_short(row.left_node), _short(row.right_node))
        cells.append((_short(row.id), row.node_type, *links, row.result_name or "-", query))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return f"# {definition.name}\n" + "\n".join(lines) + "\n"


def _short(identifier: str | None) -> str:
    return "-" if identifier is None else f"n{int(identifier, 16)}"


def pictures(module: Module) -> str:
    return "\n".join(colourless(picture.dot(graph.build(definition))) for definition in module.definitions)


def outlines(module: Module) -> str:
    drawn = (f"# {definition.name}\n{outline.ascii(definition)}" for definition in module.definitions)
    return "\n".join(line.rstrip() for line in "\n\n".join(drawn).split("\n")) + "\n"


STAGES: dict[str, Callable[[Module], str]] = {"rows.txt": rows, "picture.dot": pictures, "outline.txt": outlines}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_program_gives_what_stands_beside_it(case: Path) -> None:
    source = Source("input.df", (case / "input.df").read_text(encoding="utf-8"))
    parsed = parse(source)
    found = (*parsed.diagnostics, *passes.check(parsed.module))
    outputs = {"diagnostics.txt": diagnostics(parsed.module, tuple(sorted(found, key=lambda one: one.span)))}
    if not any(one.severity is Severity.ERROR for one in found):
        outputs |= {name: stage(parsed.module) for name, stage in STAGES.items()}
    wanted = {file.name for file in case.iterdir()} & {"diagnostics.txt", *STAGES}
    if UPDATE:
        for name in wanted & outputs.keys() or outputs:
            (case / name).write_text(outputs[name], encoding="utf-8")
        return
    assert wanted, "run `make golden` and read what it wrote"
    for name in sorted(wanted):
        assert outputs.get(name, "a program with errors has no such output\n") == (case / name).read_text(
            encoding="utf-8"
        ), name


def test_there_are_golden_programs() -> None:
    assert CASES


def test_no_golden_file_is_read_by_nobody() -> None:
    """A file that no test compares is a promise that nobody keeps."""
    known = {"input.df", "diagnostics.txt", *STAGES, *OF_THE_GRAMMAR}
    assert [file for case in CASES for file in case.iterdir() if file.name not in known] == []
