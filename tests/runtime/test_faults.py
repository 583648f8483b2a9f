"""The fault matrix: what is done to workers, connections and servers, and what must be true afterwards.

Every test ends with the checker. Those that take long are marked `slow`; how long is set by PGWEAVE_CHAOS_SECONDS (4 by
default, as CI has it; a minute finds more) and PGWEAVE_NODES (1500; the limit is 10000). Elsewhere: a worker stopped past
its lease and backends terminated (test_crash), cron at the change of the clocks (test_cron), roles that come and go
(test_privileges), and everything that one can do to two workers between any two effects (tests/simulation).
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import combinations, cycle
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.checker import check, wrong
from support.database import TemplateDatabases, prepare
from support.lockstep import SimulatedWorker, Stage
from support.proxy import Cut, Proxy
from support.work import PATIENCE_SECONDS, Database, with_worker, worker_process

from pgweave.runtime.client import Client
from pgweave.runtime.server import embedded
from pgweave.runtime.worker import sql_step
from pgweave.runtime.worker.failpoints import POINTS
from pgweave.runtime.worker.service import MIN_POLL_SECONDS, Settings, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.work import WorkerProcess

CHAOS_SECONDS = float(os.environ.get("PGWEAVE_CHAOS_SECONDS", "4"))
NODES = int(os.environ.get("PGWEAVE_NODES", "1500"))


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    """A database with a worker of this process."""
    with with_worker(database) as found:
        found.sql("create table fx (step text)")
        yield found
    check(database)


@pytest.fixture(scope="module")
def shared(databases: TemplateDatabases) -> Iterator[Database]:
    dsn = databases.create()
    with with_worker(dsn) as found:
        found.sql("create table fx (step text)")
        found.sql("create sequence tries")
        yield found
    check(dsn)
    databases.drop(dsn)


@pytest.fixture
def common(shared: Database) -> Database:
    """A database with a worker, shared by tests that leave nothing behind but ended instances."""
    shared.sql("truncate fx")
    shared.sql("alter sequence tries restart")
    return shared


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(sql_step, "sleep", lambda seconds: None)


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
def test_a_worker_that_dies_at_this_point_costs_nothing(quiet: Database, point: str) -> None:
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
    with with_worker(quiet.dsn):
        assert quiet.ended(parent).status == "completed"
        assert quiet.sql("select step from fx order by 1") == [(step,) for step in EFFECTS]
    check(quiet.dsn)


@pytest.mark.slow
def test_workers_killed_again_and_again_lose_and_repeat_nothing(quiet: Database) -> None:
    """Three workers; one that has a lease is shot or told to stop while it works, and another takes its place."""
    starts: list[str] = []
    kills = 0
    chance = Random(CHAOS_SECONDS)
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
            # Not before something has been done: who is shot ten times in a row without progress counts as poisoned.
            quiet.until(f"(select count(*) from fx) >= {4 * len(starts) - 40} and exists (select {held})")
            for (pid,) in quiet.sql(f"select split_part(worker, ':', 2)::int {held} limit 1"):
                victim = workers.pop(pid)
                if chance.random() < 0.5:
                    victim.kill()
                else:
                    victim.process.terminate()
                    assert victim.process.wait(PATIENCE_SECONDS) == 0
                fresh = hire()
                workers[fresh.process.pid] = fresh
                kills += 1
        for parent in starts:
            ended = quiet.ended(parent)
            assert ended.status == "completed", ended.error
    assert kills >= CHAOS_SECONDS / 4
    assert quiet.sql("select count(*) from fx") == [(5 * len(starts),)]
    check(quiet.dsn)


def test_a_worker_that_comes_back_too_late_is_refused(quiet: Database) -> None:
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
def test_connections_cut_around_the_commit_never_double_or_lose_a_step(quiet: Database, shape: str) -> None:
    """Every statement of a step is cut the first time it is sent, in each of four ways, in turn."""
    cuts: Counter[Cut] = Counter()
    ways = cycle([Cut.BEFORE, Cut.AFTER, Cut.HALF, Cut.HALF_ANSWER])
    seen = set()

    def plan(message: bytes) -> Cut:
        step = re.search(rb"INTO fx VALUES \('(\d+)'\)", message)
        if b"df_internal.exec_node" not in message or step is None or step[1] in seen:
            return Cut.NOT
        seen.add(step[1])
        way = next(ways)
        cuts[way] += 1
        return way

    steps = [effect(str(n)) for n in range(24)]
    with Proxy(quiet.dsn, plan) as proxy, with_worker(proxy.dsn):
        if shape == "chain":
            parent = quiet.start(" ~> ".join(steps))
        else:
            parent = quiet.start(" & ".join(f"({' ~> '.join(steps[n::4])})" for n in range(4)))
        assert quiet.ended(parent).status == "completed"
    assert set(cuts.values()) == {6}
    assert quiet.sql("select count(distinct step), count(*) from fx") == [(24, 24)]
    check(quiet.dsn)


def test_cuts_of_the_workers_own_session_cost_a_lease_and_no_more(quiet: Database) -> None:
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
        with_worker(proxy.dsn, Settings(lease_seconds=0.5, poll_seconds=0.1, max_attempts=100)),
    ):
        parents = [quiet.start(program.replace("''a''", f"''a{n}''").replace("''b''", f"''b{n}''").replace("lost?", str(n)))
                   for n in range(3)]  # fmt: skip
        for parent in parents:
            assert quiet.ended(parent).status == "completed"
    assert len(done) == 2 * len(queries), pending
    check(quiet.dsn)


# The server. These need one of their own: others must not notice.


@pytest.fixture(scope="module")
def mortal() -> Iterator[embedded.Server]:
    with embedded.temporary() as server:
        yield server


@pytest.fixture(scope="module")
def mortal_databases(mortal: embedded.Server) -> TemplateDatabases:
    return TemplateDatabases(mortal.dsn, prepare)


@pytest.fixture
def doomed(mortal_databases: TemplateDatabases) -> Iterator[Database]:
    """A database whose server may go away. No worker."""
    place = Database(mortal_databases.create())
    place.sql("create table fx (step text)")
    yield place
    place.client.close()
    mortal_databases.drop(place.dsn)


ROUNDS = range(10, 100, max(10, int(360 / CHAOS_SECONDS)))  # effects after which the server is hit; of 126


def load(place: Database, instances: int = 6, steps: int = 20) -> list[str]:
    """Something to do: chains of steps, each with an effect of its own, with a branch and a wait in the middle."""
    starts = []
    for n in range(instances):
        chain = [effect(f"{n}-{step}") for step in range(steps)]
        half = len(chain) // 2
        middle = f"({effect(f'{n}-x')} & df.sleep(0))"
        starts.append(place.start(" ~> ".join([*chain[:half], middle, *chain[half:]])))
    return starts


def all_done(place: Database, starts: list[str], steps: int = 20) -> None:
    place.client.close()
    place.client = Client(place.dsn)  # the old session died with the server
    for parent in starts:
        instance = place.ended(parent)
        assert instance.status == "completed", instance.error
    assert place.sql("select count(*) from fx") == [((steps + 1) * len(starts),)]
    check(place.dsn)


@pytest.mark.slow
def test_a_backend_killed_under_the_server_costs_nothing(mortal: embedded.Server, doomed: Database) -> None:
    """SIGKILL of one backend makes PostgreSQL end all sessions and recover."""
    with with_worker(doomed.dsn, Settings(lease_seconds=1.0, poll_seconds=0.1, max_attempts=100)):
        starts = load(doomed)
        for done in ROUNDS:
            victims = "from pg_stat_activity where application_name in ('pgweave step', 'pgweave worker')"
            doomed.until(f"(select count(*) from fx) >= {done} and exists (select {victims})")
            (pid,) = doomed.sql(f"select pid {victims} order by application_name limit 1")[0]
            with psycopg.connect(doomed.dsn) as bystander:
                os.kill(pid, signal.SIGKILL)
                with pytest.raises(psycopg.OperationalError):
                    bystander.execute("select pg_sleep(60)")
            recovered(mortal)
        all_done(doomed, starts)


@pytest.mark.slow
def test_an_immediate_shutdown_costs_nothing(mortal: embedded.Server, doomed: Database) -> None:
    cluster = mortal.cluster
    with with_worker(doomed.dsn, Settings(lease_seconds=1.0, poll_seconds=0.1, max_attempts=100)):
        starts = load(doomed)
        for done in ROUNDS:
            doomed.until(f"(select count(*) from fx) >= {done}")
            assert cluster.run("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w").returncode == 0
            cluster.start()
            recovered(mortal)
        all_done(doomed, starts)


def recovered(server: embedded.Server) -> None:
    """Wait until the server takes connections again. There is nothing to wait on: it has to be asked."""
    until = monotonic() + PATIENCE_SECONDS
    while monotonic() < until:
        with suppress(psycopg.OperationalError), psycopg.connect(server.dsn) as connection:
            connection.execute("select 1")
            return
    raise AssertionError("the server does not come back")


def test_a_server_without_free_connections_is_waited_for(mortal: embedded.Server, doomed: Database) -> None:
    """No step fails because others have taken all connections, and no person has to do anything afterwards."""
    doomed.sql("alter system set max_connections = 20")
    cluster = mortal.cluster
    assert cluster.run("pg_ctl", "restart", "-D", "data", "-m", "fast", "-w", "-l", "data/server.log").returncode == 0
    try:
        with (
            with_worker(doomed.dsn, Settings(concurrency=2, lease_seconds=1.0, poll_seconds=0.1, max_attempts=100)),
            ExitStack() as hogs,
        ):
            doomed.client.close()
            doomed.client = Client(doomed.dsn)
            starts = load(doomed, 2, 4)
            taken = 0
            with suppress(psycopg.OperationalError):
                while taken < 30:
                    hogs.enter_context(psycopg.connect(mortal.dsn))
                    taken += 1
            assert taken < 30, "there is always another connection"
            hogs.close()
            all_done(doomed, starts, 4)
    finally:
        doomed.sql("alter system reset max_connections")
        doomed.client.close()
        assert (
            cluster.run("pg_ctl", "restart", "-D", "data", "-m", "fast", "-w", "-l", "data/server.log").returncode == 0
        )
        doomed.client = Client(doomed.dsn)


# The database says no for a while.


def end_all_sessions(place: Database) -> None:
    place.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        " and starts_with(application_name, 'pgweave ') and application_name <> 'pgweave client'"
    )


def test_a_worker_whose_sessions_are_ended_while_it_starts_goes_on(quiet: Database) -> None:
    parent = quiet.start(effect("a"))
    with worker_process(quiet.dsn, "--lease-seconds", "1"):
        ends = "bool_or(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()"
        for _ in range(10):
            quiet.until(f"(select {ends} and application_name in ('pgweave worker', 'pgweave listener'))")
        assert quiet.ended(parent).status == "completed"
    check(quiet.dsn)


def test_in_a_database_that_is_set_to_read_only_steps_run_as_in_psql_and_the_worker_goes_on(quiet: Database) -> None:
    with worker_process(quiet.dsn, "--lease-seconds", "1"):
        quiet.until("exists (select from df.workers where lock_key is not null)")
        name = quiet.sql("select current_database()")[0][0]
        quiet.sql(f"alter database {name} set default_transaction_read_only = on")
        end_all_sessions(quiet)
        writable = "-c default_transaction_read_only=off"
        with psycopg.connect(quiet.dsn, autocommit=True, options=writable) as connection:
            ids = [
                connection.execute(f"select df.start({program})").fetchone() for program in ("'select 1'", effect("a"))
            ]
            reads, writes = (quiet.ended(str(row[0])) for row in ids if row)
            connection.execute(f"alter database {name} reset default_transaction_read_only")
        assert (reads.status, writes.status) == ("completed", "failed")
        assert "read-only transaction" in str(writes.error)
        end_all_sessions(quiet)
        assert quiet.ended(quiet.start(effect("b"))).status == "completed"
    assert quiet.sql("select step from fx") == [("b",)]
    check(quiet.dsn)


def test_short_timeouts_and_the_locks_of_an_administrator_lose_nothing(quiet: Database) -> None:
    """Timeouts that people set for the database hit the worker's own statements while its tables are locked."""
    name = quiet.sql("select current_database()")[0][0]
    starts = load(quiet, 3, 6)
    # A statement of a step's own may take longer than a tenth of a second on a busy machine, and would rightly fail.
    for setting, limit in (("statement_timeout", "1s"), ("lock_timeout", "100ms")):
        quiet.sql(f"alter database {name} set {setting} = '{limit}'")
    with worker_process(quiet.dsn, "--lease-seconds", "1") as worker:
        for table in ("df.queue", "df.runs", "df.instances"):
            worker.wait_for("checkpointed")
            with psycopg.connect(quiet.dsn, options="-c statement_timeout=0 -c lock_timeout=0") as holder:
                holder.execute(f"lock table {table} in access exclusive mode")
                waits_since = (
                    "(select min(query_start) from pg_stat_activity where wait_event_type = 'Lock'"
                    " and datname = current_database() and starts_with(application_name, 'pgweave '))"
                )
                quiet.until(f"{waits_since} is not null")
                ((began,),) = quiet.sql(f"select {waits_since}::text")
                quiet.until(f"coalesce({waits_since} > '{began}', true)")  # its time is over
        for setting in ("statement_timeout", "lock_timeout"):  # the questions of the test may take their time
            quiet.sql(f"alter database {name} reset {setting}")
        all_done(quiet, starts, 6)


