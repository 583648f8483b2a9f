"""The fault matrix: what is done to workers, connections and servers, and what must be true afterwards.

Every test ends with the checker. Those that take long are marked `slow`; how long is set by PGWEAVE_CHAOS_SECONDS (4 by
default, as CI has it; a minute finds more) and PGWEAVE_NODES (1500; the limit is 10000). Elsewhere: a worker stopped past
its lease and backends terminated (test_crash), cron at the change of the clocks (test_cron), roles that come and go
(test_privileges), and everything that one can do to two workers between any two effects (tests/simulation).
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from contextlib import ExitStack
from itertools import cycle
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from support.checker import check
from support.proxy import Cut, Proxy
from support.work import Desk, desk, worker_process

from pgweave.runtime.failpoints import POINTS
from pgweave.runtime.worker import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.work import WorkerProcess

CHAOS_SECONDS = float(os.environ.get("PGWEAVE_CHAOS_SECONDS", "4"))
NODES = int(os.environ.get("PGWEAVE_NODES", "1500"))


@pytest.fixture
def quiet(database: str) -> Iterator[Desk]:
    """A desk without a worker; steps leave their marks in fx."""
    place = Desk(database)
    place.sql("create table fx (step text)")
    yield place
    place.client.close()


@pytest.fixture
def place(database: str) -> Iterator[Desk]:
    """A desk with a worker of this process beside it."""
    with desk(database) as found:
        found.sql("create table fx (step text)")
        yield found
    check(database)


def effect(step: str) -> str:
    return f"'INSERT INTO fx VALUES (''{step}'')'"


# A worker that dies at each named point.

EVERYTHING = f"""
    (($$INSERT INTO fx SELECT 'slow' FROM pg_sleep(0.3)$$ & {effect("beside")}) & df.call_child({effect("child")}, 'child'))
    ~> ({effect("winner")} | df.wait_for_signal('never'))
    ~> ('SELECT 0 AS n' |=> 't')
    ~> df.loop($$INSERT INTO fx SELECT 'turn ' || $t.n RETURNING $t.n + 1 AS n$$ |=> 't', 'SELECT $t.n < 3')
    ~> (df.wait_for_signal('go') |=> 's')
    ~> df.sleep(0)
    ~> $$INSERT INTO fx VALUES ('payload ' || $s.data)$$
