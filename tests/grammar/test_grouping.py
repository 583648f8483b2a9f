"""A text groups here as it groups in PostgreSQL."""

from __future__ import annotations

import re
from importlib import import_module
from random import Random
from typing import Any

import pytest
from support.shape import codes, shape, step

postgast: Any = import_module("postgast")  # not imported by name: mypy cannot read the stubs it ships

# What is written, and the tree that PostgreSQL 15 gave; letters stand for SQL strings.
TREES = {
    "a ~> b ~> c": "seq(seq(a, b), c)",
    "a |=> x ~> b": "seq(as(a, x), b)",
    "a ~> b |=> x ~> c": "seq(as(seq(a, b), x), c)",
    "a & b |=> x": "as(join(a, b), x)",
    "a |=> x & b |=> y": "as(join(as(a, x), b), y)",
    "a |=> x | b |=> y": "as(race(as(a, x), b), y)",
    "a ~> b & c": "join(seq(a, b), c)",
    "a & b ~> c": "seq(join(a, b), c)",
    "a | b & c": "join(race(a, b), c)",
    "a & b | c": "race(join(a, b), c)",
    "c ?> t !> e": "if(c, t, e)",
    "a ~> c ?> t !> e": "if(seq(a, c), t, e)",
    "c ?> t !> e ~> z": "seq(if(c, t, e), z)",
    "c ?> t !> d ?> u !> f": "if(if(c, t, d), u, f)",
    "@> a ~> b": "seq(loop(a), b)",
    "@> a |=> x": "as(loop(a), x)",
    "@> a | b": "race(loop(a), b)",
    "a ~> @> b ~> c": "seq(seq(a, loop(b)), c)",
    "@> @> a": "loop(loop(a))",
    "a || b ~> c": "seq(ab, c)",
    "a ~> (b || c)": "seq(a, bc)",
    "a ~> (b & c)": "seq(a, join(b, c))",
    "(a ~> b) & (c |=> x)": "join(seq(a, b), as(c, x))",
    "c ?> (t ~> u) !> e": "if(c, seq(t, u), e)",
    "@> (a ~> b)": "loop(seq(a, b))",
    "a |=> x |=> y": "as(a, y)",
}
REFUSED = {
    "c ?> t ~> u !> e": ["PW104"],
    "c ?> t ~> z": ["PW104"],
    "c ?> t |=> x !> e": ["PW104"],
    "c ?> d ?> t !> e !> f": ["PW104"],
    "a !> e": ["PW020"],
    "a ~> b || c": ["PW106"],
    "a ~> b -> c": ["PW106"],
}


def quoted(text: str) -> str:
    return re.sub("[a-z]", lambda found: f"'{found.group()}'", text)


@pytest.mark.parametrize(("text", "tree"), TREES.items())
def test_every_row_of_the_measured_table_gives_its_tree(text: str, tree: str) -> None:
    assert shape(step(quoted(text))) == tree


@pytest.mark.parametrize(("text", "found"), REFUSED.items())
def test_what_fails_when_it_is_built_is_refused_here(text: str, found: list[str]) -> None:
    assert codes(quoted(text)) == found


def generate(random: Random, depth: int) -> str:
    if depth == 0 or random.random() < 0.15:
        return random.choice(["'a'", "$$b$$", "E'c'", "'d'::text", "x", "f('e')", "(SELECT 1)"])
    match random.randrange(8):
        case 0:
            return f"@> {generate(random, depth - 1)}"
        case 1:
            return f"({generate(random, depth - 1)})"
        case 2:
            return f"- {generate(random, depth - 1)}"
        case 3:
            return f"NOT {generate(random, depth - 1)}"
        case _:
            operator = random.choice(
                [
                    "~>",
                    "|=>",
                    "&",
                    "|",
                    "?>",
                    "!>",
                    "@>",
                    "||",
                    "->",
                    "+",
                    "-",
                    "*",
                    "/",
                    "%",
                    "^",
                    "=",
                    "<>",
                    "AND",
                    "OR",
                ]
            )
            return f"{generate(random, depth - 1)} {operator} {generate(random, depth - 1)}"


def of_postgres(expression: str) -> str | None:
    """PostgreSQL's own grouping, fully parenthesised; None where it refuses the text."""
    try:
        tree = postgast.parse(f"SELECT {expression}")
    except postgast.PgQueryError:
        return None
    return written(tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val)


def written(node: Any) -> str:  # noqa: ANN401 -- a protobuf message, of which there are no types
    kind = node.WhichOneof("node")
    value = getattr(node, kind)
    if kind == "a_expr":
        operator = value.name[-1].string.sval
        sides = [written(side) for side in (value.lexpr, value.rexpr) if side.WhichOneof("node")]
        return f"{operator}({', '.join(sides)})"
    if kind == "bool_expr":
        # AND and OR are flattened by PostgreSQL; only pairs are compared, see of_ours
        return f"{('AND', 'OR', 'NOT')[value.boolop - 1]}({', '.join(written(side) for side in value.args)})"
    return "o"


def of_ours(expression: str) -> str:
    from pgweave.grammar import syntax
    from pgweave.grammar.lexer import lex
    from pgweave.grammar.parser import read_expression

    def walk(expr: syntax.Expr) -> str:
        match expr:
            case syntax.Parens():
                return walk(expr.inner)
            case syntax.Binary():
                symbol = expr.operator.value.upper()
                sides = [expr.left, expr.right]
                if symbol in ("AND", "OR"):  # flattened on the left, as PostgreSQL does
                    left = walk(expr.left)
                    bare = isinstance(expr.left, syntax.Binary) and expr.left.operator.value.upper() == symbol
                    inner = left[len(symbol) + 1 : -1] if bare else left
                    return f"{symbol}({inner}, {walk(expr.right)})"
                return f"{symbol}({', '.join(walk(side) for side in sides)})"
            case syntax.Prefix():
                return f"{expr.operator.value.upper()}({walk(expr.operand)})"
            case _:
                return "o"

    return walk(read_expression(lex(expression).tokens))


def test_generated_expressions_group_as_postgres_groups_them() -> None:
    """One level for all operators of df, left to right; PostgreSQL's own levels around them."""
    random, compared = Random(20240611), 0
    for _ in range(3000):
        expression = generate(random, random.randrange(1, 5))
        theirs = of_postgres(expression)
        if theirs is not None and "AND(AND" not in theirs and "OR(OR" not in theirs:
            assert of_ours(expression) == theirs, expression
            compared += 1
    assert compared > 1500
