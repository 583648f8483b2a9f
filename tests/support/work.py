"""Workers for tests: in this process with their events on record, or as processes that can be killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

import psycopg

from pgweave.runtime.client import Client
from pgweave.runtime.worker.service import Settings, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.runtime.client import Instance
    from pgweave.runtime.worker.service import Worker

PATIENCE_SECONDS = 60  # far more than anything takes; a test that waits this long has failed
QUICK = Settings(lease_seconds=3.0, poll_seconds=0.2)


@dataclass
class Events:
    """What a worker says it does, in order; tests wait for entries instead of sleeping."""

    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    _changed: Condition = field(default_factory=Condition)

    def __call__(self, event: str, instance_id: str, node_id: str | None) -> None:
        with self._changed:
            self.seen.append((event, instance_id, node_id))
            self._changed.notify_all()

    def wait_for(self, event: str, instance_id: str, times: int = 1) -> None:
        """Block until an event has been seen so many times for an instance."""

        def there() -> bool:
            return self.count(event, instance_id) >= times

        with self._changed:
            assert self._changed.wait_for(there, PATIENCE_SECONDS), f"no {event} of {instance_id} in {self.seen}"

    def count(self, event: str, instance_id: str) -> int:
        return sum(seen[:2] == (event, instance_id) for seen in self.seen)


class Database:
    """A database with the df schema: start programs written as people type them into psql, and read what they came to."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.client = Client(dsn)
        self.events = Events()
        self.worker: Worker

    def sql(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Run a statement on a session of its own; its rows, if it has any."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def start(self, expression: str, label: str | None = None) -> str:
        """`SELECT df.start(expression, label)`, exactly as a person would send it."""
        quoted = "NULL" if label is None else "'" + label.replace("'", "''") + "'"
        found = self.sql(f"SELECT df.start({expression}, {quoted})")
        return str(found[0][0])

    def finish(self, expression: str, label: str | None = None) -> Instance:
        """Start, wait for the end, return the instance."""
        return self.ended(self.start(expression, label))

    def ended(self, instance_id: str) -> Instance:
        self.client.wait(instance_id, PATIENCE_SECONDS)
        return self.client.instance(instance_id)

    def error(self, expression: str) -> str:
        """Message of an instance that is expected to fail."""
        instance = self.finish(expression)
        assert instance.status == "failed", instance
        assert instance.error is not None
        return str(instance.error["message"])

    def until(self, question: str) -> None:
        """Block until the database answers a question with true. The asking is done by the server, every 10 ms."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                "do $do$ begin"
                f" for i in 1..{PATIENCE_SECONDS * 100} loop"
                f" if ({question}) then return; end if;"
                " perform pg_stat_clear_snapshot(); commit; perform pg_sleep(0.01);"
                " end loop; raise exception 'waited in vain'; end $do$".encode()
            )


@contextmanager
def with_worker(dsn: str, settings: Settings = QUICK) -> Iterator[Database]:
    """The database with a worker of this process, until the block ends."""
    place = Database(dsn)
    try:
        with working(dsn, settings, place.events) as place.worker:
            yield place
    finally:
        place.client.close()


@contextmanager
def worker_process(dsn: str, *options: str, failpoint: str = "") -> Iterator[WorkerProcess]:
    """A `pgweave worker` of its own; killed at the end if it still runs. failpoint: where it is to die by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pgweave", "worker", "--dsn", dsn, "--lease-seconds", "3", "--poll-seconds", "0.2", *options],
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PGWEAVE_FAILPOINT": failpoint},
    )  # fmt: skip
    worker = WorkerProcess(process)
    try:
        yield worker
    finally:
        process.kill()
        process.wait()
        worker.listener.join()


@dataclass
class WorkerProcess:
    """A worker to be killed. It says on standard error what it does."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _looked_at: int = 0
    _changed: Condition = field(default_factory=Condition)

    def __post_init__(self) -> None:
        # All the time: a worker whose pipe is full would stand still.
        self.listener = Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self.lines.append("")  # the end
            self._changed.notify_all()

    def wait_for(self, pattern: str) -> str:
        """Block until the worker writes a line, after those that were looked at, in which the pattern is found."""
        while True:
            with self._changed:
                more = self._changed.wait_for(lambda: len(self.lines) > self._looked_at, PATIENCE_SECONDS)
                assert more, f"no {pattern!r} in {''.join(self.lines)}"
                line = self.lines[self._looked_at]
                self._looked_at += 1
            assert line, f"the worker ended without {pattern!r}: {''.join(self.lines)}"
            if re.search(pattern, line):
                return line

    def kill(self) -> None:
        """As the kernel does it: SIGKILL, no last word."""
        self.process.kill()
        self.process.wait()
