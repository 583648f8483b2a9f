"""Completion and hover in cells: what IPython's completer and the kernel's inspection answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from IPython.core.completer import provisionalcompleter

import pgweave
from pgweave.notebooks import complete

if TYPE_CHECKING:
    from support.notebook import Notebook


def completions(session: Notebook, cell: str) -> dict[str, tuple[str, str | None]]:
    """What is offered at `‸`: to each text, what it takes the place of and its kind."""
    offset = cell.index("‸")
    cell = cell.replace("‸", "")
    with provisionalcompleter():
        found = list(session.shell.Completer.completions(cell, offset))
    return {one.text: (cell[one.start : one.end], one.type) for one in found}


@pytest.mark.parametrize(
    ("cell", "offered", "typed", "kind"),
    [
        ("%%pgweave\n'SELECT 1' ~> df.sl‸", "df.sleep", "df.sl", "function"),
        ("%%pgweave\n'SELECT 1' ~> wait_for‸", "df.wait_for_signal", "wait_for", "function"),
        ("%%pgweave\n'SELECT 1 AS id' |=> 'order'\n~> 'SELECT $or‸'", "order", "or", "variable"),
        ("%%pgweave\n'SELECT 1 AS id' |=> 'order'\n~> 'SELECT $order.‸'", "id", "", "field"),
        ("%%pgweave wf\ndf.call_child('SELECT 1', 'a', '{\"time‸\"}')", "timeout_seconds", "time", "property"),
        ("%%pgweave\ndf.wait_for_signal('x', timeout‸", "timeout_seconds =>", "timeout", "property"),
        ("%%pgweave --ch‸", "--check-only", "--ch", "<unknown>"),
        ("%pgweave sig‸", "signal", "sig", "<unknown>"),
    ],
)
def test_what_may_stand_at_the_cursor_is_offered(
    session: Notebook, cell: str, offered: str, typed: str, kind: str
) -> None:
    assert completions(session, cell)[offered] == (typed, kind)


def test_python_s_names_are_not_offered_in_a_program(session: Notebook) -> None:
    session.run("dfx = 1")
    assert all(text.startswith("df.") for text in completions(session, "%%pgweave\n'SELECT 1' ~> df‸"))
    assert "dfx" in completions(session, "df‸")


def test_python_and_other_magics_are_left_alone(session: Notebook) -> None:
    session.run("sleepy = 1")
    for cell in ("sleep‸", "%%time\nsleep‸", "%%pgweave sql\nselect sleep‸"):
        assert "df.sleep" not in completions(session, cell)
    assert "sleepy" in completions(session, "sleep‸")


def test_a_line_offers_the_variables_that_hold_workflows(session: Notebook) -> None:
    session.push(nightly=pgweave.parse("'SELECT 1'"), other=3)
    assert list(completions(session, "%pgweave check ‸")) == ["nightly"]


def test_an_empty_or_broken_cell_breaks_nothing(session: Notebook) -> None:
    for cell in ("%%pgweave\n‸", "%%pgweave\n'‸", "%%pgweave\n~> ((‸", "%%pgweave‸", "‸", "%%pgweave\n\n  \n‸\n'x'"):
        completions(session, cell)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%pgweave\n'SELECT 1' ~> df.sl‸eep(3)", "df.sleep(seconds bigint)"),
        ("%%pgweave\n'SELECT 1' |‸=> 'x'", "Names the result of a step"),
        ("%%pgweave x\n'SELECT 1 AS id' |=> 'order' ~> 'SELECT $ord‸er'", "SELECT 1 AS id"),
        ("%%pgweave x\n'SELECT 1 AS id' |=> 'order' ~> 'SELECT $ord‸er'", "Columns: `id`"),
    ],
)
def test_hover_says_what_stands_there(cell: str, said: str) -> None:
    offset = cell.index("‸")
    answer = complete.hover(cell.replace("‸", ""), offset)
    assert answer is not None
    assert said in answer["data"]["text/markdown"]
    assert "```" not in answer["data"]["text/plain"]


def test_hover_is_silent_where_there_is_nothing_to_say() -> None:
    assert complete.hover("%%pgweave\n'SELECT 1'", 12) is None
    assert complete.hover("len(x)", 2) is None
