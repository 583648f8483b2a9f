"""What an error means: only what a step's own statement did fails the step, and nothing is tried again for ever.

Each test makes a real server say something to a worker. The table itself is in `pgweave.runtime.worker.classify`.
"""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.checker import check
from support.proxy import Cut, Proxy
from support.work import QUICK, Database, with_worker

from pgweave.runtime import migrate
from pgweave.runtime.client import Client
from pgweave.runtime.connect import step_conninfo
from pgweave.runtime.errors import InstanceEnded, PgweaveError, WorkerRefused
from pgweave.runtime.worker import service, sessions, sql_step
from pgweave.runtime.worker.service import Settings, Worker, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.runtime.server.embedded import Server


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deferred comes back soon, and attempts follow each other at once."""
    monkeypatch.setattr(service, "DEFER_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(sql_step, "sleep", lambda seconds: None)


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    with with_worker(database) as found:
        found.sql("create table fx (step text)")
        yield found
    check(database)


def plant(place: Database, function: str, statement: str) -> None:
    """Have one of the schema's functions begin with this statement."""
    ((definition,),) = place.sql("select pg_get_functiondef(oid) from pg_proc where proname = %s", function)
    place.sql(definition.replace("\nbegin\n", f"\nbegin\n{statement}\n", 1))


@contextmanager
def role(place: Database, name: str) -> Iterator[str]:
    """A role of this process that may start workflows."""
    name = f"{name}_{os.getpid()}"
    place.sql(f"create role {name} login")
    place.sql(f"select df.grant_usage('{name}')")
    try:
        yield name
    finally:
        if place.sql("select 1 from pg_roles where rolname = %s", name):
            place.sql(f"drop owned by {name} cascade")
            place.sql(f"drop role {name}")


def start_as(place: Database, name: str, expression: str) -> str:
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(f"set role {name}".encode())
        row = connection.execute(f"select df.start({expression})".encode()).fetchone()
    assert row is not None
    return str(row[0])


# Statements that refuse to run in a transaction.


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("begin commit; end", "invalid transaction termination"),
        ("begin execute 'vacuum'; end", "VACUUM cannot be executed from a function"),
        ("begin raise exception 'mine' using errcode = '2D000'; end", "mine"),
        ("begin raise exception 'mine' using errcode = '25001'; end", "mine"),
    ],
)
def test_a_function_that_cannot_run_in_a_step_fails_it_at_once_with_the_servers_words(
    place: Database, body: str, said: str
) -> None:
    place.sql(f"create function f() returns void language plpgsql as $f$ {body} $f$")
    instance = place.start("'select f()'")
    assert said in str((place.ended(instance).error or {})["message"])
    assert place.events.count("claimed", instance) == 1


