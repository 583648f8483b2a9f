"""What is around a worker: slow networks, clocks that are wrong, poolers in between, transactions that stay open."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from support.pooler import Pooler
from support.proxy import Proxy
from support.work import Database, with_worker, worker_process

from pgweave.runtime.client import Client
from pgweave.runtime.connect import step_conninfo
from pgweave.runtime.errors import ConnectionFailed
from pgweave.runtime.worker.service import Worker


def effect(step: str) -> str:
    return f"'INSERT INTO fx VALUES (''{step}'')'"


# Networks.


@pytest.mark.parametrize("how", [{"delay": 0.04}, {"piece": 1}])
def test_a_slow_network_makes_things_late_and_nothing_else(quiet: Database, how: dict[str, float]) -> None:
    """Some hundredths of a second each way, or one byte at a time. That nothing fires early is the checker's to see."""
    with Proxy(quiet.dsn, **how) as proxy, with_worker(proxy.dsn):  # type: ignore[arg-type]
        instance = quiet.start(
            f"{effect('a')} ~> ({effect('b')} & {effect('c')}) ~> df.sleep(1) ~> df.wait_for_signal('never', 1)"
        )
        assert quiet.ended(instance).status == "completed"
    assert quiet.sql("select step from fx order by 1") == [("a",), ("b",), ("c",)]


def test_a_server_that_vanishes_without_a_word_is_noticed() -> None:
    """Without keep-alives a read from a dead machine returns after two hours. What the connection string says counts."""
    said = conninfo_to_dict(step_conninfo("host=db tcp_user_timeout=5000", "ann", None, own_role="worker"))
    assert {name: str(said[name]) for name in ("keepalives_idle", "keepalives_interval", "keepalives_count")} == {
        "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
    }  # fmt: skip
    assert str(said["tcp_user_timeout"]) == "5000"


def test_the_statement_of_a_worker_that_is_gone_ends_soon(quiet: Database) -> None:
    """It holds its instance as long as it runs; the server looks now and then whether its client is still there."""
    instance = quiet.start(f"$$SELECT pg_sleep(600) WHERE NOT EXISTS (SELECT FROM fx)$$ ~> {effect('after')}")
    with worker_process(quiet.dsn, "--lease-seconds", "1") as worker:
        quiet.until("exists (select from pg_stat_activity where application_name = 'pgweave step' and state = 'active'"
                    " and datname = current_database() and query_start < clock_timestamp() - interval '0.1 s')")  # fmt: skip
        worker.kill()
    quiet.sql("insert into fx values ('it need not sleep')")
    with with_worker(quiet.dsn):
        assert quiet.ended(instance).status == "completed"


# Clocks.


WRONG_CLOCK = """
import datetime, itertools, sys, time

real, ticks = time.time, itertools.count()
def off():
    return 3600 if next(ticks) % 2 else -3600
time.time = lambda: real() + off()
class Likewise(type):
    def __instancecheck__(cls, value, right=datetime.datetime):
        return isinstance(value, right)
class Wrong(datetime.datetime, metaclass=Likewise):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=off())
    @classmethod
    def utcnow(cls):
        return super().utcnow() + datetime.timedelta(seconds=off())
datetime.datetime = Wrong

from pgweave.runtime.worker.service import Settings, Worker
Worker(sys.argv[1], Settings(lease_seconds=3.0, poll_seconds=0.1)).run()
"""


def test_a_worker_whose_clock_is_an_hour_off_and_jumps_back_is_neither_early_nor_late(quiet: Database) -> None:
    """Its clock is not asked: sleeps, timeouts and schedules are the database's."""
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WRONG_CLOCK, quiet.dsn])
    try:
        scheduled = quiet.start("df.wait_for_schedule('* * * * *')")
        waits = [quiet.start(program) for program in ("df.sleep(2)", "df.wait_for_signal('never', 2)", effect("x"))]
        for instance in waits:
            assert quiet.ended(instance).status == "completed"
        late = quiet.sql(
            "select max(extract(epoch from finished_at - due_at)) from df.runs where due_at is not null and status = 'completed'"
        )[0][0]
        assert 0 <= late < 10
        (wait,) = quiet.client.runs(scheduled)
        assert wait.due_at is not None
        assert 0 < (wait.due_at - wait.started_at).total_seconds() <= 60
    finally:
        process.kill()
        process.wait()


# Poolers.


def test_a_worker_behind_a_transaction_pooler_says_so_and_does_not_begin(quiet: Database) -> None:
    with Pooler(quiet.dsn) as pooler, pytest.raises(ConnectionFailed, match="a connection pooler") as refusal:
        Worker(pooler.dsn).run(once=True)
    assert "direct connection" in refusal.value.advice


def test_people_may_go_through_a_transaction_pooler(quiet: Database) -> None:
    """Each of their statements stands alone; none of them is prepared."""
    with Pooler(quiet.dsn) as pooler, Client(pooler.dsn) as one, Client(pooler.dsn) as two, with_worker(quiet.dsn):
        for n in range(8):
            instance = (one, two)[n % 2].start('{"node_type":"SIGNAL","query":"{\\"signal_name\\":\\"go\\"}"}')
            two.signal(instance, "go", n)
            assert one.wait(instance) == "completed"
            assert n in (two.result(instance) or {}).values()  # type: ignore[attr-defined]


# Transactions.


@pytest.mark.slow
def test_a_transaction_that_stays_open_makes_no_claim_slow(quiet: Database) -> None:
    """It keeps VACUUM from removing what the queue leaves behind. Counted are the pages that a look for work reads."""

    def pages() -> int:
        plan = quiet.sql(
            "explain (analyze, buffers, timing off, format json) select * from df_internal.worker_claim('by hand', 8, 0)"
        )
        return int(plan[0][0][0]["Plan"]["Shared Hit Blocks"])

    with psycopg.connect(quiet.dsn) as forgetful, with_worker(quiet.dsn):
        forgetful.execute("set transaction isolation level repeatable read")
        forgetful.execute("select count(*) from df.queue")
        quiet.finish("'SELECT 1'")
        before = pages()
        for _ in range(3):
            quiet.sql("select count(df.start('SELECT 1' ~> df.sleep(0))) from generate_series(1, 100)")
            quiet.until("not exists (select from df.queue)")
        after = pages()
    assert after < before + 150, (before, after)
