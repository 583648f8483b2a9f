"""A text groups here as it groups in PostgreSQL."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import UnexpectedToken
from support.shape import codes, shape, step

from pgweave.grammar.parser import read_expression
from pgweave.grammar.reading import syntax
from pgweave.grammar.reading.lexer import lex

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
    "c ?> t |=> NULL !> e": ["PW104"],
    "c ?> t ~> u !> NULL": ["PW104", "PW021"],
    "a !> e": ["PW020"],
    "a ~> b || c": ["PW106"],
    "a ~> b -> c": ["PW106"],
}


def quoted(text: str) -> str:
    return re.sub("\\b[a-z]\\b", lambda found: f"'{found.group()}'", text)


@pytest.mark.parametrize(("text", "tree"), TREES.items())
def test_every_row_of_the_measured_table_gives_its_tree(text: str, tree: str) -> None:
    assert shape(step(quoted(text))) == tree


@pytest.mark.parametrize(("text", "found"), REFUSED.items())
def test_what_fails_when_it_is_built_is_refused_here(text: str, found: list[str]) -> None:
    assert codes(quoted(text)) == found


ATOMS = [
    "'a'", "$$b$$", "E'c'", "'d'::text", "x", "t.x", "f('e')", "(SELECT 1)", "x[1]", "(x).y", "NULL", "count(*)",
    "CASE WHEN x THEN 1 END", "EXISTS (SELECT 1)", "ARRAY[x, 'a']", "CAST('a' AS text)", "x::int", "text 'a'", "current_date",
    "f(a => 'b' ~> 'c')", "(x, 'a' & 'b')", "row(x)",
]  # fmt: skip
OPERATORS = [
    "~>", "|=>", "&", "|", "?>", "!>", "@>", "||", "->", "->>", "+", "-", "*", "/", "%", "^", "=", "<>", "<=", "AND", "OR",
    "LIKE", "IS DISTINCT FROM", "OPERATOR(df.~>)", "&&&", "= ANY", "IN",
]  # fmt: skip


def combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.tuples(parts, st.sampled_from(OPERATORS), parts).map(lambda row: infix(*row))
    prefix = st.tuples(st.sampled_from(["@>", "-", "NOT", "~", "+"]), parts).map(" ".join)
    suffix = st.tuples(parts, st.sampled_from(["IS NULL", "IS NOT TRUE", "::text", "NOTNULL"])).map(" ".join)
    between = st.tuples(parts, parts, parts).map(lambda row: f"{row[0]} BETWEEN {row[1]} AND {row[2]}")
    return st.one_of(binary, binary, binary, prefix, parts.map("({})".format), suffix, between)


def infix(left: str, operator: str, right: str) -> str:
    if operator == "= ANY":
        return f"{left} = ANY (x)"  # we do not look inside of these brackets
    if operator == "IN":
        return f"{left} IN (x, 'z')"
    return f"{left} {operator} {right}"


expressions = st.recursive(st.sampled_from(ATOMS), combined, max_leaves=12)


def of_postgres(expression: str) -> str | None:
    """PostgreSQL's own grouping, fully parenthesised; None where it refuses the text."""
    try:
        tree = postgast.parse(f"SELECT {expression}")
    except postgast.PgQueryError:
        return None
    return written(tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val)


KINDS = {2: "ANY", 4: "DISTINCT", 7: "IN", 8: "LIKE", 11: "BETWEEN"}  # of A_Expr_Kind, those that are written as words


def written(node: Any) -> str:  # noqa: ANN401 -- a protobuf message, of which there are no types
    """The operators of an expression; whatever else it holds is `o`."""
    if node.WhichOneof("node") is None:
        return ""
    value = getattr(node, node.WhichOneof("node"))
    match node.WhichOneof("node"):
        case "a_expr" if KINDS.get(value.kind) == "ANY":
            parts = [value.lexpr, None]
        case "sub_link" if value.testexpr.WhichOneof("node") is not None:
            return f"ANY({written(value.testexpr)}, o)"
        case "a_expr":
            parts = [value.lexpr, *{7: [], 11: value.rexpr.list.items}.get(value.kind, [value.rexpr])]
        case "bool_expr":
            parts = value.args
        case "null_test" | "boolean_test" | "type_cast":
            parts = [value.arg]
        case _:
            return "o"
    match node.WhichOneof("node"):
        case "a_expr":
            name = KINDS.get(value.kind, value.name[-1].string.sval)
        case "bool_expr":
            name = ("AND", "OR", "NOT")[value.boolop - 1]
        case "type_cast":
            name = "::"
        case _:
            name = "IS"
    return f"{name}({', '.join(filter(None, ('o' if part is None else written(part) for part in parts)))})"


SUFFIXES = {"IS": "IS", "NOTNULL": "IS", "IN": "IN"}


def of_pgweave(expression: str) -> str | None:
    """Our grouping in the same words; None where we refuse the text."""
    lexed = lex(expression)
    if lexed.diagnostics:
        return None
    try:
        return ours(read_expression(lexed.tokens), expression)
    except UnexpectedToken:
        return None


def ours(expr: syntax.Expr, text: str) -> str | None:
    match expr:
        case syntax.Parens():
            return ours(expr.inner, text)
        case syntax.Chained():
            return None
        case syntax.Binary(operator=operator):
            name, parts = operator.value.upper(), [expr.left, expr.right]
            if isinstance(expr.right, syntax.Quantified):
                name = "ANY"
            elif name == "BETWEEN AND":
                assert isinstance(expr.left, syntax.Binary)
                name, parts = "BETWEEN", [expr.left.left, expr.left.right, expr.right]
            name = {"IS": "DISTINCT", "!=": "<>"}.get(name, name)
        case syntax.Prefix(operator=operator):
            name, parts = operator.value.upper(), [expr.operand]
        case syntax.Cast():
            name, parts = "::", [expr.inner]
        case syntax.Unknown(parts=(inner,)) if (
            suffix := SUFFIXES.get(text[inner.end : expr.end].split(maxsplit=1)[0])
        ) is not None:
            name, parts = suffix, [inner]
        case _:
            return "o"
    sides = [ours(part, text) for part in parts]
    if name in ("AND", "OR") and sides[0] is not None and sides[0].startswith(f"{name}("):
        sides[0] = sides[0][len(name) + 1 : -1]  # flattened on the left, as PostgreSQL does
    return None if None in sides else f"{name}({', '.join(filter(None, sides))})"


@settings(max_examples=3000, deadline=None)
@given(expressions)
def test_generated_expressions_group_as_postgres_groups_them(expression: str) -> None:
    """One level for all operators of df, left to right; PostgreSQL's own levels around them. What it refuses, we refuse."""
    assert of_pgweave(expression) == of_postgres(expression)
