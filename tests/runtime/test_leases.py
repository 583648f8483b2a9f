"""What a lease, a record and a commit protect, asked of the functions themselves: each test has one bug that it sees.

The bugs are in tests/mutants/mutants.toml.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from support.checker import check
from support.proxy import Cut, Proxy
from support.work import QUICK, Database, with_worker

from pgweave.runtime.worker.service import Settings, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = "select df_internal.exec_node(%s, %s, '{}', %s, $$INSERT INTO fx VALUES ('once')$$, 1, 1000)"


def claim(place: Database) -> UUID:
    """Lease the one instance; its token."""
    ((token,),) = place.sql("select token from df_internal.worker_claim('by hand', 1, 60)")
    assert isinstance(token, UUID)
    return token


def leased(place: Database, expression: str) -> tuple[str, str, UUID]:
    """Start one step and lease its instance: instance, node, token."""
    instance = place.start(expression)
    ((node,),) = place.sql("select id from df.nodes")
    return instance, node, claim(place)


def test_a_renewal_extends_no_lease_that_another_worker_has(quiet: Database) -> None:
    instance, _, late = leased(quiet, "'SELECT 1'")
    quiet.sql("update df.queue set leased_until = '-infinity'")
    present = claim(quiet)
    before = quiet.sql("select leased_until from df.queue")
    renew = "select df_internal.worker_renew(%s, %s, '[]', 3600)"
    assert quiet.sql(renew, [instance], [late]) == [([],)]
    assert quiet.sql("select leased_until from df.queue") == before
    assert quiet.sql(renew, [instance], [present]) == [([present],)]
    assert quiet.sql("select leased_until from df.queue") > before


def test_an_end_that_meets_a_committed_cancel_is_a_cancel(quiet: Database) -> None:
    instance, _, token = leased(quiet, "'SELECT 1'")
    quiet.sql("select df.cancel(%s, 'no more')", instance)
    ended = quiet.sql("select df_internal.worker_finish(%s, %s, 'completed', '1', null, '[]')", instance, token)
    assert ended == [("cancelled",)]
    assert quiet.sql("select status, result::text, error ->> 'message' from df.instances") == [
        ("cancelled", None, "canceled: no more")
    ]


def test_steps_and_ends_are_on_the_disk_when_they_are_reported(quiet: Database) -> None:
    """Leases and waits may be lost with the server, because they follow from what is left. These may not."""
    quiet.sql("create table commits (of_table text, waits_for_disk text)")
    quiet.sql(
        "create function note() returns trigger language plpgsql security definer as $f$ begin"
        " insert into public.commits values (tg_table_name, current_setting('synchronous_commit')); return null; end $f$"
    )
    for event, column in (("insert on df.runs", "finished_at"), ("update on df.instances", "completed_at")):
        # Deferred: what is in force at the commit is what counts.
        quiet.sql(
            f"create constraint trigger note after {event} deferrable initially deferred for each row"
            f" when (new.{column} is not null) execute function note()"
        )
    with with_worker(quiet.dsn) as place:
        assert place.finish("'SELECT 1' ~> 'SELECT 2'").status == "completed"
    assert quiet.sql("select of_table, waits_for_disk, count(*) from commits group by 1, 2 order by 1") == [
        ("instances", "on", 1), ("runs", "on", 2),
    ]  # fmt: skip


def test_a_step_whose_answer_is_lost_after_its_commit_has_the_result_that_was_committed(quiet: Database) -> None:
    cuts = [Cut.AFTER]

    def plan(message: bytes) -> Cut:
        return cuts.pop() if b"df_internal.exec_node" in message and cuts else Cut.NOT

    with Proxy(quiet.dsn, plan) as proxy, with_worker(proxy.dsn) as place:
        ended = place.finish("$$INSERT INTO fx VALUES ('once') RETURNING 42 AS n$$ |=> 'x' ~> 'SELECT $x.n + 1 AS m'")
    assert (ended.status, cuts) == ("completed", [])
    assert '"m":43' in str(ended.result).replace(" ", "").replace("'", '"')
    assert quiet.sql("select step from fx") == [("once",)]


def test_a_step_whose_session_is_ended_by_an_administrator_runs_again(quiet: Database) -> None:
    step = "from pg_stat_activity where datname = current_database() and application_name = 'pgweave step' and wait_event_type = 'Lock'"
    with with_worker(quiet.dsn) as place, psycopg.connect(quiet.dsn) as holder:
        holder.execute("lock table fx in access exclusive mode")
        instance = place.start("'INSERT INTO fx VALUES (''once'')'")
        quiet.until(f"exists (select {step})")
        quiet.sql(f"select pg_terminate_backend(pid) {step}")
        holder.rollback()
        ended = place.ended(instance)
    assert (ended.status, ended.error) == ("completed", None)
    assert quiet.sql("select step from fx") == [("once",)]


def test_the_statement_of_a_loser_is_interrupted_as_its_race_is_decided(quiet: Database) -> None:
    """Though the instance goes on: what comes after the race must not find the loser still at work."""
    at_work = "exists (select from pg_stat_activity where datname = current_database() and application_name = 'pgweave step' and wait_event_type = 'Lock')"
    with with_worker(quiet.dsn) as place, psycopg.connect(quiet.dsn) as holder:
        holder.execute("lock table fx in access exclusive mode")
        race = "(df.wait_for_signal('stop') | $$INSERT INTO fx VALUES ('loser')$$)"
        instance = place.start(f"{race} ~> df.wait_for_signal('go')")
        quiet.until(at_work)
        place.client.signal(instance, "stop")
        quiet.until(f"not {at_work}")
        holder.rollback()
        place.client.signal(instance, "go")
        assert place.ended(instance).status == "completed"
    assert quiet.sql("select step from fx") == []


def test_a_step_is_recorded_only_with_the_lease_and_in_the_transaction_that_began_it(quiet: Database) -> None:
    instance, node, token = leased(quiet, "'SELECT 1'")
    end = "select df_internal.step_end(%s, %s, '{}', %s, coalesce(%s::xid8, pg_current_xact_id()), '1', 'SELECT 1', 1, now())"
    for given, transaction in ((uuid4(), None), (token, "3")):
        with pytest.raises(psycopg.DatabaseError) as refused:
            quiet.sql(end, instance, node, given, transaction)
        assert refused.value.sqlstate == "PWR01"
    assert quiet.sql("select from df.runs") == []


def test_of_two_sessions_that_run_one_step_side_by_side_one_commits(quiet: Database) -> None:
    step = leased(quiet, "'SELECT 1'")
    with ThreadPoolExecutor(1) as other, psycopg.connect(quiet.dsn) as first:
        first.execute(STEP, step)
        second = other.submit(quiet.sql, STEP, *step)
        quiet.until(
            "exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            " and query like 'select df_internal.exec_node%')"
        )
        first.commit()
        with pytest.raises(psycopg.DatabaseError) as refused:
            second.result()
    assert refused.value.sqlstate == "PWR02"
    assert quiet.sql("select step from fx") == [("once",)]


def test_a_step_that_follows_a_committed_cancel_is_refused(quiet: Database) -> None:
    """By the database itself: the worker that is about to begin it cannot have seen the cancel."""
    step = leased(quiet, "'SELECT 1'")
    quiet.sql("select df.cancel(%s)", step[0])
    with pytest.raises(psycopg.DatabaseError) as refused:
        quiet.sql(STEP, *step)
    assert refused.value.sqlstate == "PWR05"
    assert quiet.sql("select step from fx") == []


def test_a_signal_that_came_after_the_timeout_of_its_wait_is_left_for_the_next(quiet: Database) -> None:
    """No worker looked in between."""
    instance = quiet.start("df.wait_for_signal('job', 1000) ~> df.wait_for_signal('job')")
    Worker(quiet.dsn, QUICK).run(once=True)
    quiet.sql("update df.runs set due_at = clock_timestamp()")
    quiet.sql("update df.queue set ready_at = clock_timestamp()")
    quiet.client.signal(instance, "job", {"n": 1})
    Worker(quiet.dsn, QUICK).run(once=True)
    waits = quiet.sql("select result ->> 'timed_out' from df.runs order by started_at")
    assert waits == [("true",), ("false",)]


def test_a_claim_waits_for_no_lock_and_takes_what_is_free(quiet: Database) -> None:
    first, second = (quiet.start("'SELECT 1'") for _ in range(2))
    with (
        psycopg.connect(quiet.dsn) as holder,
        psycopg.connect(quiet.dsn, autocommit=True, options="-c lock_timeout=2s") as worker,
    ):
        holder.execute("select from df.queue where instance_id = %s for update", [first])
        claimed = worker.execute("select instance_id from df_internal.worker_claim('by hand', 2, 60)").fetchall()
        holder.rollback()
    assert claimed == [(second,)]


def test_each_lease_counts_until_there_is_progress(quiet: Database) -> None:
    _, node, _ = step = leased(quiet, "'SELECT 1'")
    for attempts in (2, 3):
        quiet.sql("update df.queue set leased_until = '-infinity'")
        found = quiet.sql("select attempts, instance_id, token from df_internal.worker_claim('by hand', 1, 60)")
        assert found[0][0] == attempts
        step = (found[0][1], node, found[0][2])
    quiet.sql(STEP, *step)
    assert quiet.sql("select attempts from df.queue") == [(1,)]


def test_an_instance_is_given_up_by_name_after_so_many_leases_without_progress(quiet: Database) -> None:
    instance = quiet.start("'INSERT INTO fx VALUES (''never'')'")
    quiet.sql("update df.queue set attempts = %s", QUICK.max_attempts)
    Worker(quiet.dsn, QUICK).run(once=True)
    error = quiet.client.instance(instance).error or {}
    assert error["message"] == f"poison: given up after {QUICK.max_attempts} attempts without progress"
    assert quiet.sql("select step from fx") == []


def test_an_ended_instance_whose_result_is_still_awaited_is_not_pruned(quiet: Database) -> None:
    """However old it is: the wait would find no instance."""
    awaited = quiet.start("df.wait_for_signal('go')")
    waiting = quiet.start(f"df.await_instance('{awaited}')")
    Worker(quiet.dsn, QUICK).run(once=True)
    quiet.sql("update df.queue set ready_at = clock_timestamp()")
    tokens = dict(quiet.sql("select instance_id, token from df_internal.worker_claim('by hand', 2, 60)"))
    quiet.sql("select df_internal.worker_finish(%s, %s, 'completed', '1', null, '[]')", awaited, tokens[awaited])
    prune = "select df.prune() from set_config('pgweave.fake_now', '2100-01-01', true)"
    assert quiet.sql(prune) == [(0,)]
    quiet.sql("update df.queue set leased_until = '-infinity'")
    Worker(quiet.dsn, QUICK).run(once=True)
    assert quiet.client.status(waiting) == "completed"
    assert quiet.sql(prune) == [(2,)]


def test_a_look_at_a_child_waits_for_an_end_that_is_being_written(quiet: Database) -> None:
    """Else the end would find no wait to wake, and the wait no end."""
    child = quiet.start("df.wait_for_signal('go')")
    parent = quiet.start(f"df.await_instance('{child}')")
    Worker(quiet.dsn, QUICK).run(once=True)
    quiet.sql("update df.queue set ready_at = clock_timestamp()")
    tokens = dict(quiet.sql("select instance_id, token from df_internal.worker_claim('by hand', 2, 60)"))
    with (
        psycopg.connect(quiet.dsn) as ending,
        psycopg.connect(quiet.dsn, autocommit=True, options="-c lock_timeout=200ms") as worker,
    ):
        ending.execute("select from df.instances where id = %s for no key update", [child])
        with pytest.raises(psycopg.errors.LockNotAvailable):
            worker.execute("select df_internal.worker_settle(%s, %s, false)", [parent, tokens[parent]])
        ending.rollback()
    quiet.sql("select df.cancel(id) from df.instances")
    quiet.sql("update df.queue set leased_until = '-infinity'")


def test_a_timer_does_not_end_a_moment_before_its_time(database: str) -> None:
    place = Database(database)
    instance, node, token = leased(place, "df.sleep(10)")
    place.client.close()
    with psycopg.connect(database, autocommit=True) as connection:
        at = clock(connection)
        at(0.0)
        wait = f'[{{"node_id": "{node}", "iteration": [], "seconds": 10}}]'
        connection.execute("select df_internal.worker_wait(%s, %s, %s)", [instance, token, wait])
        for seconds, status in ((9.999, "waiting"), (10.0, "completed")):
            at(seconds)
            connection.execute("select df_internal.worker_settle(%s, %s, false)", [instance, token])
            assert connection.execute("select status from df.runs").fetchall() == [(status,)]


def test_a_worker_that_lost_its_session_keeps_its_leases_for_a_moment_and_with_a_new_session_for_good(
    database: str,
) -> None:
    place = Database(database)
    place.start("'SELECT 1'")
    place.client.close()
    with (
        psycopg.connect(database, autocommit=True) as connection,
        psycopg.connect(database, autocommit=True) as session,
    ):
        at = clock(connection)

        def look(seconds: float) -> tuple[bool, bool]:
            """What another worker sees at this time: does one seem to have vanished, and is the lease still there?"""
            at(seconds)
            connection.execute("select df_internal.worker_end_vanished('other')")
            vanished = connection.execute(
                "select exists (select from df.workers where vanished_at is not null)"
            ).fetchone()
            held = connection.execute("select leased_until > df.clock() from df.queue").fetchone()
            assert vanished is not None
            assert held is not None
            return vanished[0], held[0]

        def begin_session(key: int) -> None:
            session.execute("select pg_advisory_unlock_all(), pg_advisory_lock(%s)", [key])
            connection.execute("select df_internal.worker_heartbeat('this', 1, '1', 1, %s)", [key])

        at(0.0)
        connection.execute("select df_internal.worker_claim('this', 1, 3600)")
        begin_session(77)
        assert look(1.0) == (False, True)
        session.execute("select pg_advisory_unlock_all()")
        assert look(2.0) == (True, True)
        assert look(2.4) == (True, True)
        begin_session(78)
        assert look(2.7) == (False, True)
        assert look(100.0) == (False, True)
        session.execute("select pg_advisory_unlock_all()")
        assert look(200.0) == (True, True)
        assert look(200.8) == (False, False)


def test_a_lease_that_only_the_server_remembers_ends_when_its_worker_is_back(database: str) -> None:
    """As after a crash that took with it that the instance had been parked: commits of parks do not wait for the disk."""
    place = Database(database)
    with with_worker(database, Settings(lease_seconds=600.0)) as working:
        parent = working.start("df.wait_for_signal('go')")
        working.events.wait_for("parked", parent)
        place.until("exists (select from df.workers where lock_key is not null)")
        place.sql(
            "update df.queue set worker = (select name from df.workers), token = gen_random_uuid(),"
            " leased_until = now() + interval '1 hour'"
        )
        place.sql("select df.signal(%s, 'go')", parent)
        place.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgweave listener'")
        assert working.ended(parent).status == "completed"
    place.client.close()
    check(database)


def clock(connection: psycopg.Connection[Any]) -> Callable[[float], object]:
    """Sets the clock of a session, in seconds."""
    beginning = datetime(2030, 1, 1, tzinfo=UTC)

    def at(seconds: float) -> None:
        now = (beginning + timedelta(seconds=seconds)).isoformat()
        connection.execute("select set_config('pgweave.fake_now', %s, false)", [now])

    return at
