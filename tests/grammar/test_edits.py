"""An edit changes what it says and nothing else: neither the rest of the tree nor a byte of the rest of the text."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support import ast, texts
from support.layouts import expression, scattered
from support.programs import programs

from pgweave.compiler.facts import reads
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing import edits, renaming
from pgweave.grammar.editing.edits import EditError, Place, apply, place_at, place_of, places, step_place
from pgweave.grammar.editing.places import with_child
from pgweave.grammar.nodes import children, same
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span
from pgweave.grammar.writing.formatter import format_source
from pgweave.grammar.writing.printer import print_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.grammar.editing.edits import Edits
    from pgweave.grammar.nodes import Module, Node

NEW = ast.sql("new")


def module(text: str, name: str = "x.df") -> Module:
    parsed = parse(Source(name, text))
    assert parsed.ok, text
    return parsed.module


def changed(text: str, at: str, change: Callable[[Place], Edits], name: str = "x.df") -> str:
    """The text after a change of the smallest step that holds all of `at`."""
    start = text.index(at)
    place = place_at(module(text, name), start, start + len(at))
    assert place is not None
    return apply(text, change(place))


# What to do, with which step of which program, and what becomes of it. `x` stands for 'x'.
CHANGES: dict[str, tuple[str, str, Callable[[Place], Edits], str]] = {
    "replace a step": ("a ~> b", "b", lambda place: edits.replace_step(place, NEW), "a ~> n"),
    "replace by what needs parentheses": (
        "a & b", "b", lambda place: edits.replace_step(place, ast.then(ast.sql("x"), ast.sql("y"))), "a & (x ~> y)",
    ),
    "replace an argument": (
        "df.loop(a, b)", "a", lambda place: edits.replace_step(place, ast.then(ast.sql("x"), ast.sql("y"))), "df.loop(x ~> y, b)",
    ),
    "insert after the last": ("a ~> b", "b", lambda place: edits.insert_after(place, NEW), "a ~> b ~> n"),
    "insert after the first": ("a ~> b", "a", lambda place: edits.insert_after(place, NEW), "a ~> n ~> b"),
    "insert after a branch": ("a & b", "b", lambda place: edits.insert_after(place, NEW), "a & (b ~> n)"),
    "insert after a first branch": ("a & b", "a", lambda place: edits.insert_after(place, NEW), "(a ~> n) & b"),
    "insert after branches": ("a & b", "a & b", lambda place: edits.insert_after(place, NEW), "(a & b) ~> n"),
    "insert after a name": ("a |=> x ~> b", "a |=> x", lambda place: edits.insert_after(place, NEW), "a |=> x ~> n ~> b"),
    "insert after a named chain": ("(a ~> b) |=> x", "b", lambda place: edits.insert_after(place, NEW), "(a ~> b) |=> x ~> n"),
    "insert after in a loop": ("@> a", "a", lambda place: edits.insert_after(place, NEW), "@> (a ~> n)"),
    "insert before the first": ("a ~> b", "a", lambda place: edits.insert_before(place, NEW), "n ~> a ~> b"),
    "insert before the last": ("a ~> b", "b", lambda place: edits.insert_before(place, NEW), "a ~> n ~> b"),
    "insert before a chain": ("a ~> b", "a ~> b", lambda place: edits.insert_before(place, NEW), "n ~> a ~> b"),
    "insert before a name": ("a |=> x ~> b", "a", lambda place: edits.insert_before(place, NEW), "n ~> (a |=> x) ~> b"),
    "insert before branches": ("a & b", "a & b", lambda place: edits.insert_before(place, NEW), "n ~> (a & b)"),
    "do it twice": ("a ~> b", "a", edits.duplicate, "a ~> a ~> b"),
    "loop": ("a ~> b", "a ~> b", edits.wrap_in_loop, "@> (a ~> b)"),
    "loop a part": ("a ~> b", "b", edits.wrap_in_loop, "a ~> (@> b)"),
    "loop what has parentheses": ("(a & b) ~> c", "a & b", edits.wrap_in_loop, "(@> (a & b)) ~> c"),
    "loop while": ("a ~> b", "b", lambda place: edits.wrap_in_loop(place, NEW), "a ~> df.loop(b, n)"),
    "loop while, with parentheses": ("(a & b) ~> c", "a & b", lambda place: edits.wrap_in_loop(place, NEW), "df.loop(a & b, n) ~> c"),
    "if": ("a ~> b", "b", lambda place: edits.wrap_in_if(place, NEW, ast.sql("e")), "a ~> (n ?> b !> e)"),
    "if around everything": ("a ~> b", "a ~> b", lambda place: edits.wrap_in_if(place, NEW, ast.sql("e")), "n ?> (a ~> b) !> e"),
    "side by side": ("a ~> b", "b", lambda place: edits.wrap_in_join(place, NEW), "a ~> (b & n)"),
    "one more side by side": ("a & b", "a", lambda place: edits.wrap_in_join(place, NEW), "a & n & b"),
    "race": ("a |=> x", "a", lambda place: edits.wrap_in_race(place, NEW), "(a |=> x) | n"),
    "timeout": ("a ~> b", "b", lambda place: edits.wrap_in_timeout(place, 10), "a ~> (b | df.sleep(10))"),
    "child": ("a ~> b", "b", edits.wrap_in_child, "a ~> df.call_child(b)"),
    "child with a label": ("(a & b) ~> c", "a & b", lambda place: edits.wrap_in_child(place, "l"), "df.call_child(a & b, l) ~> c"),
    "parentheses": ("a ~> b", "b", edits.parenthesise, "a ~> (b)"),
    "unwrap a loop": ("(@> (a ~> b)) & c", "@> (a ~> b)", edits.unwrap, "(a ~> b) & c"),
    "unwrap a child": ("df.call_child(a ~> b, l) & c", "df.call_child(a ~> b, l)", edits.unwrap, "(a ~> b) & c"),
    "unwrap a child, alone": ("df.call_child(a ~> b, l)", "df.call_child(a ~> b, l)", edits.unwrap, "a ~> b"),
    "unwrap an if": ("c ?> (t ~> u) !> e", "c ?> (t ~> u) !> e", edits.unwrap, "(t ~> u)"),
    "keep the other branch": ("(c ?> t !> e) ~> z", "c ?> t !> e", lambda place: edits.unwrap(place, 1), "e ~> z"),
    "keep the name of what goes": ("(@> (a ~> b)) |=> x", "(@> (a ~> b)) |=> x", edits.unwrap, "(a ~> b) |=> x"),
    "keep the name of what stays": ("(@> (a |=> y)) |=> x", "(@> (a |=> y)) |=> x", edits.unwrap, "(a |=> y)"),
    "delete the last": ("a ~> b ~> c", "c", edits.delete, "a ~> b"),
    "delete one between": ("a ~> b ~> c", "b", edits.delete, "a ~> c"),
    "delete the first": ("a ~> b ~> c", "a", edits.delete, "b ~> c"),
    "delete a branch": ("(a & b) ~> c", "a", edits.delete, "b ~> c"),
    "delete one of three": ("df.join3(a, b ~> d, c)", "b ~> d", edits.delete, "df.join(a, c)"),
    "delete the first of three": ("df.join3(a, b, c)", "a", edits.delete, "df.join(b, c)"),
    "delete a condition": ("df.loop(a, b)", "b", edits.delete, "df.loop(a)"),
    "delete beside a name": ("(a ~> b) |=> x", "b", edits.delete, "a |=> x"),
    "delete in a call": ("df.seq(a & b, c) & d", "c", edits.delete, "a & b & d"),
    "delete in a call beside another operator": ("df.seq(a & b, c) | d", "c", edits.delete, "(a & b) | d"),
    "name": ("a ~> b", "b", lambda place: edits.set_name(place, "x"), "a ~> (b |=> x)"),
    "name the first": ("a ~> b", "a", lambda place: edits.set_name(place, "x"), "a |=> x ~> b"),
    "name a chain": ("a ~> b", "a ~> b", lambda place: edits.set_name(place, "x"), "(a ~> b) |=> x"),
    "another name": ("a |=> y", "a", lambda place: edits.set_name(place, "x"), "a |=> x"),
    "no name": ("(a ~> b) |=> x", "(a ~> b) |=> x", lambda place: edits.set_name(place, None), "(a ~> b)"),
    "no name given by a call": ("df.as(a ~> b, x) & c", "df.as(a ~> b, x)", lambda place: edits.set_name(place, None), "(a ~> b) & c"),
}  # fmt: skip


def quoted(text: str) -> str:
    return re.sub(r"\b(?<!\.)(?!df\b)([a-z])\b", r"'\1'", text).replace("'n'", "'new'")


@pytest.mark.parametrize(("before", "at", "change", "after"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_written_as_a_person_would(
    before: str, at: str, change: Callable[[Place], Edits], after: str
) -> None:
    assert changed(quoted(before), quoted(at), change) == quoted(after)
    start = f"SELECT df.start({quoted(before)}, 'label');"
    assert changed(start, quoted(at), change) == f"SELECT df.start({quoted(after)}, 'label');"


CHAIN = """\
-- head
SELECT df.start(
    'a' |=> 'x' -- about a
    -- above b
    ~> 'b' -- about b
    ~> ('c' & 'd'), -- about c and d
    'label'
);
"""
IN_LINES: dict[str, tuple[str, Callable[[Place], Edits], tuple[str, str]]] = {
    "after the first": (
        "'a'", lambda place: edits.insert_after(place, NEW), ("-- about a\n", "-- about a\n    ~> 'new'\n"),
    ),
    "after one between": (
        "'b'", lambda place: edits.insert_after(place, NEW), ("-- about b\n", "-- about b\n    ~> 'new'\n"),
    ),
    "after the last": (
        "'c' & 'd'", lambda place: edits.insert_after(place, NEW), ("('c' & 'd')", "('c' & 'd')\n    ~> 'new'"),
    ),
    "before one between": (
        "'b'", lambda place: edits.insert_before(place, NEW), ("    ~> 'b'", "    ~> 'new'\n    ~> 'b'"),
    ),
    "before the first": (
        "'a'", lambda place: edits.insert_before(place, NEW), ("'a' |=> 'x'", "'new'\n    ~> ('a' |=> 'x')"),
    ),
    "delete one between": ("'b'", edits.delete, ("    ~> 'b' -- about b\n", "")),
    "delete the first": ("'a'", edits.delete, ("'a' |=> 'x' -- about a\n    -- above b\n    ~> ", "-- above b\n    ")),
    "delete the last": ("'c' & 'd'", edits.delete, ("    ~> ('c' & 'd'), --", "    , --")),
    "loop": ("'b'", edits.wrap_in_loop, ("'b'", "(@> 'b')")),
}  # fmt: skip


@pytest.mark.parametrize(("at", "change", "difference"), IN_LINES.values(), ids=IN_LINES.keys())
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_chain_keeps_a_line_for_each_step_and_each_comment_its_step(
    at: str, change: Callable[[Place], Edits], difference: tuple[str, str], newline: str
) -> None:
    before, after = (text.replace("\n", newline) for text in difference)
    text = CHAIN.replace("\n", newline)
    assert before in text
    assert changed(text, at, change) == text.replace(before, after)


ARGUMENTS: dict[str, tuple[str, str, str | int | None, str]] = {
    "a number": ("df.sleep(60)", "seconds", 90, "df.sleep(90)"),
    "a number that is computed": ("df.sleep(60 * 60)", "seconds", 90, "df.sleep(90)"),
    "the text of a step": ("'SELECT 1'", "query", "SELECT 'x'", "$$SELECT 'x'$$"),
    "a text that would be JSON of a step": (
        "'SELECT 1'", "query", '{"node_type":"SQL","query":"a"}', """df.sql('{"node_type":"SQL","query":"a"}')""",
    ),
    "the text of df.sql": ("df.sql('SELECT 1')", "query", "SELECT 2", "df.sql('SELECT 2')"),
    "by name": ("df.wait_for_signal(timeout_seconds => 5, name => 'go')", "name", "stop", "df.wait_for_signal(timeout_seconds => 5, name => 'stop')"),
    "one more, by position": ("df.wait_for_signal('go')", "timeout_seconds", 5, "df.wait_for_signal('go', 5)"),
    "one more, by name": ("df.http('https://x.y')", "timeout_seconds", 5, "df.http('https://x.y', timeout_seconds => 5)"),
    "the first": ("df.break()", "value", "done", "df.break('done')"),
    "none any more": ("df.wait_for_signal('go', 5)", "timeout_seconds", None, "df.wait_for_signal('go')"),
    "the default": ("df.http('https://x.y', 'GET', timeout_seconds => 5)", "timeout_seconds", 30, "df.http('https://x.y', 'GET')"),
    "the default between others": ("df.http('https://x.y', 'GET', 'b')", "method", None, "df.http('https://x.y', 'POST', 'b')"),
    "nothing between others": ("df.http('https://x.y', 'GET', 'b', '{}')", "body", None, "df.http('https://x.y', 'GET', NULL, '{}')"),
    "a method": ("df.http('https://x.y', 'GET')", "method", "put", "df.http('https://x.y', 'put')"),
    "JSON": ("df.http('https://x.y')", "headers", '{"b": 1, "a": 2}', """df.http('https://x.y', headers => '{"b": 1, "a": 2}')"""),
    "in lines": ("df.http(\n    'https://x.y'\n)", "method", "GET", "df.http(\n    'https://x.y',\n    'GET'\n)"),
    "with a name": ("df.sleep(60) |=> 'x'", "seconds", 90, "df.sleep(90) |=> 'x'"),
    "with a name by call": ("df.as((df.sleep(60)), 'x')", "seconds", 90, "df.as((df.sleep(90)), 'x')"),
    "of a child": ("df.call_child('a', 'l', '{}')", "label", None, "df.call_child('a', NULL, '{}')"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "parameter", "value", "after"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_an_argument_gets_another_value(before: str, parameter: str, value: str | int | None, after: str) -> None:
    assert changed(before, before, lambda place: edits.set_argument(place, parameter, value)) == after


@pytest.mark.parametrize("text", ["df.sleep(1) ~> 'a'", "df.sleep(1) & df.sleep(2)", "(df.sleep(1)) ~> df.sleep(2)"])
def test_what_only_begins_with_a_call_has_no_arguments(text: str) -> None:
    with pytest.raises(edits.EditError, match="has no argument"):
        changed(text, text, lambda place: edits.set_argument(place, "seconds", 5))


OPTIONS: dict[str, tuple[str, str, object, str]] = {
    "another number": (
        """df.call_child('a', 'l', '{ "timeout_seconds":300 }')""", "timeout_seconds", 60,
        """df.call_child('a', 'l', '{ "timeout_seconds":60 }')""",
    ),
    "in a computed object": (
        "df.call_child('a', options => jsonb_build_object('timeout_seconds', 300))", "timeout_seconds", 60,
        "df.call_child('a', options => jsonb_build_object('timeout_seconds', 60))",
    ),
    "the first": (
        "df.call_child('a')", "timeout_seconds", 60, """df.call_child('a', options => '{"timeout_seconds": 60}')""",
    ),
    "one more": (
        """df.call_child('a', 'l', '{"timeout_seconds": 300}')""", "database", "it's",
        """df.call_child('a', 'l', $${"timeout_seconds": 300, "database": "it's"}$$)""",
    ),
    "one less": (
        """df.call_child('a', 'l', '{"timeout_seconds": 300, "database": "d"}')""", "timeout_seconds", None,
        """df.call_child('a', 'l', '{"database": "d"}')""",
    ),
    "none": ("""df.call_child('a', 'l', '{"database": "d"}')""", "database", None, "df.call_child('a', 'l')"),
    "one given twice": (
        """df.call_child('a', 'l', '{"database": "d", "database": "e"}')""", "database", "f",
        """df.call_child('a', 'l', '{"database": "f"}')""",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "name", "value", "after"), OPTIONS.values(), ids=OPTIONS.keys())
def test_an_option_of_a_child_gets_another_value(before: str, name: str, value: object, after: str) -> None:
    assert changed(before, before, lambda place: edits.set_option(place, name, value)) == after


RENAMED = {
    "read in SQL": ("'a' |=> 'x' ~> 'SELECT $x, $x.c?, $xy, $x.*'", "'a' |=> 'new' ~> 'SELECT $new, $new.c?, $xy, $new.*'"),
    "through quotes": ("'a' |=> 'x' ~> 'SELECT ''$x'''", "'a' |=> 'new' ~> 'SELECT ''$new'''"),
    "through escapes": (r"'a' |=> E'x' ~> E'\'\u0024x\n$x'", r"'a' |=> E'new' ~> E'\'\u0024new\n$new'"),
    "in dollar quotes": ("'a' |=> $$x$$ ~> $$SELECT $x$$", "'a' |=> $$new$$ ~> $$SELECT $new$$"),
    "over several lines": ("'a' |=> 'x' ~> 'SELECT '\n   '$x'", "'a' |=> 'new' ~> 'SELECT '\n   '$new'"),
    "put together": ("'a' |=> 'x' ~> ('SELECT ' || '$x')", "'a' |=> 'new' ~> ('SELECT ' || '$new')"),
    "formatted": ("'a' |=> 'x' ~> format('SELECT %s', '$x')", "'a' |=> 'new' ~> format('SELECT %s', '$new')"),
    "in JSON": (
        """'a' |=> 'x' ~> df.http('https://x/$x', body => '{"\\"": "$x"}', headers => '{"k": "\\"$x"}')""",
        """'a' |=> 'new' ~> df.http('https://x/$new', body => '{"\\"": "$new"}', headers => '{"k": "\\"$new"}')""",
    ),
    "tested for rows": ("'a' |=> 'x' ~> df.if_rows('x', 'SELECT $x', 'b')", "'a' |=> 'new' ~> df.if_rows('new', 'SELECT $new', 'b')"),
    "awaited": ("'a' |=> 'x' ~> df.await_instance('$x.id')", "'a' |=> 'new' ~> df.await_instance('$new.id')"),
    "the value of a break": ("@> ('a' |=> 'x' ~> df.break('$x'))", "@> ('a' |=> 'new' ~> df.break('$new'))"),
    "bound twice": ("'a' |=> 'x' ~> ('b' |=> 'x') ~> 'SELECT $x'", "'a' |=> 'new' ~> ('b' |=> 'new') ~> 'SELECT $new'"),
    "of the same name in a child": (
        "'a' |=> 'x' ~> df.call_child('c' |=> 'x' ~> 'SELECT $x', '$x')",
        "'a' |=> 'new' ~> df.call_child('c' |=> 'x' ~> 'SELECT $x', '$new')",
    ),
    "of a child's database": (
        """'a' |=> 'x' ~> df.call_child('c', options => '{"database": "$x"}')""",
        """'a' |=> 'new' ~> df.call_child('c', options => '{"database": "$new"}')""",
    ),
    "named by a call": ("df.as('a', 'x') ~> 'SELECT $x'", "df.as('a', 'new') ~> 'SELECT $new'"),
    "inside of what is not known": (
        "'a' |=> 'x' ~> format('SELECT $x, %s', :v) ~> df.seq('SELECT $x', :w)",
        "'a' |=> 'new' ~> format('SELECT $new, %s', :v) ~> df.seq('SELECT $new', :w)",
    ),
    "in a condition": ("'a' |=> 'x' ~> ('SELECT $x' ?> 'b' !> 'c')", "'a' |=> 'new' ~> ('SELECT $new' ?> 'b' !> 'c')"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), RENAMED.values(), ids=RENAMED.keys())
def test_a_name_is_changed_wherever_it_is_read(before: str, after: str) -> None:
    assert changed(before, "'a'", lambda place: edits.rename(place, "new")) == after


REFUSED: dict[str, tuple[str, str, Callable[[Place], Edits], str]] = {
    "the whole workflow": ("'a'", "'a'", edits.delete, "whole workflow"),
    "a branch": ("'c' ?> 't' !> 'e'", "'t'", edits.delete, "A branch must do something"),
    "the body of a loop": ("@> 'a'", "'a'", edits.delete, "Nothing would be left"),
    "an argument that is none": ("df.sleep(5)", "df", lambda place: edits.set_argument(place, "minutes", 5), "no argument `minutes`"),
    "an argument that is a step": ("df.loop('a', 'b')", "df", lambda place: edits.set_argument(place, "body", "x"), "no argument `body`"),
    "an argument of a wrong type": ("df.sleep(5)", "df", lambda place: edits.set_argument(place, "seconds", "x"), "must be a whole number"),
    "an argument that is no JSON": ("df.http('https://x')", "df", lambda place: edits.set_argument(place, "headers", "{"), "must be JSON"),
    "a value that is refused": ("df.sleep(5)", "df", lambda place: edits.set_argument(place, "seconds", -5), "would be refused: Sleep duration must be non-negative"),
    "an argument it needs": ("df.sleep(5)", "df", lambda place: edits.set_argument(place, "seconds", None), "needs its `seconds`"),
    "an option of something else": ("df.sleep(5)", "df", lambda place: edits.set_option(place, "database", "d"), "Only df.call_child"),
    "a name that is none": ("'a'", "'a'", lambda place: edits.set_name(place, "not a name"), "not a valid identifier"),
    "a new name that is none": ("'a' |=> 'x'", "'a'", lambda place: edits.rename(place, "1"), "not a valid identifier"),
    "no name to change": ("'a'", "'a'", lambda place: edits.rename(place, "x"), "has no name"),
    "a new name that is taken": ("'a' |=> 'x' ~> ('b' |=> 'y')", "'a'", lambda place: edits.rename(place, "y"), "`y` already means"),
    "a new name that is read": ("'a' |=> 'x' ~> 'SELECT $y'", "'a'", lambda place: edits.rename(place, "y"), "`y` already means"),
    "a name in a computed text": ("'a' |=> 'x' ~> repeat('$x ', 2)", "'a'", lambda place: edits.rename(place, "y"), "computed"),
    "a step inside of JSON": (
        """'{"node_type":"THEN","left_node":{"node_type":"SQL","query":"a"},"right_node":{"node_type":"SQL","query":"b"}}'""", '{"node_type":"SQL"', edits.wrap_in_loop, "part of Durofut JSON",
    ),
    "a step below 256 levels": ("df.loop(" * 256 + "'a'" + ")" * 256, "'a'", edits.wrap_in_loop, "256 levels"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "at", "change", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_refused_with_a_reason(
    text: str, at: str, change: Callable[[Place], Edits], reason: str
) -> None:
    with pytest.raises(EditError, match=reason):
        changed(text, at, change)


def test_a_step_written_as_json_is_edited_as_a_whole() -> None:
    literal = """'{"node_type":"SLEEP","query":"5"}'"""
    text = f"{literal} & 'b'"
    assert changed(text, "SLEEP", edits.wrap_in_loop) == f"(@> {literal}) & 'b'"
    assert changed(text, "SLEEP", lambda place: edits.replace_step(place, NEW)) == "'new' & 'b'"
    assert changed(text, "SLEEP", edits.delete) == "'b'"


def test_what_only_the_database_knows_is_edited_around_its_known_steps() -> None:
    text = "df.if_rows(:'name', 'a', 'b' ~> 'c') ~> 'd'"
    assert changed(text, "'b'", edits.wrap_in_loop) == "df.if_rows(:'name', 'a', (@> 'b') ~> 'c') ~> 'd'"
    assert changed(text, "df.if_rows(:'name'", edits.delete) == "'d'"
    assert changed("(:x || 'a') |=> 'x' ~> 'b'", ":x", edits.wrap_in_loop) == "(@> ((:x || 'a') |=> 'x')) ~> 'b'"


SQL = "DO $$ BEGIN\n    PERFORM df.start('a' ~> 'b', 'l'); UPDATE  t SET a='$$'; END $$;\nSELECT df.start('c'), 1|2;"


def test_workflows_inside_of_sql_are_edited_where_they_stand() -> None:
    """The body of the block is in dollar quotes, which no new step may end."""
    text = SQL.replace("'$$'", "1")
    new = ast.sql("it's")
    after = changed(text, "'b'", lambda place: edits.insert_after(place, new), "x.sql")
    assert after == text.replace("'b'", "'b' ~> 'it''s'")
    assert changed(text, "'c'", edits.wrap_in_loop, "x.sql") == text.replace("'c'", "@> 'c'")


def test_a_workflow_inside_of_quotes_is_edited_through_them() -> None:
    text = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT df.start(''a'' ~> ''b'')';"
    new = ast.sql("it's")
    after = changed(text, "'b", lambda place: edits.insert_after(place, new), "x.sql")
    assert after == text.replace("''b''", "''b'' ~> ''it''''s''")
    assert changed(text, "'b", edits.delete, "x.sql") == text.replace(" ~> ''b''", "")


def test_edits_must_not_overlap() -> None:
    first, second = Edit(Span(0, 2), "x"), Edit(Span(1, 3), "y")
    assert apply("abcd", [Edit(Span(2, 4), "y"), first]) == "xy"
    with pytest.raises(ValueError, match="overlap"):
        apply("abcd", [first, second])


def test_a_step_is_found_by_its_place() -> None:
    text = "'a' ~> ('b' & 'c'); 'd'"
    found = module(text)
    assert [place.outer.of(text) for place in places(found)] == [
        "'a' ~> ('b' & 'c')",
        "'a'",
        "('b' & 'c')",
        "'b'",
        "'c'",
        "'d'",
    ]
    assert [place_of(found, place.node) == place for place in places(found)] == [True] * 6
    assert [step_place(found, place.index, place.path) == place for place in places(found)] == [True] * 6
    at = place_at(found, text.index("c"))
    assert at is not None
    assert at.path == (1, 1)
    assert place_at(found, text.index(";")) is None
    with pytest.raises(LookupError):
        place_of(found, NEW)


# Properties, over generated programs. What a change should come to is said here once more, in as few words as possible.

steps = programs(max_leaves=3)


def put(root: Node, path: tuple[int, ...], new: Node) -> Node:
    return new if not path else with_child(root, path[0], put(children(root)[path[0]], path[1:], new))


def get(root: Node, path: tuple[int, ...]) -> Node:
    return root if not path else get(children(root)[path[0]], path[1:])


def then(first: Node, second: Node) -> Node:
    return nodes.Then(first=first, second=second, span=first.span)


def is_last(root: Node, path: tuple[int, ...]) -> bool:
    return bool(path) and path[-1] == 1 and isinstance(get(root, path[:-1]), nodes.Then)


def after(root: Node, path: tuple[int, ...], new: Node) -> Node:
    path = path[:-1] if is_last(root, path) else path
    return put(root, path, then(get(root, path), new))


def before(root: Node, path: tuple[int, ...], new: Node) -> Node:
    node = get(root, path)
    if isinstance(node, nodes.Then) and node.binding is None:
        return before(root, (*path, 0), new)
    if is_last(root, path):
        parent = get(root, path[:-1])
        assert isinstance(parent, nodes.Then)
        return put(root, path[:-1], replace(parent, first=then(parent.first, new)))
    return put(root, path, then(new, node))


def kept(root: Node, path: tuple[int, ...], number: int) -> Node:
    node, child = get(root, path), get(root, (*path, number))
    return put(root, path, replace(child, binding=child.binding or node.binding))


def without(root: Node, path: tuple[int, ...]) -> Node | None:
    if not path:
        return None
    match get(root, path[:-1]):
        case nodes.Then() | nodes.Race() | nodes.Join(branches=(_, _)):
            return kept(root, path[:-1], 1 - path[-1])
        case nodes.Join() as join:
            branches = (*join.branches[: path[-1]], *join.branches[path[-1] + 1 :])
            return put(root, path[:-1], replace(join, branches=branches))
        case nodes.Loop() as loop if path[-1] == 1:
            return put(root, path[:-1], replace(loop, condition=None))
        case _:
            return None


OPERATIONS: dict[str, tuple[Callable[[Place, Node, Node], Edits], Callable[[Node, tuple[int, ...], Node, Node], Node | None]]] = {
    "replace": (lambda place, new, _: edits.replace_step(place, new), lambda root, path, new, _: put(root, path, new)),
    "insert after": (lambda place, new, _: edits.insert_after(place, new), lambda root, path, new, _: after(root, path, new)),
    "insert before": (lambda place, new, _: edits.insert_before(place, new), lambda root, path, new, _: before(root, path, new)),
    "duplicate": (
        lambda place, _, __: edits.duplicate(place),
        lambda root, path, _, __: after(root, path, replace(get(root, path), binding=None)),
    ),
    "loop": (
        lambda place, _, __: edits.wrap_in_loop(place),
        lambda root, path, _, __: put(root, path, ast.loop(get(root, path))),
    ),
    "loop while": (
        lambda place, new, _: edits.wrap_in_loop(place, new),
        lambda root, path, new, _: put(root, path, ast.loop(get(root, path), new)),
    ),
    "if": (
        edits.wrap_in_if,
        lambda root, path, new, other: put(root, path, ast.if_(new, get(root, path), other)),
    ),
    "join": (
        lambda place, new, _: edits.wrap_in_join(place, new),
        lambda root, path, new, _: put(root, path, ast.join(get(root, path), new)),
    ),
    "race": (
        lambda place, new, _: edits.wrap_in_race(place, new),
        lambda root, path, new, _: put(root, path, ast.race(get(root, path), new)),
    ),
    "timeout": (
        lambda place, _, __: edits.wrap_in_timeout(place, 5),
        lambda root, path, _, __: put(root, path, ast.race(get(root, path), ast.sleep(5))),
    ),
    "child": (
        lambda place, _, __: edits.wrap_in_child(place, "it's"),
        lambda root, path, _, __: put(root, path, ast.call(get(root, path), "it's")),
    ),
    "parentheses": (lambda place, _, __: edits.parenthesise(place), lambda root, path, _, __: put(root, path, get(root, path))),
    "unwrap": (
        lambda place, _, __: edits.unwrap(place, len(place.children) - 1),
        lambda root, path, _, __: kept(root, path, len(children(get(root, path))) - 1) if children(get(root, path)) else None,
    ),
    "delete": (lambda place, _, __: edits.delete(place), lambda root, path, _, __: without(root, path)),
    "name": (
        lambda place, _, __: edits.set_name(place, "zulu"),
        lambda root, path, _, __: put(root, path, replace(get(root, path), binding=ast.binding("zulu"))),
    ),
    "unname": (
        lambda place, _, __: edits.set_name(place, None),
        lambda root, path, _, __: put(root, path, replace(get(root, path), binding=None)),
    ),
}  # fmt: skip
INSERTIONS = (
    "insert after",
    "insert before",
    "duplicate",
    "loop",
    "loop while",
    "if",
    "join",
    "race",
    "timeout",
    "child",
    "parentheses",
)


def written(node: Node, how: str, seed: int) -> str:
    text = f"SELECT df.start({print_node(node)}, 'label');"
    if how == "laid out":
        return format_source(Source("x.df", text)).text
    return scattered(text, Random(seed)) if how == "scattered" else text


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    programs(max_leaves=8),
    st.sampled_from(("in a line", "laid out", "scattered")),
    st.integers(0, 2**63),
    st.integers(0, 2**31),
    steps,
    steps,
)
def test_an_edit_makes_the_tree_that_it_says(
    operation: str, root: Node, how: str, seed: int, choice: int, new: Node, other: Node
) -> None:
    make, expected = OPERATIONS[operation]
    text = written(root, how, seed)
    found = module(text)
    every = list(places(found))
    place = every[choice % len(every)]
    tree = expected(found.definitions[0].node, place.path, new, other)
    assume(tree is not None)
    made = make(place, new, other)
    changed_text = apply(text, made)
    (definition,) = module(changed_text).definitions
    assert same(definition.node, tree)
    assert definition.label == ast.text("label")
    if operation in INSERTIONS:  # nothing is taken away
        assert all(not edit.span for edit in made)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    programs(max_leaves=10),
    st.sampled_from(("in a line", "laid out", "scattered")),
    st.integers(0, 2**63),
    st.integers(0, 2**31),
)
def test_a_renaming_changes_one_name_and_nothing_else(root: Node, how: str, seed: int, choice: int) -> None:
    """The rows are equal up to that name: it is put into the tree by another way here, node by node."""
    text = written(root, how, seed)
    found = module(text)
    bound = [place for place in places(found) if place.node.binding is not None]
    assume(bound)
    place = bound[choice % len(bound)]
    assert place.node.binding is not None
    old, root = place.node.binding.name, found.definitions[0].node
    (definition,) = module(apply(text, edits.rename(place, "zulu"))).definitions
    graph = max(
        (number for number in range(len(place.path)) if isinstance(get(root, place.path[:number]), nodes.CallChild)),
        default=-1,
    )
    start = place.path[: graph + 1]
    assert same(definition.node, put(root, start, renamed(get(root, start), old)))


def renamed(node: Node, old: str) -> Node:
    def reword(text: nodes.Text) -> nodes.Text:
        return ast.text(re.sub(rf"\${old}\b", "$zulu", text.value))

    def maybe(text: nodes.Text | None) -> nodes.Text | None:
        return None if text is None else reword(text)

    if node.binding is not None and node.binding.name == old:
        node = replace(node, binding=ast.binding("zulu"))
    match node:
        case nodes.Sql(query=query):
            node = replace(node, query=reword(query))
        case nodes.IfRows(result_name=name) if name.value == old:
            node = replace(node, result_name=ast.text("zulu"))
        case nodes.Http():
            node = replace(node, url=reword(node.url), body=maybe(node.body), headers=maybe(node.headers))
        case nodes.HttpMultipart():
            node = replace(node, url=reword(node.url), parts=reword(node.parts), headers=maybe(node.headers))
        case nodes.AwaitInstance():
            node = replace(node, instance_id=reword(node.instance_id))
        case nodes.Break():
            node = replace(node, value=maybe(node.value))
        case nodes.CallChild():
            return replace(node, label=maybe(node.label))
        case _:
            pass
    for number, child in enumerate(children(node)):
        node = with_child(node, number, renamed(child, old))
    return node


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(
    texts.programs | st.integers(0, 2**63).map(lambda seed: expression(Random(seed), 3)),
    st.integers(0, 2**31),
    steps,
    steps,
)
def test_an_edit_of_any_spelling_is_right_or_refused(text: str, choice: int, new: Node, other: Node) -> None:
    """Spellings that no printer chooses: the edit proves itself, and the program reads on."""
    parsed = parse(Source("x.df", text))
    assume(parsed.ok and parsed.module.definitions)
    every = list(places(parsed.module))
    random = Random(choice)
    place, (make, _) = random.choice(every), random.choice(list(OPERATIONS.values()))
    assume(make is not OPERATIONS["unwrap"][0] or place.children)
    try:
        made = make(place, new, other)
    except EditError:
        return
    assert parse(Source("x.df", apply(text, made))).ok


@given(programs(max_leaves=6), st.integers(0, 5), steps)
def test_a_child_is_exchanged_and_the_others_stay(node: Node, number: int, new: Node) -> None:
    below = children(node)
    if number >= len(below):
        return
    exchanged = children(with_child(node, number, new))
    assert exchanged == (*below[:number], new, *below[number + 1 :])


@given(programs(max_leaves=1))
def test_renaming_reads_the_texts_that_the_compiler_reads(node: Node) -> None:
    """The grammar may not ask the compiler which texts are filled in, so it says so once more."""
    assert list(renaming.texts(node)) == [text for text, _ in reads.texts(node)]


def in_escapes(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


BODIES: dict[str, Callable[[str], str]] = {
    "plain": lambda body: "'" + body.replace("'", "''") + "'",
    "escapes": in_escapes,
    "unicode": lambda body: "U&'" + body.replace("\\", "\\\\").replace("'", "''") + "'",
    "two literals": lambda body: "'BEGIN NULL; '\n  '" + body.replace("'", "''") + "'",
    "dollars": lambda body: f"$body${body}$body$",
}


@pytest.mark.parametrize("quoting", BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(programs(max_leaves=4), min_size=1, max_size=3), st.booleans(), st.integers(0, 2**31), steps, steps)
def test_an_edit_in_quotes_is_the_edit_without_them(
    quoting: str, roots: list[Node], nested: bool, choice: int, new: Node, other: Node
) -> None:
    """Whatever can be done in a body can be done in the quotes that a file has around it, twice if need be."""
    body = "".join(f"PERFORM df.start({print_node(root, dollars=False)}); " for root in roots)
    quoted = BODIES[quoting](f"DO {BODIES[quoting](body)}" if nested and quoting != "dollars" else body)
    plain, file = parse(Source("x.sql", body)).module, parse(Source("x.sql", f"SELECT 1;\nDO {quoted};")).module
    number = choice % len(list(places(plain)))
    make, _ = Random(choice).choice([one for name, one in OPERATIONS.items() if name != "unwrap"])
    try:
        wanted = parse(Source("x.sql", apply(plain.source.text, make(list(places(plain))[number], new, other))))
    except EditError:
        with pytest.raises(EditError):
            make(list(places(file))[number], new, other)
        return
    made = make(list(places(file))[number], new, other)
    found = parse(Source("x.sql", apply(file.source.text, made)))
    assert found.ok
    assert len(found.module.definitions) == len(roots)
    for ours, theirs in zip(found.module.definitions, wanted.module.definitions, strict=True):
        assert same(ours.node, theirs.node)
