"""What a start costs. Run: python benchmarks/start.py.

    3 nodes, ratio     df.start of a graph of three nodes, against three bare INSERTs into a table with the columns and
                       the primary key of df.nodes; both in one transaction with others of their kind, and alone with
                       a commit of their own, through the same client
    10,000 nodes       the largest graph there can be, beside 1,000: ten times the nodes should be ten times the time

Each is measured several times, in turns; printed are minimum, median and maximum.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from pgweave.runtime import migrate
from pgweave.runtime.server import embedded

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]

ROUNDS, TOGETHER, ALONE = 7, 500, 200
CHAIN = "'SELECT 1' ~> 'SELECT 2'"  # three nodes: a THEN and its two steps
BARE = "insert into bare (id, instance_id, ordinal, node_type, query) values ('00000001', %s, %s, 'SQL', 'SELECT 1')"


def main() -> None:
    """Measure on a server of our own, gone afterwards."""
    with embedded.temporary(progress=lambda text: print(text, file=sys.stderr)) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("create database bench")
        dsn = make_conninfo(server.dsn, dbname="bench")
        migrate.install(dsn)
        with psycopg.connect(dsn) as connection:
            connection.execute("update df.settings set value = 1000000000 where name = 'max_live_instances'")
            connection.execute("create table bare (like df.nodes including defaults including constraints)")
            connection.execute("alter table bare add primary key (instance_id, ordinal)")
            connection.commit()
            small(connection)
            large(connection)


def small(connection: Connection) -> None:
    """Three nodes beside three rows."""
    graph = connection.execute(f"select {CHAIN}".encode()).fetchone()
    assert graph is not None
    for title, count, commit in (("together", TOGETHER, False), ("alone", ALONE, True)):
        starts, inserts = [], []
        for turn in range(ROUNDS):
            inserts.append(_each(connection, count, _bare(connection, turn * count), commit=commit))
            starts.append(
                _each(connection, count, lambda _: connection.execute("select df.start(%s)", graph), commit=commit)
            )
            connection.execute("truncate bare; truncate df.instances, df.nodes, df.queue, df.inbox, df.runs")
            connection.commit()
        print(f"start of 3 nodes, {title:9} {_spread(starts)} ms")
        print(f"  three bare INSERTs        {_spread(inserts)} ms")
        print(f"  ratio                     {_spread([a / b for a, b in zip(starts, inserts, strict=True)])}")


def _bare(connection: Connection, first: int) -> Callable[[int], object]:
    def insert(number: int) -> None:
        for ordinal in range(3):
            connection.execute(BARE, [f"{first + number:08x}", ordinal])

    return insert


def _each(connection: Connection, count: int, work: Callable[[int], object], *, commit: bool) -> float:
    """Milliseconds that one of `count` takes, commits included."""
    began = time.perf_counter()
    for number in range(count):
        work(number)
        if commit:
            connection.commit()
    connection.commit()
    return (time.perf_counter() - began) * 1000 / count


def large(connection: Connection) -> None:
    """A thousand nodes beside ten thousand."""
    taken: dict[int, list[float]] = {500: [], 5000: []}
    for _ in range(ROUNDS):
        for leaves, times in taken.items():
            graph = wide(leaves)
            times.append(
                _each(
                    connection,
                    1,
                    lambda _, graph=graph: connection.execute("select df.start(%s)", [graph]),
                    commit=False,
                )
            )
    for leaves, times in taken.items():
        print(f"start of {2 * leaves - 1:6,} nodes       {_spread(times)} ms")
    print(f"  ratio                     {_spread([b / a for a, b in zip(*taken.values(), strict=True)])}")


def wide(leaves: int) -> str:
    """A balanced tree of joins, as JSON: 2 * leaves - 1 nodes."""
    if leaves == 1:
        return '{"node_type":"SQL","query":"SELECT 1"}'
    half = leaves // 2
    return f'{{"node_type":"JOIN","left_node":{wide(half)},"right_node":{wide(leaves - half)}}}'


def _spread(values: list[float]) -> str:
    return f"{min(values):9.3f} {statistics.median(values):9.3f} {max(values):9.3f}"


if __name__ == "__main__":
    main()
