"""Whatever a database, a role or a tenant sets or plants: pgweave says what it says on a plain database.

The surface is looked at once on a plain database and once on each hostile one: the library, the commands that operate, SQL
as people type it, a worker running steps, waits, conditions, loops and races, and what a notebook and a studio show of a
run. Commands run in this process: how a process begins and ends has tests of its own.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import chdir
from queue import Queue
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from support.role_database import ANN, BOB, RoleDatabases
from typer.testing import CliRunner

from pgweave.cli.app import build
from pgweave.designer.operator import Operator
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.notebooks import sqlcell
from pgweave.observe.runs import Run
from pgweave.runtime.client import Client
from pgweave.runtime.enrolment import enrol
from pgweave.runtime.migrate import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.role_database import RoleDatabase

    from pgweave.runtime.server.embedded import Server

# Each of these is a database. Together more than thirty settings; no two of one database are about the same thing.
SETTINGS: dict[str, dict[str, str]] = {
    "german": {
        "datestyle": "German, DMY", "timezone": "Asia/Kathmandu", "intervalstyle": "sql_standard",
        "extra_float_digits": "-15", "bytea_output": "escape", "standard_conforming_strings": "off",
        "escape_string_warning": "off", "backslash_quote": "off", "client_encoding": "LATIN1", "row_security": "off",
        "lock_timeout": "10s", "statement_timeout": "50s", "idle_session_timeout": "3s", "synchronous_commit": "off",
        "client_min_messages": "debug1", "xmloption": "document",
    },
    "american": {
        "datestyle": "SQL, MDY", "timezone": "America/New_York", "intervalstyle": "iso_8601", "extra_float_digits": "3",
        "array_nulls": "off", "transform_null_equals": "on", "quote_all_identifiers": "on", "client_encoding": "SQL_ASCII",
        "default_transaction_isolation": "serializable", "plan_cache_mode": "force_generic_plan",
        "idle_in_transaction_session_timeout": "20s", "check_function_bodies": "off", "lc_monetary": "C", "xmlbinary": "hex",
        "default_statistics_target": "1", "cursor_tuple_fraction": "1",
    },
    "old": {
        "datestyle": "Postgres, DMY", "timezone": "<+0330>-3:30", "intervalstyle": "postgres_verbose",
        "default_transaction_isolation": "repeatable read", "default_transaction_deferrable": "on", "search_path": "nowhere",
        "jit": "on", "jit_above_cost": "0", "work_mem": "64kB", "enable_indexscan": "off", "enable_nestloop": "off",
        "enable_hashjoin": "off", "join_collapse_limit": "1", "plan_cache_mode": "force_custom_plan",
        "password_encryption": "scram-sha-256", "bytea_output": "escape",
    },
    "reading": {"default_transaction_read_only": "on", "default_transaction_isolation": "serializable",
                "standard_conforming_strings": "off", "search_path": "", "timezone": "Pacific/Chatham"},
    "planted": {"search_path": "evil, pg_catalog, public"},
}  # fmt: skip
assert len({name for settings in SETTINGS.values() for name in settings}) >= 30

# What a tenant with CREATE on a schema could make, each a better match, or an earlier one, than PostgreSQL's own.
PLANTED = """
create schema evil;
grant usage on schema evil to public;
create function evil.trap() returns void language plpgsql as $$ begin raise exception 'planted'; end $$;
do $plant$
declare
    v_kind text;
    v_name text;
    v_arguments text;
