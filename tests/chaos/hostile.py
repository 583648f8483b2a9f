"""Tenants of a chaos run who mean no good, with the rights of every submitter and no more."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from threading import Event

ROLE = "mallory"
NODES = 300_000
FLOOD = 3000
LOCKABLE = ("df.instances", "df.nodes", "df.runs", "df.inbox")
MODES = (
    "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)  # fmt: skip


def lock_storm(dsn: str, over: Event, chance: Random) -> None:
    """Hold whatever lock on the tables of df this role may have, and row locks, in transactions that stay open."""
    with suppress(psycopg.Error), psycopg.connect(make_conninfo(dsn, user=ROLE)) as session:
        while not over.is_set():
            session.execute("select")  # the transaction that stays open; those below are savepoints in it
            for table in LOCKABLE:
                for mode in chance.sample(MODES, 3):
                    with (
                        suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable),
                        session.transaction(),
                    ):
                        session.execute(f"lock table {table} in {mode} mode nowait".encode())
            with suppress(psycopg.errors.InsufficientPrivilege), session.transaction():
                session.execute("select from df.instances limit 50 for key share")
            over.wait(0.5)
            session.rollback()


def signal_flood(dsn: str, over: Event, chance: Random) -> None:
    """Thousands of signals to an instance of one's own that waits for another one, then its end."""
    with suppress(psycopg.Error), psycopg.connect(make_conninfo(dsn, user=ROLE), autocommit=True) as session:
        (instance,) = session.execute("select df.start(df.wait_for_signal('never'))").fetchone() or ("",)
        try:
            until = monotonic() + 20
            for _ in range(FLOOD // 100):
                if over.is_set() or monotonic() > until:
                    break
                session.execute(
                    "select df.signal(%s, %s, n::text) from generate_series(1, 100) as n",
                    [instance, chance.choice("abc")],
                )
        finally:
            session.execute("select df.cancel(%s)", [instance])


def many_nodes(dsn: str, over: Event, chance: Random) -> None:
    """Rows of a graph by hand, thirty times as many as an instance may have; refused at the latest when it commits."""
    with suppress(psycopg.Error), psycopg.connect(make_conninfo(dsn, user=ROLE)) as session:
        session.execute("set statement_timeout = '20s'")
        root = f"{chance.randrange(16**8):08x}"
        (instance,) = session.execute(
            "insert into df.instances (root_node) values (%s) returning id", [root]
        ).fetchone() or ("",)
        for part in range(10):
            if over.is_set():
                break  # those that are there are too many already
            session.execute(
                "insert into df.nodes (id, instance_id, node_type, query) select lpad(to_hex(n), 8, '0'), %s, 'SQL', 'SELECT 1'"
                " from generate_series(%s::integer, %s::integer) as n",
                [instance, part * NODES // 10, (part + 1) * NODES // 10 - 1],
            )
        session.commit()


def open_cancels(dsn: str, over: Event, chance: Random) -> None:
    """A cancel that is not committed for as long as it lasts, of an instance that is at work."""
    with suppress(psycopg.Error), psycopg.connect(make_conninfo(dsn, user=ROLE)) as session:
        (instance,) = session.execute("select df.start('SELECT pg_sleep(0.2)' ~> 'SELECT 1')").fetchone() or ("",)
        session.commit()
        session.execute("select df.cancel(%s)", [instance])
        over.wait(3 + chance.random())
        session.rollback()


TENANTS: tuple[Callable[[str, Event, Random], None], ...] = (lock_storm, signal_flood, many_nodes, open_cancels)
