"""Whether a worker can work here: its schema, its rights, and whether it talks to PostgreSQL itself.

A connection pooler in transaction mode gives every transaction another session: settings of a step session would
reach other sessions, LISTEN would hear nothing. Most of it would seem to work, so a pooler is detected and refused.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pgweave.runtime.connect import ask, connect
from pgweave.runtime.errors import ConnectionFailed, WorkerRefused
from pgweave.runtime.migrate import require
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def require_worker(connection: Connection) -> None:
    """The errors of `migrate.require`; WorkerRefused when this role may not work off workflows."""
    import psycopg

    may = False
    with suppress(psycopg.errors.InsufficientPrivilege):  # not even USAGE on the schema
        require(connection)
        ((_, may),) = ask(connection, "worker_rights")
    if not may:
        role = connection.info.user
        raise WorkerRefused(
            f"The role {role} may not work off workflows.",
            f"Start a worker as a role that may (`pgweave worker`), or let the owner of schema df admit this one:"
            f" pgweave db enrol --worker {role}",
        )


def require_direct(connection: Connection, dsn: str) -> bool:
    """ConnectionFailed when a pooler stands between us and the server. connection: a fresh one to `dsn`.

    Whether the process ids that sessions are told are the server's own: a pooler in session mode makes them up.
    """
    # The server tells a client which process serves it. A pooler, whose processes change, has to make something up.
    if _value(connection, "backend_pid") == connection.info.backend_pid:
        return True
    # Poolers in session mode and other proxies do so as well. What counts is whether a session stays one, and whether it
    # begins as we say.
    mark = secrets.token_hex(8)
    if not (_begins_as_told(dsn, mark) and _stays(connection, dsn, mark)):
        raise ConnectionFailed(
            "Between this worker and PostgreSQL stands a connection pooler, and sessions do not come through as they are.",
            "Give the worker a direct connection with --dsn. Programs that start workflows may go on using the pooler.",
        )
    return False


def _begins_as_told(dsn: str, mark: str) -> bool:
    from psycopg.conninfo import make_conninfo

    try:
        with connect(make_conninfo(dsn, options=f"-c pgweave.mark={mark}")) as other:
            return _value(other, "mark") == mark
    except ConnectionFailed:
        return False


def _stays(connection: Connection, dsn: str, mark: str) -> bool:
    with connect(dsn, application_name=connection.info.get_parameters()["application_name"]) as other:
        _value(connection, "set_mark", mark)
        with other.transaction():
            _value(other, "backend_pid")  # takes the session that we had, if there is sharing
            return _value(connection, "mark") == mark


def checks_clients(connection: Connection) -> bool:
    """Whether the server can notice, while a statement runs, that its client is gone. Not on every system it can."""
    import psycopg

    try:
        _value(connection, "check_clients")
    except psycopg.Error:
        return False
    return True


def _value(connection: Connection, query: str, *arguments: object) -> object:
    row = connection.execute(QUERIES[query], arguments).fetchone()
    assert row is not None
    return row[0]