def test_a_deadlock_between_two_steps_is_nobodys_failure(place: Database) -> None:
    place.sql("create table account (id int primary key, n int)")
    place.sql("insert into account values (1, 0), (2, 0)")
    place.sql("create sequence met")
    place.sql(
        "create function move(a int, b int) returns void language plpgsql as $f$ begin"
        " update account set n = n + 1 where id = a; perform nextval('met');"
        " while (select last_value from met) < 2 loop perform pg_sleep(0.01); end loop;"
        " update account set n = n + 1 where id = b; end $f$"
    )
    parent = place.finish("'SELECT move(1, 2)' & 'SELECT move(2, 1)'")
    assert parent.status == "completed", parent.error
    assert place.sql("select n from account") == [(2,), (2,)]
    attempts = sorted(node.attempts or 0 for node in place.client.nodes(parent.id) if node.node_type == "SQL")
    assert attempts[0] == 1
    assert attempts[1] > 1


@pytest.mark.parametrize(
    "state", ["serialization_failure", "lock_not_available", "too_many_connections", "read_only_sql_transaction"]
)
def test_an_error_that_passes_is_tried_again(common: Database, state: str) -> None:
    common.sql(
        "create or replace function shaky() returns int language plpgsql as $f$ begin"
        f" if nextval('tries') < 3 then raise exception 'not now' using errcode = '{state}'; end if; return 1; end $f$"
    )
    parent = common.finish("'INSERT INTO fx SELECT shaky()'")
    assert parent.status == "completed", parent.error
    (step,) = common.client.nodes(parent.id)
    assert step.attempts == 3
    assert common.sql("select count(*) from fx") == [(1,)]


