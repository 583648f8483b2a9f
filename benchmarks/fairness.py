"""What one role notices of another. Run: python benchmarks/fairness.py [--seconds S].

    alone      one worker, and a role that starts `SELECT 1` again and again, each when the one before has ended
    beside     the same, while another role keeps 200 workflows with steps of a second going, more than the worker has slots

Measured is from the commit of df.start until the end of the instance, by the database's clock. Both in turns, several rounds;
printed are median and 99th percentile of all, and their ratio round by round.
"""

from __future__ import annotations

import statistics
import sys
import time
from argparse import ArgumentParser
from threading import Event, Thread

import psycopg
from psycopg.conninfo import make_conninfo

from pgweave.runtime import enrolment, migrate
from pgweave.runtime.server import embedded
from pgweave.runtime.worker.service import Settings, working

ROUNDS = 5
BACKLOG = 200  # workflows of the other role at any time
LONG_SECONDS = 1.0  # each of its steps
WORST_RATIO = 3.0  # of the medians: the limit that this benchmark is about


def main() -> None:
    """Measure on a server of our own, gone afterwards. Exit code 1 when the limit is exceeded."""
    options = ArgumentParser(description="What one role notices of another.")
    options.add_argument("--seconds", type=float, default=4.0, help="for one measurement")
    seconds = options.parse_args().seconds
    with embedded.temporary(progress=lambda text: print(text, file=sys.stderr)) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("create database bench")
            connection.execute("create role ann login")
            connection.execute("create role bob login")
        dsn = make_conninfo(server.dsn, dbname="bench")
        migrate.install(dsn)
        for role in ("ann", "bob"):
            list(enrolment.enrol(dsn, role))
        sys.exit(measure(dsn, seconds))


def measure(dsn: str, seconds: float) -> int:
    """Print the figures; 1 when the limit is exceeded."""
    alone: list[float] = []
    beside: list[float] = []
    ratios: list[float] = []
    with working(dsn, Settings()):
        latencies(dsn, 1.0)  # sessions and plans are made
        for _ in range(ROUNDS):
            alone_now = latencies(dsn, seconds)
            stop = Event()
            loader = Thread(target=keep_busy, args=(make_conninfo(dsn, user="bob"), stop))
            loader.start()
            wait_for_load(dsn)
            beside_now = latencies(dsn, seconds)
            stop.set()
            loader.join()
            clear(dsn)
            ratios.append(statistics.median(beside_now) / statistics.median(alone_now))
            alone += alone_now
            beside += beside_now
    for name, found in (("alone, ms", alone), ("beside, ms", beside)):
        print(f"{name:<12} p50 {statistics.median(found):.1f}   p99 {percentile(found, 99):.1f}   n {len(found)}")
    found = statistics.median(ratios)
    print(
        f"ratio of medians   min {min(ratios):.2f}   median {found:.2f}   max {max(ratios):.2f}   limit {WORST_RATIO}"
    )
    print(f"ratio of p99       {percentile(beside, 99) / percentile(alone, 99):.2f}")
    return int(found > WORST_RATIO)


def latencies(dsn: str, seconds: float) -> list[float]:
    """Milliseconds from the start to the end of each of ann's instances."""
    taken = []
    until = time.monotonic() + seconds
    with psycopg.connect(make_conninfo(dsn, user="ann"), autocommit=True) as connection:
        while time.monotonic() < until:
            row = connection.execute("select df.start('SELECT 1')").fetchone()
            assert row is not None
            connection.execute("select df.wait_for_completion(%s)", row)
            ended = connection.execute(
                "select extract(epoch from completed_at - created_at) * 1000 from df.instances where id = %s", row
            ).fetchone()
            assert ended is not None
            taken.append(float(ended[0]))
    return taken


def keep_busy(dsn: str, stop: Event) -> None:
    """Keep BACKLOG workflows of long steps live."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not stop.is_set():
            connection.execute(
                "select df.start(%s) from generate_series(1, %s - (select count(*) from df.instances"
                " where status in ('pending', 'running')))",
                [f"SELECT pg_sleep({LONG_SECONDS}), 1 AS n", BACKLOG],
            )
            stop.wait(0.2)


def wait_for_load(dsn: str) -> None:
    """Until the other role has filled the slots."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        full = f"select count(*) >= {Settings().concurrency} from df.queue where leased_until > now()"
        while connection.execute(full.encode()).fetchone() != (True,):
            time.sleep(0.05)


def clear(dsn: str) -> None:
    """Cancel what the other role has left, and wait for it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select df.cancel(id) from df.instances where status in ('pending', 'running')")
        while connection.execute("select count(*) from df.queue").fetchone() != (0,):
            time.sleep(0.05)


def percentile(values: list[float], which: int) -> float:
    """By the nearest rank."""
    return sorted(values)[min(len(values) - 1, len(values) * which // 100)]


if __name__ == "__main__":
    main()
