"""What large numbers cost. Run: python benchmarks/scale.py [--small] [PART ..].

    timers      10,000 instances whose sleep ends within one second: how late each of them ends
    looks       a look for work with 100,000 instances asleep, then with 1,000,000 ended ones beside them
    restart     1,000 instances in the hands of one worker; the server stops at once and comes back
    takeover    a worker is killed; how long until another one goes on with what it had in hand
    children    a chain of 1,000 instances: each starts the next one and waits for its end
    join        5,000 branches in one workflow, which are 9,999 nodes of the 10,000 that there may be

Beside each figure stands what it is to be compared with. Memory is the most that the process with the worker has used.
Each part has a server of its own, gone afterwards.
"""

from __future__ import annotations

import resource
import signal
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from pgweave.runtime import migrate
from pgweave.runtime.server import embedded
from pgweave.runtime.worker.service import working

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKS, BARE_COMMITS = 50, 1000
RESTARTS, TAKEOVERS = 3, 5
PATIENCE_SECONDS = 1200
LIVE = "exists (select from df.instances where status in ('pending', 'running'))"

# Instances that are parked in a sleep, as a worker leaves them. {due}: when it ends, an expression of n.
SLEEPERS = """
with ids as materialized (
    select n, lpad(to_hex(n), 8, '0') as id, {due} as due from generate_series(1, {count}) as n
),
instance as (insert into df.instances (id, root_node, status) select id, id, 'running' from ids),
node as (
    insert into df.nodes (id, instance_id, ordinal, node_type, query, status)
    select id, id, 0, 'SLEEP', '1', 'running' from ids
),
run as (
    insert into df.runs (instance_id, node_id, status, started_at, due_at, submitted_by)
    select id, id, 'waiting', now(), due, current_user::regrole from ids
)
insert into df.queue (instance_id, submitted_by, ready_at, checked_nodes)
select id, current_user::regrole, due, 1 from ids
"""
ENDED = """
with ids as materialized (select 'f' || lpad(to_hex(n), 7, '0') as id from generate_series(1, {count}) as n),
instance as (
    insert into df.instances (id, root_node, status, completed_at, result)
    select id, id, 'completed', now(), '1' from ids
)
insert into df.nodes (id, instance_id, ordinal, node_type, query, status)
select id, id, 0, 'SLEEP', '1', 'completed' from ids
"""


