"""The checker has to see bugs: each is planted, and a story that is harmless without it must turn red.

A bug is planted by changing one line of a function in the test's own database, or one method of a worker.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.checker import check
from support.lockstep import SimulatedWorker, Stage
from support.work import PATIENCE_SECONDS, Database

from pgweave.runtime.worker.service import Settings, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

SETTINGS = Settings(lease_seconds=10.0, poll_seconds=0.05, loop_seconds=0.0)


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    found = Database(database)
    found.sql("create table fx (step text)")
    yield found
    found.client.close()


def plant(place: Database, function: str, healthy: str, sick: str) -> None:
    """Change one line of a function."""
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        row = connection.execute("select pg_get_functiondef(%s::regproc)", [function]).fetchone()
        assert row is not None
        assert row[0].count(healthy) == 1, f"{function} no longer says {healthy!r}; plant the bug elsewhere"
        connection.execute(row[0].replace(healthy, sick))


# The stories.


def a_worker_wakes_in_the_middle_of_a_loop(place: Database) -> None:
    """Paused before the first turn's step, taken over, and back when that turn is over and forgotten."""
    place.sql("create table state (n int)")
    place.sql("insert into state values (0)")
    place.start(
        "'SELECT 0 AS n' |=> 't' ~> df.loop($$INSERT INTO fx SELECT 'turn ' || $t.n RETURNING $t.n + 1 AS n$$ |=> 't',"
        " 'SELECT $t.n < 3')"
    )
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        stage = Stage(connection, lambda heard: None)
        late, next_one = SimulatedWorker(stage, SETTINGS), SimulatedWorker(stage, SETTINGS)
        with stage.open():
            late.claim()
            while late.actors[0].effect != "exec_node" or not place.sql("select 1 from df.runs"):
                late.actors[0].step()
            connection.execute("update df.queue set leased_until = '-infinity'")
            next_one.claim()
            while not place.sql("select 1 from df.runs where iteration = '{3}'"):
                next_one.actors[0].step()
            for worker in (late, next_one):
                while ready := worker.ready():
                    ready[0].step()
    check(place.dsn)


def a_child_ends_while_its_parent_is_being_parked(place: Database) -> None:
    place.start("df.call_child('SELECT 1', 'child')")
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        stage = Stage(connection, lambda heard: None)
        parent, child = SimulatedWorker(stage, SETTINGS), SimulatedWorker(stage, SETTINGS)
        with stage.open():
            parent.claim()
            while parent.actors[0].effect != "park":
                parent.actors[0].step()
            child.claim()
            while ready := child.ready():
                ready[0].step()
            parent.actors[0].step()
            check(place.dsn)


def a_worker_dies_when_it_has_taken_a_signal(place: Database) -> None:
    instance = place.start("df.wait_for_signal('go') ~> 'SELECT 1'")
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        stage = Stage(connection, lambda heard: None)
        with stage.open():
            first, second = SimulatedWorker(stage, SETTINGS), SimulatedWorker(stage, SETTINGS)
            first.claim()
            while ready := first.ready():
                ready[0].step()
            place.client.signal(instance, "go")
            second.claim()
            while second.actors[0].effect != "exec_node":
                second.actors[0].step()
            second.kill()
    check(place.dsn)


def a_race_is_won_by_a_sleep(place: Database) -> None:
    place.start("(df.wait_for_signal('go') | df.sleep(0)) ~> 'SELECT 1'")
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        stage = Stage(connection, lambda heard: None)
        with stage.open():
            worker = SimulatedWorker(stage, SETTINGS)
            worker.claim()
            while ready := worker.ready():
                ready[0].step()
                check(place.dsn)


def a_branch_loses_that_has_taken_a_signal(place: Database) -> None:
    instance = place.start("(df.wait_for_signal('go') ~> df.wait_for_signal('never')) | df.wait_for_signal('end')")
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        stage = Stage(connection, lambda heard: None)
        with stage.open():
            for name in ("go", "end"):
                worker = SimulatedWorker(stage, SETTINGS)
                place.client.signal(instance, name)
                worker.claim()
                while ready := worker.ready():
                    ready[0].step()
                    check(place.dsn)


def a_timer_is_looked_at(place: Database) -> None:
    place.start("df.sleep(1000)")
    Worker(place.dsn, SETTINGS).run(once=True)
    check(place.dsn)


def a_loop_is_throttled_beside_a_wait(place: Database) -> None:
    place.start("(@> 'SELECT 1') & df.wait_for_signal('never')")
    Worker(place.dsn, replace(SETTINGS, loop_seconds=5.0)).run(once=True)
    check(place.dsn)


def an_early_start_is_committed_late(place: Database) -> None:
    with psycopg.connect(place.dsn) as slow:
        slow.execute("select df.start('SELECT 1')")
        place.start("'SELECT 2'")
        Worker(place.dsn, SETTINGS).run(once=True)
        slow.commit()
    Worker(place.dsn, SETTINGS).run(once=True)
    check(place.dsn, worked_off=True)


def a_start_whose_notification_is_lost(place: Database, kind: type[Worker] = Worker) -> None:
    plant(place, "df_internal.enqueue", "perform pg_notify('pgweave', '');", "")
    worker = kind(place.dsn, SETTINGS)
    with ThreadPoolExecutor(1) as thread:
        running: Future[None] = thread.submit(worker.run)
        place.until("exists (select from pg_stat_activity where application_name = 'pgweave listener')")
        if isinstance(worker, OnlyWhenRung):
            assert worker.looked.wait(PATIENCE_SECONDS)
        instance = place.start("'SELECT 1'")
        while not wait([running], timeout=0.05).done and place.client.status(instance) != "completed":
            pass
        worker.stop()
    check(place.dsn, worked_off=True)


