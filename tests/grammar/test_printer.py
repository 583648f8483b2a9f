"""What is printed reads as what was printed, here and in the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ast
from support.pace import examples
from support.programs import bindings, programs

from pgweave.compiler import lower
from pgweave.grammar import nodes
from pgweave.grammar.kinds import MAX_DEPTH
from pgweave.grammar.meaning.jsonb import parse_json, render_jsonb
from pgweave.grammar.nodes import Definition, Node, Text, same
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span
from pgweave.grammar.writing.formatter import print_module
from pgweave.grammar.writing.printer import (
    options_text,
    print_definition,
    print_node,
    print_operand,
)
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = (Path(__file__).parents[1] / "golden" / "identity.df").read_text(encoding="utf-8").splitlines()
THOROUGH = settings(max_examples=examples(2000), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def definition(text: str) -> Definition:
    parsed = parse(Source("printed.df", text))
    assert parsed.diagnostics == (), text
    (found,) = parsed.module.definitions
    return found


@pytest.mark.parametrize("line", LINES)
def test_a_canonical_line_comes_back_as_it_is(line: str) -> None:
    found = definition(line)
    assert (print_definition(found) if line.startswith("SELECT df.start") else print_node(found.node)) == line


def test_the_canonical_lines_hold_every_class_of_the_ast() -> None:
    found: set[type[Node]] = set()
    pending = [definition(line).node for line in LINES]
    while pending:
        node = pending.pop()
        found.add(type(node))
        pending.extend(nodes.children(node))
    assert found == set(get_args(nodes.Node))


# What is written, and the one spelling that it is printed in.
CANONICAL = {
    "df.seq('a', df.seq('b', 'c'))": "'a' ~> ('b' ~> 'c')",
    "df.as(df.join('a', 'b'), 'n')": "('a' & 'b') |=> 'n'",
    "'a' |=> 'x' & 'b' |=> 'y'": "(('a' |=> 'x') & 'b') |=> 'y'",
    "'a' ~> 'b' & 'c'": "('a' ~> 'b') & 'c'",
    "@> 'a' ~> 'b'": "(@> 'a') ~> 'b'",
    "df.loop('a')": "@> 'a'",
    "df.if('c', 't', 'e')": "'c' ?> 't' !> 'e'",
    "df.sql('a')": "'a'",
    "E'a\\'b'": "$$a'b$$",
    "'a' || 'b'": "'ab'",
    "df.http('https://a.b', 'post', NULL, '{}'::jsonb, 30)": "df.http('https://a.b', headers => '{}')",
    "df.wait_for_signal(timeout_seconds := 5, name := 'n')": "df.wait_for_signal('n', 5)",
    "((('a')))": "'a'",
}


@pytest.mark.parametrize(("written", "printed"), CANONICAL.items())
def test_there_is_one_spelling(written: str, printed: str) -> None:
    assert print_node(definition(written).node) == printed


QUOTED = {
    "plain": "'plain'",
    "two\nlines": "'two\nlines'",
    r"back\slash": r"'back\slash'",
    "it's": "$$it's$$",
    "it's $$": "$q1$it's $$$q1$",
    "it's $": "$q1$it's $$q1$",
    "it's $$ and $q1$": "$q2$it's $$ and $q1$$q2$",
    "carriage\rreturn": r"E'carriage\rreturn'",
    "it's \x01 \\": r"E'it''s \x01 \\'",
    "\ufeff\u202e": r"E'\ufeff\u202e'",
    "": "''",
}


@pytest.mark.parametrize(("value", "literal"), QUOTED.items())
def test_a_text_gets_the_quotes_with_the_fewest_escapes(value: str, literal: str) -> None:
    assert quote(value) == literal


def test_dollar_quotes_can_be_avoided() -> None:
    """What is put into the body of a function must not end it."""
    assert quote("it's", dollars=False) == "'it''s'"
    node = ast.then(ast.sql("it's"), ast.break_("it's"))
    assert print_node(node, dollars=False) == "'it''s' ~> df.break('it''s')"


def test_an_operand_stands_beside_any_operator() -> None:
    assert print_operand(ast.sql("a")) == "'a'"
    assert print_operand(ast.sql("a", "n")) == "('a' |=> 'n')"
    assert print_operand(ast.loop(ast.sql("a"))) == "(@> 'a')"


def reread(node: Node) -> Node:
    return definition(print_node(node)).node


@THOROUGH
@given(programs(max_leaves=20))
def test_every_program_reads_back_as_it_was_printed(node: Node) -> None:
    assert same(reread(node), node)


# Everything that PostgreSQL's text can hold: no NUL, no halves of surrogate pairs.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.text(
    st.sampled_from("$'\"\\{}q1 \n\r\t;-/*:aE&"), max_size=24
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(-1e6, 1e6) | texts,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3),
    max_leaves=6,
)


def as_jsonb(value: object) -> str:
    option = nodes.Option("", value, Span(0, 0), Span(0, 0))
    text = options_text((option,)).removeprefix('{"": ').removesuffix("}")
    return render_jsonb(parse_json(Text(text, Span(0, len(text))))).value


jsonb = json_values.map(as_jsonb).filter(lambda text: text != "null")  # in Durofut JSON, null is nothing
queries = texts.map(lambda text: '{"node_type": "SQL", "query": "x"}' + text) | texts
opaque = st.sampled_from(
    ("(SELECT 'a')", ":x", "f(:x, 'y')", "CASE WHEN a THEN 'b' END", "'a' || :x", "current_user", ":x::text")
)
hostile_leaves = st.one_of(
    st.builds(ast.sql, queries, bindings),
    st.builds(ast.break_, texts, bindings),
    st.builds(ast.schedule, texts),
    st.builds(ast.signal, texts, st.none() | st.integers(1, 2**31 - 1)),
    st.builds(ast.await_instance, texts, st.none() | st.integers(1, 2**31 - 1), bindings),
    st.builds(ast.sleep, st.integers(0, 2**63 - 1)),
    st.builds(ast.http, texts, st.sampled_from(("GET", "POST", "TRACE")), st.none() | texts, st.none() | jsonb),
    st.builds(ast.multipart, texts, jsonb),
)


def with_options(child: Node, label: str | None, options: list[tuple[str, object]] | None) -> Node:
    made = (
        None if options is None else tuple(nodes.Option(name, value, Span(0, 0), Span(0, 0)) for name, value in options)
    )
    return nodes.CallChild(child=child, label=None if label is None else ast.text(label), options=made, span=ast.span())


hostile = st.recursive(
    hostile_leaves | st.builds(ast.opaque, opaque),
    lambda steps: st.one_of(
        st.builds(lambda first, second, name: ast.then(first, second, name=name), steps, steps, bindings),
        st.builds(ast.if_rows, texts, steps, steps, bindings),
        st.builds(ast.race, steps, steps, bindings),
        st.builds(
            with_options, steps, st.none() | texts, st.none() | st.lists(st.tuples(texts, json_values), max_size=3)
        ),
    ),
    max_leaves=5,
)
in_json = st.recursive(
    hostile_leaves,
    lambda steps: st.one_of(
        st.builds(
            lambda branches, name: ast.join(*branches, name=name), st.lists(steps, min_size=4, max_size=5), bindings
        ),
        st.builds(lambda first, second, name: ast.then(first, second, name=name), steps, steps, bindings),
        st.builds(ast.if_, steps, steps, steps, bindings),
        st.builds(ast.loop, steps, st.none() | steps, bindings),
    ),
    max_leaves=6,
)


@THOROUGH
@given(hostile)
def test_no_character_of_any_text_is_lost(node: Node) -> None:
    assert reread(node) == node


@settings(max_examples=examples(1000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(in_json)
def test_what_no_call_can_say_is_said_in_json(node: Node) -> None:
    """Joins of four, URLs that df.http refuses: steps that came as Durofut JSON go as Durofut JSON."""
    assert reread(node) == node


@THOROUGH
@given(texts)
def test_a_literal_reads_as_its_value(value: str) -> None:
    for dollars in (True, False):
        literal = quote(value, dollars=dollars)
        assert dollars or not literal.startswith("$")
        assert definition(f"df.break({literal})").node == ast.break_(value)


@pytest.mark.parametrize("node", [ast.join(*[ast.call(ast.sql("a"))] * 4), ast.join(ast.sql("a"))])
def test_a_tree_that_no_text_gives_is_refused(node: Node) -> None:
    with pytest.raises(ValueError, match=r"CallChild|two branches"):
        print_node(node)


def test_a_workflow_keeps_label_database_and_mode() -> None:
    text = "df.start('a', 'it''s', NULL, transaction_mode => 'NEW')"
    found = definition(text)
    assert print_definition(found) == "SELECT df.start('a', $$it's$$, transaction_mode => 'new');"
    assert definition(print_definition(found)) == found


def test_a_module_keeps_its_variables_and_their_order() -> None:
    text = "df.setvar('a', 'it''s'); 'one' ~> 'two'; df.setvar('b', now()::text); SELECT df.start('three', 'l')"
    module = parse(Source("x.df", text)).module
    printed = print_module(module)
    assert printed.splitlines() == [
        "SELECT df.setvar('a', $$it's$$);",
        "SELECT df.start(",
        "    'one'",
        "    ~> 'two'",
        ");",
        "SELECT df.setvar('b', now()::text);",
        "SELECT df.start('three', 'l');",
    ]
    assert parse(Source("x.df", printed)).module == module


DEEP = {
    "loops": ast.loop,
    "chains": lambda node: ast.then(ast.sql("a"), node),
    "races": lambda node: ast.race(node, ast.sql("b")),
}


@pytest.mark.parametrize("nest", DEEP.values(), ids=DEEP.keys())
def test_the_deepest_program_can_be_printed(nest: Callable[[Node], Node]) -> None:
    node: Node = ast.sql("a")
    for _ in range(MAX_DEPTH):
        node = nest(node)
    assert same(reread(node), node)


def test_the_database_reads_what_is_printed_as_the_compiler_lowers_it(database: str) -> None:
    """The SQL functions and the compiler are two writers of one format; the printed text means the same to both."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set search_path = public, df")
        compared = 0

        @settings(
            max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
        )
        @given(programs(max_leaves=10))
        def compare(node: Node) -> None:
            nonlocal compared
            row = connection.execute(f"select df.ensure_durofut({print_node(node)})".encode()).fetchone()
            assert row == (lower.tree(ast.definition(node)),)
            compared += 1

        compare()
    assert compared >= examples(400)
