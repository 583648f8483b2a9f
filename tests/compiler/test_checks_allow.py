"""`-- pgweave: allow CODE because ..`: what it covers, and what becomes of one that covers nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgweave.compiler import passes, suppress
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from pgweave.compiler.subject import Target

MIXED = "'SELECT a()' ~> 'SELECT b()' & 'SELECT c()'"


def codes(text: str, target: Target = "pgweave", *, parser: bool = True) -> list[str]:
    parsed = parse(Source("allow.df", text))
    assert parsed.ok
    return [one.code for one in passes.check(parsed.module, target=target, parser=parser)]


@pytest.mark.parametrize(
    "text",
    [
        f"{MIXED} -- pgweave: allow PW101 because I say so",
        f"-- pgweave: allow PW101 because I say so\n{MIXED}",
        f"-- pgweave: allow PW101 because I say so\n\n-- and more\n{MIXED}",
        f"/* pgweave: allow PW101 because I say so */\n{MIXED}",
        f"--pgweave:allow pw101: I say so\n{MIXED}",
        f"-- pgweave: allow PW405 PW101 - I say so\n{MIXED} ~> df.http('https://example.com/')",
        f"-- pgweave: allow PW101 because I say so\nSELECT df.start(\n    'SELECT 1'\n    ~> ({MIXED}),\n    'x'\n);",
        "'SELECT a()'\n~> 'SELECT b()' -- pgweave: allow PW101 because I say so\n& 'SELECT c()'",
    ],
)
def test_a_finding_with_a_reason_is_left_out(text: str) -> None:
    assert codes(text) == []


def test_a_comment_speaks_of_its_own_code_and_line_only() -> None:
    other_line = f"'SELECT 1'\n-- pgweave: allow PW101 because I say so\n~> 'SELECT 2'\n~> ({MIXED})"
    assert codes(other_line) == ["PW031", "PW101"]
    other_code = f"-- pgweave: allow PW102 because I say so\n{MIXED}"
    assert codes(other_code) == ["PW031", "PW101"]


def test_one_workflow_is_not_allowed_what_another_one_is() -> None:
    first, second = (f"SELECT df.start(\n    {MIXED},\n    '{name}'\n);" for name in "ab")
    assert codes(f"-- pgweave: allow PW101 because I say so\n{first}\n{second}") == ["PW101"]


@pytest.mark.parametrize("rest", ["", " because", " because ", ":", " --", " because */"])
def test_without_a_reason_it_is_an_error_instead_of_the_finding(rest: str) -> None:
    assert codes(f"{MIXED} /* pgweave: allow PW101{rest}" + ("" if rest.endswith("*/") else " */")) == ["PW030"]


def test_an_unused_comment_is_reported_once_however_many_codes_it_has() -> None:
    assert codes("-- pgweave: allow PW101, PW102 because I say so\n'SELECT 1'") == ["PW031"]
    assert codes(f"-- pgweave: allow PW101, PW102 because I say so\n{MIXED}") == ["PW031"]


def test_what_nobody_looked_for_is_not_called_unused() -> None:
    schedule = "-- pgweave: allow PW403 because the reference counts otherwise\n@> (df.wait_for_schedule('0 9 * * 1') ~> 'SELECT 1')"
    assert codes(schedule) == []
    assert codes(schedule, "pg_durable") == []
    query = "-- pgweave: allow PW510 because our server reads it\n'SELECT 1 FORM t WHERE'"
    assert codes(query) == []
    assert codes(query, parser=False) == []
    assert codes("-- pgweave: allow PW513 because the table is made by hand\n'SELECT * FROM t'") == []


def test_findings_that_come_later_are_allowed_by_the_same_comments() -> None:
    source = Source("allow.df", "-- pgweave: allow PW513 because the table is made by hand\n'SELECT * FROM t'\n")
    start = source.text.index("SELECT")
    found = finding("PW513", Span(start, start + 6), message="", detail="")
    module = parse(source).module
    assert suppress.allowed([found], module) == []
    elsewhere = finding("PW513", Span(0, 2), message="", detail="")
    assert suppress.allowed([elsewhere], module) == [elsewhere]


def test_a_text_about_pgweave_is_no_comment_of_this_kind() -> None:
    assert codes("-- pgweave: see the manual, which allows everything\n'SELECT 1'") == []