class Place:
    """A fresh database. dsn: of its superuser. divisor: how much smaller than usual everything is to be."""

    def __init__(self, server: embedded.Server, divisor: int) -> None:
        self.server, self.divisor = server, divisor
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("create database bench")
        self.dsn = make_conninfo(server.dsn, dbname="bench")
        migrate.install(self.dsn)
        # Limits on numbers are there for servers that people share.
        self.sql("update df.settings set value = highest where name in ('max_live_instances', 'retention_instances')")

    def sql(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def floats(self, statement: str, *arguments: object) -> list[float]:
        """The only column of a statement."""
        return [float(value) for (value,) in self.sql(statement, *arguments)]

    def insert(self, statement: str) -> None:
        """Without triggers and keys: such rows come from df.start and from workers, which are not measured here."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("set local session_replication_role = replica")
            connection.execute(statement.encode())
        self.sql("vacuum analyze")

    def until(self, question: str) -> None:
        """Ask every 20 ms until the answer is true."""
        ends = time.monotonic() + PATIENCE_SECONDS
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while connection.execute(f"select {question}".encode()).fetchone() != (True,):
                if time.monotonic() > ends:
                    raise TimeoutError(question)
                time.sleep(0.02)

    def cancel_all(self) -> None:
        """Ask every instance to end, and wait."""
        self.sql("select df.cancel(id, 'over') from df.instances where status in ('pending', 'running')")
        self.until(f"not {LIVE}")

    def commits_per_second(self) -> float:
        """The limit of whatever is written down one by one: rows changed with a commit each, on one connection."""
        self.sql("create table if not exists bare (id int primary key, n int not null)")
        self.sql("insert into bare select n, 0 from generate_series(1, %s) as n on conflict do nothing", BARE_COMMITS)
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            began = time.perf_counter()
            for n in range(BARE_COMMITS):
                connection.execute("update bare set n = n + 1 where id = %s", [n + 1])
            return BARE_COMMITS / (time.perf_counter() - began)


def timers(place: Place) -> None:
    """How late sleeps end that end within one second."""
    count = 10_000 // place.divisor
    ahead = 60 / place.divisor + 5  # seconds; so long it takes to insert the rows, and a worker to be ready
    place.insert(SLEEPERS.format(due=f"now() + make_interval(secs => {ahead} + n::float8 / {count})", count=count))
    with working(place.dsn):
        place.until(f"not {LIVE}")
    ends = "from df.instances as i join df.runs as r on r.instance_id = i.id"
    late = place.floats(f"select extract(epoch from i.completed_at - r.due_at) * 1000 {ends}")
    (span,) = place.floats(f"select extract(epoch from max(i.completed_at) - min(r.due_at)) {ends}")
    rate, limit = count / span, place.commits_per_second()
    print(f"timers: {count:,} due in one second; {sum(ms < 0 for ms in late)} ended too early")
    print(f"  late by, ms           {_centiles(late)}")
    print(f"  ends per second       {rate:.0f}   bare commits {limit:.0f}   ratio {rate / limit:.2f}")


def looks(place: Place) -> None:
    """A claim that finds nothing, among instances that sleep and instances that have ended."""
    claim = "select * from df_internal.worker_claim('bench', 8, 15)"
    empty = _times(place, claim)
    print(f"look for work, ms       {_spread(empty)}   with nothing there")
    asleep, ended = 100_000 // place.divisor, 1_000_000 // place.divisor
    for statement, title in (
        (SLEEPERS.format(due="now() + interval '1 year'", count=asleep), f"{asleep:,} asleep"),
        (ENDED.format(count=ended), f"{asleep:,} asleep and {ended:,} ended"),
    ):
        place.insert(statement)
        place.sql("select pg_stat_reset()")
        taken = _times(place, claim)
        ratio = statistics.median(taken) / statistics.median(empty)
        print(f"  {title:<45} {_spread(taken)}   ratio {ratio:.2f}")
        place.sql("select pg_stat_force_next_flush()")
        scans = place.sql(
            "select relname, idx_scan, seq_scan from pg_stat_user_tables where relname in ('queue', 'inbox')"
        )
        print(
            "    "
            + ", ".join(f"{name}: {by_index} scans by index, {whole} of the table" for name, by_index, whole in scans)
        )
    for title, statement in (
        ("status of one", "select df.status('f0000001')"),
        ("the newest 20", "select count(*) from df.list_instances(limit_count => 20)"),
        ("metrics", "select count(*) from df.metrics()"),
    ):
        print(f"  {title:<21} {_spread(_times(place, statement))}")


def restart(place: Place) -> None:
    """From the server's return until every instance that was at work has done a step."""
    count = 1000 // place.divisor
    place.sql("create table turn (instance text, at timestamptz default clock_timestamp())")
    turn = "'insert into turn values (''{sys_instance_id}'')' ~> df.sleep(1)"
    place.sql(f"select df.start(df.loop({turn})) from generate_series(1, {count})")
    all_since = f"(select count(distinct instance) from turn where at > to_timestamp({{}})) = {count}"
    calm, taken = [], []
    with working(place.dsn):
        place.until(all_since.format(0))
        for _ in range(RESTARTS):
            began = time.time()
            place.until(all_since.format(began))
            calm.append(time.time() - began)
            assert place.server.cluster.run("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w").returncode == 0
            place.server.cluster.start()
            came_back = time.time()
            place.until(all_since.format(came_back))
            taken.append(time.time() - came_back)
        place.cancel_all()
    ratio = statistics.median(taken) / statistics.median(calm)
    print(f"restart with {count:,} instances: until each has done a step, s")
    print(f"                        {_spread(taken)}   wanted: 3")
    print(f"  without a restart     {_spread(calm)}   ratio {ratio:.2f}")


def takeover(place: Place) -> None:
    """From the death of a worker until every instance has made a step, on another worker."""
    place.sql("create table turn (n int)")
    taken = []
    with _worker(place.dsn) as spare:
        for _ in range(TAKEOVERS):
            with _worker(place.dsn) as victim:
                spare.send_signal(signal.SIGSTOP)  # so that all instances are in the victim's hands
                place.sql(
                    "select df.start(df.loop('insert into turn values (1)' ~> 'select pg_sleep(0.05)')) from generate_series(1, 8)"
                )
                place.until("(select count(*) = 8 from df.queue as q where q.leased_until > now())")
                spare.send_signal(signal.SIGCONT)
                victim.kill()
                killed = time.time()
                place.until(
                    "(select count(*) = 8 from df.queue as q where exists (select from df.runs as r where"
                    f" r.instance_id = q.instance_id and r.finished_at > to_timestamp({killed + 0.06})))"
                )
                taken.append(time.time() - killed)
                place.cancel_all()
    print(f"takeover after SIGKILL, s {_spread(taken)}   wanted: 1")


@contextmanager
def _worker(dsn: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, ready to work."""
    with subprocess.Popen(
        [sys.executable, "-m", "pgweave", "worker", "--dsn", dsn], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"is ready" in line:
                break
        yield process
        process.kill()


def children(place: Place) -> None:
    """A thousand instances, each of which waits for the next one."""
    levels = 1000 // place.divisor
    place.sql(
        "create function level(n int) returns text language sql as $f$ select case when n = 0 then df.start('select 0')"
        " else df.start(df.seq(df.as_op('select level(' || n - 1 || ') as id', 'child'), df.await_instance('$child')))"
        " end $f$"
    )
    began = time.perf_counter()
    with working(place.dsn):
        ((top,),) = place.sql(f"select level({levels})")
        place.until(f"not {LIVE}")
    taken = time.perf_counter() - began
    ((status, count),) = place.sql("select df.status(%s), (select count(*) from df.instances)", top)
    limit = place.commits_per_second()
    print(f"children: {count - 1:,} levels, {status}; {taken:.1f} s, {taken / levels * 1000:.1f} ms a level"
          f"   bare commit {1000 / limit:.2f} ms   ratio {taken / levels * limit:.1f}")  # fmt: skip


def join(place: Place) -> None:
    """One workflow with as many branches as there can be."""
    branches = 5000 // place.divisor
    place.sql(
        "create function tree(n int) returns text language sql as $f$ select case when n = 1 then 'select 1'"
        " else df.join(tree(n / 2), tree(n - n / 2)) end $f$"
    )
    ((started,),) = place.sql(f"select df.start(tree({branches}))")
    began = time.perf_counter()
    with working(place.dsn):
        place.until(f"not {LIVE}")
    taken = time.perf_counter() - began
    ((status,),) = place.sql("select df.status(%s)", started)
    limit = place.commits_per_second()
    print(f"join: {branches:,} branches, {status}; {taken:.1f} s, {branches / taken:.0f} steps per second"
          f"   bare commits {limit:.0f}   ratio {branches / taken / limit:.2f}")  # fmt: skip


def _times(place: Place, statement: str) -> list[float]:
    """Milliseconds of a statement, on one connection, after a first one that is not counted."""
    taken = []
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(statement.encode())
        for _ in range(LOOKS):
            began = time.perf_counter()
            connection.execute(statement.encode())
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def _spread(values: list[float]) -> str:
    return f"min {min(values):.2f}   median {statistics.median(values):.2f}   max {max(values):.2f}"


def _centiles(values: list[float]) -> str:
    ordered = sorted(values)
    return "   ".join(
        f"{title} {ordered[min(len(ordered) - 1, len(ordered) * share // 100)]:.0f}"
        for title, share in (("median", 50), ("p99", 99), ("max", 100))
    )


PARTS = {"timers": timers, "looks": looks, "restart": restart, "takeover": takeover, "children": children, "join": join}


def main() -> None:
    """Measure the parts that were asked for."""
    options = ArgumentParser(description="What large numbers cost.")
    options.add_argument("--small", action="store_true", help="a hundredth of every number")
    options.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    asked = options.parse_args()
    for part in asked.parts or PARTS:
        with embedded.temporary(progress=lambda text: print(text, file=sys.stderr)) as server:
            PARTS[part](Place(server, 100 if asked.small else 1))
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  memory until now, MB  {used:.0f}", flush=True)


if __name__ == "__main__":
    main()
