"""Workers that die: SIGKILL at the worst moments, and afterwards exactly one effect of everything."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.checker import check
from support.work import Database, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTANCES = int(os.environ.get("PGWEAVE_INSTANCES", "200"))  # 1000 takes some seconds more

PROGRAM = """df.call_child(
    df.wait_for_signal('go') ~> 'INSERT INTO fx VALUES (''child'') RETURNING step', 'generate-report', '{"timeout_seconds": 300}'
) |=> 'child' ~> 'INSERT INTO audit_log (payload) VALUES ($child::jsonb)' ~> 'INSERT INTO fx VALUES (''parent'')'"""


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    found = Database(database)
    found.sql("create table fx (step text, worker int default pg_backend_pid())")
    found.sql("create table audit_log (payload jsonb)")
    yield found
    found.client.close()


def one_of_each(place: Database, parent: str) -> None:
    assert place.ended(parent).status == "completed"
    assert place.sql("select count(*) from audit_log") == [(1,)]
    assert place.sql("select count(*) from df.instances where label = 'generate-report'") == [(1,)]
    check(place.dsn)


def test_a_parent_whose_worker_is_killed_while_it_waits_goes_on_with_another(place: Database) -> None:
    parent = place.start(PROGRAM)
    with worker_process(place.dsn) as first:
        first.wait_for(f"parked instance={parent}")
        place.until("select count(*) = 2 from df.runs where status = 'waiting'")
        first.kill()
    (child,) = (instance for instance in place.client.instances() if instance.label == "generate-report")
    place.client.signal(child.id, "go")
    with worker_process(place.dsn):
        one_of_each(place, parent)


def test_a_worker_killed_inside_a_step_leaves_nothing_and_the_step_runs_once(place: Database) -> None:
    """The step waits for a lock that the test has; its worker dies; the server notices and rolls it back."""
    parent = place.start("'INSERT INTO fx VALUES (''held'')' ~> 'SELECT 1'")
    with psycopg.connect(place.dsn) as holder:
        holder.execute("lock table fx in exclusive mode")
        with worker_process(place.dsn) as first:
            first.wait_for(f"step instance={parent}")
            place.until("select count(*) > 0 from pg_locks where not granted and relation = 'fx'::regclass")
            first.kill()
        holder.rollback()
    with worker_process(place.dsn):
        assert place.ended(parent).status == "completed"
    check(place.dsn)


def test_a_worker_that_was_stopped_past_its_lease_writes_nothing(place: Database) -> None:
    """SIGSTOP in the middle of a chain, another worker takes over, SIGCONT: the late one must be refused."""
    steps = " ~> ".join(f"'INSERT INTO fx VALUES (''{n}'')'" for n in range(100))
    parent = place.start(steps)
    with worker_process(place.dsn) as first:
        first.wait_for("checkpointed")
        os.kill(first.process.pid, signal.SIGSTOP)
        try:
            with worker_process(place.dsn) as second:
                second.wait_for(f"claimed instance={parent}")
                os.kill(first.process.pid, signal.SIGCONT)
                assert place.ended(parent).status == "completed"
        finally:
            os.kill(first.process.pid, signal.SIGCONT)
    assert place.sql("select count(*) from fx") == [(100,)]
    check(place.dsn)


def test_backends_terminated_under_a_worker_cost_nothing(place: Database) -> None:
    steps = " ~> ".join(f"'INSERT INTO fx VALUES (''{n}'')'" for n in range(60))
    parents = [place.start(steps.replace("(''", f"(''{n}-")) for n in range(4)]
    with worker_process(place.dsn) as worker:
        for _ in range(5):
            worker.wait_for("checkpointed")
            place.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name like 'pgweave%' and application_name <> 'pgweave client'"
            )
        for parent in parents:
            assert place.ended(parent).status == "completed"
    assert place.sql("select count(*) from fx") == [(240,)]
    check(place.dsn)


def test_sigterm_finishes_the_step_in_hand_and_gives_the_rest_back(place: Database) -> None:
    parent = place.start("'SELECT pg_sleep(0.5)' ~> 'INSERT INTO fx VALUES (''after'')'")
    with worker_process(place.dsn) as first:
        first.wait_for(f"step instance={parent}")
        first.process.terminate()
        first.wait_for("worker stopped")
        assert first.process.wait(30) == 0
    assert place.sql("select status from df.runs") == [("completed",)]
    assert place.sql("select token is null from df.queue") == [(True,)]
    with worker_process(place.dsn):
        assert place.ended(parent).status == "completed"
    check(place.dsn)


def test_what_a_killed_worker_had_in_hand_is_taken_over_long_before_its_lease_ends(place: Database) -> None:
    """The server knows that its session is gone. Leases are for links that have gone silent."""
    with psycopg.connect(place.dsn) as holder:
        holder.execute("lock table fx in access exclusive mode")
        parent = place.start("'INSERT INTO fx VALUES (''once'')'")
        with worker_process(place.dsn, "--lease-seconds", "600") as first:
            place.until(
                "exists (select from pg_stat_activity where application_name = 'pgweave step' and wait_event_type = 'Lock')"
            )
            place.until("exists (select from df.workers where lock_key is not null)")
            first.kill()
        with worker_process(place.dsn, "--lease-seconds", "600") as second:
            second.wait_for(f"claimed instance={parent}")
            holder.rollback()
            assert place.ended(parent).status == "completed"
    assert place.sql("select step from fx") == [("once",)]
    check(place.dsn)


def test_a_worker_that_only_lost_its_session_keeps_its_leases(place: Database) -> None:
    """It takes another lock before the others have looked twice."""
    parent = place.start("$$INSERT INTO fx SELECT 'once' FROM pg_sleep(6)$$")
    with worker_process(place.dsn, "--lease-seconds", "600") as first:
        first.wait_for(f"step instance={parent}")
        place.until("exists (select from df.workers where lock_key is not null)")
        with worker_process(place.dsn, "--lease-seconds", "600") as second:
            place.until("(select count(*) = 2 from df.workers where lock_key is not null)")
            for _ in range(3):
                ((before,),) = place.sql("select max(lock_key) from df.workers")
                place.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgweave listener'"
                )
                place.until(f"not exists (select from df.workers where lock_key = {before})")
            assert place.ended(parent).status == "completed"
        assert not [line for line in second.lines if f"claimed instance={parent}" in line]
    check(place.dsn)


@pytest.mark.slow
def test_two_workers_share_the_work_without_a_duplicate(place: Database) -> None:
    """Both take part, and every effect is there once."""
    with worker_process(place.dsn) as one, worker_process(place.dsn) as two:
        one.wait_for("is ready")
        two.wait_for("is ready")
        place.sql(
            "select count(df.start(replace($$INSERT INTO fx VALUES ('# a')$$, '#', n::text)"
            " ~> replace($$INSERT INTO fx VALUES ('# b')$$, '#', n::text))) from generate_series(1, %s) as n",
            INSTANCES,
        )
        place.until("not exists (select from df.queue)")
        for worker in (one, two):
            worker.wait_for("finished instance=")
    assert place.sql("select status, count(*) from df.instances group by 1") == [("completed", INSTANCES)]
    assert place.sql("select count(*) from fx") == [(2 * INSTANCES,)]
    check(place.dsn)


def test_a_step_that_kills_its_own_backend_is_given_up_and_blocks_nobody(place: Database) -> None:
    poisoned = place.start("'SELECT pg_terminate_backend(pg_backend_pid())'")
    healthy = place.start("'INSERT INTO fx VALUES (''healthy'')'")
    with worker_process(place.dsn):
        assert place.ended(healthy).status == "completed"
        ended = place.ended(poisoned)
    assert ended.status == "failed"
    check(place.dsn)


# The checker itself is tested: a bug is planted, and it has to go red.


def test_the_checker_sees_a_step_that_ran_twice_when_the_fence_is_gone(place: Database) -> None:
    """Two sessions run one node-run side by side; without the check in step_begin and checkpoint both commit."""
    checkpoint = "df_internal.checkpoint(text, text, integer[], text, jsonb, text, integer, timestamptz, json)"
    place.sql(f"drop function {checkpoint}")
    place.sql(f"create function {checkpoint} returns timestamptz language sql as 'select now()'")
    parent = place.start("'INSERT INTO fx VALUES (''once'')'")
    (token,) = place.sql("select token from df_internal.worker_claim('by hand', 1, 60)")
    (node,) = place.sql("select id from df.nodes")
    for _ in range(2):
        place.sql(
            "select df_internal.exec_node(%s, %s, '{}', %s, 'INSERT INTO fx VALUES (''once'')', 1, 1000)",
            parent,
            node[0],
            token[0],
        )
    with pytest.raises(AssertionError, match="more than once"):
        check(place.dsn)


def test_the_checker_sees_an_instance_that_nothing_will_ever_look_at(place: Database) -> None:
    place.start("'SELECT 1'")
    place.sql("delete from df.queue")
    with pytest.raises(AssertionError, match="stranded"):
        check(place.dsn)


def test_one_node_run_cannot_commit_twice_even_under_one_lease(place: Database) -> None:
    parent = place.start("'INSERT INTO fx VALUES (''once'')'")
    (token,) = place.sql("select token from df_internal.worker_claim('by hand', 1, 60)")
    (node,) = place.sql("select id from df.nodes")
    step = "select df_internal.exec_node(%s, %s, '{}', %s, 'INSERT INTO fx VALUES (''once'')', 1, 1000)"
    place.sql(step, parent, node[0], token[0])
    with pytest.raises(psycopg.DatabaseError, match="has run already") as caught:
        place.sql(step, parent, node[0], token[0])
    assert caught.value.sqlstate == "PWR02"
    with pytest.raises(psycopg.DatabaseError, match="is lost") as caught:
        place.sql(step, parent, node[0], "00000000-0000-0000-0000-000000000000")
    assert caught.value.sqlstate == "PWR01"
    check(place.dsn)