@pytest.mark.usefixtures("hasty")
def test_an_error_that_does_not_pass_is_given_up(common: Database) -> None:
    common.sql(
        "create function never() returns int language plpgsql as $f$ begin perform nextval('tries');"
        " raise exception 'busy' using errcode = 'serialization_failure'; end $f$"
    )
    assert common.error("'SELECT never()'") == "SQL execution failed: error returned from database: busy"
    assert common.sql("select last_value from tries") == [(sql_step.MAX_ATTEMPTS,)]


# Notifications.


SILENCE = """
do $$ declare f text; begin
    for f in select replace(pg_get_functiondef(p.oid), 'pg_notify(''pgweave''', 'concat(''nothing''')
             from pg_proc as p where p.pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace) and p.prosrc like '%pg_notify(%' loop
        execute f;
    end loop;
end $$
"""


def test_without_any_notification_everything_is_found_by_polling(quiet: Database) -> None:
    quiet.sql(SILENCE)
    with with_worker(quiet.dsn, Settings(poll_seconds=0.05)) as working:
        working.until("exists (select from pg_stat_activity where application_name = 'pgweave listener')")
        waiting = quiet.start("df.wait_for_signal('go') ~> df.call_child('SELECT 1')")
        working.events.wait_for("parked", waiting)
        quiet.client.signal(waiting, "go")
        assert quiet.ended(waiting).status == "completed"
        cancelled = quiet.start("df.sleep(3600)")
        working.events.wait_for("parked", cancelled)
        quiet.client.cancel(cancelled)
        assert quiet.ended(cancelled).status == "cancelled"
    check(quiet.dsn)


