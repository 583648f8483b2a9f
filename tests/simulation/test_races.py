"""What a wait takes is decided with the race around it. Told step by step, with the clock and every effect in our hands.

Behind each statement of a worker `support.lockstep` asks whether every signal is in exactly one place.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.checker import check
from support.lockstep import SimulatedWorker, Stage

from pgweave.runtime.worker.service import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
SETTINGS = Settings(lease_seconds=15.0, poll_seconds=1.0, max_attempts=1000, loop_seconds=0.0)


class Story:
    """A database, its clock, and one worker at a time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.stage = Stage(connection, lambda heard: None)
        self.instance = ""
        self.at(0)

    def at(self, seconds: float) -> None:
        """Set the clock."""
        now = (BEGINNING + timedelta(seconds=seconds)).isoformat()
        self.connection.execute("select set_config('pgweave.fake_now', %s, false)", [now])

    def start(self, expression: str) -> None:
        """Start a program and begin its first waits."""
        ((self.instance,),) = self.connection.execute(f"select df.start({expression})".encode()).fetchall()
        self.work()

    def send(self, name: str, payload: str) -> None:
        self.connection.execute("select df.signal(%s, %s, %s)", [self.instance, name, json.dumps(payload)])

    def claimed(self) -> SimulatedWorker:
        worker = SimulatedWorker(self.stage, SETTINGS)
        worker.claim()
        return worker

    def work(self, worker: SimulatedWorker | None = None) -> None:
        """A worker goes on until it has nothing to do, and looks again once."""
        for _ in range(3):
            busy, worker = worker or self.claimed(), None
            while ready := busy.ready():
                for actor in ready:
                    actor.step()
        # What it does is checked as on any other machine; only its clock is ours.
        now = self.connection.execute("select current_setting('pgweave.fake_now')").fetchone()
        assert now is not None
        check(f"{self.connection.info.dsn} options='-c pgweave.fake_now={now[0].replace(' ', '')}'")

    @property
    def inbox(self) -> list[str]:
        """Payloads of the signals that any wait may still take, the oldest first."""
        rows = self.connection.execute(
            "select payload #>> '{}' from df.inbox where kind = 'signal' and consumed_by is null order by id"
        )
        return [payload for (payload,) in rows]

    @property
    def result(self) -> Any:  # noqa: ANN401
        ((status, result),) = self.connection.execute("select status, result from df.instances").fetchall()
        assert status == "completed"
        return result


@pytest.fixture
def story(database: str) -> Iterator[Story]:
    with psycopg.connect(database, autocommit=True) as connection:
        told = Story(connection)
        with told.stage.open():
            yield told


def test_a_signal_that_came_after_the_timer_stays_for_the_next_wait(story: Story) -> None:
    """The worker was away while both became due."""
    story.start("(df.sleep(2) | df.wait_for_signal('job')) ~> df.wait_for_signal('job')")
    story.at(3)
    story.send("job", "first")
    story.work()
    assert story.result["data"] == "first"


def test_a_signal_that_came_before_the_timer_wins_though_the_worker_was_away(story: Story) -> None:
    story.start("df.sleep(2) | df.wait_for_signal('job')")
    story.at(1)
    story.send("job", "first")
    story.at(3)
    story.work()
    assert story.result["data"] == "first"


def test_of_two_signals_in_one_transaction_a_race_takes_one(story: Story) -> None:
    story.start("df.wait_for_signal('a') | df.wait_for_signal('b')")
    with story.connection.transaction():
        story.send("a", "left")
        story.send("b", "right")
    story.work()
    assert (story.result["data"], story.inbox) == ("left", ["right"])


@pytest.mark.parametrize("step", ["df.wait_for_signal('never')", "'SELECT 1' ~> df.wait_for_signal('never')"])
def test_a_signal_that_a_branch_took_before_it_lost_goes_back(story: Story, step: str) -> None:
    story.start(f"((df.wait_for_signal('job') ~> {step}) | df.sleep(5)) ~> df.wait_for_signal('job')")
    story.send("job", "first")
    story.work()
    assert story.inbox == []
    story.send("job", "second")
    story.at(6)
    story.work()
    assert (story.result["data"], story.inbox) == ("first", ["second"])


