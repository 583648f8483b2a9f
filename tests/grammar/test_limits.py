"""Any text at all gets an answer: bounded time, no traceback, and the limits said with a code."""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shape import codes, step

from pgweave.grammar.kinds import MAX_DEPTH, MAX_NODES, MAX_TEXT
from pgweave.grammar.nodes import Node, Sql, children
from pgweave.grammar.parser import Parsed, parse
from pgweave.grammar.render import render_all
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.grammar.diagnostics import Diagnostic


def chain(length: int) -> str:
    return "'a'" + " ~> 'a'" * length


def test_256_levels_are_accepted_and_257_refused() -> None:
    assert codes(chain(MAX_DEPTH)) == []
    assert codes(chain(MAX_DEPTH + 1)) == ["PW011"]
    assert codes("df.loop(" * MAX_DEPTH + "'a'" + ")" * MAX_DEPTH) == []
    assert codes("@> " * (MAX_DEPTH + 1) + "'a'") == ["PW011"]


def test_the_deepest_program_can_be_compared_and_printed() -> None:
    assert step(chain(MAX_DEPTH)) == step(chain(MAX_DEPTH))
    assert repr(step(chain(MAX_DEPTH)))


def test_ten_thousand_nodes_are_accepted_and_one_more_is_refused() -> None:
    def wide(leaves: int) -> str:
        """A balanced tree: leaves - 1 inner nodes."""
        if leaves == 1:
            return "'a'"
        return f"({wide(leaves // 2)} & {wide(leaves - leaves // 2)})"

    assert codes(wide(MAX_NODES // 2)) == []
    assert codes(wide(MAX_NODES // 2 + 1)) == ["PW012"]


def test_a_million_characters_are_accepted_and_one_more_is_refused() -> None:
    assert codes("'" + "x" * (MAX_TEXT - 2) + "'") == []
    assert codes("'" + "x" * (MAX_TEXT - 1) + "'") == ["PW010"]


HOSTILE = {
    "parentheses": "(" * 10_000 + "'a'" + ")" * 10_000,
    "open parentheses": "(" * 100_000,
    "closed parentheses": ")" * 100_000,
    "calls": "df.loop(" * 10_000 + "'a'" + ")" * 10_000,
    "foreign calls": "f(" * 50_000 + ")" * 50_000,
    "prefixes": "@> " * 50_000 + "'a'",
    "signs": "-(" * 50_000 + "5" + ")" * 50_000,
    "a chain": chain(50_000),
    "concatenation": "'a'||" * 100_000 + "'b'",
    "nested concatenation": "concat('a'," * 30_000 + "'b'" + ")" * 30_000,
    "casts": "'1'" + "::jsonb::text" * 30_000,
    "arrays": "ARRAY[" * 30_000 + "]" * 30_000,
    "subscripts": "x[1]" * 50_000,
    "cases": "case " * 100_000,
    "ended cases": "case " * 20_000 + "end " * 20_000,
    "selects": "SELECT " * 100_000,
    "comments": "/*" * 300_000,
    "quotes": "'" * 999_999,
    "operators": "~" * 900_000,
    "glued operators": "'a'" + "@>" * 400_000 + "'b'",
    "digits": "1" * 900_000,
    "json": "'" + '{"a":' * 100_000 + "'",
    "steps in json": "'" + '{"node_type":"LOOP","left_node":' * 5_000 + "'",
    "many wrong calls": "df.slep(1);" * 30_000,
    "repetition": "repeat('x', 1000000);" * 40_000,
    "betweens": "x between " * 50_000,
    "escapes": "E'" + "\\n" * 400_000 + "'",
    "typographic quotes": "‘" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_gets_its_answer_within_seconds(text: str) -> None:
    started = process_time()
    parsed = parsed_and_rendered(text)
    assert process_time() - started < 20  # about one second on an idle core; quadratic growth would take minutes
    assert parsed.module.definitions or parsed.diagnostics


def parsed_and_rendered(text: str) -> Parsed:
    source = Source("test.df", text)
    parsed = parse(source)
    for found in parsed.diagnostics[:20]:
        check(found, len(text))
        assert render_all([found], source)
    return parsed


def check(found: Diagnostic, size: int) -> None:
    assert 0 <= found.span.start <= found.span.end <= size
    assert found.title
    assert "{" not in found.title.replace("{}", "") or found.code in ("PW020", "PW023")


WORDS = [
    "'a'", "'SELECT 1'", "df.sleep(", "df.call_child(", "df.if(", "df.start(", ")", "(", ",", "~>", "|=>", "&", "|", "?>",
    "!>", "@>", "||", "'x'", "::jsonb", "=>", "label", "5", "NULL", ";", "SELECT", "AS", "CASE", "END", "ARRAY[", "]", "'{}'",
    "$$", "E'\\", "--", "\n", "/*", "*/", "CAST(", ":x", ":'y'", "NOT", "BETWEEN", "AND", "IS", "format(", '\'{"node_type":',
    '"THEN"}\'', "\\", "’", "\0", ".", "x", "[", "U&'", "1e", "df", "OPERATOR(", "OVER", "-", "%", "EXISTS(", "interval",
]  # fmt: skip


@settings(deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)))
def test_any_text_at_all_gives_findings_and_never_a_traceback(text: str) -> None:
    parsed = parsed_and_rendered(text)
    for definition in parsed.module.definitions:
        inside_its_parent(definition.node, len(text))


def inside_its_parent(node: Node, size: int) -> None:
    assert 0 <= node.span.start <= node.span.end <= size
    for child in children(node):
        assert child.outer in node.span
        inside_its_parent(child, size)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["~>", "&", "|", "|=> 'n' ~>"]), max_size=8), st.integers(0, 2**16))
def test_the_text_of_a_step_is_that_step(operators: list[str], choice: int) -> None:
    """Cut a step out of a program by its span, parse it alone, and it is equal."""
    text = "'s0'"
    for i, operator in enumerate(operators):
        operand = f"'s{i + 1}'" if choice >> i & 1 else f"df.seq('s{i + 1}', @> 'x')"
        text = f"({text}) {operator} {operand}" if choice >> (i + 8) & 1 else f"{text} {operator} {operand}"
    stack = [step(text)]
    while stack:
        node = stack.pop()
        if not isinstance(node, Sql) or node.binding is None:
            assert step(node.span.of(text)) == node
        stack.extend(children(node))
