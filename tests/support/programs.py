"""Random programs: ASTs of every kind, with names that are read and bound all over.

`definitions()` is the one generator that grammar, compiler and simulation share. Texts are picked so that they cover
what is hard to carry: quotes, backslashes, braces, line ends, letters beyond ASCII.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from support import ast

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DrawFn, SearchStrategy

    from pgweave.grammar.nodes import Definition, Node

NAMES = ("alpha", "bravo", "charlie")
_ODD = (
    "it''s",
    "back\\slash",
    '"quoted"',
    "{braces}",
    "two\nlines",
    "tab\t",
    "žluťoučký 🐘",
    "<b>&amp;</b>",
    "\\N",
    "$$",
)

names = st.sampled_from(NAMES)
bindings = st.none() | names
words = st.sampled_from(("go", "approved", *_ODD))
timeouts = st.none() | st.integers(1, 2_147_483_647)


@st.composite
def queries(draw: DrawFn) -> str:
    """SQL text that may read names."""
    pieces = draw(st.lists(st.one_of(names.map("${}".format), names.map("${}.c?".format), words), max_size=3))
    return "SELECT " + " ".join(["1", *pieces])


def _jsonb(value: object) -> str:
    """As PostgreSQL renders jsonb: with these spaces, shorter names first."""
    return json.dumps(_in_order(value), ensure_ascii=False)


def _in_order(value: object) -> object:
    match value:
        case dict():
            return {name: _in_order(value[name]) for name in sorted(value, key=lambda name: (len(name), name))}
        case list():
            return [_in_order(item) for item in value]
        case _:
            return value


headers = st.none() | st.dictionaries(st.sampled_from(("accept", "x-key")), words, max_size=2).map(_jsonb)
parts = st.lists(st.fixed_dictionaries({"name": words, "data_b64": st.just("QQ==")}), min_size=1, max_size=2).map(
    _jsonb
)


def leaves() -> SearchStrategy[Node]:
    """Steps without sub-steps."""
    return st.one_of(
        st.builds(ast.sql, queries(), bindings),
        st.builds(ast.sleep, st.integers(0, 10**9), bindings),
        st.builds(ast.schedule, st.sampled_from(("*/5 * * * *", "0 6 * * MON"))),
        st.builds(ast.signal, words, timeouts, bindings),
        st.builds(ast.break_, st.none() | words),
        st.builds(
            ast.http,
            st.just("https://example.com/$alpha"),
            st.sampled_from(("GET", "POST")),
            st.none() | words,
            headers,
        ),
        st.builds(ast.multipart, st.just("https://example.com/{upload}"), parts),
        st.builds(ast.await_instance, names.map("${}.instance_id".format), timeouts, bindings),
    )


def _call(child: Node, label: str | None, name: str | None, timeout: int | None) -> Node:
    return ast.call(child, label, name, **({} if timeout is None else {"timeout_seconds": timeout}))


def _blocks(steps: SearchStrategy[Node]) -> SearchStrategy[Node]:
    joins: Callable[..., Node] = lambda branches, name: ast.join(*branches, name=name)  # noqa: E731
    return st.one_of(
        st.builds(lambda first, second, name: ast.then(first, second, name=name), steps, steps, bindings),
        st.builds(ast.if_, steps, steps, steps, bindings),
        st.builds(ast.if_rows, names, steps, steps, bindings),
        st.builds(joins, st.lists(steps, min_size=2, max_size=3), bindings),
        st.builds(ast.race, steps, steps, bindings),
        st.builds(ast.loop, steps, st.none() | steps, bindings),
        st.builds(_call, steps, st.none() | words, bindings, timeouts),
    )


def programs(max_leaves: int = 12) -> SearchStrategy[Node]:
    """Steps with whatever is below them."""
    return st.recursive(leaves(), _blocks, max_leaves=max_leaves)


def definitions(max_leaves: int = 12) -> SearchStrategy[Definition]:
    """Workflows made of such steps."""
    return programs(max_leaves).map(ast.definition)


# Programs that can be run: what a leaf comes to is for the test's world to say, so only their shape matters. Every
# turn of a loop begins with a leaf, so that time passes in it.


def runnable_leaves() -> SearchStrategy[Node]:
    """Steps that a made-up world can carry out; few of them leave a loop."""
    step = st.builds(ast.sql, st.just("SELECT"), bindings)
    wait = st.one_of(
        st.builds(ast.sleep, st.integers(0, 9), bindings),
        st.builds(ast.signal, st.sampled_from(("go", "stop")), timeouts, bindings),
        st.builds(ast.await_instance, st.just("ffffffff"), timeouts, bindings),
    )
    leave = st.builds(ast.break_, st.sampled_from((None, "done", '{"rows": [], "row_count": 0}', "$alpha")), bindings)
    return st.one_of(step, step, step, wait, leave)


def _runnable_blocks(steps: SearchStrategy[Node]) -> SearchStrategy[Node]:
    joins: Callable[..., Node] = lambda branches, name: ast.join(*branches, name=name)  # noqa: E731

    def loops(body: Node, condition: Node | None, name: str | None) -> Node:
        return ast.loop(ast.then(ast.sql("SELECT"), body), condition, name)

    return st.one_of(
        st.builds(lambda first, second, name: ast.then(first, second, name=name), steps, steps, bindings),
        st.builds(ast.if_, steps, steps, steps, bindings),
        st.builds(ast.if_rows, names, steps, steps, bindings),
        st.builds(joins, st.lists(steps, min_size=2, max_size=4), bindings),
        st.builds(ast.race, steps, steps, bindings),
        st.builds(loops, steps, st.none() | steps, bindings),
    )


def runnable(max_leaves: int = 14) -> SearchStrategy[Node]:
    """Programs for a scheduler and the reference interpreter to agree on."""
    return st.recursive(runnable_leaves(), _runnable_blocks, max_leaves=max_leaves)


# Every kind of block, around two steps: for the matrix of all pairs.


def step(name: str | None = None) -> Node:
    return ast.sql("SELECT", name)


BLOCKS: dict[str, Callable[[Node, Node], Node]] = {
    "sequence": lambda a, b: ast.then(a, b, name="alpha"),
    "if": lambda a, b: ast.if_(step("bravo"), a, b, name="alpha"),
    "if by its condition": lambda a, b: ast.if_(a, b, step()),
    "if_rows": lambda a, b: ast.then(step("bravo"), ast.if_rows("bravo", a, b)),
    "join": lambda a, b: ast.join(a, step("charlie"), b, name="alpha"),
    "race": lambda a, b: ast.race(a, b, name="alpha"),
    "while loop": lambda a, b: ast.loop(ast.then(step(), a), b, name="alpha"),
    "endless loop": lambda a, b: ast.loop(ast.then(a, ast.if_(step(), b, ast.break_("out"))), name="alpha"),
}


def nested(outer: str, inner: str) -> Node:
    """One kind of block with another twice inside of it, in a loop, and a step that follows."""
    first, second = (BLOCKS[inner](step("alpha"), step("bravo")) for _ in range(2))
    return ast.then(ast.loop(ast.then(BLOCKS[outer](first, second), step()), step("charlie")), step())
