"""Fixes: safe ones never change what a program means, and every one leaves a program that can be read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.pace import examples
from support.sections import FILES, Section, find, sections

from pgweave.compiler import fixes, lower
from pgweave.compiler.fixes import apply, edited
from pgweave.grammar.diagnostics import Edit, Fix, Severity, finding
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from pgweave.grammar.diagnostics import Diagnostic

TRIGGERS = [
    pytest.param(section, id=f"{file.stem} {section.why}")
    for file in FILES
    for section in sections(file)
    if section.kind == "triggers"
]
SAME_BY_RULE = {
    "PW206": "$x is the first column of x",
    "PW221": "a space behind a minus is nothing to SQL",
    "PW306": "the program had no meaning before",
    "PW403": "a weekday's number and its name are the same day here",
}


def fixed(section: Section, *, unsafe: bool = False) -> fixes.Fixed:
    return fixes.fix(section.source, lambda source: find(source, section.target), unsafe=unsafe)


@pytest.mark.parametrize("section", TRIGGERS)
def test_safe_fixes_leave_the_meaning_as_it_was(section: Section) -> None:
    safe = {one.code for one in find(section.source, section.target) if one.fix is not None and one.fix.safe}
    done = fixed(section)
    assert bool(done.fixes) is bool(safe)
    before, after = parse(section.source).module, parse(done.source).module
    assert before.definitions == after.definitions or safe & SAME_BY_RULE.keys()
    assert before.variables == after.variables


@pytest.mark.parametrize("section", TRIGGERS)
def test_after_all_fixes_the_program_can_be_read_and_nothing_more_is_to_be_fixed(section: Section) -> None:
    done = fixed(section, unsafe=True)
    assert parse(done.source).ok
    assert [one.code for one in done.left if one.fix is not None] == []
    if done.fixes:
        remaining = [one for one in done.left if one.severity is Severity.ERROR]
        assert len(remaining) <= len(
            [one for one in find(section.source, section.target) if one.severity is Severity.ERROR]
        )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("'SELECT a()' ~> 'SELECT b()' & 'SELECT c()'", "('SELECT a()' ~> 'SELECT b()') & 'SELECT c()'"),
        (
            "'SELECT 1' |=> 'a' & 'SELECT 2' |=> 'b' ~> 'SELECT $a, $b::jsonb'",
            "(('SELECT 1' |=> 'a' & 'SELECT 2') |=> 'b') ~> 'SELECT $a, $b::jsonb'",
        ),
        ("'SELECT a()' | @> df.sleep(9) | 'SELECT b()'", "'SELECT a()' | (@> df.sleep(9)) | 'SELECT b()'"),
        ("df.http('https://example.com/')", "df.http('https://example.com/', 'POST')"),
        (
            "'SELECT 1 AS a, 2 AS b' |=> 'x' ~> 'SELECT $x, ''$x'', $x?'",
            "'SELECT 1 AS a, 2 AS b' |=> 'x' ~> 'SELECT $x.a, ''$x'', $x?'",
        ),
        ("'SELECT note(''it''''s'')'", "$$SELECT note('it''s')$$"),
        ("'SELECT note(''it''''s $$'')'", "$q1$SELECT note('it''s $$')$q1$"),
    ],
)
def test_safe_fixes_write_what_a_person_would_write(before: str, after: str) -> None:
    done = fixes.fix(Source("fix.df", before), find)
    assert done.source.text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@> df.sleep(60) ~> 'SELECT poll()'", "@> (df.sleep(60) ~> 'SELECT poll()')"),
        (
            "'SELECT c()' ?> 'SELECT t()' !> 'SELECT d()' ?> 'SELECT u()' !> 'SELECT f()' ?> 'SELECT v()' !> 'SELECT e()'",
            "'SELECT c()' ?> 'SELECT t()' !> ('SELECT d()' ?> 'SELECT u()' !> ('SELECT f()' ?> 'SELECT v()' !> 'SELECT e()'))",
        ),
        (
            "df.wait_for_signal('paid') | df.sleep(9) ~> 'SELECT a()' ~> 'SELECT b()'",
            "df.wait_for_signal('paid') | (df.sleep(9) ~> 'SELECT a()' ~> 'SELECT b()')",
        ),
        (
            "'SELECT b FROM t WHERE id = 7' |=> 'x' ~> 'SELECT note($x.b.name.first)'",
            "'SELECT b FROM t WHERE id = 7' |=> 'x' ~> 'SELECT note((($x.b)::jsonb #>> ''{name,first}''))'",
        ),
        (
            "'SELECT max(id) AS id FROM t' |=> 'x' ~> 'SELECT ''é'', a FROM t WHERE id <> $x.id? OR $x.id? = b'",
            "'SELECT max(id) AS id FROM t' |=> 'x' ~> 'SELECT ''é'', a FROM t WHERE id IS DISTINCT FROM $x.id? OR $x.id? IS NOT DISTINCT FROM b'",
        ),
        (
            "df.wait_for_signal('go') |=> 's' ~> 'SELECT note($s::jsonb->>''k'')'",
            "df.wait_for_signal('go') |=> 's' ~> 'SELECT note($s::jsonb-> ''data'' ->>''k'')'",
        ),
        (
            "df.wait_for_signal('go') |=> 's' ~> $$SELECT note($s::jsonb #>> '{a,b}')$$",
            "df.wait_for_signal('go') |=> 's' ~> $$SELECT note($s::jsonb #>> '{data,a,b}')$$",
        ),
        (
            "df.call_child('SELECT 1 AS n', 'c', '{\"timeout_seconds\": 9}') |=> 'c' ~> E'SELECT $c.n'",
            "df.call_child('SELECT 1 AS n', 'c', '{\"timeout_seconds\": 9}') |=> 'c' ~> E'SELECT (($c.result)::jsonb #> ''{rows,0,n}'')'",
        ),
    ],
)
def test_unsafe_fixes_write_what_was_meant_and_only_when_asked(before: str, after: str) -> None:
    source = Source("fix.df", before)
    assert fixes.fix(source, find).source.text == before
    assert fixes.fix(source, find, unsafe=True).source.text == after


@pytest.mark.parametrize(
    "program",
    [
        "df.wait_for_signal('go') |=> 's' ~> df.sql('SELECT note($s' || '.k)')",
        "df.wait_for_signal('go') |=> 's' ~> df.sql(replace('SELECT note(%)', '%', '$s.k'))",
    ],
)
def test_a_text_that_was_put_together_is_not_corrected_by_guess(program: str) -> None:
    found = find(Source("fix.df", program))
    assert [one.code for one in found] == ["PW402"]
    assert [one.fix for one in found] == [None]


def test_a_comment_that_allows_nothing_goes_with_its_line_and_its_blanks() -> None:
    text = "'SELECT a()'   -- pgweave: allow PW101 because\n  -- pgweave: allow PW102 because of it\n~> 'SELECT b()'\n"
    wanted = re.sub(r"(?m)^.*PW102.*\n", "", text)
    assert fixes.fix(Source("fix.df", text), find).source.text == wanted


def rule(start: int, end: int, new: str, *, safe: bool = True) -> Diagnostic:
    return finding(
        "PW101", Span(start, end), actual="", likely="", fix=Fix("fix it", (Edit(Span(start, end), new),), safe)
    )


def test_of_two_fixes_that_touch_the_first_is_taken_and_the_other_waits() -> None:
    assert apply("abcdef", [rule(2, 4, "X"), rule(0, 3, "Y")]) == ("Ydef", ["fix it"])
    assert apply("abcdef", [rule(0, 2, "X"), rule(2, 4, "Y")]) == ("XYef", ["fix it", "fix it"])
    assert apply("abcdef", [rule(3, 3, "X"), rule(3, 3, "Y")]) == ("abcXdef", ["fix it"])


def test_fixes_that_undo_each_other_come_to_an_end() -> None:
    def quarrel(source: Source) -> list[Diagnostic]:
        return [rule(0, 1, "b" if source.text == "a" else "a")]

    assert len(fixes.fix(Source("x", "a"), quarrel).fixes) == fixes.MAX_ROUNDS


def test_insertions_at_one_place_keep_their_order() -> None:
    place = Span(1, 1)
    assert edited("ab", [Edit(place, "("), Edit(place, "["), Edit(Span(0, 1), "A")]) == "A([b"


_STEPS = st.sampled_from(
    [
        "'SELECT a()'", "$$SELECT 1 AS n, 2 AS m$$", "'SELECT $x, $y.n'", "df.sleep(60)", "df.http('https://example.com/')",
        "df.wait_for_signal('go', 9)", "df.break()", "@> df.sleep(60)", "'SELECT note(''it''''s'')'", "'$x'",
        "df.if('$x = 1', 'SELECT b()', 'SELECT c()')", "df.wait_for_schedule('0 9 * * 1-5')",
        "df.call_child('SELECT 1', 'c', '{\"timeout\": 9}')",
    ]
)  # fmt: skip
_OPERATORS = st.sampled_from([" ~> ", " & ", " | ", " ?> ", " !> ", " |=> 'x' ~> ", " |=> 'y' & ", "\n-- why\n~> "])


@st.composite
def _rows(draw: st.DrawFn, depth: int = 2) -> str:
    """Rows of operators with few parentheses, as hands write them that expect another precedence."""
    parts = [draw(_STEPS)]
    for _ in range(draw(st.integers(0, 5))):
        nested = depth and draw(st.integers(0, 3)) == 0
        parts += [draw(_OPERATORS), f"({draw(_rows(depth - 1))})" if nested else draw(_STEPS)]
    return "".join(parts)


@settings(deadline=None, max_examples=examples(300))
@given(_rows())
def test_no_safe_fix_of_any_program_changes_what_it_does(text: str) -> None:
    source = Source("fix.df", text)
    read = parse(source)
    assume(read.ok and read.module.definitions)
    done = fixes.fix(source, lambda one: [found for found in find(one) if found.code not in SAME_BY_RULE])
    assert parse(done.source).ok
    assert lower.tree(parse(done.source).module.definitions[0]) == lower.tree(read.module.definitions[0])
    assert [found.code for found in done.left if found.fix is not None and found.fix.safe] == []


@settings(deadline=None, max_examples=examples(150))
@given(_rows())
def test_after_every_fix_of_any_program_it_still_can_be_read(text: str) -> None:
    read = parse(Source("fix.df", text))
    assume(read.ok)
    assert parse(fixes.fix(Source("fix.df", text), find, unsafe=True).source).ok
