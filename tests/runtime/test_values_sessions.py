"""A step sees the session that its role would see in psql, and its result is encoded the same whatever that is."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.role_database import ANN, BOB, WORKER
from support.work import QUICK, with_worker

from pgweave.api import parse
from pgweave.runtime import migrate
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.worker.service import working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.role_database import RoleDatabase
    from support.work import Database

    from pgweave.runtime.server.embedded import Server

SETTINGS = {
    "datestyle": "SQL, DMY", "timezone": "Asia/Kathmandu", "intervalstyle": "iso_8601", "lock_timeout": "3210ms",
    "statement_timeout": "54321ms", "default_transaction_isolation": "serializable", "search_path": "common",
    "extra_float_digits": "-3", "bytea_output": "escape", "standard_conforming_strings": "off", "row_security": "off",
    "synchronous_commit": "off", "work_mem": "65kB", "lc_monetary": "C", "default_transaction_deferrable": "on",
    "escape_string_warning": "off", "backslash_quote": "on", "transform_null_equals": "on",
}  # fmt: skip
SEEN = ", ".join(
    f"current_setting('{name}') AS {name}" for name in (*SETTINGS, "transaction_isolation", "transaction_read_only")
)
MEANT = "'10/11/12'::date - '2012-01-01'::date AS days, E'a' || 'b\\nc' AS text, now()::text LIKE '%+0545' AS there, current_user::text AS who"


def steps(db: RoleDatabase, instance: str) -> list[dict[str, Any]]:
    """The rows of the result of an instance."""
    ended = db.ended(ANN, instance)
    assert ended.status == "completed", ended.error
    rows: list[dict[str, Any]] = json.loads(ended.result or "")["rows"]
    return rows


def give(db: RoleDatabase, settings: dict[str, str]) -> None:
    """Settings of ann in this database."""
    name = str(conninfo_to_dict(db.root)["dbname"])
    for setting, value in settings.items():
        statement = sql.SQL("alter role {} in database {} set {} to {}").format(
            sql.Identifier(ANN), sql.Identifier(name), sql.SQL(setting), sql.Literal(value)
        )
        with psycopg.connect(db.root, autocommit=True) as connection:
            connection.execute(statement)


def start(db: RoleDatabase, query: str) -> str:
    """A workflow of one step, as ann."""
    with Client(db.dsn(ANN)) as client:
        return client.start(query)


def test_a_step_sees_the_settings_that_its_role_sees_in_psql(db: RoleDatabase) -> None:
    give(db, SETTINGS)
    query = f"SELECT {SEEN}, {MEANT}"
    with psycopg.connect(db.dsn(ANN), autocommit=True, client_encoding="utf8") as connection:
        cursor = connection.execute(query.encode())
        assert cursor.description is not None
        seen = dict(zip([column.name for column in cursor.description], cursor.fetchone() or (), strict=True))
    assert seen["days"] == 314  # the tenth of November
    with db.work():
        assert steps(db, start(db, query)) == [seen]


def test_a_session_that_only_reads_runs_its_step_and_takes_the_checkpoint(db: RoleDatabase) -> None:
    give(db, {"default_transaction_read_only": "on"})
    with db.work():
        assert steps(db, start(db, "SELECT current_setting('transaction_read_only') AS r")) == [{"r": "on"}]
        refused = db.ended(ANN, start(db, "CREATE TABLE common.t (a integer)"))
        assert refused.error is not None
        assert "read-only transaction" in refused.error["message"]


def test_a_step_begins_as_the_role_that_its_login_takes_by_default(db: RoleDatabase) -> None:
    waiting = start(db, "SELECT current_user::text AS u, session_user::text AS s")
    db.sql(None, f"grant {BOB} to {ANN}")
    try:
        give(db, {"role": BOB})
        with db.work():
            db.until(f"exists (select from df.runs where instance_id = '{waiting}')")
        found = db.one(None, "select result -> 'rows' from df.instances where id = %s", waiting)
        assert found == [{"u": BOB, "s": ANN}]
    finally:
        db.sql(None, f"revoke {BOB} from {ANN}")


def test_a_longer_limit_of_the_worker_does_not_undo_that_of_the_role(db: RoleDatabase) -> None:
    query = "SELECT current_setting('statement_timeout') AS t"
    give(db, {"statement_timeout": "20s"})
    for worker_seconds, expected in ((30.0, "20s"), (10.0, "10s"), (0.0, "20s")):
        with working(db.dsn(WORKER), replace(QUICK, step_seconds=worker_seconds)):
            # Twice: what a session is wiped to counts as much as what it begins with.
            assert [steps(db, start(db, query)) for _ in range(2)] == [[{"t": expected}]] * 2


ENCODED = (
    "'2026-01-02 03:04:05.678+02'::timestamptz AS z, '2026-01-02'::date AS d, '-1 mon 2 days -03:04'::interval AS i,"
    " 0.1::float8 + 0.2 AS f, 'NaN'::float8 AS nan, '-0'::float8 AS zero, 'infinity'::timestamp AS inf,"
    " '0044-03-15 BC'::date AS ides, decode('ff00', 'hex') AS b, 1.50::numeric AS n, daterange('2026-01-02', null) AS r,"
    " array['2026-01-02'::date] AS a, row(1, '2026-01-02'::date) AS c"
)


@pytest.mark.parametrize("settings", [{}, SETTINGS | {"extra_float_digits": "1", "backslash_quote": "safe_encoding"}])
def test_a_result_is_encoded_the_same_under_all_settings_in_a_transaction_and_alone(
    db: RoleDatabase, settings: dict[str, str]
) -> None:
    names = {"z": "timestamptz", "d": "date", "i": "interval", "f": "float8", "nan": "float8", "zero": "float8",
             "inf": "timestamp", "ides": "date", "b": "bytea", "n": "numeric", "r": "daterange", "a": "date[]"}  # fmt: skip
    db.sql(
        None,
        f"create procedure common.p({', '.join(f'inout {name} {kind}' for name, kind in names.items())}) language plpgsql"
        f" as $$ begin commit; select {', '.join(names)} into {', '.join(names)} from (select {ENCODED}) as e; end $$".replace(
            f"select {', '.join(names)} into", f"select {', '.join('e.' + name for name in names)} into"
        ),
    )
    give(db, settings)
    expected = {
        "z": "2026-01-02T01:04:05.678+00:00", "d": "2026-01-02", "i": "-1 mons +2 days -03:04:00", "f": 0.30000000000000004,
        "nan": "NaN", "zero": -0.0, "inf": "infinity", "ides": "0044-03-15 BC", "b": "\\xff00", "n": 1.5,
        "r": "[2026-01-02,)", "a": ["2026-01-02"], "c": {"f1": 1, "f2": "2026-01-02"},
    }  # fmt: skip
    with db.work():
        assert steps(db, start(db, f"SELECT {ENCODED}")) == [expected]
        del expected["c"]
        assert steps(db, start(db, f"CALL common.p({', '.join('NULL' for _ in names)})")) == [expected]
    alone, exact = (
        db.one(None, "select result ->> 'rows' from df.runs where query like %s", f"{verb}%")
        for verb in ("CALL", "SELECT")
    )
    assert '"n":1.50' in alone
    assert alone[:-2] in exact


@contextmanager
def database_of(server: Server, encoding: str) -> Iterator[str]:
    """The DSN of a database that stores its text so."""
    with psycopg.connect(server.dsn, autocommit=True) as root:
        root.execute(f"create database other encoding '{encoding}' locale 'C' template template0".encode())
    try:
        yield make_conninfo(server.dsn, dbname="other", client_encoding="utf8")
    finally:
        with psycopg.connect(server.dsn, autocommit=True) as root:
            root.execute("drop database other with (force)")


def test_workflows_run_in_a_database_without_an_encoding(server: Server) -> None:
    with database_of(server, "SQL_ASCII") as dsn:
        migrate.install(dsn)
        with with_worker(dsn) as place:
            ended = place.finish("$$SELECT 'žlu' AS t$$")
            assert (ended.status, ended.error) == ("completed", None)
            signalled = place.start("df.wait_for_signal('go')")
            place.client.signal(signalled, "go", "é")
            assert place.ended(signalled).status == "completed"
            message = place.error("$$SELECT convert_from(decode('ff', 'hex'), 'SQL_ASCII') AS t$$")
            assert "invalid byte sequence" in message


def test_a_database_that_cannot_store_every_text_is_refused_by_name(server: Server) -> None:
    with database_of(server, "LATIN1") as dsn, pytest.raises(PgweaveError, match="LATIN1; the df schema needs UTF8"):
        migrate.install(dsn)


def test_a_hand_written_request_has_the_rows_that_the_compiler_writes(quiet: Database) -> None:
    for node in (
        {"node_type": "HTTP", "query": '{"url":"https://x.test/"}'},
        {
            "node_type": "HTTP",
            "query": '{"timeout_seconds":5,"headers":{"b":"1","a":"2"},"method":"get","url":"https://x.test/é"}',
        },
        {"node_type": "HTTP_MULTIPART", "query": '{"url":"https://x.test/","parts":[{"name":"a","body":"b"}]}'},
    ):
        compiled = json.loads(parse(f"SELECT df.start($${json.dumps(node)}$$)").compile("tree"))
        instance = quiet.start(f"$${json.dumps(node)}$$")
        assert quiet.sql("select query from df.nodes where instance_id = %s", instance) == [(compiled["query"],)]
    quiet.sql("truncate df.instances cascade")
