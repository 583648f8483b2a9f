"""The database's own opinion about steps: prepared in order, in a transaction of which nothing is left."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgweave import dbcheck
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.runtime.connect import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.diagnostics import Diagnostic

Connection = psycopg.Connection[Any]


@pytest.fixture
def asked(database: str) -> Iterator[Connection]:
    """A session as `pgweave check --dsn` opens it."""
    with connect(database) as connection:
        yield connection


def check(connection: Connection, program: str, setup: str | None = None) -> dbcheck.Outcome:
    parsed = parse(Source("asked.df", program))
    assert parsed.ok, parsed.diagnostics
    return dbcheck.check(parsed.module, connection, None if setup is None else Source("asked.setup.sql", setup))


def said(outcome: dbcheck.Outcome, program: str) -> list[tuple[str, str, str]]:
    """Code, title and the words under the caret of each finding."""
    return [(one.code, one.title, one.span.of(program)) for one in outcome.findings]


def test_the_server_says_what_is_wrong_where_and_what_it_would_fix(asked: Connection) -> None:
    program = "'CREATE TABLE parcels (id integer, weight numeric)'\n~> 'SELECT id, wieght FROM parcels'"
    outcome = check(asked, program)
    assert said(outcome, program) == [("PW513", 'Column "wieght" does not exist', "wieght")]
    assert [one.help for one in outcome.findings] == ['Perhaps you meant to reference the column "parcels.weight".']


@pytest.mark.parametrize(
    "program",
    [
        "'SELECT ''it''''s'', nope FROM (SELECT 1 AS a) AS s'",
        "E'SELECT \\'x\\\\n\\', nope FROM (SELECT 1 AS a) AS s'",
        "$q$SELECT 'x',\n  nope FROM (SELECT 1 AS a) AS s$q$",
        "'SELECT ''žluťoučký 🐘'', nope FROM (SELECT 1 AS a) AS s'",
        "('SELECT 1 AS first' |=> 'x') ~> 'SELECT $x.first, $x.first + 1, nope FROM (SELECT 1 AS a) AS s'",
        "df.setvar('long_name', '1'); 'SELECT {long_name}, nope FROM (SELECT 1 AS a) AS s'",
        "('SELECT 1 AS first' |=> 'x') ~> 'SELECT first, nope FROM $x.*'",
    ],
)
def test_the_caret_finds_its_way_through_quotes_values_and_rows(asked: Connection, program: str) -> None:
    outcome = check(asked, program)
    assert said(outcome, program) == [("PW513", 'Column "nope" does not exist', "nope")]


TABLE = (
    "'CREATE TABLE t (n integer, big bigint, amount numeric, at timestamptz, day date, ok boolean, doc jsonb, id uuid, name text)'"
    " ~> ('SELECT * FROM t LIMIT 1' |=> 'x')"
)


@pytest.mark.parametrize(
    "step",
    [
        "INSERT INTO t VALUES ($x.n, $x.big, $x.amount, $x.at, $x.day, $x.ok, $x.doc, $x.id, $x.name)",
        "SELECT $x.n + 1, $x.amount * 2, $x.ok AND true, $x.name || 'x', $x.at::timestamptz + interval '1 day'",
        "SELECT * FROM t WHERE day = $x.day AND id = $x.id AND at < $x.at AND doc @> $x.doc",
        "SELECT repeat('a', $x.big), left('abc', $x.amount) FROM t LIMIT $x.amount OFFSET $x.big",
        "SELECT jsonb_build_object('name', $x.name, 'n', $x.n), concat($x.name, $x.n), coalesce($x.name, 'x')",
        "SELECT date $x.day, extract(epoch FROM $x.at::timestamptz), ($x.doc)::jsonb ->> 'k'",
        "SELECT '$x.day'::date, '{sys_instance_id}', '{sys_label}', $x.n?",
        "SELECT n + 1, amount * 2, name || 'x', day::date, ok AND true, doc::jsonb -> 'k' FROM $x.*",
        "SELECT DISTINCT $x.name, $x.n FROM t GROUP BY 1, 2 HAVING count(*) > $x.n ORDER BY 2",
        "WITH w AS (SELECT $x.n AS n) UPDATE t SET name = $x.name FROM w WHERE t.n = w.n RETURNING t.*",
        "MERGE INTO t USING (SELECT $x.n AS n) AS s ON t.n = s.n WHEN NOT MATCHED THEN INSERT (n) VALUES (s.n)",
        "DO $q$ BEGIN PERFORM $x.n; END $q$",
        "SELECT df.signal('{sys_instance_id}', 'go', $x.doc), df.status($x.name)",
    ],
)
def test_a_step_that_would_run_is_not_refused(asked: Connection, step: str) -> None:
    """The worker writes literals where parameters stand here; what fits the one has to fit the other."""
    program = f"{TABLE} ~> $s${step}$s$"
    assert check(asked, program).findings == ()


@pytest.mark.parametrize(
    ("step", "title", "word"),
    [
        ("SELECT 1 WHERE $x.n = $x.ok", "Operator does not exist: integer = boolean", "="),
        ("SELECT $x.ok + 1", "Operator does not exist: boolean + integer", "+"),
        ("SELECT lower($x.n)", "Function lower(integer) does not exist", "lower"),
        ("INSERT INTO t (at) VALUES ($x.ok)", 'Column "at" is of type timestamp with time zone but expression is of type boolean', "$x.ok"),
        ("SELECT missing FROM $x.*", 'Column "missing" does not exist', "missing"),
        ("SELECT * FROM no_such_table", 'Relation "no_such_table" does not exist', "no_such_table"),
        ("INSERT INTO t (n, n) VALUES (1, 2)", 'Column "n" specified more than once', "n"),
        ("SELECT 'x'::date", 'Invalid input syntax for type date: "x"', "'"),
    ],
)  # fmt: skip
def test_types_and_columns_flow_from_step_to_step(asked: Connection, step: str, title: str, word: str) -> None:
    program = f"{TABLE} ~> $s${step}$s$"
    assert said(check(asked, program), program) == [("PW513", title, word)]


def test_columns_that_only_the_database_knows_are_known_behind_the_star(asked: Connection) -> None:
    program = f"{TABLE} ~> 'SELECT $x.nmae'"
    assert said(check(asked, program), program) == [("PW203", "The result `x` has no column `nmae`", "$x.nmae")]
    assert check(asked, f"{TABLE} ~> 'SELECT $x.name, $x.nmae?'").findings == ()


def test_steps_that_make_something_are_there_for_later_ones_and_gone_afterwards(asked: Connection) -> None:
    program = (
        "'CREATE SCHEMA s' ~> 'CREATE TABLE s.a (n integer)' ~> 'ALTER TABLE s.a ADD COLUMN m integer'"
        " ~> 'CREATE VIEW s.v AS SELECT n + m AS sum FROM s.a' ~> 'CREATE TYPE s.mood AS ENUM (''fine'')'"
        " ~> 'CREATE FUNCTION s.f(integer) RETURNS integer LANGUAGE sql AS ''SELECT $1'''"
        " ~> 'CREATE TABLE s.b AS SELECT sum FROM s.v' ~> 'SELECT s.f(sum), ''fine''::s.mood FROM s.b'"
        " ~> 'DROP TABLE s.b' ~> 'SELECT sum FROM s.b'"
    )
    assert said(check(asked, program), program) == [("PW513", 'Relation "s.b" does not exist', "s.b")]
    assert asked.execute("SELECT to_regnamespace('s')").fetchone() == (None,)
    assert asked.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_nothing_but_ddl_is_executed(asked: Connection) -> None:
    """Not the query of CREATE TABLE AS, no INSERT, no function, no sequence."""
    asked.execute("CREATE SEQUENCE steps; CREATE TABLE kept (n integer)")
    asked.execute("CREATE FUNCTION take() RETURNS integer LANGUAGE sql AS $$ SELECT nextval('steps')::integer $$")
    program = (
        "'CREATE TABLE made AS SELECT take() AS n WITH DATA' ~> 'CREATE MATERIALIZED VIEW seen AS SELECT take() AS n'"
        " ~> 'INSERT INTO kept SELECT take()' ~> 'SELECT take() AS n' ~> 'SELECT n FROM made UNION SELECT n FROM seen'"
        " ~> 'DO $d$ BEGIN PERFORM take(); END $d$' ~> 'TRUNCATE kept' ~> 'CALL nobody()'"
    )
    asked.execute("INSERT INTO kept VALUES (1)")
    assert check(asked, program).findings == ()
    assert asked.execute("SELECT is_called FROM steps").fetchone() == (False,), "sequences remember, even rolled back"
    assert asked.execute("SELECT count(*) FROM kept").fetchone() == (1,)


@pytest.mark.parametrize(
    "text", ["COMMIT", "CREATE TABLE x (n integer); COMMIT; DROP TABLE x", "ROLLBACK", "DO $$ BEGIN COMMIT; END $$"]
)
def test_a_set_up_file_cannot_end_the_transaction(asked: Connection, text: str) -> None:
    outcome = check(asked, "'SELECT * FROM x'", text)
    assert outcome.findings == ()
    assert [note for note in outcome.notes if "the set-up failed" in note]
    assert asked.execute("SELECT to_regclass('x')").fetchone() == (None,)


def test_the_set_up_file_comes_first_and_is_undone_as_well(asked: Connection) -> None:
    setup = "-- what it needs\nCREATE TABLE IF NOT EXISTS db (name text);\nINSERT INTO db VALUES ('Brno');\n"
    program = "'SELECT name, mayor FROM db'"
    assert said(check(asked, program, setup), program) == [("PW513", 'Column "mayor" does not exist', "mayor")]
    assert asked.execute("SELECT to_regclass('db')").fetchone() == (None,)


SCRIPT = """\\set who ann
BEGIN;
CREATE TABLE IF NOT EXISTS parcels (id integer);
INSERT INTO parcels VALUES (1);
CREATE TABLE :who (id integer);
SELECT df.start('SELECT id FROM parcels', 'first');
COMMIT;
CREATE TABLE letters (id integer);
SELECT df.start('SELECT nope FROM letters', 'second');
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deploy.sql", SCRIPT),
        ("runbook.md", f"# Runbook\n\n```sql\n{SCRIPT}```\n"),
        ("quoted.md", "> ```sql\n" + "".join(f"> {line}\n" for line in SCRIPT.splitlines()) + "> ```\n"),
    ],
)
def test_tables_that_a_script_makes_before_a_workflow_are_there_for_it(asked: Connection, name: str, text: str) -> None:
    outcome = dbcheck.check(parse(Source(name, text)).module, asked)
    assert said(outcome, text) == [("PW513", 'Column "nope" does not exist', "nope")]
    assert outcome.notes == ()
    made = asked.execute("select to_regclass('parcels')").fetchone()
    assert made == (None,)