def test_a_signal_that_goes_back_wakes_a_wait_beside_the_race(story: Story) -> None:
    story.start(
        "((df.wait_for_signal('a') ~> df.wait_for_signal('never')) | df.sleep(5)) & (df.sleep(1) ~> df.wait_for_signal('a'))"
    )
    story.send("a", "first")
    story.work()
    story.at(2)
    story.work()
    story.at(6)
    story.work()
    assert story.result[1]["data"] == "first"


def test_a_wait_beside_a_race_does_not_overtake_the_signal_of_a_wait_that_loses(story: Story) -> None:
    story.start("(df.wait_for_signal('a') | df.wait_for_signal('b')) & df.wait_for_signal('a')")
    for second, (name, payload) in enumerate((("b", "b"), ("a", "first"), ("a", "second"))):
        story.at(second)
        story.send(name, payload)
    story.work()
    assert [end["data"] for end in story.result] == ["b", "first"]
    assert story.inbox == ["second"]


def test_a_race_inside_a_race_takes_nothing_once_the_outer_one_is_decided(story: Story) -> None:
    story.start("(df.wait_for_signal('a') | df.wait_for_signal('b')) | df.wait_for_signal('c')")
    for second, name in enumerate("cab"):
        story.at(second)
        story.send(name, name)
    story.work()
    assert (story.result["data"], story.inbox) == ("c", ["a", "b"])


def test_the_branch_whose_second_wait_was_over_first_wins_though_the_worker_was_away(story: Story) -> None:
    story.start("(df.wait_for_signal('a') ~> df.wait_for_signal('b')) | df.wait_for_signal('c')")
    for second, name in enumerate("abc"):
        story.at(second)
        story.send(name, name)
    story.work()
    assert (story.result["data"], story.inbox) == ("b", ["c"])


@pytest.mark.parametrize("effect", ["settle", "decide", "wait", "park"])
def test_a_worker_that_dies_before_the_race_is_decided_has_taken_nothing(story: Story, effect: str) -> None:
    story.start("(df.sleep(2) | df.wait_for_signal('job')) ~> df.wait_for_signal('job') ~> df.wait_for_signal('end')")
    story.at(3)
    story.send("job", "first")
    dying = story.claimed()
    while dying.actors[0].effect != effect:
        dying.actors[0].step()
    dying.kill()
    story.at(30)
    story.work()
    assert story.inbox == []
    story.send("end", "end")
    story.work()
    assert story.result["data"] == "end"


def test_a_signal_that_comes_while_the_winning_step_is_recorded_stays(story: Story) -> None:
    ((story.instance,),) = story.connection.execute(
        "select df.start(('SELECT 1' | df.wait_for_signal('go')) ~> df.wait_for_signal('go'))"
    ).fetchall()
    worker = story.claimed()
    while not story.connection.execute("select from df.runs where status = 'completed'").fetchall():
        worker.ready()[-1].step()
    story.send("go", "first")
    story.work(worker)
    assert story.result["data"] == "first"
    runs = story.connection.execute("select status from df.runs where signal_name = 'go' order by 1").fetchall()
    assert runs == [("cancelled",), ("completed",)]


def test_nothing_of_a_branch_that_has_lost_is_shown_as_running(story: Story) -> None:
    """Whatever holds the wait: a loop, a join, an if, a race, a child's frame."""
    waits = "df.wait_for_signal('never')"
    held = (
        f"df.loop({waits})", f"{waits} & df.sleep(1000)", f"df.if('SELECT true', {waits}, 'SELECT 1')",
        f"{waits} | df.sleep(1000)", f"'SELECT 1' ~> {waits}",
    )  # fmt: skip
    story.start(" & ".join(f"(df.sleep(5) | ({branch}))" for branch in held) + " ~> df.wait_for_signal('end')")
    assert story.connection.execute("select from df.nodes where node_type = 'LOOP' and status = 'running'").fetchall()
    story.at(6)
    story.work()
    lost = story.connection.execute(
        "select n.node_type, n.status from df.nodes as n where n.node_type in ('LOOP', 'IF', 'SIGNAL') order by ordinal"
    ).fetchall()
    assert {status for kind, status in lost[:-1]} == {"cancelled"}, lost
    assert lost[-1] == ("SIGNAL", "running")
    story.connection.execute("select df.cancel(%s)", [story.instance])
    story.work()
    left = story.connection.execute("select status, count(*) from df.nodes group by 1 order by 1").fetchall()
    assert "running" not in dict(left)