begin
    foreach v_kind in array array['text', 'varchar', 'name', 'oid', 'integer', 'bigint', 'timestamptz', 'boolean'] loop
        execute format('create function evil.op(%1$s, %1$s) returns boolean language plpgsql'
                       ' as $$ begin raise exception ''planted operator''; end $$', v_kind);
        foreach v_name in array array['=', '<>', '<', '>', '>=', '<=', '~', '~~'] loop
            execute format('create operator evil.%2$s (leftarg = %1$s, rightarg = %1$s, function = evil.op)', v_kind, v_name);
        end loop;
    end loop;
    foreach v_kind in array array['text', 'varchar'] loop
        execute format('create function evil.cat(%1$s, %1$s) returns text language plpgsql'
                       ' as $$ begin raise exception ''planted operator''; end $$', v_kind);
        execute format('create operator evil.|| (leftarg = %1$s, rightarg = %1$s, function = evil.cat)', v_kind);
    end loop;
    foreach v_arguments in array array[
        'now()', 'clock_timestamp()', 'pg_backend_pid()', 'current_database()', 'gen_random_uuid()', 'set_config(text, text, boolean)',
        'current_setting(text)', 'current_setting(text, boolean)', 'concat_ws(text, variadic text[])', 'concat(variadic text[])',
        'format(text, variadic text[])', 'to_regclass(text)', 'to_regnamespace(text)', 'quote_ident(name)', 'quote_ident(text)',
        'row_to_json(record)', 'json_agg(text)', 'json_extract_path(json, text)', 'json_extract_path(json, variadic text[])',
        'json_to_recordset(json)', 'array_append(text[], text)', 'cardinality(text[])', 'octet_length(text)', 'max(timestamptz)',
        'has_table_privilege(text, text)', 'has_function_privilege(oid, text)', 'to_json(text)', 'replace(text, text, text)',
        'status(text)', 'start(text, text, text, text)', 'cancel(text, text)', 'signal(text, text, text)', 'clock()',
        'setting(text)', 'json_build_array(text, text)', 'pg_notify(text, text)', 'unnest(text[])', 'generate_series(integer, integer)'
    ] loop
        execute format('create function evil.%s returns text language plpgsql as $$ begin raise exception ''planted function''; end $$',
                       v_arguments);
    end loop;
