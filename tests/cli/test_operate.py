"""`ps`, `show`, `result`, `wait`, `signal`, `cancel`, `db`: what runs in a database, and commands that control it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.work import with_worker

from pgweave.runtime import migrate
from pgweave.runtime.client import Client
from pgweave.runtime.migrate import migrations
from pgweave.runtime.worker.service import working

if TYPE_CHECKING:
    from cli.conftest import Command

NEWEST = migrations()[-1].number
ABOUT_ONE = ("show", "result", "wait", "cancel", "signal")


@pytest.fixture
def bare(database: str) -> str:
    """A database without the df schema."""
    migrate.uninstall(database)
    return database


def work(database: str, instance_id: str) -> None:
    with working(database), Client(database) as client:
        client.wait(instance_id, 30)


def test_a_database_without_the_schema_is_refused_with_the_command_that_helps(pgweave: Command, bare: str) -> None:
    for arguments in (["run", "clean.df"], ["ps"], ["worker", "--once"]):
        done = pgweave(*arguments, "--dsn", bare)
        assert (done.code, done.out) == (2, "")
        assert "has no df schema" in done.err
        assert "Run `pgweave db install` with the same --dsn." in done.err


def test_a_schema_that_is_too_new_is_refused(pgweave: Command, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("insert into df.migrations (number, name, checksum) values (9999, 'later', 'x')")
    for arguments in (["run", "clean.df"], ["worker", "--once"], ["db", "install"]):
        done = pgweave(*arguments, "--dsn", database)
        assert (done.code, done.out) == (2, "")
        assert f"is at version 9999; this pgweave knows {NEWEST}" in done.err
        assert "pip install --upgrade pgweave" in done.err


def test_a_schema_that_is_too_old_is_refused(pgweave: Command, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("update df.migrations set number = 0")  # before the only version there is
    done = pgweave("run", "clean.df", "--dsn", database)
    assert (done.code, done.out) == (2, "")
    assert "Run `pgweave db upgrade`" in done.err


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://127.0.0.1:1/nowhere", "Cannot connect to PostgreSQL: "),
        ("host=/nonexistent dbname=nowhere", "Cannot connect to PostgreSQL: "),
        ("nonsense", "This is not a connection string: "),
    ],
)
def test_a_database_that_cannot_be_reached(pgweave: Command, dsn: str, said: str) -> None:
    done = pgweave("run", "clean.df", "--dsn", dsn)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"pgweave: {said}")
    assert "--dsn" in done.err.splitlines()[-1]


def test_a_role_that_may_not_use_the_schema(pgweave: Command, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create role visitor login")
        try:
            for arguments in (["ps"], ["db", "install"]):
                done = pgweave(*arguments, "--dsn", make_conninfo(database, user="visitor"))
                assert (done.code, done.out) == (2, "")
                assert "permission denied for schema df" in done.err
        finally:
            connection.execute("drop role visitor")


def test_an_instance_that_does_not_exist(pgweave: Command, database: str) -> None:
    for command in ABOUT_ONE:
        done = pgweave(command, "0123abcd", *(["go"] if command == "signal" else []), "--dsn", database)
        assert (done.code, done.out) == (2, "")
        assert "There is no instance 0123abcd.\n  List the instances with `pgweave ps`." in done.err


def test_ps_lists_the_newest_first_with_children_under_their_parents_name(pgweave: Command, database: str) -> None:
    assert pgweave("ps", "--dsn", database).out == "No instances.\n"
    assert json.loads(pgweave("ps", "--json", "--dsn", database).out) == []
    pgweave.write("parent.df", "df.start(df.call_child('SELECT 1', 'the child'), 'the parent')")
    pgweave("run", "parent.df", "--dsn", database)
    child, parent = pgweave("ps", "--dsn", database).out.splitlines()
    assert "completed" in child
    assert f"the child  child of {parent[:8]}" in child
    assert parent.endswith("the parent")
    found = json.loads(pgweave("ps", "--json", "--limit", "1", "--dsn", database).out)
    assert [one["label"] for one in found] == ["the child"]
    assert found[0]["parent_instance_id"] == parent[:8]


def test_ps_chooses_by_status_and_label_and_says_when_there_are_more(pgweave: Command, database: str) -> None:
    with Client(database) as client:
        for label in ("nightly one", "nightly two", "daily"):
            client.start("SELECT 1", label)
        client.cancel(client.start("SELECT 1", "nightly three"), "not today")
    done = pgweave("ps", "--limit", "1", "--dsn", database)
    assert len(done.out.splitlines()) == 1
    assert "There are more than these 1" in done.err
    done = pgweave("ps", "--limit", "2", "--label", "nightly", "--status", "pending", "--dsn", database)
    assert sorted(line.split("  ")[-1] for line in done.out.splitlines()) == ["nightly one", "nightly two"]
    assert done.err == ""
    assert pgweave("ps", "--status", "failed", "--dsn", database).out == "No such instances.\n"
    assert pgweave("ps", "--status", "asleep", "--dsn", database).code == 2


def test_a_failed_run_is_shown_with_its_sql_and_a_caret(pgweave: Command, database: str) -> None:
    pgweave.write("fails.df", "'SELECT 1' ~> 'SELECT 1 / 0'\n")
    identifier = json.loads(pgweave("run", "fails.df", "--json", "--dsn", database).out)["instance_id"]
    shown = pgweave("show", identifier, "--dsn", database).out
    assert "error[22012]: division by zero" in shown
    assert "SELECT 1 / 0" in shown
    assert "^" in shown


def test_a_worker_without_a_schema_never_says_that_it_is_ready(pgweave: Command, bare: str) -> None:
    pgweave("db", "install", "--dsn", bare)
    pgweave("db", "uninstall", "--yes", "--dsn", bare)
    done = pgweave("worker", "--once", "--dsn", bare)
    assert done.code == 2
    assert "is ready" not in done.err


def test_a_label_cannot_move_the_cursor(pgweave: Command, database: str) -> None:
    with Client(database) as client:
        client.start("SELECT 1", "red\x1b[31m\nalert")
    assert pgweave("ps", "--dsn", database).out.endswith("red [31m alert\n")


def test_an_instance_that_waits_is_shown_signalled_and_awaited(pgweave: Command, database: str) -> None:
    pgweave.write(
        "waits.df", "(df.wait_for_signal('go', 3600) |=> 'said') ~> 'SELECT ($said.data)::jsonb ->> ''by'' AS by'"
    )
    identifier = pgweave("run", "waits.df", "--no-wait", "--dsn", database).out.strip()
    pgweave("worker", "--once", "--dsn", database)

    shown = pgweave("show", identifier, "--dsn", database).out
    assert "… wait for signal go (at most 3600 s)  waiting" in shown
    nodes = json.loads(pgweave("show", identifier, "--json", "--dsn", database).out)["nodes"]
    assert [(node["node_type"], node["status"]) for node in nodes] == [
        ("THEN", "running"), ("SIGNAL", "waiting"), ("SQL", "pending")
    ]  # fmt: skip

    done = pgweave("result", identifier, "--dsn", database)
    assert (done.code, done.out, done.err) == (1, "", f"{identifier} is running and has no result.\n")
    done = pgweave("wait", identifier, "--timeout", "1", "--dsn", database)
    assert (done.code, done.out) == (2, "")
    assert f"{identifier} has not ended after 1 s." in done.err

    assert pgweave("signal", identifier, "go", '{"by": "Ann"}', "--dsn", database).out == f"sent go to {identifier}\n"
    work(database, identifier)
    assert pgweave("wait", identifier, "--dsn", database).out == "completed\n"
    assert pgweave("result", identifier, "--dsn", database).out.split() == ["by", "───", "Ann"]
    found = json.loads(pgweave("result", identifier, "--json", "--dsn", database).out)
    assert found["result"]["rows"] == [{"by": "Ann"}]


def test_an_instance_is_cancelled(pgweave: Command, database: str) -> None:
    pgweave.write("waits.df", "df.wait_for_signal('go')")
    identifier = pgweave("run", "waits.df", "--no-wait", "--dsn", database).out.strip()
    pgweave("worker", "--once", "--dsn", database)
    assert pgweave("cancel", identifier, "why", "--reason", "why", "--dsn", database).code == 2
    done = pgweave("cancel", identifier, "no longer wanted", "--dsn", database)
    assert (done.code, done.out) == (0, f"Instance {identifier} cancelled: no longer wanted\n")
    pgweave("worker", "--once", "--dsn", database)
    done = pgweave("wait", identifier, "--json", "--dsn", database)
    assert (done.code, json.loads(done.out)["status"]) == (1, "cancelled")
    done = pgweave("cancel", identifier, "--json", "--dsn", database)
    assert (done.code, json.loads(done.out)["status"]) == (0, "cancelled")


def test_a_signal_that_nothing_waits_for_says_what_is_waited_for(pgweave: Command, database: str) -> None:
    pgweave.write("waits.df", "df.wait_for_signal('go')")
    identifier = pgweave("run", "waits.df", "--no-wait", "--dsn", database).out.strip()
    pgweave("worker", "--once", "--dsn", database)
    done = pgweave("signal", identifier, "goo", "--dsn", database)
    assert (done.code, done.out) == (0, f"sent goo to {identifier}\n")
    assert done.err == "Nothing waits for goo yet; the signal is kept until something does. It waits for: go.\n"
    found = json.loads(pgweave("signal", identifier, "gooo", "--json", "--dsn", database).out)
    assert found == {"instance_id": identifier, "sent": "gooo", "waited_for": ["go"]}
    pgweave("cancel", identifier, "--dsn", database)
    pgweave("worker", "--once", "--dsn", database)
    done = pgweave("signal", identifier, "go", "--dsn", database)
    assert (done.code, done.out) == (2, "")
    assert f"Instance {identifier} is cancelled; a signal does not reach it any more." in done.err


def test_a_worker_of_the_version_before_goes_on_where_the_newer_schema_allows_it(
    pgweave: Command, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into df.migrations (number, name, checksum, works_with) values (%s, 'later', 'x', %s)",
            [NEWEST + 1, NEWEST],
        )
        done = pgweave("run", "clean.df", "--dsn", database)
        assert (done.code, "completed" in done.err or bool(done.out)) == (0, True)
        assert pgweave("worker", "--once", "--dsn", database).code == 0
        done = pgweave("db", "status", "--dsn", database)
        said = f"Version {NEWEST + 1}, newer than this pgweave ({NEWEST}), and works with it. Upgrade pgweave.\n"
        assert (done.code, done.out) == (1, said)
        assert json.loads(pgweave("db", "status", "--json", "--dsn", database).out)["works"]
        connection.execute("update df.migrations set works_with = null where number > %s", [NEWEST])
        assert not json.loads(pgweave("db", "status", "--json", "--dsn", database).out)["works"]
        assert pgweave("worker", "--once", "--dsn", database).code == 2


def test_a_schema_that_does_not_say_its_version_is_refused_by_every_command(pgweave: Command, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("delete from df.migrations")
    for arguments in (["db", "status"], ["db", "install"], ["worker", "--once"], ["ps"]):
        done = pgweave(*arguments, "--dsn", database)
        assert (done.code, done.out) == (2, "")
        assert "df.migrations is empty" in done.err


def test_the_exit_code_of_db_status_says_whether_the_schema_fits(pgweave: Command, bare: str) -> None:
    def found() -> tuple[int, str]:
        done = pgweave("db", "status", "--json", "--dsn", bare)
        return done.code, json.loads(done.out)["state"] if done.out else done.err

    assert found() == (1, "missing")
    pgweave("db", "install", "--dsn", bare)
    assert found() == (0, "current")
    with psycopg.connect(bare, autocommit=True) as connection:
        connection.execute("insert into df.migrations (number, name, checksum) values (9999, 'later', 'x')")
        assert found() == (1, "ahead")
        connection.execute("delete from df.migrations where number = 9999")
        connection.execute("update df.migrations set checksum = 'another' where number = 1")
    code, said = found()
    assert code == 2
    assert "is not the one that this pgweave has" in said


def test_the_schema_is_installed_looked_at_and_removed(pgweave: Command, bare: str) -> None:
    assert pgweave("db", "status", "--dsn", bare).out == "No df schema. Install it with `pgweave db install`.\n"
    done = pgweave("db", "upgrade", "--dsn", bare)
    assert (done.code, "no df schema to upgrade" in done.err) == (2, True)

    done = pgweave("db", "install", "--dsn", bare)
    ran = "1 migration" if len(migrations()) == 1 else f"{len(migrations())} migrations"
    assert (done.code, done.err) == (0, f"The df schema is at version {NEWEST}; {ran} ran.\n")
    assert pgweave("db", "install", "--dsn", bare).err == f"The df schema is at version {NEWEST}; no migrations ran.\n"
    assert pgweave("db", "upgrade", "--dsn", bare).code == 0
    assert pgweave("db", "status", "--dsn", bare).out == f"Version {NEWEST}, up to date.\n"
    found = json.loads(pgweave("db", "status", "--json", "--dsn", bare).out)
    assert found == {"state": "current", "installed": NEWEST, "available": NEWEST, "works": True, "pending": 0}

    assert pgweave("db", "uninstall", "--dsn", bare, stdin=b"n\n").code == 1
    assert pgweave("db", "uninstall", "--dsn", bare).code == 1, "nobody answered"
    assert pgweave("db", "status", "--dsn", bare).out == f"Version {NEWEST}, up to date.\n"
    assert pgweave("db", "uninstall", "--yes", "--dsn", bare).err == "The df schema is gone.\n"
    assert pgweave("db", "uninstall", "--yes", "--dsn", bare).code == 2


def test_a_schema_df_of_somebody_else_is_left_alone(pgweave: Command, bare: str) -> None:
    with psycopg.connect(bare) as connection:
        connection.execute("create schema df create table theirs (n integer)")
    for arguments in (["db", "install"], ["db", "uninstall", "--yes"], ["ps"]):
        done = pgweave(*arguments, "--dsn", bare)
        assert (done.code, done.out) == (2, "")
        assert "there is a schema df that pgweave did not make" in done.err
    with psycopg.connect(bare) as connection:
        assert connection.execute("select to_regclass('df.theirs')::text").fetchone() == ("df.theirs",)


def test_a_loop_that_goes_on_is_not_shown_as_completed(pgweave: Command, database: str) -> None:
    """What is recorded of a loop and of a race is internal to the worker, not their result."""
    with with_worker(database) as place:
        instance = place.start(
            "('SELECT 2' | df.sleep(30)) ~> @> ('SELECT 1 AS n' ~> df.sleep(1) ~> df.wait_for_signal('go'))"
        )
        place.events.wait_for("parked", instance, times=2)
        place.client.signal(instance, "go")
        place.until(
            f"exists (select from df.runs where instance_id = '{instance}' and iteration = '{{2}}' and status = 'waiting')"
        )
        shown = pgweave("show", instance, "--dsn", database).out
        nodes = {
            node["node_type"]: node
            for node in json.loads(pgweave("show", instance, "--dsn", database, "--json").out)["nodes"]
        }
        place.client.cancel(instance)
        place.ended(instance)
    assert "▶ loop  running" in shown
    assert (nodes["LOOP"]["status"], nodes["LOOP"]["result"]) == ("running", None)
    assert (nodes["RACE"]["status"], nodes["RACE"]["result"]["rows"]) == ("completed", [{"?column?": 2}])