def test_a_listener_that_loses_its_connection_listens_again(quiet: Database) -> None:
    """With a poll interval of an hour only notifications can have brought the work."""
    with with_worker(quiet.dsn, Settings(poll_seconds=3600.0)):
        listening = "exists (select from pg_stat_activity where application_name = 'pgweave listener' and datname = current_database() and pid <> {})"
        quiet.until(listening.format(0))
        (pid,) = quiet.sql(
            "select pid from pg_stat_activity where application_name = 'pgweave listener' and datname = current_database()"
        )[0]
        quiet.sql(f"select pg_terminate_backend({pid})")
        quiet.until(listening.format(pid))
        assert quiet.finish("'SELECT 1'").status == "completed"


def test_a_flood_of_notifications_is_not_a_flood_of_polls(quiet: Database) -> None:
    """Anybody may NOTIFY. The worker looks at most once per MIN_POLL_SECONDS, and still gets its work done."""
    looks = []
    with with_worker(quiet.dsn) as working:
        quiet.finish("'SELECT 1'")
        claim = working.worker.store.claim
        working.worker.store.claim = lambda *given: looks.append(monotonic()) or claim(*given)  # type: ignore[method-assign, func-returns-value, redundant-expr]
        with psycopg.connect(quiet.dsn, autocommit=True) as noisy:
            for _ in range(3000):
                noisy.execute("notify pgweave")
            assert quiet.finish("'SELECT 1'").status == "completed"
    assert len(looks) > 3
    assert len(looks) <= (looks[-1] - looks[0]) / MIN_POLL_SECONDS + 10


# Size and depth.


def wide(leaves: int) -> str:
    """A join of so many steps, as the JSON that the compiler would make of it."""
    step = {"node_type": "SQL", "query": "SELECT 1 AS n"}
    extras = [step] * (leaves - 2)
    return json.dumps({"node_type": "JOIN", "left_node": step, "right_node": step, "extra_nodes": extras})


@pytest.mark.slow
def test_a_very_wide_join_completes(common: Database) -> None:
    (parent,) = common.sql("select df.start(%s)", wide(NODES - 1))[0]
    ended = common.ended(parent)
    assert ended.status == "completed", ended.error
    assert len(json.loads(ended.result or "")) == NODES - 1


