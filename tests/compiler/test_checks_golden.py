"""Programs that trigger each code, and programs of the same kind that do not: one file a code, what is said beside it.

A file holds sections: `---- triggers: why` must yield the code of the file, `---- clean: why` must yield nothing at
all; with `(pg_durable)` for that target. False alarms are bugs, so there are as many of the one as of the other.
`PGWEAVE_UPDATE_GOLDEN=1 pytest tests/compiler/test_checks_golden.py` rewrites the texts; read the difference.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.sections import FILES, GOLDEN, Section, sections

from pgweave.grammar.diagnostics import CATALOGUE
from pgweave.grammar.render import render_all

if TYPE_CHECKING:
    from pathlib import Path

UPDATE = os.environ.get("PGWEAVE_UPDATE_GOLDEN") == "1"
FOUND_ELSEWHERE = {"PW104", "PW106", "PW504", "PW509", "PW513", "PW611"}  # by the parser, the lowering, the database

CASES = [
    pytest.param(file.stem, section, id=f"{file.stem} {section.kind} {section.target}: {section.why}")
    for file in FILES
    for section in sections(file)
]


@pytest.mark.parametrize(("code", "section"), CASES)
def test_a_program_yields_the_code_of_its_file_or_nothing(code: str, section: Section) -> None:
    found = [finding.code for finding in section.findings]
    if section.kind == "triggers":
        assert code in found
    else:
        assert found == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_said_is_what_stands_beside_the_programs(file: Path) -> None:
    said = "\n".join(
        f"---- {section.why}\n\n{render_all(section.findings, section.source)}"
        for section in sections(file)
        if section.kind == "triggers"
    )
    beside = file.with_suffix(".txt")
    if UPDATE:
        beside.write_text(said, encoding="utf-8")
    assert beside.read_text(encoding="utf-8") == said


@pytest.mark.parametrize("code", [code for code in CATALOGUE if code >= "PW1" and code not in FOUND_ELSEWHERE])
def test_every_code_of_a_check_has_programs_that_trigger_it_and_clean_ones(code: str) -> None:
    assert {section.kind for section in sections(GOLDEN / f"{code}.df")} == {"triggers", "clean"}


def test_no_golden_file_is_read_by_nobody() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == {file.stem for file in FILES}
    assert {file.stem for file in FILES} <= CATALOGUE.keys()
