"""What one role leaves behind or leaves open costs the others nothing; what is said about an end is true."""

from __future__ import annotations

from statistics import median
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgweave.runtime.errors import InstanceEnded
from pgweave.runtime.worker.service import Settings, Worker, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.work import Database

QUICK = Settings(lease_seconds=3.0, poll_seconds=0.05, concurrency=2)
CLAIM = "select * from df_internal.worker_claim('by hand', 10, 60)"


def scans(connection: psycopg.Connection[object]) -> int:
    """Sequential scans of df.queue in this transaction."""
    row = connection.execute(
        "select coalesce(seq_scan, 0) from pg_stat_xact_user_tables where relid = 'df.queue'::regclass"
    ).fetchone()
    assert isinstance(row, tuple)
    return int(row[0])


def test_a_renewal_reads_only_its_own_leases_among_a_hundred_thousand(quiet: Database) -> None:
    with psycopg.connect(quiet.dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # only the rows matter here
        connection.execute(
            "insert into df.queue (instance_id, submitted_by, ready_at, token, leased_until)"
            " select lpad(to_hex(g), 8, '0'), current_user::regrole, 'infinity', gen_random_uuid(), now() + interval '1 h'"
            " from generate_series(1, 100000) as g"
        )
        connection.execute("analyze df.queue")
        ids, tokens = zip(
            *connection.execute("select instance_id, token from df.queue where instance_id like '%%77' limit 8"),
            strict=True,
        )
        for _ in range(8):  # more often than a plan is made again
            with connection.transaction(force_rollback=True):
                before = scans(connection)
                row = connection.execute(
                    "select df_internal.worker_renew(%s, %s, '[]', 60)", [list(ids), list(tokens)]
                ).fetchone()
                assert row is not None
                assert set(row[0]) == set(tokens)
                assert scans(connection) == before
        connection.execute("truncate df.queue")


@pytest.mark.parametrize("sent", ["after the end", "committed after the end"])
def test_messages_to_instances_that_have_ended_cost_a_claim_nothing(quiet: Database, sent: str) -> None:
    ids = [quiet.start("'SELECT 1'") for _ in range(40)]
    letters = (
        "insert into df.inbox (instance_id, kind, name) select i, 'signal', 'x' from unnest(%s::text[]) as i,"
        " generate_series(1, 150)"
    )
    with psycopg.connect(quiet.dsn) as late:
        if sent != "after the end":
            late.execute(letters, [ids])
        Worker(quiet.dsn, QUICK).run(once=True)
        if sent == "after the end":
            late.execute(letters, [ids])
    quiet.sql("select df_internal.worker_heartbeat('w', 1, '1', 0, null)")
    assert quiet.sql("select count(*) from df.inbox where not seen") == [(0,)]
    quiet.sql("vacuum analyze df.inbox")
    with psycopg.connect(quiet.dsn, autocommit=True) as connection:
        took = []
        for _ in range(20):
            began = monotonic()
            connection.execute(CLAIM)
            took.append(monotonic() - began)
    assert median(took) < 0.02  # it was 74 ms; 0.7 on a machine that does nothing else


@pytest.fixture
def left_open(quiet: Database) -> Callable[[str], psycopg.Connection[object]]:
    def open_for(instance: str) -> psycopg.Connection[object]:
        connection = psycopg.connect(quiet.dsn)
        connection.execute("set constraints all immediate")
        connection.execute("select df.cancel(%s)", [instance])
        return connection

    return open_for


def test_a_cancel_that_is_never_committed_does_not_hold_up_other_instances(
    quiet: Database, left_open: Callable[[str], psycopg.Connection[object]]
) -> None:
    """With its constraints immediate it has a lock on the row that the end of the instance has to write."""
    held = [quiet.start("'SELECT 1'") for _ in range(6)]  # more than the worker has slots
    sessions = [left_open(instance) for instance in held]
    try:
        with working(quiet.dsn, QUICK):
            began = monotonic()
            for _ in range(3):
                other = quiet.start("'SELECT 2'")
                assert quiet.client.wait(other, 30) == "completed"
            assert monotonic() - began < 15  # each end waited ten seconds for the lock
            for session in sessions:
                session.rollback()
            for instance in held:
                assert quiet.client.wait(instance, 30) == "completed"
    finally:
        for session in sessions:
            session.close()


def test_a_cancel_that_comes_after_the_end_says_so_when_it_is_committed(quiet: Database) -> None:
    instance = quiet.start("'SELECT 1'")
    said: list[str | None] = []
    with psycopg.connect(quiet.dsn) as person:
        person.add_notice_handler(lambda notice: said.append(notice.message_primary))
        person.execute("select df.cancel(%s)", [instance])
        Worker(quiet.dsn, QUICK).run(once=True)
        assert said == []
        person.commit()
    assert said == [f"Instance {instance} is already completed"]
    assert quiet.client.cancel(instance) == f"Instance {instance} is already completed"


def test_a_signal_to_an_instance_that_has_ended_is_an_error_that_says_so(quiet: Database) -> None:
    instance = quiet.start("'SELECT 1'")
    Worker(quiet.dsn, QUICK).run(once=True)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is completed; a signal does not reach it"):
        quiet.sql("select df.signal(%s, 'go')", instance)
    with pytest.raises(InstanceEnded, match="is completed"):
        quiet.client.signal(instance, "go")


def test_a_signal_that_no_step_waits_for_is_kept_and_a_notice_names_those_that_are_waited_for(quiet: Database) -> None:
    instance = quiet.start("df.wait_for_signal('approve') | df.wait_for_signal('deny')")
    said: list[tuple[str | None, str | None]] = []
    with psycopg.connect(quiet.dsn) as person:
        person.add_notice_handler(lambda notice: said.append((notice.message_primary, notice.message_hint)))
        person.execute("select df.signal(%s, 'aprove'), df.signal(%s, 'deny')", [instance, instance])
    assert said == [
        (f'no step of instance {instance} waits for a signal "aprove"', "It is kept. The steps wait for: approve, deny")
    ]
    quiet.client.cancel(instance)
    Worker(quiet.dsn, QUICK).run(once=True)