class OnlyWhenRung(Worker):
    """Claims when it is notified, and gives up soon when it is not. looked: it has, as its listener began."""

    def __init__(self, dsn: str, settings: Settings) -> None:
        super().__init__(dsn, settings)
        self.looked = Event()

    def _work(self, instances: ThreadPoolExecutor, *, once: bool) -> None:
        while self._bell.wait(1.0):
            self._bell.clear()
            super()._work(instances, once=True)
            self._bell.clear()  # its own instances ring as well
            self.looked.set()


def watermark(place: Database) -> None:
    """Claim only what was started after all that has been claimed before."""
    place.sql("create table watermark (at timestamptz)")
    place.sql("insert into watermark values ('-infinity')")
    place.sql(
        "create function raise_it() returns trigger language plpgsql as $f$ begin update watermark set at ="
        " greatest(at, (select created_at from df.instances where id = new.instance_id)); return null; end $f$"
    )
    place.sql("create trigger raise_it after update of token on df.queue for each row execute function raise_it()")
    plant(
        place,
        "df_internal.worker_claim",
        "where q.instance_id in (select w.instance_id from wanted as w) and q.leased_until <= v_now",
        "where q.instance_id in (select w.instance_id from wanted as w) and q.leased_until <= v_now"
        " and (select i.created_at from df.instances as i where i.id = q.instance_id) > (select at from public.watermark)",
    )


BUGS: dict[str, tuple[Callable[[Database], None], Callable[[Database], None], str]] = {
    "the fence is gone": (
        lambda place: plant(place, "df_internal.fence", "if not found then", "if false then"),
        a_worker_wakes_in_the_middle_of_a_loop,
        "more than once",
    ),
    "the token is not looked at": (
        lambda place: plant(place, "df_internal.fence", "and q.token = p_token", ""),
        a_worker_wakes_in_the_middle_of_a_loop,
        "more than once",
    ),
    "parking ignores wake-ups": (
        lambda place: plant(place, "df_internal.worker_park", "and q.wakes = p_wakes", ""),
        a_child_ends_while_its_parent_is_being_parked,
        "a wait is over and its parked instance is not due",
    ),
    "an end wakes nobody": (
        lambda place: plant(
            place, "df_internal.worker_finish", "set wakes = q.wakes + 1, ready_at", "set wakes = q.wakes, ready_at"
        ),
        a_child_ends_while_its_parent_is_being_parked,
        "a wait is over and its parked instance is not due",
    ),
    "a lease does not make due": (
        lambda place: plant(
            place, "df_internal.worker_claim", "ready_at = least(q.ready_at, v_now)", "ready_at = q.ready_at"
        ),
        a_worker_dies_when_it_has_taken_a_signal,
        "nobody would take over",
    ),
    "losers go on waiting": (
        lambda place: plant(
            place,
            "df_internal.worker_decide",
            "perform df_internal.end_lost_branch(p_instance_id, p_lost, p_abandoned);",
            "",
        ),
        a_race_is_won_by_a_sleep,
        "the loser of a race still waits",
    ),
    "a branch that has lost keeps its signals": (
        lambda place: plant(place, "df_internal.end_lost_branch", "c.consumed_by = any (p_lost)", "false"),
        a_branch_loses_that_has_taken_a_signal,
        "a signal is with a branch that has lost its race",
    ),
    "a branch that has lost is shown as running": (
        lambda place: plant(place, "df_internal.end_lost_branch", "n.status = 'running'", "false"),
        a_branch_loses_that_has_taken_a_signal,
        "a node is shown as running, and its branch has lost",
    ),
    "timers end when somebody looks": (
        lambda place: plant(
            place, "df_internal.waits_over", "and (r.due_at <= v_now or", "and (r.due_at <= 'infinity' or"
        ),
        a_timer_is_looked_at,
        "ended before it was due",
    ),
    "a pause is forgotten when there is a wait as well": (
        lambda place: plant(
            place, "df_internal.worker_park", "least(df_internal.seconds_from_now(p_delay_seconds), ", "least(null, "
        ),
        a_loop_is_throttled_beside_a_wait,
        "a parked instance could go on",
    ),
    "claims go by a watermark": (watermark, an_early_start_is_committed_late, "work is left that nobody takes"),
    "only notifications are heard": (
        lambda place: None,
        lambda place: a_start_whose_notification_is_lost(place, OnlyWhenRung),
        "work is left that nobody takes",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_checker_sees_that(place: Database, bug: str) -> None:
    planted, story, seen = BUGS[bug]
    planted(place)
    with pytest.raises(AssertionError, match=seen):
        story(place)


@pytest.mark.parametrize(
    "story",
    sorted({story for _, story, _ in BUGS.values() if story.__name__ != "<lambda>"} | {a_start_whose_notification_is_lost},
           key=lambda story: story.__name__),  # type: ignore[attr-defined]
    ids=lambda story: story.__name__,
)  # fmt: skip
def test_without_the_bug_the_checker_is_content_when(place: Database, story: Callable[[Database], None]) -> None:
    story(place)
