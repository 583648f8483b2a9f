"""A placeholder knows its place in the file through every quoting and nesting: a caret lands on it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgweave.grammar import nodes
from pgweave.grammar.nodes import Text, children
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.template import scan_raw, scan_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Node


def texts(root: Node) -> Iterator[Text]:
    """Every text of every step in which placeholders mean something."""
    stack = [root]
    while stack:
        node = stack.pop()
        for field in fields(node):
            value = getattr(node, field.name)
            if isinstance(value, Text):
                yield value
        stack.extend(children(node))


def places(name: str, text: str) -> list[str]:
    """The text of the file at the place that each placeholder reports."""
    parsed = parse(Source(name, text))
    assert parsed.diagnostics == ()
    found = []
    for definition in parsed.module.definitions:
        for value in texts(definition.node):
            scan = scan_sql if value.value.startswith("SELECT") else scan_raw
            found += [value.span_of(one.span.start, one.span.end).of(text) for one in scan(value.value)]
    return found


NESTED = {
    "'SELECT $x'": 1,
    "'SELECT ''it''''s'' || $x, ''$x'''": 2,
    r"E'SELECT \'\n\t\u00e9\x41\' || $x'": 1,
    r"U&'SELECT \00e9\+01F600, $x'": 1,
    "'SELECT 1,' -- and\n  ' $x' ~> $q$SELECT '$x' $q$": 2,
    "('SELECT ' || $$ $x $$)::text": 1,
    "format('SELECT %s, %%, $x, %s', '$x', 'it''s $x')": 3,
    "concat('SELECT ', NULL, '''$x''')": 1,
    """df.call_child('{"node_type":"SQL","query":"SELECT ''a'' || $x"}')""": 1,
    r"""df.call_child(E'{"node_type":"SQL","query":"SELECT \\"c\\", \\n $x"}')""": 1,
    r"""df.call_child($j${"node_type":"SQL","query":"SELECT \"c\", \u00e9\ud83d\ude00 $x"}$j$)""": 1,
    r"""df.seq($j${"node_type":"HTTP","query":"{\"url\":\"https://x/\\\"$x\\\"\",\"body\":\"{\\\"k\\\": \\\"$x\\\"}\"}"}$j$, 'x')""": 2,
    """df.http('https://x/$x', body => '{"it''s": "$x"}', headers => '{"b": "$x", "a": "''$x"}')""": 4,
    """df.http('https://x', headers => jsonb_build_object('it''s', '$x', 'a', E'\\\\ $x'))""": 2,
    """df.http_multipart('https://x', parts => '[{"name": "it''s", "data_b64": "$x"}]')""": 1,
    "df.await_instance('$x')": 1,
}


@pytest.mark.parametrize(("text", "count"), NESTED.items())
def test_a_placeholder_is_found_where_it_stands(text: str, count: int) -> None:
    assert places("flow.df", text) == ["$x"] * count


@pytest.mark.parametrize(("text", "count"), NESTED.items())
def test_a_placeholder_in_another_kind_of_file_is_found_where_it_stands(text: str, count: int) -> None:
    call = f"df.start({text})"
    quoted = call.replace("'", "''")
    assert places("flow.sql", f"INSERT INTO t SELECT {call};") == ["$x"] * count
    assert places("flow.sql", f"DO $body$ BEGIN PERFORM {call}; END $body$") == ["$x"] * count
    assert places("flow.sql", f"DO 'BEGIN PERFORM {quoted}; END'") == ["$x"] * count
    assert places("flow.md", "> ```sql\n> SELECT " + call.replace("\n", "\n> ") + ";\n> ```") == ["$x"] * count


SPELLINGS = [
    lambda value: "'" + value.replace("'", "''") + "'",
    lambda value: "E'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'",
    lambda value: f"$j${value}$j$",
    lambda value: "U&'" + value.replace("\\", "\\\\").replace("'", "''") + "'",
    lambda value: "'" + value[:9].replace("'", "''") + "'\n  '" + value[9:].replace("'", "''") + "'",
]


@given(
    st.text(alphabet="'\"\\\n é🐘%a", max_size=12),
    st.lists(st.sampled_from(["LOOP", "THEN"]), max_size=4),
    st.sampled_from(SPELLINGS),
    st.booleans(),
)
def test_places_survive_json_in_a_string_in_a_call(
    before: str, kinds: list[str], spelling: object, in_ascii: bool
) -> None:
    """A graph as JSON, as deep as it likes, in any spelling of a literal, as a child."""
    future: dict[str, object] = {"node_type": "SQL", "query": f"SELECT {before!r} $x {before}".replace("$x", "/* $x")}
    for kind in kinds:
        right = {"right_node": {"node_type": "SLEEP", "query": "5"}} if kind == "THEN" else {}
        future = {"node_type": kind, "left_node": future, **right}
    assert callable(spelling)
    text = f"'y' ~> df.call_child({spelling(json.dumps(future, ensure_ascii=in_ascii))}, 'l')"
    assert places("flow.df", text) == ["$x"]


def test_a_child_inside_of_a_child_keeps_its_places() -> None:
    inner = "df.call_child('SELECT ''in'', $x', 'inner')"
    assert places("flow.df", f"df.call_child(df.call_child({inner} ~> 'SELECT $x'), 'outer') |=> 'c'") == ["$x", "$x"]
    (definition,) = parse(Source("flow.df", f"df.call_child({inner})")).module.definitions
    assert isinstance(definition.node, nodes.CallChild)
