"""Golden messages: one file each in tests/golden/diagnostics, the broken program above the line, what we say below it.

`x.txt` is a program, `x.sql.txt` and `x.md.txt` are files of other kinds with workflows in them.

`PGWEAVE_UPDATE_GOLDEN=1 pytest tests/grammar/test_diagnostics.py` writes what is below the lines again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgweave.grammar.parser import parse
from pgweave.grammar.render import render_all
from pgweave.grammar.span import Source

FOLDER = Path(__file__).parents[1] / "golden" / "diagnostics"
CASES = sorted(FOLDER.glob("*.txt"))
LINE = "\n----\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_broken_program_gets_its_message(case: Path) -> None:
    program, _, wanted = case.read_text(encoding="utf-8").partition(LINE)
    source = Source("flow" + (Path(case.stem).suffix or ".df"), program)
    said = render_all(parse(source).diagnostics, source)
    if os.environ.get("PGWEAVE_UPDATE_GOLDEN") == "1":
        case.write_text(f"{program}{LINE}{said}", encoding="utf-8")
        return
    assert said, "a broken program was taken for a good one"
    assert said == wanted


def test_there_are_golden_messages() -> None:
    assert len(CASES) >= 60
