"""Sessions on which the SQL of a role runs: logged in as that role, used for one step, wiped, kept for the next.

Never shared between roles, and the worker sends nothing on them but the calls that run a step: what a step leaves
behind (settings, temporary tables, prepared statements) must reach neither another step nor the worker. For the same reason
psycopg prepares nothing on them: a step could replace a prepared statement by its own.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from pgweave.runtime.connect import ACQUIRE_SECONDS, RECONNECT_SECONDS, first_line, lent, step_conninfo
from pgweave.runtime.errors import StepInterrupted
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.worker.watchdog import hang_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    import psycopg
    from psycopg_pool import ConnectionPool

    from pgweave.runtime.worker.advance import Key

    Connection = psycopg.Connection[Any]

# Of what libpq says, the kinds that no waiting changes: pg_hba.conf, a password, a role or a database that is
# not there.
_FOR_GOOD = re.compile("FATAL: .*(pg_hba|authentication|permi|certificate|does not exist|unsupported)|fe_sendauth")

IDLE_SECONDS = 60.0
SHORTAGE_SECONDS = 3600.0  # how long a step is deferred because of a full disk, or a database elsewhere that is away
INTERNAL_SECONDS = 60.0  # how long because of an internal error
FORGET_SECONDS = 300.0  # a step that has not been deferred for so long has run since
MAX_AGE_SECONDS = 600.0

Tag: TypeAlias = "tuple[str, Key]"
"""Instance id and node-run: who uses a session."""


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """What our half of a step has to know of the settings that a role has in a database.

    role: the one that a session of this login begins with; None: the login itself. limit_ms: the worker's own limit for
    one statement, where the role's is not shorter already; None: nothing to set.
    """

    role: str | None = None
    read_only: bool = False
    read_committed: bool = True
    limit_ms: int | None = None


class Sessions:
    """Pools of step sessions, one per role and database.

    own_role, own_database: those of the worker itself. limit: sessions per pool; a role that has so many, in all databases,
    loses those that it does not use when it needs another pool. step_seconds: how long the server lets one statement run; 0
    for ever. check_seconds: how often it looks, while one runs, whether this worker is still there.
    """

    def __init__(
        self,
        dsn: str,
        own: tuple[str, str],
        limit: int,
        *,
        step_seconds: float = 0.0,
        check_seconds: float = 0.0,
        acquire_seconds: float = ACQUIRE_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._own_role, self._own_database = own
        self._limit = limit
        self._step_seconds = step_seconds
        self._check_seconds = check_seconds
        self._acquire_seconds = acquire_seconds
        self._pools: dict[tuple[str, str | None], ConnectionPool[Connection]] = {}
        self._users: Counter[tuple[str, str | None]] = Counter()  # of pools
        # Weak: pools close sessions by themselves, and this must not keep them.
        self._settings: WeakKeyDictionary[Connection, RoleSettings] = WeakKeyDictionary()
        self._in_use: dict[Tag, Callable[[], object]] = {}
        self._lines: dict[Tag, tuple[Connection, float]] = {}  # steps in flight, since when, monotonic
        self._interrupted: set[Tag] = set()
        self._short_since: dict[Tag, tuple[float, float]] = {}  # when first and when last, monotonic
        self._lock = Lock()

    @contextmanager
    def borrow(self, role: str, database: str | None, tag: Tag) -> Iterator[Connection]:
        """Lend a clean session logged in as `role`.

        psycopg_pool.PoolTimeout when none becomes free in time; StepInterrupted when the step is not wanted any more.
        """
        with (
            self._pool(role, database) as pool,
            lent(pool) as connection,
            self._waiting_for(tag, connection),
        ):
            try:
                with self.interruptible(tag, lambda: connection.cancel_safe(timeout=5.0)):
                    yield connection
            finally:
                # On the thread of the step. A pool has one thread for all its sessions: each would wait for the others.
                self._wipe(connection)

    @contextmanager
    def _waiting_for(self, tag: Tag, connection: Connection) -> Iterator[None]:
        with self._lock:
            self._lines[tag] = (connection, monotonic())
        try:
            yield
        finally:
            with self._lock:
                del self._lines[tag]

    def long_waits(self, seconds: float) -> dict[int, Tag]:
        """Steps that have been waiting for their answer for so long, by the server process that is to give it."""
        now = monotonic()
        with self._lock:
            return {line.info.backend_pid: tag for tag, (line, began) in self._lines.items() if now - began > seconds}

    def hang_up(self, pid: int, tag: Tag) -> None:
        """End the connection of a step to this server process. The step finds out by itself what has become of it."""
        with self._lock:
            line, _ = self._lines.get(tag, (None, 0.0))
            if line is not None and line.info.backend_pid == pid:
                hang_up(line)

    @contextmanager
    def interruptible(self, tag: Tag, stop: Callable[[], object]) -> Iterator[None]:
        """Let a step be interrupted by `stop`, for as long as the block lasts.

        StepInterrupted when the step is not wanted any more.
        """
        with self._lock:
            if tag in self._interrupted:
                raise StepInterrupted
            self._in_use[tag] = stop
        try:
            yield
        finally:
            # Under the lock: a cancel must not reach the session once another step has it.
            with self._lock:
                del self._in_use[tag]

    def interrupt(self, matches: Callable[[Tag], bool], expected: set[Tag] | None = None) -> None:
        """Stop the statements of steps in hand; those of `expected` that have not begun yet will not begin."""
        with self._lock:
            # Steps that have been claimed and not begun: they find their tag here when they ask for a session.
            self._interrupted |= expected or set()
            for tag, stop in self._in_use.items():
                if matches(tag):
                    self._interrupted.add(tag)
                    stop()

    def is_interrupted(self, tag: Tag) -> bool:
        """Whether `interrupt` has stopped this step: then a cancelled statement is not its failure."""
        return tag in self._interrupted

    def may_defer(self, tag: Tag, *, internal: bool = False) -> bool:
        """Whether a step may be deferred once more because something that it needs is full or away.

        Not when it was deferred for the first time SHORTAGE_SECONDS ago: perhaps it is the step that always asks for
        too much. internal: INTERNAL_SECONDS, for an internal error of the server. Counted in this process; another worker
        that takes the instance over counts from zero.
        """
        now = monotonic()
        with self._lock:
            self._short_since = {
                known: times for known, times in self._short_since.items() if now - times[1] < FORGET_SECONDS
            }
            first, _ = self._short_since.get(tag, (now, now))
            self._short_since[tag] = (first, now)
        return now - first < (INTERNAL_SECONDS if internal else SHORTAGE_SECONDS)

    def forget(self, instance_id: str) -> None:
        """The lease on an instance has ended; so have its interruptions."""
        with self._lock:
            self._interrupted = {tag for tag in self._interrupted if tag[0] != instance_id}

    def foreign(self, role: str) -> bool:
        """Whether `role` is another role than the worker's: then what its sessions answer is not evidence."""
        return role != self._own_role

    def elsewhere(self, database: str | None) -> bool:
        """Whether `database` is another than the one that holds the df schema."""
        return database not in {None, self._own_database}

    def refusal(self, role: str, database: str | None) -> str | None:
        """Why the server refuses a session that no waiting will bring, in its own words; None if it may pass.

        It has to be told by the words: what libpq says about a connection that did not come about has no SQLSTATE.
        """
        import psycopg

        try:
            psycopg.connect(self._conninfo(role, database)).close()
        except psycopg.OperationalError as error:
            said = first_line(str(error))
            return said if _FOR_GOOD.search(said) else None
        return None

    def _conninfo(self, role: str, database: str | None) -> str:
        return step_conninfo(
            self._dsn, role, database,
            own_role=self._own_role, check_seconds=self._check_seconds,
        )  # fmt: skip

    def settings(self, connection: Connection) -> RoleSettings:
        """The settings that one of these sessions began with."""
        return self._settings[connection]

    def _begin(self, connection: Connection) -> None:
        """Look how a new session begins, and leave it as the login's."""
        row = connection.execute(QUERIES["role_settings"]).fetchone()
        assert row is not None
        role, read_only, isolation, timeout_ms = row
        limit_ms = int(self._step_seconds * 1000)
        known = RoleSettings(
            role=None if role == "none" else role,
            read_only=read_only == "on",
            read_committed=isolation == "read committed",
            limit_ms=limit_ms if limit_ms and (not timeout_ms or limit_ms < timeout_ms) else None,
        )
        self._settings[connection] = known
        # For the explicit transactions of our half, which write whatever the role's default is.
        connection.read_only = False
        if known.role is not None:
            connection.execute(QUERIES["set_role"], ["none"])
        self._set_limit(connection)

    def _set_limit(self, connection: Connection) -> None:
        if (limit_ms := self._settings[connection].limit_ms) is not None:
            connection.execute(QUERIES["limit_step"], [str(limit_ms)])

    def _wipe(self, connection: Connection) -> None:
        """Leave nothing of a step, in one round trip. A session that cannot be wiped is closed."""
        import psycopg
        from psycopg.pq import TransactionStatus

        limit_ms = self._settings[connection].limit_ms
        try:
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                connection.rollback()
            if limit_ms is None:
                connection.execute(QUERIES["discard"])
            else:
                # A cursor that binds in the client, since only then several statements go in one message.
                both = QUERIES["discard"] + b";\n" + QUERIES["limit_step"]
                psycopg.ClientCursor(connection).execute(both, [str(limit_ms)])
        except psycopg.Error:
            connection.close()

    @contextmanager
    def _pool(self, role: str, database: str | None) -> Iterator[ConnectionPool[Connection]]:
        """The sessions of a role in a database, which stay open at least while the block lasts."""
        from psycopg_pool import ConnectionPool

        key = (role, database)
        unused = []
        with self._lock:
            if key not in self._pools:
                unused = self._surplus(role)
                self._pools[key] = ConnectionPool(
                    self._conninfo(role, database),
                    kwargs={"autocommit": True, "prepare_threshold": None},
                    # No session waits for a role that does nothing: a server with a hundred roles would run out
                    # of them.
                    min_size=0,
                    max_size=self._limit,
                    timeout=self._acquire_seconds,
                    max_idle=IDLE_SECONDS,
                    max_lifetime=MAX_AGE_SECONDS,
                    reconnect_timeout=RECONNECT_SECONDS,
                    # Threads of the pool that connect in the background; one is enough for a role: sessions are wiped elsewhere.
                    num_workers=1,
                    configure=self._begin,
                    open=True,
                )
            self._users[key] += 1
            pool = self._pools[key]
        for other in unused:
            other.close()
        try:
            yield pool
        finally:
            with self._lock:
                self._users[key] -= 1

    def _surplus(self, role: str) -> list[ConnectionPool[Connection]]:
        """Give up the unused pools of a role that has as many sessions as it may, in all databases together."""
        its = {key: pool for key, pool in self._pools.items() if key[0] == role}
        if sum(pool.get_stats()["pool_size"] for pool in its.values()) < self._limit:
            return []
        return [self._pools.pop(key) for key in its if not self._users[key]]

    def close(self) -> None:
        """Close every session."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.close()

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