def test_the_result_limit_holds_outside_of_a_transaction(database: str) -> None:
    """200 MB, of which the worker reads no more than the limit."""
    with with_worker(database, Settings(lease_seconds=3.0, poll_seconds=0.2, max_result_bytes=100_000)) as place:
        place.sql(
            "create function large() returns setof text language plpgsql as $f$ declare v_context text; begin"
            " get diagnostics v_context = pg_context;"
            " if v_context ~ 'exec_node' then raise exception 'alone' using errcode = '25001'; end if;"
            " return query select repeat('x', 10000) from generate_series(1, 20000); end $f$"
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ended = place.finish("'select large()'")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (ended.error or {})["sqlstate"] == "PWR03"
    assert "The result is larger than 100000 bytes" in (ended.error or {})["message"]
    assert grown < 50_000, f"the worker grew by {grown} kB"


def test_rows_come_out_of_a_statement_that_runs_by_itself(place: Database) -> None:
    place.sql("create procedure p(inout a int, b text) language plpgsql as $f$ begin commit; a := a + 1; end $f$")
    ended = place.finish("'call p(41, null)'")
    assert ended.result == '{"rows":[{"a":42}],"row_count":1,"rows_affected":1}'


def test_an_outcome_that_cannot_be_recorded_fails_the_step_and_is_not_sought_again(place: Database) -> None:
    """NaN is no JSON. The procedure ran again and again, for ever."""
    place.sql(
        "create procedure p(inout x float8) language plpgsql as"
        " $f$ begin insert into fx values ('ran'); commit; x := 'NaN'; end $f$"
    )
    ended = place.finish("'call p(0)'")
    assert ended.status in {"failed", "completed"}
    assert place.sql("select count(*) from fx") == [(1,)]


# Something a step needs is full or away.


SHORTAGES = ["53100", "08006", "08001", "XX000"]


@pytest.fixture
def scarce(place: Database) -> Database:
    """A database whose function use_it(SQLSTATE) fails until there is a row in `room`."""
    place.sql("create table room (there bool)")
    place.sql(
        "create function use_it(state text) returns void language plpgsql as $f$ begin"
        " if not exists (select from room) then raise exception 'not now' using errcode = state; end if; end $f$"
    )
    return place


@pytest.mark.parametrize("state", SHORTAGES)
def test_a_step_is_deferred_until_there_is_room(scarce: Database, state: str) -> None:
    """A full disk and a database behind dblink come back after minutes; seven quick attempts were no help."""
    instances = [
        scarce.start(f"$$SELECT use_it('{state}')$$ ~> 'INSERT INTO fx VALUES (''after {n}'')'") for n in range(3)
    ]
    for instance in instances:
        scarce.events.wait_for("claimed", instance, times=9)  # more often than a step is tried in a row
    scarce.sql("insert into room values (true)")
    for instance in instances:
        ended = scarce.ended(instance)
        assert ended.status == "completed", ended.error
    assert scarce.sql("select count(*) from fx") == [(3,)]


@pytest.mark.parametrize("state", SHORTAGES)
def test_a_step_that_always_asks_for_too_much_fails_in_the_end(
    scarce: Database, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(sessions, "INTERNAL_SECONDS" if state == "XX000" else "SHORTAGE_SECONDS", 0.5)
    ended = scarce.finish(f"$$SELECT use_it('{state}')$$")
    assert (ended.status, (ended.error or {}).get("sqlstate")) == ("failed", state)


def test_a_deferred_step_can_be_cancelled(scarce: Database) -> None:
    instance = scarce.start("$$SELECT use_it('53100')$$")
    scarce.events.wait_for("claimed", instance, times=3)
    scarce.client.cancel(instance)
    assert scarce.ended(instance).status == "cancelled"


# The worker's own statements.


@pytest.mark.parametrize("function", ["step_begin", "worker_settle", "worker_load", "worker_finish"])
@pytest.mark.parametrize("state", ["57014", "55P03", "40001", "53200"])
def test_what_hits_a_statement_of_the_worker_fails_no_step(quiet: Database, function: str, state: str) -> None:
    """statement_timeout and pg_cancel_backend, a lock, a conflict, no memory: waited for, and the step runs once."""
    quiet.sql("create table gate (shut bool)")
    quiet.sql("insert into gate values (true)")
    plant(
        quiet,
        function,
        f"if (select shut from public.gate) then raise exception 'hit' using errcode = '{state}'; end if;",
    )
    with with_worker(quiet.dsn) as place:
        instance = place.start("'INSERT INTO fx VALUES (''once'')'")
        place.events.wait_for("claimed", instance, times=2)
        quiet.sql("update gate set shut = false")
        ended = place.ended(instance)
        assert ended.status == "completed", ended.error


@pytest.mark.parametrize("function", ["worker_settle", "worker_load"])
def test_an_error_of_the_workers_half_that_does_not_pass_fails_the_instance_by_name(
    place: Database, function: str
) -> None:
    plant(place, function, "perform 'nonsense'::json;")
    instance = place.start("'SELECT 1'")
    ended = place.ended(instance)
    assert ended.status == "failed"
    assert "invalid input syntax for type json" in (ended.error or {})["message"]
    assert place.events.count("claimed", instance) == 1


@pytest.mark.parametrize("state", ["57014", "22P02", "42501"])
def test_a_cancel_comes_before_whatever_else_goes_wrong(place: Database, state: str) -> None:
    instance = place.start("df.wait_for_signal('go')")
    place.events.wait_for("parked", instance)
    plant(place, "worker_settle", f"raise exception 'hit' using errcode = '{state}';")
    place.client.cancel(instance)
    assert place.ended(instance).status == "cancelled"


def test_a_result_that_cannot_be_stored_is_refused_at_the_start(place: Database) -> None:
    """JSON has numbers that jsonb has not."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="more than a result can hold"):
        place.start("df.loop(df.break('1e400000'))")


def test_a_bug_of_the_worker_is_given_up_after_a_few_leases_with_its_reason(
    place: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("pgweave.runtime.worker.drive.advance", broken)
    instance = place.start("'SELECT 1'")
    assert (place.ended(instance).error or {})["message"] == "Internal error of the worker: RecursionError: too deep"
    assert place.events.count("claimed", instance) == service.INTERNAL_ATTEMPTS


# The worker itself.


def test_a_role_that_may_not_work_is_told_so_before_anything_waits_for_it(quiet: Database) -> None:
    with role(quiet, "submitter") as name:
        dsn = make_conninfo(quiet.dsn, user=name)
        with pytest.raises(WorkerRefused, match=f"The role {name} may not work off workflows") as caught:
            Worker(dsn, QUICK).run()
        assert f"pgweave db enrol --worker {name}" in caught.value.advice
        with pytest.raises(WorkerRefused), working(dsn, QUICK):
            pytest.fail("the block must not begin")


def test_a_worker_whose_right_is_taken_away_stops_and_says_why(quiet: Database) -> None:
    name = f"laborer_{os.getpid()}"
    quiet.sql(f"create role {name} login")
    quiet.sql(f"select df.grant_worker('{name}')")
    try:
        worker = Worker(make_conninfo(quiet.dsn, user=name), QUICK)
        caught: list[BaseException] = []

        def run() -> None:
            try:
                worker.run()
            except WorkerRefused as error:
                caught.append(error)

        thread = Thread(target=run)
        thread.start()
        assert worker.ready.wait(30)
        quiet.sql(f"select df.revoke_worker('{name}')")
        thread.join(30)
        assert not thread.is_alive()
        assert caught
    finally:
        quiet.sql(f"drop owned by {name} cascade")
        quiet.sql(f"drop role {name}")


# Roles that change between claim and step.


def test_a_role_that_is_renamed_between_claim_and_step_goes_on(quiet: Database) -> None:
    with role(quiet, "before") as old:
        new = f"after_{os.getpid()}"
        instance = start_as(quiet, old, "'SELECT session_user::text AS me'")
        seen: list[str] = []

        def rename(event: str, instance_id: str, node_id: str | None) -> None:
            if event == "claimed" and not seen:
                quiet.sql(f"alter role {old} rename to {new}")
            seen.append(event)

        try:
            with working(quiet.dsn, QUICK, rename):
                ended = quiet.ended(instance)
        finally:
            quiet.sql(f"alter role {new} rename to {old}")
        assert ended.status == "completed", ended.error
        assert new in str(ended.result)


def test_the_step_of_a_role_that_was_dropped_says_why_it_did_not_run(quiet: Database) -> None:
    with role(quiet, "gone") as name:
        instance = start_as(quiet, name, "'SELECT 1' ~> 'SELECT 2'")
        seen: list[str] = []

        def drop(event: str, instance_id: str, node_id: str | None) -> None:
            if event == "claimed" and not seen:
                quiet.sql(f"drop owned by {name} cascade")
                quiet.sql(f"drop role {name}")
            seen.append(event)

        with working(quiet.dsn, QUICK, drop):
            assert quiet.ended(instance).status == "failed"
    states = {node.ordinal: (node.status, node.error or "") for node in quiet.client.nodes(instance)}
    assert states[1][0] == "failed"
    assert "role no longer exists" in states[1][1]
    assert states[2][0] == "pending"


# Loops.


def turns(place: Database, loop: str, count: int) -> float:
    """Seconds from the first to the last of so many turns that write the time into fx."""
    instance = place.start(loop)
    place.until(f"(select count(*) from fx) >= {count}")
    place.client.cancel(instance)
    place.ended(instance)
    ((seconds,),) = place.sql(
        "select extract(epoch from max(step::timestamptz) - min(step::timestamptz))::float8"
        f" from (select step from fx order by step::timestamptz limit {count}) as first"
    )
    return float(seconds)


TURN = "'INSERT INTO fx VALUES (clock_timestamp())'"


@pytest.mark.parametrize(
    "body", [TURN, f"{TURN} ~> df.sleep(0)", f"{TURN} ~> ('SELECT true' ?> 'SELECT 1' !> df.sleep(60))"]
)
def test_an_endless_loop_turns_once_a_second_whatever_its_body_holds(place: Database, body: str) -> None:
    """It is about the turn that was: a sleep of no time, or one that was not reached, is no rest."""
    assert turns(place, f"@> ({body})", 3) >= 1.9


def test_a_loop_that_takes_signals_turns_as_fast_as_they_come(database: str) -> None:
    settings = Settings(lease_seconds=3.0, poll_seconds=0.2, loop_seconds=3600.0)
    with with_worker(database, settings) as place:
        place.sql("create table fx (step text)")
        instance = place.start(f"@> (df.wait_for_signal('job') ~> {TURN})")
        for n in range(5):
            place.client.signal(instance, "job", n)
        place.until("(select count(*) from fx) = 5")
        place.client.cancel(instance)
        place.ended(instance)


# Settings of the database, and what sessions are opened with.


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres, MDY"])
def test_times_are_read_whatever_the_date_style_of_the_database(quiet: Database, style: str) -> None:
    name = conninfo_to_dict(quiet.dsn)["dbname"]
    quiet.sql(f"alter database {name} set datestyle = '{style}'")
    with with_worker(quiet.dsn) as place, Client(quiet.dsn) as client:
        instance = place.finish("'SELECT now() AS at' ~> df.sleep(0) ~> 'SELECT 1'")
        assert instance.status == "completed", instance.error
        assert client.instance(instance.id).completed_at is not None
        assert client.now() >= instance.created_at
        assert all(run.started_at for run in client.runs(instance.id))
        assert client.workers()[0].seen_at <= client.now()


def test_a_step_that_sets_its_date_style_is_read_like_any_other(place: Database) -> None:
    ended = place.finish("$$SELECT set_config('datestyle', 'SQL, DMY', false)$$ ~> 'SELECT 1 AS one'")
    assert ended.status == "completed", ended.error
    assert [run.attempts for run in place.client.runs(ended.id)] == [1, 1]


@contextmanager
def encoded(server: Server, encoding: str) -> Iterator[str]:
    """A bare database in this encoding."""
    name = f"encoded_{encoding.lower()}_{os.getpid()}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0".encode())
    try:
        yield make_conninfo(server.dsn, dbname=name)
    finally:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)".encode())


def test_a_database_without_an_encoding_works(server: Server) -> None:
    with encoded(server, "SQL_ASCII") as dsn:
        migrate.install(dsn)
        with with_worker(dsn) as place:
            with psycopg.connect(dsn, autocommit=True, client_encoding="utf8") as connection:
                row = connection.execute("select df.start($$SELECT 'fünf' AS word$$)").fetchone()
            assert row is not None
            ended = place.ended(row[0])
            assert ended.status == "completed", ended.error
            assert "fünf" in str(ended.result)


def test_a_database_in_an_encoding_that_lacks_characters_is_refused(server: Server) -> None:
    with encoded(server, "LATIN1") as dsn, pytest.raises(PgweaveError, match="stores text in LATIN1") as caught:
        migrate.install(dsn)
    assert "ENCODING 'UTF8'" in caught.value.advice


def test_the_workers_password_is_not_sent_for_another_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty and not left out: libpq would take PGPASSWORD. With it empty, the password file is asked for the role."""
    monkeypatch.setenv("PGPASSWORD", "of the worker, too")
    dsn = "postgresql://worker:secret@db/shop"
    assert conninfo_to_dict(step_conninfo(dsn, "ann", None, own_role="worker"))["password"] == ""
    assert conninfo_to_dict(step_conninfo(dsn, "worker", None, own_role="worker"))["password"] == "secret"


# What people are told.


def test_a_cancel_that_comes_after_the_end_says_so(quiet: Database) -> None:
    """The request was accepted while the end was being written."""
    instance = quiet.start("'SELECT 1'")
    answers: list[str] = []
    with psycopg.connect(quiet.dsn) as ending, Client(quiet.dsn) as client:
        row = ending.execute("select token from df_internal.worker_claim('by hand', 1, 60)").fetchone()
        assert row is not None
        ending.commit()
        ending.execute("select df_internal.worker_finish(%s, %s, 'completed', '1', null, '[]')", [instance, row[0]])
        thread = Thread(target=lambda: answers.append(client.cancel(instance)))
        thread.start()
        quiet.until(
            "exists (select from pg_stat_activity where application_name = 'pgweave client' and wait_event_type = 'Lock')"
        )
        ending.commit()
        thread.join()
    assert answers == [f"Instance {instance} is already completed"]


def test_a_signal_says_which_names_are_waited_for(place: Database) -> None:
    instance = place.start("df.wait_for_signal('go') & df.wait_for_signal('stop')")
    place.events.wait_for("parked", instance)
    assert place.client.signal(instance, "goo") == ["go", "stop"]
    place.client.signal(instance, "go")
    place.client.signal(instance, "stop")
    place.ended(instance)
    with pytest.raises(InstanceEnded, match="is completed; a signal does not reach it any more"):
        place.client.signal(instance, "go")


# A line that takes everything and forwards nothing.


@pytest.mark.parametrize("cut", [Cut.SWALLOWED, Cut.ANSWER_SWALLOWED])
@pytest.mark.parametrize("statement", ["worker_load", "worker_settle", "worker_finish"])
def test_a_silent_line_of_the_worker_holds_no_instance(
    quiet: Database, monkeypatch: pytest.MonkeyPatch, statement: str, cut: Cut
) -> None:
    """Its other lines kept the lease, so no other worker could help either."""
    monkeypatch.setattr(service, "ANSWER_SECONDS", 1.0)
    left = [cut]

    def plan(message: bytes) -> Cut:
        return left.pop() if statement.encode() in message and left else Cut.NOT

    with Proxy(quiet.dsn, plan) as proxy, with_worker(proxy.dsn) as place:
        ended = place.finish("'INSERT INTO fx VALUES (''once'')'")
        assert ended.status == "completed", ended.error
    assert not left


@pytest.mark.parametrize("cut", [Cut.SWALLOWED, Cut.ANSWER_SWALLOWED])
def test_a_silent_line_of_a_step_holds_no_instance(quiet: Database, monkeypatch: pytest.MonkeyPatch, cut: Cut) -> None:
    """Whether the request was lost or its answer: the step has run once."""
    monkeypatch.setattr(service, "SILENT_SECONDS", 0.5)
    left = [cut]

    def plan(message: bytes) -> Cut:
        return left.pop() if b"exec_node" in message and left else Cut.NOT

    with Proxy(quiet.dsn, plan) as proxy, with_worker(proxy.dsn) as place:
        ended = place.finish("'INSERT INTO fx VALUES (''once'')'")
        assert ended.status == "completed", ended.error
    assert not left


def test_a_step_that_takes_long_is_left_alone(place: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SILENT_SECONDS", 0.2)
    ended = place.finish("'SELECT pg_sleep(2)'")
    assert [run.attempts for run in place.client.runs(ended.id)] == [1]
