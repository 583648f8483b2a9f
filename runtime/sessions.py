"""Sessions on which the SQL of a role runs: logged in as that role, used for one step, wiped, kept for the next.

Never shared between roles, and nothing of ours is ever sent on them but df.exec_node: what a step leaves behind
(settings, temporary tables, prepared statements) must reach neither another step nor us. For the same reason psycopg
prepares nothing on them: a step could replace a prepared statement by its own.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from pgweave.runtime.connect import step_conninfo
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    import psycopg
    from psycopg_pool import ConnectionPool

    Connection = psycopg.Connection[Any]

IDLE_SECONDS = 60.0
MAX_AGE_SECONDS = 600.0


class Sessions:
    """Pools of step sessions, one per role and database.

    own_role: the role of the worker itself. limit: sessions per pool.
    """

    def __init__(self, dsn: str, own_role: str, limit: int, acquire_seconds: float = 30.0) -> None:
        self._dsn = dsn
        self._own_role = own_role
        self._limit = limit
        self._acquire_seconds = acquire_seconds
        self._pools: dict[tuple[str, str | None], ConnectionPool[Connection]] = {}
        self._lock = Lock()

    def borrow(self, role: str, database: str | None) -> AbstractContextManager[Connection]:
        """Lend a clean session logged in as `role`. psycopg_pool.PoolTimeout when none becomes free in time."""
        return self._pool(role, database).connection()

    def _pool(self, role: str, database: str | None) -> ConnectionPool[Connection]:
        from psycopg_pool import ConnectionPool

        with self._lock:
            key = (role, database)
            if key not in self._pools:
                self._pools[key] = ConnectionPool(
                    step_conninfo(self._dsn, role, database),
                    kwargs={"autocommit": True, "prepare_threshold": None},
                    min_size=0,
                    max_size=self._limit,
                    timeout=self._acquire_seconds,
                    max_idle=IDLE_SECONDS,
                    max_lifetime=MAX_AGE_SECONDS,
                    num_workers=1,
                    reset=_wipe,
                    open=True,
                )
            return self._pools[key]

    def foreign(self, role: str) -> bool:
        """Whether sessions of `role` are somebody else's: then what they answer is not evidence."""
        return role != self._own_role

    def close(self) -> None:
        """Close every session."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _wipe(connection: Connection) -> None:
    connection.execute(QUERIES["discard"])
