"""Comparing programs: the words, and the graph that both have grown together into."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from support import ast
from support.programs import definitions

from pgweave.compiler import compare, graph
from pgweave.compiler.pictures import folding, mermaid, picture
from pgweave.grammar.nodes import Definition, Module, Node
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.compiler.compare import Compared


def module(text: str, name: str = "test.df") -> Module:
    parsed = parse(Source(name, text))
    assert parsed.ok, parsed.diagnostics
    return parsed.module


def compared(old: str, new: str) -> Compared:
    (one,) = compare.compare(module(old), module(new))
    return one


def said(old: str, new: str) -> list[str]:
    return [f"{change.what} {change.said}" for change in compared(old, new).changes]


CASES = {
    "nothing": ("'a' ~> 'b'", "  'a'\n ~> $$b$$ -- the same", []),
    "a step added": ("'a' ~> 'c'", "'a' ~> 'b' ~> 'c'", ["added SQL: b, after SQL: a"]),
    "a first step added": ("'b' ~> 'c'", "'a' ~> 'b' ~> 'c'", ["added SQL: a"]),
    "a step removed": ("'a' |=> 'x' ~> 'b' ~> 'c'", "('a' |=> 'x') ~> 'c'", ["removed SQL: b, after `x`"]),
    "the SQL changed": (
        "'SELECT id FROM orders WHERE paid'",
        "'SELECT id FROM orders WHERE sent'",
        ["changed SQL: SELECT id FROM orders WHERE sent: its SQL, `paid` -> `sent`"],
    ),
    "a number changed": ("df.sleep(5)", "df.sleep(60)", ["changed sleep: 1 min: seconds 5 -> 60"]),
    "a timeout added": (
        "df.wait_for_signal('go')",
        "df.wait_for_signal('go', 60)",
        ["changed wait for signal: go: timeout seconds none -> 60"],
    ),
    "a name added": ("'a' ~> 'b'", "('a' |=> 'x') ~> 'b'", ["changed SQL: a, as x: name none -> x"]),
    "a sequence named": (
        "('a' ~> 'b') ~> 'c'",
        "(('a' ~> 'b') |=> 'x') ~> 'c'",
        ["changed name of a sequence: none -> `x`"],
    ),
    "a step put into a race": (
        "'a' ~> df.wait_for_signal('go')",
        "'a' ~> (df.wait_for_signal('go') | df.sleep(9))",
        [
            "moved wait for signal: go into race: the first to finish wins",
            "added sleep: 9 s in race: the first to finish wins",
        ],
    ),
    "a step taken out of a loop": (
        "'a' ~> df.loop(df.http('https://x.y/z', 'GET'), 'SELECT more()')",
        "'a' ~> df.http('https://x.y/z', 'GET')",
        [
            "moved GET: https://x.y/z out of loop: while the test holds",
            "removed SQL: SELECT more() in loop: while the test holds",
        ],
    ),
    "a branch added": ("'a' & 'b'", "df.join3('a', 'b', 'c')", ["added SQL: c"]),
    "an arm changed": (
        "'c' ?> 'yes' !> df.sleep(1)",
        "'c' ?> 'yes' !> df.sleep(2)",
        ["changed sleep: 2 s: seconds 1 -> 2"],
    ),
    "a loop that ends": ("@> 'a'", "df.loop('a', 'SELECT more()')", ["added SQL: SELECT more()"]),
    "a loop that no longer ends": ("df.loop('a', 'SELECT more()')", "@> 'a'", ["removed SQL: SELECT more()"]),
    "something else": ("'a'", "df.sleep(1)", ["removed SQL: a", "added sleep: 1 s"]),
    "an option of a child": (
        """df.call_child('a', 'c', '{"timeout_seconds": 5}')""",
        """df.call_child('a', 'c', '{"timeout_seconds": 9, "on_failure": "return"}')""",
        ["changed start child: c: option timeout_seconds 5 -> 9, option on_failure none -> return"],
    ),
    "a label": ("df.start('a', 'old')", "df.start('a', 'new')", ["changed label: `old` -> `new`"]),
    "a database": (
        "df.start('a', 'x')",
        "df.start('a', 'x', 'other')",
        ["changed database: none -> `other`"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_differs_is_said_in_words(case: str) -> None:
    old, new, words = CASES[case]
    assert said(old, new) == words


def test_every_difference_stands_somewhere() -> None:
    one = compared("'a' ~> 'b'", "'a' ~> df.sleep(7)")
    assert [(change.old and change.old.start, change.new and change.new.start) for change in one.changes] == [
        (7, None),
        (None, 7),
    ]


def test_workflows_are_found_by_their_labels() -> None:
    old = module("df.start('a', 'one'); df.start('b', 'two'); df.start('b', 'two');")
    new = module("df.start('a', 'one'); df.start('c', 'three'); df.start('b', 'two');")
    found = [(one.name, one.what) for one in compare.compare(old, new)]
    assert found == [("one", None), ("three", "added"), ("two", None), ("two", "removed")]


def test_variables_are_compared_too() -> None:
    old = module("df.setvar('a', '1'); df.setvar('b', '1'); df.setvar('c', '1'); 'x'")
    new = module("df.setvar('a', '1'); df.setvar('b', '2'); df.setvar('d', '1'); 'x'")
    changes = [(change.what, change.said) for change in compare.variables(old, new)]
    assert changes == [("changed", "variable b"), ("added", "variable d"), ("removed", "variable c")]


def test_the_picture_holds_both_and_says_what_became_of_each() -> None:
    both = compare.merged(
        compared("'a' ~> df.sleep(5) ~> 'gone' ~> 'z'", "'a' ~> df.sleep(6) ~> df.http('https://x.y/', 'GET') ~> 'z'")
    )
    labels = {both.graph.nodes[node]["label"]: what for node, what in both.differences.items()}
    assert labels == {"sleep: 6 s": "changed", "SQL: gone": "removed", "GET: https://x.y/": "added"}
    assert "diff_removed" in picture.dot(both.graph, differences=both.differences)
    text = mermaid.mermaid(both.graph, differences=both.differences)
    assert text.count("classDef removed") == text.count("classDef added") == 1


def test_a_frame_is_coloured_with_the_step_it_stands_for() -> None:
    both = compare.merged(compared("df.sleep(1)", "df.sleep(1) & 'b'"))
    assert {both.differences[node] for node in ("n1", "n1_merge", "n3")} == {"added"}
    assert both.differences["n2"] == "moved"


@pytest.mark.parametrize("gone", [True, False])
def test_a_whole_workflow_is_of_one_colour(gone: bool) -> None:
    both, nothing = module("df.start('a' & 'b', 'x'); df.start('c', 'y');"), module("df.start('c', 'y');")
    found = compare.compare(both, nothing) if gone else compare.compare(nothing, both)
    (one,) = [one for one in found if one.name == "x"]
    assert set(compare.merged(one).differences.values()) == {"removed" if gone else "added"}


def test_a_folded_picture_keeps_its_colours() -> None:
    both = compare.merged(compared("@> ('a' ~> 'b')", "@> ('a' ~> df.sleep(1))"))
    folded = folding.fold(both.graph, 0)
    assert folding.differences(folded, both.differences)["n1_fold"] == "changed"


def leaves(node: Node) -> int:
    return sum(1 for step in graph.structure(ast.definition(node)) if step)


@settings(deadline=None)
@given(definitions(), definitions())
def test_any_two_programs_can_be_compared(old: Definition, new: Definition) -> None:
    first, second = (Module(source=Source("", ""), definitions=(one,)) for one in (old, new))
    (one,) = compare.compare(first, second)
    assert bool(one.changes) == (old.node != new.node)
    both = compare.merged(one)
    assert bool(both.differences) <= bool(one.changes)
    assert set(both.differences) <= {*both.graph, *both.graph.graph["blocks"]}
    assert picture.dot(both.graph, differences=both.differences)


@given(definitions())
def test_a_program_does_not_differ_from_itself(definition: Definition) -> None:
    one = Module(source=Source("", ""), definitions=(definition,))
    assert [found.what for found in compare.compare(one, one)] == [None]


def test_long_programs_are_compared_in_time() -> None:
    """Equal stretches cost nothing, and a stretch that differs everywhere is paired in order."""
    old = Module(
        source=Source("", ""), definitions=(ast.definition(ast.then(*(ast.sql(f"SELECT {n}") for n in range(3000)))),)
    )
    new = Module(source=Source("", ""), definitions=(ast.definition(ast.then(*(ast.sleep(n) for n in range(3000)))),))
    (one,) = compare.compare(old, new)
    assert len(list(chain(one.changes))) == 6000
