"""What is computed at compile time is what PostgreSQL would have computed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.shape import codes, step

from pgweave.grammar.meaning import fold
from pgweave.grammar.meaning.elaborate import Elaborator
from pgweave.grammar.meaning.finding_report import Report
from pgweave.grammar.meaning.static_values import NullValue, OpaqueValue, Value
from pgweave.grammar.nodes import Opaque, Sql
from pgweave.grammar.parser import read_expression
from pgweave.grammar.reading.lexer import lex
from pgweave.grammar.span import Source

EXPRESSIONS = [
    expression.replace("\n  ", "\n")  # a literal may go on in the next line
    for expression in re.split(
        r"\n(?! )",
        r"""
'a' || 'b'
'a' || 5
5 || 'a' || 1.50
'a' || NULL
'it''s' || E'\ttab\n\x41\101\u00e9\U0001F600' || U&'d\0061t\+000061' || U&'!0041' UESCAPE '!' || $x$ $$ $x$
'one'
  'two' -- joined
  'three'
1 + 2 * 3 - 4
7 / 2
-7 / 2
-7 % 3
2147483647 + 0
1.50 + 2
1.10 * 1.10
-(1.5)
0x1F + 0o17 + 0b11 + 1_000
1e3 + 1
.5 + 1.
'12'::int + 1
' 42 '::bigint
1.5::int
2.5::int
-2.5::int
'1_000'::int
'yes'::boolean
'SELECT 1'::varchar(6)
'SELECT 1'::varchar(2000)
CAST('SELECT é' AS character varying(8))
'SELECT 1'::character varying ( 3 )
12345::varchar(2)
'SELECT 1  '::char(20)
('a  '::char(2)) || 'b'
'ab'::char
'a  '::bpchar
repeat('é', 40)::name
'SELECT 1'::pg_catalog.varchar(5)
'{"b":1,"aa":[1, 2.50,1e2,-0],"a":{"x":null}, "b": 2}'::jsonb
CAST('[1,true]' AS jsonb)
jsonb '"\u00e9\n\/"'
jsonb_build_object('timeout_seconds', 300, 'on', true, 'n', NULL, 'x', 1.50, 'j', '[1]'::jsonb, 5, 'five')
jsonb_build_array('a', 1, NULL, false, ARRAY['x', 'y'], '{}'::jsonb)
jsonb_build_object()
format('SELECT %s, %I, %L, %% %L', 'a', 'A b', 'it''s', NULL)
format('%2$s-%1$s|%5s|%-5s|', 'a', 'b', 'c')
format('%I %I %I', 'select', 'plain_1', 'Ünïcode')
format('%s %s', true, 1.0)
concat('a', 1, NULL, true, 2.50)
quote_literal('it''s')
quote_literal(E'back\\slash')
quote_literal(42)
quote_ident('user')
quote_ident('order_items')
quote_ident('a"b')
chr(65) || chr(8364)
repeat('ab', 3)
repeat('ab', -1)
replace('a-b-c', '-', '+')
replace('abc', '', 'x')
('a' || 'b')::text || 1::text || true::text
'{"a": 1}'::jsonb::text
pg_catalog.concat('x', 'y')
'x'::varchar
5::numeric
'1.50'::numeric
""".strip(),
    )
]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import TemplateDatabases

NOT_FOLDED = [
    "now()", "(SELECT 1)", ":x", ":'x'", ':"x"', "x", "x.y", "lower('A')", "'a'::varchar(n)", "1 / 2.0", "2 ^ 3",
    "'a' || x", "CASE WHEN true THEN 'a' END", "extract(day FROM now())", "count(*)", "ARRAY(SELECT 1)", "'a' LIKE 'b'",
    "x[1]", "(x).y", "ROW(1, 2)", "(1, 2)", "$1", "x IS NOT NULL", "x BETWEEN 1 AND 2", "'a' COLLATE \"C\"",
    "now() AT TIME ZONE 'UTC'", "interval '1 day'", "sum(x) FILTER (WHERE x > 1) OVER (PARTITION BY y)", "a IN (1, 2)",
    "string_agg(x, ',' ORDER BY y)", "f(a => 1, b := 2)", "x::timestamp(3) with time zone", "x::text[]", "EXISTS (SELECT 1)",
    "NOT x", "1 = ANY (ARRAY[1])", "trim(both 'x' from y)", "((SELECT 1) UNION SELECT 2)", "coalesce(x, 'y')",
]  # fmt: skip

REFUSED = [
    "1 / 0", "2147483647 + 1", "'x'::int", "'{'::jsonb", "'{\"a\":}'::jsonb", "'maybe'::boolean",
    "format('%s')", "format('%d', 1)", "format('%I', NULL)", "chr(0)", "jsonb_build_object('a')",
    "jsonb_build_object(NULL, 1)", "E'\\xff'", "U&'\\d800'",
]  # fmt: skip


def value_of(expression: str) -> Value:
    report = Report(Source("test.df", expression), [])
    value = Elaborator(report).evaluate(read_expression(lex(expression).tokens))
    assert report.diagnostics == []
    return value


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_known_expression_has_the_value_postgres_gives_it(expression: str, connection: psycopg.Connection) -> None:
    row = connection.execute(f"SELECT ({expression})::text".encode()).fetchone()
    assert row is not None
    value = value_of(expression)
    text = fold.as_text(value)
    assert (None if isinstance(value, NullValue) else text and text.value) == row[0]


@pytest.fixture(scope="module")
def connection(databases: TemplateDatabases) -> Iterator[psycopg.Connection]:
    dsn = databases.create()
    with psycopg.connect(dsn, autocommit=True) as connected:
        yield connected
    databases.drop(dsn)


@pytest.mark.parametrize("expression", NOT_FOLDED)
def test_what_only_the_database_knows_is_kept_as_its_exact_text(expression: str) -> None:
    assert isinstance(value_of(expression), OpaqueValue)
    written = f"df.sql(  ({expression})::text )"
    node = step(written)
    assert isinstance(node, Opaque)
    assert node.text == written


@pytest.mark.parametrize("expression", REFUSED)
def test_what_postgres_refuses_to_compute_is_refused_here(expression: str, connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error):
        connection.execute(f"SELECT ({expression})::text".encode())
    assert set(codes(f"df.sql({expression})")) <= {"PW026", "PW006"}
    assert codes(f"df.sql({expression})")


def test_a_joined_text_still_knows_where_each_part_stands() -> None:
    text = "'SELECT ' || $$ $x $$ || E'\\n'\n'it''s'"
    node = step(text)
    assert isinstance(node, Sql)
    assert node.query.value == "SELECT  $x \nit's"
    at = node.query.value.index("$x")
    assert node.query.span_of(at, at + 2).of(text) == "$x"
    at = node.query.value.index("it")
    assert node.query.span_of(at, at + 2).of(text) == "it"
    assert node.query.locate(node.query.value.index("'s") + 1) == text.index("s'", 10)


def test_folding_is_bounded() -> None:
    assert codes("df.sql(repeat('x', 2000000))") == ["PW026"]
    assert set(codes("df.sql(repeat('x', 1000000));" * 30)) == {"PW026"}
