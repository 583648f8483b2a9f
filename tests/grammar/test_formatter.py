"""A program is laid out as a person would have written it, and never means anything else."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.layouts import expression, scattered, statement
from support.pace import examples
from support.programs import programs

from pgweave.grammar.nodes import Node, same
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.writing import formatter
from pgweave.grammar.writing.formatter import LayoutBug, format_source
from pgweave.grammar.writing.printer import print_node

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "format"
CASES = sorted(GOLDEN.glob("*/before.*"))
EXAMPLES = sorted((ROOT / "examples").glob("*.df"))
UPDATE = os.environ.get("PGWEAVE_UPDATE_GOLDEN") == "1"
THOROUGH = settings(max_examples=examples(1000), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def laid_out(text: str, name: str = "x.df") -> str:
    formatted = format_source(Source(name, text))
    assert formatted.diagnostics == ()
    return formatted.text


@pytest.mark.parametrize("before", CASES, ids=lambda path: path.parent.name)
def test_a_text_is_laid_out_as_the_file_beside_it(before: Path) -> None:
    after = before.with_stem("after")
    text = laid_out(before.read_text(encoding="utf-8"), before.name)
    if UPDATE:
        after.write_text(text, encoding="utf-8")
        return
    assert text == after.read_text(encoding="utf-8")
    assert laid_out(text, before.name) == text


def test_no_file_beside_them_is_read_by_nobody() -> None:
    known = {path for before in CASES for path in (before, before.with_stem("after"))}
    assert CASES
    assert set(GOLDEN.glob("*/*")) == known


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_laid_out(path: Path) -> None:
    text = path.read_bytes().decode()
    assert laid_out(text, path.name) == text


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(
    "text", ["'a' ~>", "df.start('a'", "'unclosed", "SELECT 1 +", "'a'; df.sleap(1)", "\0"], ids=repr
)
def test_what_cannot_be_read_is_left_alone_and_said(text: str) -> None:
    formatted = format_source(Source("x.df", text))
    assert formatted.text == text
    assert formatted.diagnostics


def test_windows_line_ends_stay_and_a_byte_order_mark_goes() -> None:
    text = "\ufeffSELECT df.start('a'\r\n~> $$two\r\nlines$$);\r\n-- end"
    assert laid_out(text) == "SELECT df.start(\r\n    'a'\r\n    ~> $$two\r\nlines$$\r\n);\r\n-- end\r\n"


def test_a_call_with_a_command_of_psql_between_its_lines_stays_as_it_is() -> None:
    text = "SELECT df.start('a'~>\n\\echo half\n'b');\nSELECT df.start('c'~>'d');\n"
    assert laid_out(text, "x.sql") == text.replace("'c'~>'d'", "\n    'c'\n    ~> 'd'\n")


def test_a_line_end_inside_of_a_string_is_not_ours() -> None:
    assert laid_out("'one\r\ntwo';\n'three'") == "'one\r\ntwo';\r\n'three'\r\n"
    assert laid_out("df.sql('one\rtwo')") == "df.sql('one\rtwo')\n"


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), (" \n\n ", ""), ("-- only\n\n\n/* talk */", "-- only\n\n/* talk */\n")]
)
def test_a_text_without_programs_ends_with_one_line_end_or_is_empty(text: str, expected: str) -> None:
    assert laid_out(text) == expected


DEEP = {
    "brackets": "(" * 10_000 + "'a'" + ")" * 10_000,
    "sums": "df.sleep(" + "(" * 2000 + "1" + "+1)" * 2000 + ")",
    "signs": "df.sleep(" + "- " * 2000 + "5)",
    "texts": "'a'" + " || 'b'" * 2000,
    "loops": "df.loop(" * 256 + "'a'" + ")" * 256,
    "chains": " ~> ".join(["'a'"] * 257),
    "groups": "(" * 255 + "'a' & 'b'" + " & 'c')" * 255,
    "prefixes": "@> " * 256 + "'a'",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_depth_costs_no_stack(text: str) -> None:
    once = laid_out(text)
    assert laid_out(once) == once


def test_a_line_is_no_longer_than_it_must_be() -> None:
    fits = "df.call_child('SELECT 1', 'a label', options => '{}')"
    assert len(fits) < formatter.WIDTH
    assert laid_out(fits) == fits + "\n"
    longer = fits.replace("a label", "a label " * 7)
    assert max(map(len, laid_out(longer).splitlines())) <= formatter.WIDTH
    assert len(laid_out(longer).splitlines()) == 5


# What a wrong layout might make of a program, and what that would change.
WRONG = {
    "another step": ("'a' ~> 'b'", "'a' ~> 'c'", "the tokens"),
    "another grouping": ("'a' ~> 'b' ~> 'c'", "'a' ~> ('b' ~> 'c')", "the tree"),
    "a workflow less": ("'a'; 'b'", "'a'", "the tokens"),
    "a lost comment": ("'a' -- c", "'a'", "the comments"),
    "comments in another order": ("/* b */ 'a' -- c", "'a' -- c\n/* b */", "the comments"),
    "a lost alias": ("SELECT 'a' AS id", "SELECT 'a'", "the tokens"),
    "a comment that swallows": ("'a' -- c\n;", "'a' -- c;", "the tokens"),
    "a broken text": ("'a'", "'a", "the tokens"),
    "a variable that is computed otherwise": ("df.setvar('a', x())", "df.setvar('a', y())", "the tokens"),
}


@pytest.mark.parametrize(("text", "layout", "what"), WRONG.values(), ids=WRONG.keys())
def test_a_layout_that_would_change_anything_is_never_given_out(
    text: str, layout: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof does not trust the layout: whatever that makes, either the program stays or an error names the bug."""
    monkeypatch.setattr(formatter, "_program", lambda *_: layout)
    with pytest.raises(LayoutBug, match=f"would have changed {what}"):
        format_source(Source("x.df", text))


