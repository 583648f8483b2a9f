"""How fast the runtime is, against a limit measured beside it. Run: python benchmarks/runtime.py [--sleeping N].

    steps per second      one worker, chains of ten steps; the limit is a bare loop that, per step, runs the statement and
                          inserts one row in one transaction, on one connection
    idle start            df.start committed -> the first step has begun; the limit is a NOTIFY round trip
    child to parent       a child's end -> the parent's next step has begun; the same limit
    looks for work        what a worker asks the database when it is rung for, with so many instances asleep

Each is measured several times, limit and worker in turns; printed are minimum, median and maximum.
"""

from __future__ import annotations

import statistics
import sys
import time
from argparse import ArgumentParser
from threading import Event

import psycopg
from psycopg.conninfo import make_conninfo

from pgweave.runtime import migrate
from pgweave.runtime.server import embedded
from pgweave.runtime.worker.service import Settings, Worker, working

ROUNDS, CHAINS, STEPS, STARTS = 5, 40, 10, 20
LOOKS = 50
IDLE_SECONDS = 0.1  # after which a worker with nothing to do is taken to be idle


def main() -> None:
    """Measure on a server of our own, gone afterwards."""
    options = ArgumentParser(description="How fast the runtime is.")
    options.add_argument("--sleeping", type=int, default=100_000, help="instances that sleep, at most")
    sleeping = options.parse_args().sleeping
    with embedded.temporary(progress=lambda text: print(text, file=sys.stderr)) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("create database bench")
        dsn = make_conninfo(server.dsn, dbname="bench")
        migrate.install(dsn)
        steps(dsn)
        latencies(dsn)
        looks(dsn, sleeping)


def steps(dsn: str) -> None:
    """Steps per second of one worker beside a bare loop."""
    rates, limits, ratios = [], [], []
    for _ in range(ROUNDS):
        limits.append(_bare_rate(dsn))
        rates.append(_worker_rate(dsn))
        ratios.append(rates[-1] / limits[-1])
    print(f"steps per second       {_spread(rates, '.0f')}")
    print(f"  bare loop            {_spread(limits, '.0f')}")
    print(f"  ratio                {_spread(ratios, '.2f')}")


def _bare_rate(dsn: str) -> float:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "create table if not exists bare (id bigint generated always as identity primary key, result json)"
        )
        connection.commit()
        began = time.perf_counter()
        for _ in range(CHAINS * STEPS):
            connection.execute("select 1")
            connection.execute("insert into bare (result) values ('{}')")
            connection.commit()
        return CHAINS * STEPS / (time.perf_counter() - began)


def _worker_rate(dsn: str) -> float:
    chain = " ~> ".join(["'SELECT 1'"] * STEPS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(CHAINS):
            connection.execute(f"select df.start({chain})".encode())
    began = time.perf_counter()
    Worker(dsn, Settings(poll_seconds=0.05)).run(once=True)
    return CHAINS * STEPS / (time.perf_counter() - began)


def latencies(dsn: str) -> None:
    """From a committed start, and from a child's end, to the next step."""
    begun, ended = Event(), Event()
    marks: dict[str, float] = {}

    def listen(event: str, instance_id: str, node_id: str | None) -> None:
        marks[event] = time.perf_counter()
        if event == "step":
            begun.set()
        if event == "finished":
            ended.set()

    starts, wakes = [], []
    with psycopg.connect(dsn, autocommit=True) as connection, working(dsn, Settings(), listen):
        connection.execute("select df.start('SELECT 1')")
        ended.wait(30)
        for _ in range(STARTS):
            begun.clear(), ended.clear()
            time.sleep(IDLE_SECONDS)
            connection.execute("select df.start('SELECT 1')")
            committed = time.perf_counter()
            begun.wait(30)
            starts.append((marks["step"] - committed) * 1000)
            ended.wait(30)
        wakes = [_wake(connection) for _ in range(STARTS)]
    limit = _notify(dsn)
    print(f"idle start, ms         {_spread(starts, '.2f')}")
    print(f"child to parent, ms    {_spread(wakes, '.2f')}")
    print(f"  notify round trip    {_spread(limit, '.2f')}")
    print(f"  ratio of medians     {statistics.median(starts) / statistics.median(limit):.1f} and "
          f"{statistics.median(wakes) / statistics.median(limit):.1f}")  # fmt: skip


def _wake(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    """Milliseconds, by the database's clock, from the end of a child to the beginning of its parent's next step."""
    time.sleep(IDLE_SECONDS)
    found = connection.execute("select df.start(df.call_child('SELECT 1', 'child') ~> 'SELECT 2')").fetchone()
    assert found is not None
    connection.execute("select df.wait_for_completion(%s)", found)
    row = connection.execute(
        "select extract(epoch from min(r.started_at) - c.completed_at) * 1000 from df.instances as c"
        " join df.runs as r on r.instance_id = c.parent_instance_id and r.started_at > c.completed_at"
        " where c.parent_instance_id = %s group by c.completed_at", found,
    ).fetchone()  # fmt: skip
    assert row is not None
    return float(str(row[0]))


def _notify(dsn: str) -> list[float]:
    """Milliseconds from a committed NOTIFY to its arrival in another session."""
    taken = []
    with psycopg.connect(dsn, autocommit=True) as sender, psycopg.connect(dsn, autocommit=True) as receiver:
        receiver.execute("listen bench")
        for _ in range(STARTS):
            began = time.perf_counter()
            sender.execute("notify bench")
            next(receiver.notifies(timeout=5, stop_after=1))
            taken.append((time.perf_counter() - began) * 1000)
    return taken


SLEEPERS = """
with ids as materialized (
    select lpad(to_hex(n), 8, '0') as id from generate_series(%(first)s::bigint, %(last)s) as n
),
instance as (
    insert into df.instances (id, root_node, status) select id, id, 'running' from ids
),
node as (
    insert into df.nodes (id, instance_id, ordinal, node_type, query, status)
    select id, id, 0, 'SLEEP', '31536000', 'running' from ids
),
run as (
    insert into df.runs (instance_id, node_id, status, started_at, due_at, submitted_by)
    select id, id, 'waiting', now(), now() + interval '1 year', current_user::regrole from ids
)
insert into df.queue (instance_id, submitted_by, ready_at)
select id, current_user::regrole, now() + interval '1 year' from ids
"""


def looks(dsn: str, most: int) -> None:
    """Milliseconds of one look for work among instances that sleep: tens, thousands, as many as was asked for."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        asleep = 0
        for size in sorted({0, most // 100, most // 10, most}):
            # Without triggers and keys: rows like these come from df.start, and it is not what is measured here.
            with connection.transaction():
                connection.execute("set local session_replication_role = replica")
                connection.execute(SLEEPERS, {"first": asleep + 1, "last": size})
            asleep = size
            connection.execute("vacuum analyze")
            taken = []
            for _ in range(LOOKS):
                began = time.perf_counter()
                connection.execute("select * from df_internal.worker_claim('bench', 8, 15)")
                taken.append((time.perf_counter() - began) * 1000)
            print(f"look, {size:>9,} asleep, ms  {_spread(taken, '.2f')}")


def _spread(values: list[float], form: str) -> str:
    return f"min {min(values):{form}}   median {statistics.median(values):{form}}   max {max(values):{form}}"


if __name__ == "__main__":
    main()