@pytest.mark.parametrize(("levels", "status"), [(255, "completed"), (256, "completed"), (257, None)])
def test_the_deepest_graph_runs_and_a_deeper_one_is_refused(common: Database, levels: int, status: str | None) -> None:
    """Levels of all kinds in turn: the walk needs a few frames of Python's stack for each."""
    node: dict[str, object] = {"node_type": "SQL", "query": "SELECT 1 AS n"}
    leaf = dict(node)
    for level in range(levels):
        match level % 4:
            case 0:
                node = {"node_type": "THEN", "left_node": leaf, "right_node": node}
            case 1:
                node = {"node_type": "JOIN", "left_node": node, "right_node": leaf}
            case 2:
                node = {"node_type": "IF", "left_node": node, "right_node": leaf, "condition_node": leaf}
            case _:
                stop = {"node_type": "SQL", "query": "SELECT false"}
                node = {"node_type": "LOOP", "left_node": node, "condition_node": stop}
    graph = json.dumps(node)
    if status is None:
        with pytest.raises(psycopg.DatabaseError, match="maximum nesting depth of 256"):
            common.sql("select df.start(%s)", graph)
        return
    assert common.ended(common.sql("select df.start(%s)", graph)[0][0]).status == status


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        ("SELECT repeat('x', 900000) AS v", "completed"),
        ("SELECT repeat('x', 1000000 - length('{\"v\":\"\"}')) AS v", "completed"),
        ("SELECT repeat('x', 1000000) AS v", "The result is larger than 1000000 bytes"),
        ("SELECT repeat('x', 100000000) AS v", "The result is larger than 1000000 bytes"),
        ("SELECT FROM generate_series(1, 1000000)", "The result is larger than 1000000 bytes"),
    ],
)  # fmt: skip
def test_a_large_result_is_kept_or_refused_by_name_and_never_reaches_the_worker(
    quiet: Database, query: str, outcome: str
) -> None:
    with worker_process(quiet.dsn) as worker:
        ended = quiet.finish(f"$${query}$$")
        said = ended.status if ended.error is None else str(ended.error["message"])
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker.process.pid}/status").read_text())
    assert said.endswith(outcome)
    assert peak is not None
    assert int(peak[1]) < 200_000, "the worker has grown"


@pytest.mark.parametrize(
    "statement", ["SELECT pg_sleep(600)", "SELECT set_config('statement_timeout', '0', false), pg_sleep(600)"]
)
def test_a_statement_that_takes_too_long_is_ended_and_cannot_prevent_that(quiet: Database, statement: str) -> None:
    with worker_process(quiet.dsn, "--step-seconds", "0.3"):
        assert quiet.error(f"$${statement}$$").endswith("canceling statement due to statement timeout")


def test_how_large_a_result_may_be_is_the_workers_to_say(quiet: Database) -> None:
    with worker_process(quiet.dsn, "--max-result-bytes", "100"):
        assert quiet.finish("'SELECT repeat(''x'', 90) AS v'").status == "completed"
        assert quiet.error("'SELECT repeat(''x'', 100) AS v'").endswith("The result is larger than 100 bytes")


# Programs that would take others down with them.


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("DO $do$ BEGIN RAISE EXCEPTION 'mine' USING errcode = 'PWR01'; END $do$", "mine"),
        ("DO $do$ BEGIN RAISE EXCEPTION 'mine' USING errcode = 'PWR02'; END $do$", "mine"),
        ("DO $do$ BEGIN RAISE EXCEPTION 'mine' USING errcode = 'PWR03'; END $do$", "mine"),
        ("DO $do$ BEGIN RAISE EXCEPTION 'mine' USING errcode = 'PWR05'; END $do$", "mine"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "terminating connection due to administrator command"),
        ("SELECT pg_cancel_backend(pg_backend_pid())", "canceling statement due to user request"),
        ("SELECT repeat('[', 100000)::json", "stack depth limit exceeded"),
    ],
)  # fmt: skip
def test_a_step_that_makes_trouble_fails_by_itself_among_healthy_ones(
    common: Database, step: str, message: str
) -> None:
    """It may raise our own codes, or end its session again and again: it fails, soon, and the others do not notice."""
    healthy = [common.start(effect(str(n))) for n in range(20)]
    assert message in common.error(f"$df${step}$df$")
    for instance in healthy:
        assert common.ended(instance).status == "completed"
    assert common.sql("select count(*) from fx") == [(20,)]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"node_type": "SLEEP", "query": "soon"}, "Invalid sleep duration: soon"),
        ({"node_type": "SLEEP", "query": "9" * 400}, "Invalid sleep duration: 999"),
        ({"node_type": "SIGNAL", "query": '{"signal_name":"go","timeout_seconds":"1"}'}, "timeout_seconds must be"),
        ({"node_type": "SIGNAL", "query": '{"signal_name":"go","timeout_seconds":true}'}, "timeout_seconds must be"),
        ({"node_type": "SIGNAL", "query": '{"signal_name":7}'}, "signal_name must be a string"),
        ({"node_type": "SIGNAL", "query": "{}"}, "signal_name must be a string"),
        ({"node_type": "SIGNAL", "query": "[]"}, "query in SIGNAL must be a JSON config object"),
        ({"node_type": "AWAIT_INSTANCE", "query": "{}"}, "instance_id must be a string"),
        ({"node_type": "AWAIT_INSTANCE", "query": '{"instance_id":"a\\u0000b"}'}, "must be valid JSON config"),
        ({"node_type": "WAIT_SCHEDULE", "query": '{"cron_expr":"never"}'}, "expected 5 fields"),
        ({"node_type": "WAIT_SCHEDULE", "query": "{}"}, "cron_expr must be a string"),
        ({"node_type": "BREAK", "query": "nonsense"}, "query in BREAK must be valid JSON config"),
    ],
)  # fmt: skip
def test_a_node_that_makes_no_sense_is_refused_at_the_start(
    common: Database, node: dict[str, object], message: str
) -> None:
    """What can be known before the start is not found out by a worker. test_graphs_by_hand.py inserts such rows itself."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=re.escape(message)):
        common.sql("select df.start(%s)", json.dumps(node))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"node_type": "AWAIT_INSTANCE", "query": '{"instance_id":" "}'}, "resolved to an empty instance_id"),
        ({"node_type": "IF", "query": "{}", "left_node": {"node_type": "SLEEP", "query": "0"},
          "right_node": {"node_type": "SLEEP", "query": "0"}}, "df.if_rows: result 'None' not found"),
    ],
)  # fmt: skip
def test_a_node_that_turns_out_to_make_no_sense_fails_by_name(
    common: Database, node: dict[str, object], message: str
) -> None:
    (instance,) = common.sql("select df.start(%s)", json.dumps(node))[0]
    ended = common.ended(instance)
    assert ended.status == "failed"
    assert message in str((ended.error or {})["message"])


def test_a_sleep_of_a_million_years_can_be_cancelled(common: Database) -> None:
    (instance,) = common.sql("select df.start(%s)", json.dumps({"node_type": "SLEEP", "query": "31557600000000"}))[0]
    common.events.wait_for("parked", instance)
    common.client.cancel(instance)
    assert common.ended(instance).status == "cancelled"


# Things that happen at the same time.


class FakeClock:
    """A session whose time stands where it is put, and workers that live in it."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.stage = Stage(self.connection, lambda heard: None)

    def set(self, now: datetime) -> None:
        self.connection.execute("select set_config('pgweave.fake_now', %s, false)", [now.isoformat()])

    def value(self, query: str, *arguments: object) -> Any:  # noqa: ANN401
        row = self.connection.execute(query.encode(), arguments).fetchone()
        return None if row is None else row[0]

    def work_off(self) -> None:
        with self.stage.open():
            worker = SimulatedWorker(self.stage, Settings())
            while worker.claim(10) or worker.ready():
                for actor in worker.ready():
                    actor.step()

    def close(self) -> None:
        self.connection.close()