def test_what_a_script_makes_in_ways_that_are_not_run_here_is_not_missed(asked: Connection) -> None:
    text = "CREATE EXTENSION nowhere;\nSELECT df.start('SELECT made_by_it()');\n"
    assert dbcheck.check(parse(Source("deploy.sql", text)).module, asked).findings == ()


def test_a_statement_of_a_script_that_fails_is_said_with_its_line(asked: Connection) -> None:
    text = "\nCREATE TABLE a (LIKE nowhere);\nSELECT df.start('SELECT * FROM a');\n"
    outcome = dbcheck.check(parse(Source("deploy.sql", text)).module, asked)
    assert outcome.findings == ()
    assert outcome.notes == ('deploy.sql:2: not made for this check: relation "nowhere" does not exist',)


def test_after_a_set_up_that_failed_nothing_is_called_missing(asked: Connection) -> None:
    outcome = check(asked, "'SELECT * FROM db, LATERAL f(name)'", "CREATE TABLE db (name text);\nSELECT nope;\n")
    assert outcome.findings == ()
    assert outcome.notes == ('asked.setup.sql:2: the set-up failed: column "nope" does not exist',)


@pytest.mark.parametrize(
    "program",
    [
        "('SELECT ''a'' AS name' |=> 'x') ~> 'CREATE TABLE \"t_$x.name\" (n integer)' ~> 'SELECT n FROM t_a'",
        "'SELECT 1 AS n INTO made' ~> 'SELECT n FROM made'",
        "'CREATE TABLE {table_name} (n integer)' ~> 'SELECT n FROM {table_name}, made'",
        "(SELECT step FROM steps) ~> 'SELECT 1'",
    ],
)
def test_what_cannot_be_made_here_is_not_missed_later(asked: Connection, program: str) -> None:
    found = check(asked, program).findings
    assert [one.title for one in found if "does not exist" in one.title] == []