def lays_out_once(text: str) -> None:
    source = Source("x.df", text)
    parsed = parse(source)
    if not parsed.ok:  # a half-built if, say; what is left alone is tested above
        return
    once = laid_out(text)
    again = parse(Source("x.df", once))
    assert same(again.module, parsed.module)
    assert laid_out(once) == once
    assert once.endswith("\n")
    assert not once.endswith("\n\n")


@THOROUGH
@given(st.integers(0, 2**63))
def test_laying_out_twice_is_laying_out_once(seed: int) -> None:
    """Whatever stands between the tokens: comments of every kind, on every side, on the same line or not."""
    random = Random(seed)
    statements = "; ".join(statement(random) for _ in range(random.randrange(1, 4)))
    lays_out_once(scattered(statements + random.choice(("", ";", " ;;")), random))


@THOROUGH
@given(programs(max_leaves=12), st.integers(0, 2**63))
def test_every_program_survives_its_layout(node: Node, seed: int) -> None:
    lays_out_once(scattered(print_node(node), Random(seed)))


@settings(max_examples=examples(300), deadline=None)
@given(st.integers(0, 2**63), st.sampled_from(("x.sql", "x.md")))
def test_around_workflows_nothing_changes(seed: int, name: str) -> None:
    random = Random(seed)
    between = (
        "\n```sql\nUPDATE  t SET a='x''y'  ; -- c\n```\n" if name == "x.md" else "\nUPDATE  t SET a='x''y'  ; -- c\n"
    )
    start = f"SELECT  df.start({scattered(expression(random, 3), random)})  , 1|2;"
    start = f"```sql\n{start}\n```" if name == "x.md" else start
    text = f"{between}{start}{between}{start}{between}".replace("\ufeff", "")
    source = Source(name, text)
    if not parse(source).ok:
        return
    once = laid_out(text, name)
    assert once.count(between) == 3
    assert laid_out(once, name) == once
    assert same(parse(Source(name, once)).module, parse(source).module)
