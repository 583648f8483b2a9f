"""Outages and suspects: no step fails because there was no server, and none because of what another one did.

A server that is away, that has no session to give or may not write is waited for, however long. A step that ends its
session or its worker again and again is given up; those that were beside it are not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.checker import check
from support.work import QUICK, Database, with_worker

from pgweave.runtime import migrate
from pgweave.runtime.client import Client
from pgweave.runtime.server import embedded
from pgweave.runtime.worker import drive, service, sessions, sql_step
from pgweave.runtime.worker.service import Settings
from pgweave.runtime.worker.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


SOON = (0.05, 0.1)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deferred comes back soon."""
    monkeypatch.setattr(service, "DEFER_SECONDS", SOON)


def effect(step: str) -> str:
    return f"'INSERT INTO fx VALUES (''{step}'')'"


STEP_SESSIONS = "from pg_stat_activity where datname = current_database() and application_name = 'pgweave step'"


# The server is away, or has nothing to give.


def test_sessions_that_died_while_nobody_used_them_cost_no_attempt(quiet: Database) -> None:
    """A restart ends all of them at once; a step that met with one after the other used to come to its last attempt."""
    with with_worker(quiet.dsn):
        quiet.finish(" & ".join(["'SELECT pg_sleep(0.2)'"] * 8))
        assert quiet.sql(f"select count(*) > 4 {STEP_SESSIONS}") == [(True,)], "too few sessions to make it interesting"
        quiet.sql(f"select pg_terminate_backend(pid) {STEP_SESSIONS}")
        quiet.until(f"not exists (select {STEP_SESSIONS})")
        instance = quiet.finish(effect("afterwards"))
        assert [node.attempts for node in quiet.client.nodes(instance.id)] == [1]


@contextmanager
def own_server() -> Iterator[embedded.Server]:
    with embedded.temporary() as server:
        migrate.install(server.dsn)
        yield server


def test_a_step_waits_for_its_server_however_long_it_is_away() -> None:
    """Longer than all patience there is: the step in hand is deferred, again and again, and runs once."""
    with own_server() as server, pytest.MonkeyPatch.context() as patch:
        for name in ("RECONNECT_SECONDS", "ACQUIRE_SECONDS", "MAX_PAUSE_SECONDS"):
            patch.setattr(service, name, 1.0)
        patch.setattr(service, "Sessions", partial(sessions.Sessions, acquire_seconds=1.0))
        place = Database(server.dsn)
        place.sql("create table fx (step text)")
        place.client.close()
        cluster = server.cluster
        with with_worker(server.dsn, Settings(lease_seconds=1.0, poll_seconds=0.1, max_attempts=2)) as working:
            instance = working.start(f"$$SELECT pg_sleep(1)$$ ~> {effect('after')}")
            working.until(
                "exists (select from pg_stat_activity where application_name = 'pgweave step' and state = 'active')"
            )
            for _ in range(3):  # more often than a worker may die with it
                assert cluster.run("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w").returncode == 0
                cluster.start()
            working.client.close()
            working.client = Client(server.dsn)
            ended = working.ended(instance)
            assert ended.status == "completed", ended.error
            assert working.sql("select step from fx") == [("after",)]
        check(server.dsn)