def by_hand(dsn: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A session on which the test does a worker's half itself."""
    return psycopg.connect(dsn, application_name="by hand")


def claimed(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[str, object]:
    row = connection.execute("select instance_id, token from df_internal.worker_claim('by hand', 1, 60)").fetchone()
    assert row is not None
    return row[0], row[1]


@contextmanager
def in_a_thread(work: Callable[[], object]) -> Iterator[Future[object]]:
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(work)


def test_a_cancel_that_meets_the_end_waits_for_it_and_finds_it_ended(quiet: Database) -> None:
    """Committed before the end was visible: without a common lock it would say cancelled first, completed later."""
    instance = quiet.start("'SELECT 1'")
    with by_hand(quiet.dsn) as worker:
        _, token = claimed(worker)
        worker.commit()
        worker.execute("select df_internal.worker_finish(%s, %s, 'completed', '1', null, '[]')", [instance, token])
        with in_a_thread(lambda: quiet.client.cancel(instance)) as cancel:
            quiet.until(
                "exists (select from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'pgweave client')"
            )
            assert quiet.sql("select df.status(%s)", instance) == [("pending",)]
            worker.commit()
            cancel.result(PATIENCE_SECONDS)
    assert quiet.sql("select df.status(%s)", instance) == [("completed",)]
    assert quiet.sql("select count(*) from df.inbox where not seen") == [(0,)]
    check(quiet.dsn)


def test_a_cancel_that_is_never_committed_holds_nobody_up(quiet: Database) -> None:
    instance = quiet.start(f"{effect('a')} ~> {effect('b')}")
    with psycopg.connect(quiet.dsn) as undecided:
        undecided.execute("select df.cancel(%s)", [instance])
        with with_worker(quiet.dsn):
            assert quiet.ended(instance).status == "completed"
        undecided.rollback()
    check(quiet.dsn)


@pytest.mark.parametrize("other", ["end", "signal", "timeout", "step"])
def test_a_cancel_that_races_has_exactly_one_outcome(common: Database, other: str) -> None:
    """Many at once: whatever comes first, the status never goes back, and afterwards nothing more happens."""
    programs = {
        "end": "'SELECT 1'",
        "signal": f"df.wait_for_signal('go') ~> {effect('signal {n}')}",
        "timeout": f"df.wait_for_signal('go', 1) ~> {effect('timeout {n}')}",
        "step": f"'SELECT pg_sleep(0.05)' ~> {effect('step {n}')}",
    }
    instances = [common.start(programs[other].replace("{n}", str(n))) for n in range(40)]
    with Client(common.dsn) as sender:
        for instance in instances:
            if other == "signal":
                sender.signal(instance, "go")
            common.client.cancel(instance)
    for n, instance in enumerate(instances):
        ended = common.ended(instance)
        seen = common.sql("select count(*) from fx where step like %s", f"% {n}")[0][0]
        assert ended.status in {"completed", "cancelled"}
        assert seen <= 1
        if ended.status == "completed" and other != "end":
            assert seen == 1


def test_a_parent_and_its_child_cancelled_together_both_end(place: Database) -> None:
    parents = [
        place.start(f"""df.call_child(df.sleep(3600), 'c{n}', '{{"on_cancel": "cancel"}}')""") for n in range(10)
    ]
    for parent in parents:
        place.events.wait_for("waiting", parent)
    children = [instance.id for instance in place.client.instances() if instance.parent_instance_id]
    with Client(place.dsn) as other, ThreadPoolExecutor(2) as threads:
        cancels = [threads.submit(other.cancel, child) for child in children]
        cancels += [threads.submit(place.client.cancel, parent) for parent in parents]
        for cancel in cancels:
            cancel.result()
    for instance in (*parents, *children):
        assert place.ended(instance).status in {"cancelled", "failed"}


def test_a_long_statement_does_not_outlive_a_race_that_time_has_won(common: Database) -> None:
    """The sleep is noticed while the statement still runs, and the statement is interrupted."""
    began = monotonic()
    instance = common.finish("df.sleep(1) | $$INSERT INTO fx SELECT 'late' FROM pg_sleep(600)$$")
    assert monotonic() - began < 60
    assert instance.result == '{"slept": true, "seconds": 1}'
    assert common.sql("select * from fx") == []


def test_a_signal_is_not_lost_to_a_wait_that_has_lost_its_race(place: Database) -> None:
    """The second wait is there for it. The first has lost long ago, but its worker was busy in between."""
    place.sql("create table gate (n int)")
    instance = place.start(
        "(df.wait_for_signal('go') | df.sleep(0)) ~> $$SELECT 1 FROM gate$$ ~> (df.wait_for_signal('go', 60) |=> 's')"
        " ~> 'SELECT $s.timed_out AS timed_out'"
    )
    with psycopg.connect(place.dsn) as holder:
        holder.execute("lock table gate in access exclusive mode")
        place.until("exists (select from pg_locks where not granted and relation = 'gate'::regclass)")
        place.client.signal(instance, "go", 1)
        holder.rollback()
    assert '"timed_out":false' in str(place.ended(instance).result)


def test_a_signal_and_a_cancel_reach_an_instance_beside_one_that_is_flooded(quiet: Database) -> None:
    """Thousands of letters for an instance that a worker holds must not hide the one for another."""
    busy, other = quiet.start("'SELECT 1'"), quiet.start("df.wait_for_signal('go')")
    work_off(quiet.dsn)
    busy = quiet.start("'SELECT 2'")
    with by_hand(quiet.dsn) as worker:
        assert claimed(worker)[0] == busy
        worker.commit()
        quiet.sql(
            "insert into df.inbox (instance_id, kind, name, payload) select %s, 'signal', 'go', '1' from generate_series(1, 3000)",
            busy,
        )
        quiet.client.signal(other, "go")
        assert claimed(worker)[0] == other


def test_letters_that_come_after_the_end_hide_nobody_elses(quiet: Database) -> None:
    """The sender saw the instance alive, committed after its end; the letter stays, and no worker looks at it."""
    ended, other = quiet.start("'SELECT 1'"), quiet.start("df.wait_for_signal('go')")
    with psycopg.connect(quiet.dsn) as late:
        for _ in range(20):
            late.execute("select df.signal(%s, 'go')", [ended])
        work_off(quiet.dsn)
        late.commit()
    quiet.client.signal(other, "go")
    with by_hand(quiet.dsn) as worker:
        assert claimed(worker)[0] == other


def work_off(dsn: str) -> None:
    Worker(dsn, Settings(poll_seconds=0.05)).run(once=True)


def test_signals_sent_in_the_same_transaction_as_the_start_are_kept(place: Database) -> None:
    with psycopg.connect(place.dsn) as connection:
        row = connection.execute("select df.start(df.wait_for_signal('go') & df.wait_for_signal('go'))").fetchone()
        assert row is not None
        for n in (1, 2, 3):
            connection.execute("select df.signal(%s, 'go', %s)", [row[0], str(n)])
    ended = place.ended(row[0])
    assert [branch["data"] for branch in json.loads(ended.result or "")] == [1, 2]
    assert place.sql("select payload::text from df.inbox where consumed_by is null") == [("3",)]


def test_a_long_queue_of_signals_is_taken_in_order_and_completely(place: Database) -> None:
    count = 200
    instance = place.start(
        "df.loop((df.wait_for_signal('go') |=> 's') ~> $$INSERT INTO fx VALUES ($s.data) RETURNING step::int$$ |=> 'n',"
        f" 'SELECT $n < {count}')"
    )
    place.sql("select count(df.signal(%s, 'go', n::text)) from generate_series(1, %s) as n", instance, count)
    assert place.ended(instance).status == "completed"
    assert place.sql(
        "select array_agg(step::int order by ctid) = array(select generate_series(1, %s)) from fx", count
    ) == [(True,)]


@pytest.mark.parametrize("sent", [-1, 0, 1])
def test_a_signal_and_its_timeout_at_the_same_moment_have_one_outcome(quiet: Database, sent: int) -> None:
    """Before the due time or at it, the signal is taken; after it, it is kept for another wait."""
    beginning = datetime(2030, 1, 1, tzinfo=UTC)
    clock = FakeClock(quiet.dsn)
    clock.set(beginning)
    instance = clock.value("select df.start(df.wait_for_signal('go', 60))")
    clock.work_off()
    clock.set(beginning + timedelta(seconds=60, microseconds=sent))
    clock.value("select df.signal(%s, 'go', '1')", instance)
    clock.set(beginning + timedelta(seconds=61))
    clock.work_off()
    envelope = json.loads(clock.value("select df.result(%s)", instance))
    assert envelope["timed_out"] is (sent > 0)
    assert clock.value("select count(*) from df.inbox where consumed_by is null") == (1 if sent > 0 else 0)
    clock.close()
    check(quiet.dsn)


@pytest.mark.parametrize("order", ["df.sleep(20) | df.sleep(10)", "df.wait_for_signal('go', 20) | df.sleep(10)",
                                   "df.sleep(20) | df.wait_for_signal('go')"])  # fmt: skip
def test_a_race_is_decided_by_what_came_first_and_not_by_when_somebody_looked(quiet: Database, order: str) -> None:
    """Both branches have ended when a worker looks, long afterwards. Real time: the clock orders what it settles."""
    instance = quiet.start(order)
    work_off(quiet.dsn)
    quiet.client.signal(instance, "other")
    if "wait_for_signal('go')" in order:
        quiet.client.signal(instance, "go")
    # As if an hour had gone by: whoever was due in 10 s was due before the one in 20.
    quiet.sql("update df.runs set due_at = due_at - interval '1 hour', started_at = started_at - interval '1 hour'")
    quiet.sql("update df.inbox set sent_at = sent_at - interval '1 hour' where name = 'go'")
    quiet.sql("update df.queue set ready_at = '-infinity'")
    work_off(quiet.dsn)
    result = quiet.client.instance(instance).result
    assert result is not None
    assert "20" not in result
    assert 'timed_out":true' not in result
    check(quiet.dsn)


# A child's end and its parent's wait, in every order.


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
def test_a_parent_wakes_in_whatever_order_it_waits_and_its_child_ends(quiet: Database, ending: str) -> None:
    """All orders of the parent's effects (its wait is written, looked at, parked) and of the child's up to its end."""
    step = {"completed": "'SELECT 1'", "failed": "'SELECT 1/0'", "cancelled": "df.sleep(3600)"}[ending]
    clock = FakeClock(quiet.dsn)
    with clock.stage.open():
        for turns_of_the_parent in combinations(range(7), 3):
            parent, child = (SimulatedWorker(clock.stage, Settings()) for _ in range(2))
            instance = clock.value(f"select df.start(df.call_child({step}, 'child'))")
            assert [lease.instance_id for lease in parent.claim()] == [instance]
            while parent.actors[0].effect != "wait":
                parent.actors[0].step()
            (lease,) = child.claim()
            if ending == "cancelled":
                quiet.client.cancel(lease.instance_id)
            for turn in range(7):
                worker = parent if turn in turns_of_the_parent else child
                for actor in worker.ready():
                    actor.step()
            assert wrong(clock.connection) == {}
            while ready := [*parent.ready(), *child.ready()]:
                for actor in ready:
                    actor.step()
            clock.work_off()
            expected = "completed" if ending == "completed" else "failed"
            assert clock.value("select status from df.instances where id = %s", instance) == expected
    clock.close()
    check(quiet.dsn)


def test_an_instance_that_awaits_itself_waits_until_its_time_is_up(common: Database) -> None:
    message = common.error("df.await_instance('{sys_instance_id}', 1)")
    assert message.startswith("Timed out after 1s waiting for instance ")


def test_an_instance_that_was_removed_fails_a_later_wait_and_never_while_it_is_awaited(quiet: Database) -> None:
    awaited, forgotten = quiet.start("'SELECT 1'"), quiet.start("'SELECT 2'")
    work_off(quiet.dsn)
    parent = quiet.start(f"df.wait_for_signal('go') ~> df.await_instance('{forgotten}')")
    waiting = quiet.start(f"df.await_instance('{awaited}')")
    with by_hand(quiet.dsn) as worker:  # a worker that has written the wait and gone no further
        token = dict(claimed(worker) for _ in range(2))[waiting]
        node = worker.execute("select root_node from df.instances where id = %s", [waiting]).fetchone()
        assert node is not None
        wait = [{"node_id": node[0], "iteration": [], "awaited_id": awaited}]
        worker.execute("select df_internal.worker_wait(%s, %s, %s)", [waiting, token, json.dumps(wait)])
    quiet.sql("update df.settings set value = 0 where name in ('retention_days', 'retention_instances')")
    assert quiet.sql("select df.prune()") == [(1,)]
    quiet.client.signal(parent, "go")
    quiet.sql("update df.queue set leased_until = '-infinity'")
    work_off(quiet.dsn)
    assert quiet.client.status(waiting) == "completed"
    assert (quiet.client.instance(parent).error or {})["message"] == f"Instance not found: {forgotten}"