def test_a_step_that_may_not_run_drops_nothing(asked: Connection) -> None:
    program = "'CREATE TABLE t (n integer)' ~> ('SELECT false' ?> 'DROP TABLE t' !> 'SELECT 1') ~> 'SELECT n FROM t'"
    assert check(asked, program).findings == ()


def test_each_workflow_of_a_file_begins_again(asked: Connection) -> None:
    program = "df.start('CREATE TABLE t (n integer)', 'a');\ndf.start('SELECT n FROM t', 'b');"
    assert said(check(asked, program), program) == [("PW513", 'Relation "t" does not exist', "t")]


def test_a_workflow_of_another_database_is_left_alone_and_said_so(asked: Connection) -> None:
    outcome = check(asked, "df.start('SELECT n FROM t', 'b', database => 'elsewhere')")
    assert outcome.findings == ()
    assert outcome.notes == ("b runs in the database elsewhere: not looked at",)


def test_without_the_df_schema_steps_that_call_it_are_left_alone(server: Any) -> None:  # noqa: ANN401 - a fixture of all tests
    with connect(server.dsn) as connection:
        outcome = check(connection, "'SELECT df.start(''SELECT 1'')' ~> 'SELECT nope'")
        assert [one.title for one in outcome.findings] == ['Column "nope" does not exist']
        assert outcome.notes == ("the df schema is not in this database; steps that call it are not looked at",)


