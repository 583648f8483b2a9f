"""The SQL inside a step, as PostgreSQL's parser sees it: masks, columns, rows, and what the parser cannot carry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ast
from support.pace import examples
from support.programs import queries

from pgweave.compiler import passes
from pgweave.compiler.facts import reads, sqltext, sqltree
from pgweave.compiler.facts.sqltree import Rows
from pgweave.grammar.span import Span
from pgweave.grammar.template import Context, scan_sql

if TYPE_CHECKING:
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.facts.sqltree import Columns


def examined(text: str) -> Statement:
    statement = sqltext.examine(text)
    assert statement is not None
    return statement


def names(columns: Columns) -> list[str] | None:
    return None if columns is None else [column.name for column in columns]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("SELECT $order.id, '$x' FROM $b.*, {table}", "SELECT $00000000, '$x' FROM _b__, _table_"),
        ("SELECT $x?, $x.y? -- $x", "SELECT $00, $0000 -- $x"),
        ("SELECT $é, $x", "SELECT $é, $0"),
    ],
)
def test_a_mask_is_as_long_as_what_it_stands_for(text: str, masked: str) -> None:
    code = [found for found in reads.placeholders(text) if found.context is Context.CODE]
    assert sqltext.mask(text, code) == masked


@given(queries())
def test_masking_moves_nothing(text: str) -> None:
    code = [found for found in reads.placeholders(text) if found.context is Context.CODE]
    for quoted in (False, True):
        masked = sqltext.mask(text, code, quoted=quoted)
        assert len(masked) == len(text)
        for at, (before, after) in enumerate(zip(text, masked, strict=True)):
            assert before == after or any(found.span.start <= at < found.span.end for found in code)


PIECES = ("$x", "$x.y", "$x?", "$x.*", "{v}", "{v", "'", "''", "$", "$$", "$q$", '"', "--", "/*", "*/", "\\", "\n", "E'",
          "U&'", "&", "a", "é", "1", " ", ".", "?", "(", ";", "-", "/", "do ", "create function f() as ", "a$x", "$1")  # fmt: skip


@settings(max_examples=examples(2000))
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_comment_in_front_moves_placeholders_and_changes_nothing_else(text: str) -> None:
    """Texts without quotes and comments take a short way: one expression instead of the lexer, with the same result."""
    comment = "/**/\n"
    moved = [
        replace(one, span=Span(one.span.start + len(comment), one.span.end + len(comment))) for one in scan_sql(text)
    ]
    assert list(scan_sql(comment + text)) == moved


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("SELECT id FORM orders WHERE", 'syntax error at or near "orders"', "orders"),
        ("SELECT 'žluť 🐘' FORM orders WHERE", 'syntax error at or near "orders"', "orders"),
        ("SELECT $x.id FROM $t.name", 'syntax error at or near "$t.name"', "$t.name"),
        ("SELECT (1", "syntax error at end of input", ""),
    ],
)
def test_a_refusal_names_the_persons_own_words_at_their_place(text: str, message: str, at: str) -> None:
    problem = examined(text).problem
    assert problem is not None
    assert (problem.message, text[problem.offset : problem.offset + len(at)]) == (message, at)
    assert problem.offset == (text.index(at) if at else len(text))


def test_what_takes_a_literal_only_is_read_with_one() -> None:
    """PostgreSQL's grammar has no parameter behind a type's name; the worker writes a literal there."""
    for text in ("SELECT date $x.day", "SELECT interval $x, timestamp $y?"):
        assert examined(text).problem is None


def test_a_variable_in_code_makes_everything_uncertain() -> None:
    statement = examined("SELECT * FROM t {order}")
    assert not statement.certain
    assert examined("SELECT '{order}'").certain


@pytest.mark.parametrize(
    ("text", "count"),
    [("SELECT 1;", 1), ("SELECT 1; SELECT 2", 2), ("", 0), ("-- nothing", 0), ("DO $$ BEGIN; END $$", 1)],
)
def test_statements_are_counted(text: str, count: int) -> None:
    assert examined(text).count == count


SELECTS = [
    "SELECT a.x, x AS y, $p, 'text', 1, NULL, now(), a.x::text, 'x'::name, CAST(1 AS int8) FROM (SELECT 1 AS x) AS a",
    "SELECT 1 + 1, -x, NOT true, x IS NULL, x = 1, x IN (1), x BETWEEN 1 AND 2 FROM (SELECT 1 AS x) AS a",
    "SELECT CASE WHEN true THEN 1 ELSE x END, CASE WHEN true THEN 1 ELSE 2 END, coalesce(x, 1), nullif(x, 1) FROM (SELECT 1 AS x) AS a",
    "SELECT EXISTS (SELECT 1), ARRAY (SELECT 1), (SELECT x AS z FROM (SELECT 1 AS x) AS a), (SELECT 5), ARRAY[1], ROW(1, 2)",
    "SELECT current_date, current_timestamp, current_time(2), localtime, current_user, session_user, current_schema, greatest(1, 2), least(1, 2)",
    "SELECT (ARRAY[1, 2])[1], (a).x, (a.y)[1], x COLLATE \"C\" FROM (SELECT 'k' AS x, ARRAY[1] AS y) AS a",
    "SELECT count(*), sum(x) FILTER (WHERE x > 0), max(x) OVER (), string_agg(x::text, ',' ORDER BY x) FROM (SELECT 1 AS x) AS a GROUP BY x",
    "SELECT date '2024-01-01', interval '1 day', timestamp with time zone '2024-01-01', true, x::int4[], x::numeric(5, 2) FROM (SELECT NULL AS x) AS a",
    "SELECT \"Mixed Case\", \"Mixed Case\" AS \"Other One\" FROM (SELECT 1 AS \"Mixed Case\") AS a",
    "SELECT * FROM (SELECT 1 AS a, 2 AS b) AS s(x), (VALUES (3, 4)) AS v(p, q)",
    "SELECT s.*, 1 AS more FROM (SELECT 1 AS a, 2 AS b) AS s",
    "WITH q(z) AS (SELECT 1), r AS (SELECT z + 1 AS n, z FROM q) SELECT *, 5 FROM r",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT 1 AS one UNION ALL SELECT 2",
    "SELECT pg_catalog.lower('A'), 'a' || 'b', 1::text || 'x', extract(year FROM now()), trim(' a '), position('a' IN 'b')",
    "SELECT GROUPING(x) FROM (SELECT 1 AS x) AS a GROUP BY x",
]  # fmt: skip


@pytest.mark.parametrize("text", SELECTS)
def test_columns_are_called_what_postgresql_calls_them(text: str, database: str) -> None:
    """A wrong name here would be a false alarm about a column that is there."""
    known = names(sqltree.columns(examined(text), {}))
    with psycopg.connect(database) as connection:
        described = connection.pgconn.prepare(b"", text.replace("$p", "$1").encode())
        assert described.error_message == b""
        result = connection.pgconn.describe_prepared(b"")
        theirs = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
    if known is not None:
        assert known == theirs
    else:
        assert any(word in text for word in ("position", "extract")), (
            "only what has a grammar of its own may be unknown"
        )


def test_what_nobody_can_know_from_the_text_is_not_known() -> None:
    for text in (
        "SELECT * FROM orders",
        "SELECT o.* FROM orders AS o",
        "SELECT *, 1 FROM f(7)",
        "SELECT (f(7)).*",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        "INSERT INTO t VALUES (1) RETURNING *",
        "EXPLAIN SELECT 1",
        "CALL p(1)",
    ):
        assert sqltree.columns(examined(text), {}) is None, text


def test_rows_that_were_handed_on_bring_their_columns() -> None:
    statement = examined("SELECT *, 1 AS more FROM $orders.*")
    assert names(sqltree.columns(statement, {"$orders.*": (sqltree.Column("id"), sqltree.Column("total"))})) == [
        "id",
        "total",
        "more",
    ]
    assert sqltree.columns(statement, {}) is None


ROWS = {
    Rows.NONE: [
        "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "CREATE TABLE t (a int)", "SELECT 1 INTO t",
    ],
    Rows.ONE: [
        "SELECT 1", "SELECT count(*) FROM t", "SELECT max(a) FROM t WHERE b > 1", "VALUES (1, 2)", "SHOW work_mem",
        "INSERT INTO t VALUES (1) RETURNING id", "INSERT INTO t DEFAULT VALUES RETURNING id",
    ],
    Rows.AT_MOST_ONE: [
        "SELECT a FROM t LIMIT 1", "SELECT 1 WHERE false", "SELECT count(*) FROM t HAVING count(*) > 1",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING RETURNING id", "SELECT a FROM t FETCH FIRST 1 ROW ONLY",
        "SELECT a FROM (SELECT b AS a FROM t LIMIT 1) AS s",
    ],
    Rows.MANY: [
        "SELECT a FROM t", "SELECT a FROM t WHERE b IS NULL AND c > 1", "SELECT a, count(*) FROM t GROUP BY a",
        "VALUES (1), (2)", "SELECT 1 UNION SELECT 2", "SELECT unnest(ARRAY[1, 2])", "DELETE FROM t RETURNING id",
        "INSERT INTO t VALUES (1), (2) RETURNING id", "SELECT n FROM generate_series(1, 3) AS n", "SELECT a FROM t LIMIT 10",
        "SELECT lower(a) FROM t", "SELECT a, sum(b) OVER () FROM t", "SELECT a FROM t JOIN u ON t.id = u.id",
    ],
    Rows.UNKNOWN: [
        "SELECT a FROM t WHERE id = 7", "SELECT a FROM t WHERE id = $x.id", "SELECT my_sum(a) FROM t",
        "SELECT a FROM $x.*", "WITH q AS (SELECT 1 AS a) SELECT a FROM q", "SELECT a FROM f(7)", "SELECT a FROM t WHERE is_main",
        "UPDATE t SET a = 1 WHERE id = 7 RETURNING a", "DELETE FROM t WHERE id IN (SELECT 1) RETURNING id", "SELECT a FROM t LIMIT $x.n",
        "SELECT a FROM t WHERE id = (SELECT max(id) FROM t)", "SELECT (", "CALL p()",
        "SELECT a, sum(b) FROM t WHERE a = 7 GROUP BY a",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), [(text, rows) for rows, texts in ROWS.items() for text in texts])
def test_how_many_rows_a_statement_gives_is_told_by_its_text_or_not_at_all(text: str, rows: Rows) -> None:
    assert sqltree.rows(examined(text)) is rows


DEEP = {
    "sum": lambda levels: "SELECT " + "1+" * levels + "1",
    "casts": lambda levels: "SELECT 1" + "::int" * levels,
    "union": lambda levels: "SELECT 1" + " UNION SELECT 1" * levels,
    "joins": lambda levels: "SELECT 1 FROM a" + " JOIN b ON true" * levels,
    "brackets": lambda levels: "SELECT " + "(" * levels + "1" + ")" * levels,
    "negations": lambda levels: "SELECT " + "NOT " * levels + "true",
    "texts": lambda levels: "SELECT " + "'a' || " * levels + "'b'",
}


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("levels", [60, 2_000, 100_000])
def test_a_statement_of_any_depth_is_read_or_left_alone(kind: str, levels: int) -> None:
    """libpg_query dies of some 12,000 levels, and its tree cannot be carried over from a hundred on."""
    statement = examined(DEEP[kind](levels))
    assert statement.count == 1
    assert statement.problem is None or "memory" in statement.problem.message


def test_a_long_string_is_no_depth() -> None:
    assert examined("SELECT '" + "(" * 100_000 + "' FORM t WHERE").problem is not None


def test_half_a_surrogate_is_no_crash() -> None:
    assert examined("SELECT '\ud800'").problem is None


def test_without_the_parser_the_text_level_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine for which there is no wheel of postgast gets fewer findings, and no error."""

    def refuse(name: str) -> NoReturn:
        raise ImportError(name)

    monkeypatch.setattr(sqltext, "import_module", refuse)
    sqltext.parser.cache_clear()
    try:
        assert not sqltext.available()
        assert sqltext.examine("SELECT 1") is None
        program = ast.then(ast.sql("SELECT id FORM orders; SELECT 2", "order"), ast.sql("SELECT $ordr.id"))
        assert [finding.code for finding in passes.check(ast.module(program))] == ["PW201"]
    finally:
        sqltext.parser.cache_clear()