end $plant$;
create domain evil.text as pg_catalog.text check (false);
create domain evil.json as pg_catalog.json check (false);
create type evil.box as (inside pg_catalog.text);
create function evil.box(pg_catalog.text) returns evil.box language plpgsql as $$ begin raise exception 'planted cast'; end $$;
create function evil.unbox(evil.box) returns pg_catalog.text language plpgsql as $$ begin raise exception 'planted cast'; end $$;
create cast (pg_catalog.text as evil.box) with function evil.box(pg_catalog.text) as implicit;
create cast (pg_catalog.varchar as evil.box) with function evil.box(pg_catalog.text) as implicit;
create cast (evil.box as pg_catalog.text) with function evil.unbox(evil.box) as implicit;
create table evil.instances (id pg_catalog.text);
create table evil.pg_proc (proname pg_catalog.text);
create table evil.pg_roles (rolname pg_catalog.text);
"""


def surface(db: RoleDatabase) -> dict[str, object]:
    """What each part of pgweave comes to, without ids and moments."""
    seen: dict[str, object] = {}
    ann = db.dsn(ANN)
    with db.work(), Client(ann) as client, Client(db.root) as owner:
        for name, program in PROGRAMS.items():
            instance = client.start(json.dumps(program), name)
            if name == "signal":
                db.until(waits(instance, "go"))
                seen["names waited for"] = client.signal(instance, "go", {"n": 1.5, "t": "žluť"})
            if name == "cancelled":
                db.until(waits(instance, "never"))
                seen["cancel"] = client.cancel(instance, "enough")
            seen[f"{name}: ends"] = client.wait(instance, 60)
            seen.update(looked_at(client, name, instance))
        seen["evaluated"] = evaluated(client)
        seen["instances"] = sorted((found.label or "", found.status) for found in client.instances())
        seen["workers"] = [worker.concurrency for worker in owner.workers()]
        seen["rights"] = client.worker_rights()
        assert abs((client.now() - client.instance(instance).created_at).total_seconds()) < 600
        seen.update(commands(ann, instance))
        seen.update(studio(ann))
        seen["typed"] = typed(ann)
        snapshot = Run.open(instance, ann).snapshot()
        seen["snapshot"] = [snapshot.sentence, snapshot.workflow.text, snapshot.failure, snapshot.waits]
    seen["schema"] = status(db.root)
    seen["enrolled"] = list(enrol(db.root, BOB))
    seen["cell"] = sqlcell.query("SELECT 1 AS n", ann)
    return {name: plain(value) for name, value in seen.items()}


def waits(instance: str, signal: str) -> str:
    """Whether an instance waits for a signal, asked so that nothing planted can answer."""
    return (
        f"exists (select from df.runs as r where r.signal_name::pg_catalog.text operator(pg_catalog.=) '{signal}'::pg_catalog.text"
        f" and r.instance_id::pg_catalog.text operator(pg_catalog.=) '{instance}'::pg_catalog.text)"
    )


def looked_at(client: Client, name: str, instance: str) -> Iterator[tuple[str, object]]:
    """What the library says of an ended instance."""
    found = client.instance(instance)
    yield f"{name}: result", (client.status(instance), client.result(instance), found.error)
    nodes = client.nodes(instance)
    yield f"{name}: nodes", [(one.node_type, one.status, one.result, one.error, one.ran is None) for one in nodes]
    # In the order of the nodes: which branch of a join ends first is a matter of luck.
    yield (
        f"{name}: runs",
        sorted((one.ordinal, one.iteration, one.status, one.attempts) for one in client.runs(instance)),
    )
    yield f"{name}: family", [one.status for one in client.family(instance)]
    yield f"{name}: states", sorted(one.state for one in client.states(instance))
    assert client.pulse(instance) == client.pulse(instance)


def evaluated(client: Client) -> str:
    """An expression of the language, evaluated by the database."""
    instance = client.evaluate("df.sleep(0)", "evaluated")
    return client.wait(instance, 60)


def commands(dsn: str, instance: str) -> Iterator[tuple[str, object]]:
    """Every command that operates."""
    waiting = ""
    with Client(dsn) as client:
        waiting = client.start(json.dumps(SIGNAL), "by command")
    for arguments in (
        ["ps"], ["show", instance], ["result", instance], ["show", waiting], ["signal", waiting, "go", "1"], ["wait", waiting],
        ["cancel", waiting], ["ps", "--json"], ["show", instance, "--json"], ["db", "status"],
        ["check", "program.df"], ["run", "program.df", "--no-wait"],
    ):  # fmt: skip
        done = CliRunner().invoke(build(arguments), [*arguments, "--dsn", dsn])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        told = arguments[:1] + arguments[2:]
        yield f"command {' '.join(told)}", (done.exit_code, None if "ps" in arguments else done.output)


class Page:
    """What a page of a studio is told, as far as it says that a run has ended."""

    def __init__(self) -> None:
        self.ended: Queue[Any] = Queue()

    def send(self, message: Any) -> None:  # noqa: ANN401 - an event
        """Take an event."""
        if message.get("status") in ("completed", "failed"):
            self.ended.put(message)


def studio(dsn: str) -> Iterator[tuple[str, object]]:
    """A start from the canvas, which asks the database first, and what the page is told of it."""
    operator, page = Operator(dsn), Page()
    instance = operator.start(parse(Source("program.df", PROGRAM)), page, "", "by studio", {})
    try:
        event = page.ended.get(timeout=60)
        yield "studio: run", (event["status"], event["result"], {one["status"] for one in event["states"].values()})
        node = operator.node(instance, "0:0")
        yield "studio: step", (node["sql"], node["result"], [one["status"] for one in node["attempts"]])
        (row,) = operator.instances("completed", "by studio", 5)
        yield "studio: list", (row["label"], row["status"], row["waits_for"])
    finally:
        operator.forget(page)


def typed(dsn: str) -> list[str]:
    """Builders as people call them, in a session of their own, under whatever it is set to."""
    with psycopg.connect(dsn, autocommit=True, client_encoding="utf8") as connection:
        return [
            json.dumps(json.loads(connection.execute(f"select {call}".encode()).fetchone()[0]), sort_keys=True)  # type: ignore[index]
            for call in (
                "df.sleep(5)", "df.wait_for_signal('go', 90)", "df.wait_for_schedule('*/5 1-3 * * mon')",
                "df.loop('SELECT 1', 'SELECT false')", "df.if('SELECT 1', 'SELECT 2', 'SELECT 3')",
                "df.break('x')", "df.call_child('SELECT 1', 'kid')", "df.seq('SELECT 1', df.as_op('SELECT 2', 'b'))",
            )
        ]  # fmt: skip


def node(kind: str, query: str | None = None, name: str | None = None, **children: object) -> dict[str, object]:
    """One node of a graph."""
    fields = {"node_type": kind, "query": query, "result_name": name, **children}
    return {field: value for field, value in fields.items() if value is not None}


def chain(*steps: dict[str, object]) -> dict[str, object]:
    """One after the other."""
    first, *others = steps
    return first if not others else node("THEN", left_node=first, right_node=chain(*others))


PROGRAM = "'SELECT 1.50 AS n, date ''2026-01-02'' AS d' |=> 'x' ~> 'SELECT $x.n AS n, $x.d AS d'\n"
SIGNAL = node("SIGNAL", '{"signal_name": "go"}', "s")
VALUES = (
    "SELECT 1.5::pg_catalog.float8 AS f, 0.1::pg_catalog.float8 AS g, '2026-01-02'::pg_catalog.date AS d,"
    " '2026-01-02 03:04:05+00'::pg_catalog.timestamptz AS z, pg_catalog.make_interval(days => -1, secs => 3) AS i,"
    " pg_catalog.decode('ff5c00', 'hex') AS b, E'it''s \\\\ $x' AS t, 2.50 AS n, NULL::pg_catalog.int4 AS nothing"
)
PROGRAMS: dict[str, dict[str, object]] = {
    "values": chain(
        node("SQL", VALUES, "v"),
        node("SQL", "SELECT $v.f AS f, $v.d AS d, '$v.t' AS t, $v.t AS u, $v.b AS b", "w"),
        node("SQL", "SELECT f, g, d, z, i, b, t, n, nothing FROM $v.* AS x"),
    ),
    "signal": chain(SIGNAL, node("SQL", "SELECT '$s.data' AS data, $s.timed_out AS late")),
    "loop": node(
        "LOOP", condition_node=node("SQL", "SELECT $n.again"),
        left_node=chain(node("SQL", "SELECT false AS again", "n"), node("SLEEP", "0")),
    ),
    "if": node(
        "IF", condition_node=node("SQL", "SELECT false"),
        left_node=node("SQL", "SELECT 1 AS yes"), right_node=node("SQL", "SELECT 2 AS no"),
    ),
    "race": node("RACE", left_node=node("SQL", "SELECT 1 AS won"), right_node=node("SIGNAL", '{"signal_name": "never"}')),
    "join": node("JOIN", left_node=node("SQL", "SELECT 1 AS a"), right_node=node("SQL", "SELECT 2 AS b")),
    "failed": node("SQL", "SELECT nothing_like_it"),
    "cancelled": node("SIGNAL", '{"signal_name": "never"}'),
}  # fmt: skip

_ID = re.compile(r"(?:\b|(?<=\\n))[0-9a-f]{8}\b")  # also behind a line end, as repr writes it
_MOMENT = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?:[+-]\d\d(?::?\d\d)?|Z)?|\b\d\d:\d\d(?::\d\d)?\b|\b[\d.]+ ?m?s\b"
)


def plain(value: object) -> str:
    """A value as text, without what differs from run to run."""
    text = value if isinstance(value, str) else repr(value)
    kept = text.replace("2026-01-02T03:04:05", "THE MOMENT")
    kept = _MOMENT.sub("TIME", _ID.sub("ID", kept))
    return re.sub(r" +", " ", kept)


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where commands find a program."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "program.df").write_text(PROGRAM)
    with chdir(folder):
        yield


@pytest.fixture(scope="module")
def role_databases_here(server: Server) -> RoleDatabases:
    """Databases with several roles, on the newest server."""
    return RoleDatabases(server.dsn)


@pytest.fixture(scope="module")
def expected(role_databases_here: RoleDatabases) -> dict[str, object]:
    """The surface of a plain database."""
    with role_databases_here.create() as db:
        return surface(db)


def set_up(db: RoleDatabase, settings: dict[str, str]) -> None:
    """Make these the defaults of every session of a database."""
    name = str(conninfo_to_dict(db.root)["dbname"])
    with psycopg.connect(db.root, autocommit=True) as connection:
        if "evil" in settings.get("search_path", ""):
            connection.execute(PLANTED.encode())
        for setting, value in settings.items():
            shown: sql.Composable = sql.SQL(value) if setting == "search_path" and value else sql.Literal(value)
            connection.execute(
                sql.SQL("alter database {} set {} to {}").format(sql.Identifier(name), sql.SQL(setting), shown)
            )


@pytest.mark.parametrize("name", SETTINGS)
def test_everything_says_what_it_says_on_a_plain_database(
    role_databases_here: RoleDatabases, expected: dict[str, object], name: str
) -> None:
    with role_databases_here.create() as db:
        set_up(db, SETTINGS[name])
        found = surface(db)
    assert differences(found, expected) == {}


def differences(found: dict[str, object], expected: dict[str, object]) -> dict[str, tuple[object, object]]:
    """What is not as on a plain database: what it is, and what it should be."""
    return {name: (found.get(name), value) for name, value in expected.items() if found.get(name) != value}


def _singles() -> list[Any]:
    """Each setting alone; in CI every fifteenth, where the databases above have all of them."""
    singles = [
        pytest.param({setting: value}, id=f"{setting}={value}")
        for settings in SETTINGS.values()
        for setting, value in settings.items()
    ]
    return singles[::15] if os.environ.get("CI") else singles


@pytest.mark.slow
@pytest.mark.parametrize("settings", _singles())
def test_no_single_setting_changes_anything(
    role_databases_here: RoleDatabases, expected: dict[str, object], settings: dict[str, str]
) -> None:
    with role_databases_here.create() as db:
        set_up(db, settings)
        assert differences(surface(db), expected) == {}