"""
EFFECTS = ["beside", "child", "payload 7", "slow", "turn 0", "turn 1", "turn 2", "winner"]
LATER = ("before_step:5", "after_step:5", "after_step:9", "before_decide:2", "after_decide:3", "before_wait:3",
         "after_wait:3", "before_finish:2", "after_finish:2", "after_claim:2")  # fmt: skip


@pytest.mark.parametrize("point", [*POINTS, *LATER])
def test_a_worker_that_dies_at_this_point_costs_nothing(quiet: Desk, point: str) -> None:
    """Everything has exactly one effect and comes to its end, with another worker that knows only the rows."""
    parent = quiet.start(EVERYTHING)
    if not point.endswith("_park"):  # or it would never have to
        quiet.client.signal(parent, "go", 7)
    with worker_process(quiet.dsn, failpoint=point) as first:
        assert first.process.wait(60) == -signal.SIGKILL, f"it never came to {point}"
    if point.endswith("_park"):
        quiet.client.signal(parent, "go", 7)
    # What the dead worker had leased need not be waited for here; that leases run out has a test of its own.
    quiet.sql("update df.queue set leased_until = '-infinity'")
    with desk(quiet.dsn):
        assert quiet.ended(parent).status == "completed"
        assert quiet.sql("select step from fx order by 1") == [(step,) for step in EFFECTS]
    check(quiet.dsn)


@pytest.mark.slow
def test_workers_killed_again_and_again_lose_and_repeat_nothing(quiet: Desk) -> None:
    """Three workers; one that has a lease is shot while it works, and another takes its place."""
    starts: list[str] = []
    kills = 0
    with ExitStack() as stack:

        def hire() -> WorkerProcess:
            return stack.enter_context(worker_process(quiet.dsn, "--lease-seconds", "1"))

        workers = {worker.process.pid: worker for worker in [hire() for _ in range(3)]}
        until = monotonic() + CHAOS_SECONDS
        while monotonic() < until:
            for _ in range(3):
                n = len(starts)
                starts.append(
                    quiet.start(
                        f"{effect(f'{n}a')} ~> ({effect(f'{n}b')} & {effect(f'{n}c')})"
                        f" ~> df.call_child({effect(f'{n}d')} ~> df.sleep(0)) ~> ({effect(f'{n}e')} | df.sleep(3600))"
                    )
                )
            held = f"from df.queue where split_part(worker, ':', 2)::int = any (array{list(workers)})"
            quiet.until(f"exists (select {held})")
            for (pid,) in quiet.sql(f"select split_part(worker, ':', 2)::int {held} limit 1"):
                workers.pop(pid).kill()
                fresh = hire()
                workers[fresh.process.pid] = fresh
                kills += 1
        for parent in starts:
            assert quiet.ended(parent).status == "completed"
    assert kills >= CHAOS_SECONDS / 4
    assert quiet.sql("select count(*) from fx") == [(5 * len(starts),)]
    check(quiet.dsn)


def test_a_worker_that_comes_back_too_late_is_refused(quiet: Desk) -> None:
    """Stopped while it holds the lease; another worker ends the instance; what it then tries to write is refused."""
    parent = quiet.start(
        f"{effect('a')} ~> df.loop('SELECT nextval(''turns'') AS n' |=> 't', 'SELECT $t < 200') ~> {effect('b')}"
    )
    quiet.sql("create sequence turns")
    with (
        worker_process(quiet.dsn, "--lease-seconds", "1") as late,
        worker_process(quiet.dsn, "--lease-seconds", "1") as next_one,
    ):
        workers = {"late": late, "next": next_one}
        quiet.until("(select worker is not null from df.queue)")
        holder = quiet.sql("select split_part(worker, ':', 2)::int from df.queue")[0][0]
        first, second = sorted(workers.values(), key=lambda worker: worker.process.pid != holder)
        os.kill(first.process.pid, signal.SIGSTOP)
        try:
            second.wait_for(f"finished instance={parent}")
        finally:
            os.kill(first.process.pid, signal.SIGCONT)
        first.wait_for(f"lease lost: instance {parent}")
    assert quiet.sql("select step from fx order by 1") == [("a",), ("b",)]
    check(quiet.dsn)


# The network.


@pytest.mark.parametrize("shape", ["chain", "join"])
def test_connections_cut_around_the_commit_never_double_or_lose_a_step(quiet: Desk, shape: str) -> None:
    """Every statement of a step is cut the first time it is sent, in each of four ways, in turn."""
    cuts: Counter[Cut] = Counter()
    ways = cycle([Cut.BEFORE, Cut.AFTER, Cut.HALF, Cut.HALF_ANSWER])
    seen = set()

    def plan(message: bytes) -> Cut:
        step = re.search(rb"INTO fx VALUES \('(\d+)'\)", message)
        if b"df.exec_node" not in message or step is None or step[1] in seen:
            return Cut.NOT
        seen.add(step[1])
        way = next(ways)
        cuts[way] += 1
        return way

    steps = [effect(str(n)) for n in range(24)]
    with Proxy(quiet.dsn, plan) as proxy, desk(proxy.dsn):
        if shape == "chain":
            parent = quiet.start(" ~> ".join(steps))
        else:
            parent = quiet.start(" & ".join(f"({' ~> '.join(steps[n::4])})" for n in range(4)))
        assert quiet.ended(parent).status == "completed"
    assert set(cuts.values()) == {6}
    assert quiet.sql("select count(distinct step), count(*) from fx") == [(24, 24)]
    check(quiet.dsn)


def test_cuts_of_the_workers_own_session_cost_a_lease_and_no_more(quiet: Desk) -> None:
    """What it records itself: waits, decisions, parks, ends. Each is cut once before and once after it was done."""
    queries = ("worker_load", "worker_settle", "worker_wait", "worker_decide", "worker_park", "worker_finish")
    pending = [(query.encode(), way) for query in queries for way in (Cut.BEFORE, Cut.AFTER)]
    done = []

    def plan(message: bytes) -> Cut:
        for cut in pending:
            if cut[0] in message:
                pending.remove(cut)
                done.append(cut)
                return cut[1]
        return Cut.NOT

    program = (
        f"(df.sleep(0) | {effect('lost?')}) ~> {effect('a')} ~> df.loop({effect('b')}, 'SELECT false') ~> df.sleep(1)"
    )
    with (
        Proxy(quiet.dsn, plan) as proxy,
        desk(proxy.dsn, Settings(lease_seconds=0.5, poll_seconds=0.1, max_attempts=100)),
    ):
        parents = [quiet.start(program.replace("''a''", f"''a{n}''").replace("''b''", f"''b{n}''").replace("lost?", str(n)))
                   for n in range(3)]  # fmt: skip
        for parent in parents:
            assert quiet.ended(parent).status == "completed"
    assert len(done) == 2 * len(queries), pending
    check(quiet.dsn)