def test_nobody_waits_long_for_a_lock(database: str, asked: Connection) -> None:
    with psycopg.connect(database) as holder:
        holder.execute("CREATE TABLE t (n integer)")
        holder.commit()
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        outcome = check(asked, "'ALTER TABLE t ADD COLUMN m integer' ~> 'SELECT m FROM t'")
        assert outcome.findings == ()
        assert outcome.notes == (
            "a table is in use, so not every step was looked at: canceling statement due to lock timeout",
        )


def test_a_finding_can_be_allowed_with_a_reason(asked: Connection) -> None:
    program = "'SELECT 1'\n~> 'SELECT n FROM made_by_hand' -- pgweave: allow PW513 because it is made by hand\n"
    assert check(asked, program).findings == ()


def test_every_example_of_the_repository_is_accepted_by_a_database_it_has_set_up(asked: Connection) -> None:
    from pathlib import Path

    for file in sorted((Path(__file__).parents[2] / "examples").glob("*.df")):
        companion = file.with_suffix(".setup.sql")
        outcome = check(asked, file.read_text("utf-8"), companion.read_text("utf-8") if companion.is_file() else None)
        assert (outcome.findings, outcome.notes) == ((), ()), file.name
        assert outcome.prepared > 0


def test_the_page_says_what_the_database_says(asked: Connection) -> None:
    page = (files("pgweave.grammar") / "codes" / "PW513.md").read_text(encoding="utf-8")
    failing, fixed = re.findall(r"^```df\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert codes(check(asked, failing).findings) == ["PW513"]
    assert check(asked, fixed).findings == ()


def codes(found: tuple[Diagnostic, ...]) -> list[str]:
    return [one.code for one in found]
