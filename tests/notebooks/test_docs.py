"""docs/notebooks.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pgweave
from pgweave import build
from pgweave.notebooks.commands import COMMANDS
from pgweave.notebooks.magics import PARSER

if TYPE_CHECKING:
    import pytest
    from support.notebook import Notebook

PAGE = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text(encoding="utf-8")
BLOCKS = [(kind, body) for kind, body in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]


def blocks(kind: str) -> list[str]:
    return [body for found, body in BLOCKS if found == kind]


def test_the_cell_of_the_page_is_a_workflow_without_findings(session: Notebook) -> None:
    (cell,) = blocks("sql")
    assert "`approval` holds expense-approval: no findings." in session.run(cell).text


def test_the_mistake_of_the_page_is_shown_as_the_page_shows_it(session: Notebook) -> None:
    (shown,) = blocks("text")
    output = session.run("%%pgweave approval\n'SELECT 1'\n~> df.slep(3)")
    assert re.sub(r"\n+", "\n", output.text) == shown


def test_the_python_of_the_page_builds_a_workflow_without_errors(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = [body for body in blocks("python") if "pgweave.build" in body]
    bound: dict[str, object] = {}
    exec(program, bound)
    checkout = bound["checkout"]
    assert isinstance(checkout, pgweave.Workflow)
    assert [found for found in checkout.check() if found.severity.value == "error"] == []
    assert checkout.text in capsys.readouterr().out


def test_the_page_names_every_command_option_and_builder() -> None:
    for name in COMMANDS.keys() - {"help"}:
        assert f"%pgweave {name}" in PAGE
    for option in PARSER._option_string_actions:
        assert f"`{option}" in PAGE
    for name in set(build.__all__) - {"Step"}:
        assert re.search(rf"\b{name}\b", PAGE), name