def test_a_role_whose_sessions_are_all_taken_is_waited_for(quiet: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a step is patient. Meanwhile others work, and so does the worker itself."""
    impatient = partial(sessions.Sessions, acquire_seconds=0.2)
    monkeypatch.setattr(service, "Sessions", impatient)
    name = f"crowded_{os.getpid()}"
    quiet.sql(f"create role {name} login")
    quiet.sql(f"grant usage on schema public to {name}; grant insert on fx to {name}; select df.grant_usage('{name}')")
    try:
        quiet.sql(f"alter role {name} connection limit 0")
        with with_worker(quiet.dsn) as working:
            with psycopg.connect(quiet.dsn, autocommit=True) as ann:
                ann.execute(f"set role {name}")
                row = ann.execute(f"select df.start({effect('crowded')})").fetchone()
            assert row is not None
            working.events.wait_for("claimed", row[0], times=3)
            assert working.finish(effect("another")).status == "completed"
            quiet.sql(f"alter role {name} connection limit -1")
            assert working.ended(row[0]).status == "completed"
    finally:
        quiet.sql(f"drop owned by {name} cascade")
        quiet.sql(f"drop role {name}")


def test_a_standby_that_is_still_to_be_promoted_is_not_the_fault_of_a_step(
    quiet: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's claim came before the failover, its step comes after it."""
    monkeypatch.setattr(sql_step, "sleep", lambda seconds: None)
    quiet.sql("create table gate (shut boolean)")
    quiet.sql("insert into gate values (true)")
    begin = quiet.sql("select pg_get_functiondef('df_internal.step_begin(text, text, integer[], uuid)'::regprocedure)")[
        0
    ][0]
    refuse = "if (select shut from public.gate) then raise read_only_sql_transaction; end if;"
    quiet.sql(begin.replace("\nbegin\n", f"\nbegin\n{refuse}\n", 1))
    with with_worker(quiet.dsn) as working:
        instance = working.start(effect("promoted"))
        working.events.wait_for("claimed", instance, times=2)
        quiet.sql("update gate set shut = false")
        assert working.ended(instance).status == "completed"


def test_branches_share_the_few_sessions_that_their_role_may_have(
    quiet: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at a time where six could run: those that find none wait their turn, and the others do not wait for them."""
    monkeypatch.setattr(service, "Sessions", partial(sessions.Sessions, acquire_seconds=0.1))
    monkeypatch.setattr(drive, "RETRY_SECONDS", 0.1)
    name = f"modest_{os.getpid()}"
    quiet.sql(f"create role {name} login connection limit 2")
    quiet.sql(f"grant usage on schema public to {name}; grant insert on fx to {name}; select df.grant_usage('{name}')")
    try:
        with with_worker(quiet.dsn) as working:
            with psycopg.connect(quiet.dsn, autocommit=True) as ann:
                ann.execute(f"set role {name}")
                branches = [f"$$INSERT INTO fx SELECT '{n}' FROM pg_sleep(0.4)$$" for n in range(6)]
                row = ann.execute(f"select df.start({' & '.join(branches)})".encode()).fetchone()
            assert row is not None
            ended = working.ended(row[0])
            assert ended.status == "completed", ended.error
        assert quiet.sql("select count(*) from fx") == [(6,)]
    finally:
        quiet.sql(f"drop owned by {name} cascade")
        quiet.sql(f"drop role {name}")


@pytest.mark.parametrize(
    ("said", "for_good"),
    [
        ('connection to server failed: FATAL:  no pg_hba.conf entry for host "[local]", user "ann"', True),
        ('connection to server failed: FATAL:  password authentication failed for user "ann"', True),
        ("connection to server failed: fe_sendauth: no password supplied", True),
        ('connection to server failed: FATAL:  role "ann" is not permitted to log in', True),
        ("connection to server failed: FATAL:  unsupported startup parameter: options", True),
        ("connection to server failed: FATAL:  the database system is starting up", False),
        ("connection to server failed: FATAL:  sorry, too many clients already", False),
        ('connection to server on socket "/srv/password/.s.PGSQL.5432" failed: No such file or directory', False),
    ],
)
def test_a_refusal_that_only_people_can_lift_is_told_from_one_that_passes(
    monkeypatch: pytest.MonkeyPatch, said: str, for_good: bool
) -> None:
    def refuse(conninfo: str) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(psycopg, "connect", refuse)
    refusal = sessions.Sessions("dbname=app", ("worker", "app"), 1).refusal("ann", None)
    assert (refusal is not None) == for_good


def test_what_was_done_outside_of_a_transaction_is_recorded_through_short_troubles(quiet: Database) -> None:
    """Else it would be done again, and fail: the index is there."""
    quiet.sql("create sequence records")
    quiet.sql(
        "create function trip() returns trigger language plpgsql as $f$ begin"
        " if nextval('public.records') <= 2 then raise exception 'trouble' using errcode = 'serialization_failure'; end if;"
        " return new; end $f$"
    )
    quiet.sql("create trigger trip before insert on df.runs for each row execute function trip()")
    with with_worker(quiet.dsn) as working:
        ended = working.finish("'CREATE INDEX CONCURRENTLY by_step ON fx (step)'")
    assert ended.status == "completed", ended.error
    assert quiet.sql("select last_value from records") == [(3,)]


# A step that kills workers or sessions, and those beside it.


WORKER = """
import os, sys
from pgweave.runtime.worker import service
from pgweave.runtime.worker.service import Settings, Worker

service.DEFER_SECONDS = (0.05, 0.1)
dsn, deadly = sys.argv[1:]

def die(event, instance_id, node_id):
    if (event, instance_id) == ("step", deadly):
        os._exit(1)

Worker(dsn, Settings(lease_seconds=0.3, poll_seconds=0.05, max_attempts=6), die).run()
"""


def test_who_was_beside_an_instance_that_kills_its_workers_goes_on(quiet: Database) -> None:
    """All of them die with each worker, and none of the others comes further while the deadly one is there."""
    deadly = quiet.start("'SELECT 1 AS deadly'")
    others = [quiet.start(f"$$SELECT pg_sleep(0.7)$$ ~> {effect(str(n))}") for n in range(3)]
    while quiet.client.status(deadly) != "failed":
        process = subprocess.Popen([sys.executable, "-c", WORKER, quiet.dsn, deadly])
        try:
            while process.poll() is None and quiet.client.status(deadly) != "failed":
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
        finally:
            process.kill()
            process.wait()
    with with_worker(quiet.dsn):
        for other in others:
            ended = quiet.ended(other)
            assert ended.status == "completed", ended.error
    error = quiet.client.instance(deadly).error or {}
    assert error["message"] == "poison: given up after 6 attempts without progress"


def test_only_one_suspect_at_a_time_is_worked_on(quiet: Database) -> None:
    with psycopg.connect(quiet.dsn, autocommit=True) as one, psycopg.connect(quiet.dsn, autocommit=True) as two:
        first, second = (Store(lambda held=held: nullcontext(held)) for held in (one, two))  # type: ignore[misc]
        with first.quarantine() as free:
            assert free
            with second.quarantine() as also:
                assert not also
        with second.quarantine() as free:
            assert free


def test_a_suspect_has_its_turn_when_the_other_has_had_it(quiet: Database) -> None:
    with with_worker(quiet.dsn, QUICK) as working:
        with psycopg.connect(quiet.dsn) as holder:
            holder.execute("select df_internal.worker_quarantine()")
            instance = working.start("df.wait_for_signal('go') ~> " + effect("cleared"))
            working.events.wait_for("parked", instance)
            quiet.sql("update df.queue set attempts = 5")  # workers died with it
            quiet.client.signal(instance, "go")
            working.events.wait_for("claimed", instance, times=3)
            assert quiet.sql("select count(*) from fx") == [(0,)]
            holder.rollback()
        assert working.ended(instance).status == "completed"


def test_a_step_that_ends_its_session_again_and_again_becomes_a_suspect_and_is_given_up(
    quiet: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that crashes the server takes the sessions of all others along: they too lose theirs several times."""
    monkeypatch.setattr(sql_step, "sleep", lambda seconds: None)
    with with_worker(quiet.dsn, QUICK) as working:
        with psycopg.connect(quiet.dsn) as holder:
            holder.execute("select df_internal.worker_quarantine()")
            quiet.sql("create sequence tried")
            instance = working.start("$$SELECT pg_terminate_backend(pg_backend_pid()) FROM nextval('tried')$$")
            working.events.wait_for("claimed", instance, times=4)
            assert quiet.sql("select last_value from tried") <= [(sql_step.SUSPECT_ATTEMPTS,)]
            holder.rollback()
        ended = working.ended(instance)
    assert "terminating connection due to administrator command" in (ended.error or {})["message"]
    assert quiet.sql("select last_value from tried") == [(sql_step.SUSPECT_ATTEMPTS + sql_step.MAX_ATTEMPTS,)]
