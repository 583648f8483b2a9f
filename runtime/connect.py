"""Connections to PostgreSQL, and the settings that every session of pgweave begins with.

Three kinds of session: people's own (client), a worker's own, and those on which a worker runs the SQL of a role,
logged in as that role. A step sees the settings that its role has when it logs in to that database; the last kind
changes a few that no SQL can tell (STEP_SETTINGS). They are fixed in the start-up packet, which outranks settings of
roles and databases and is what DISCARD ALL returns to.
"""

from __future__ import annotations

import os
import select
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from pgweave.runtime.errors import ConnectionFailed
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg
    from psycopg_pool import ConnectionPool

    Connection = psycopg.Connection[Any]

CONNECT_SECONDS = 10
ACQUIRE_SECONDS = 5.0  # that a connection of a pool is waited for
ATTEMPT_SECONDS = 0.3  # between two attempts of a pool to connect, while somebody waits for a connection
# A pool gives up after its first attempt to connect, and tries again when somebody asks for a connection (ATTEMPT_SECONDS).
# By itself it would make longer and longer pauses, and work would wait for them when the server is back.
RECONNECT_SECONDS = 0.5

# A server that has vanished without a word (its machine died, a cable) is noticed within a minute. Without these it would
# be after two hours, and a worker would stand still for as long. A connection string can say otherwise.
KEEPALIVE: Mapping[str, int] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

# What a worker's own statements rely on, whatever the database, the role or the connection string say. No lock_timeout:
# an administrator may want one. statement_timeout: the server ends what would keep an instance from going on.
OWN_SETTINGS: Mapping[str, str] = {
    "search_path": "pg_catalog, pg_temp",
    "role": "none",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "standard_conforming_strings": "on",
    "row_security": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "statement_timeout": "30s",
    "idle_session_timeout": "0",
    "synchronous_commit": "on",
}

# All else is the role's own. These say what reaches the worker and the server's log, and how long an idle session of
# ours lives; no result depends on them.
STEP_SETTINGS: Mapping[str, str] = {
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
    "client_min_messages": "error",
    "log_parameter_max_length_on_error": "0",
}


def connect(dsn: str, *, application_name: str = "pgweave") -> Connection:
    """Open an autocommit connection. ConnectionFailed, with the server's own words, when that does not work."""
    import psycopg

    try:
        connection = psycopg.connect(
            watchful(dsn),
            autocommit=True,
            prepare_threshold=None,  # a transaction pooler in between would not find what was prepared
            connect_timeout=CONNECT_SECONDS,
            application_name=application_name,
            client_encoding="utf8",
        )
    except psycopg.ProgrammingError as error:
        raise ConnectionFailed(
            f"This is not a connection string: {error}".strip(),
            "Write --dsn as postgresql://user@host:5432/database or 'host=.. dbname=.. user=..'.",
        ) from error
    except psycopg.OperationalError as error:
        raise ConnectionFailed(
            f"Cannot connect to PostgreSQL: {first_line(str(error))}",
            "Check --dsn (or PGWEAVE_DSN) and that the server is running; without it pgweave uses its own server.",
        ) from error
    # Of explicit transactions, `ask` has one, whatever the defaults of the role are.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.read_only = connection.deferrable = False
    return connection


def ask(connection: Connection, query: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """The rows of one of our own statements, by its name; none for a statement that returns none.

    On a session of a role, or through a pooler, whose sessions others set up: so what the statement relies on is set in
    its own transaction, and all of it goes in one round trip. Within a transaction of the caller the caller has set it.
    """
    from psycopg.pq import TransactionStatus

    if connection.info.transaction_status is not TransactionStatus.IDLE:
        cursor = connection.execute(QUERIES[query], arguments, binary=True)
    else:
        with connection.pipeline(), connection.transaction():
            connection.execute(QUERIES["our_path"])
            # Binary: times then do not depend on the DateStyle of the database or the role.
            cursor = connection.execute(QUERIES[query], arguments, binary=True)
    return cursor.fetchall() if cursor.description else []


def read_leniently(connection: Connection) -> None:
    """Have a value that Python cannot read arrive as the text that the server wrote: a date under any DateStyle, say."""
    import psycopg
    from psycopg.adapt import Loader
    from psycopg.pq import Format

    def lenient(usual: type[psycopg.abc.Loader]) -> type[Loader]:
        class Lenient(Loader):
            def __init__(self, oid: int, context: psycopg.abc.AdaptContext | None = None) -> None:
                super().__init__(oid, context)
                try:
                    self._usual: psycopg.abc.Loader | None = usual(oid, context)
                except (psycopg.Error, ValueError, NotImplementedError):
                    self._usual = None

            def load(self, data: psycopg.abc.Buffer) -> Any:  # noqa: ANN401 - of any type
                with suppress(psycopg.Error, ValueError, NotImplementedError):
                    if self._usual is not None:
                        return self._usual.load(data)
                return bytes(data).decode()

        return Lenient

    for name in ("date", "timestamp", "timestamptz", "interval", "time", "timetz"):
        oid = connection.adapters.types[name].oid
        usual = connection.adapters.get_loader(oid, Format.TEXT)
        assert usual is not None
        connection.adapters.register_loader(oid, lenient(usual))


def watchful(dsn: str) -> str:
    """The same connection string, with KEEPALIVE where it says nothing about that."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    said = conninfo_to_dict(dsn)
    return make_conninfo(dsn, **{name: value for name, value in KEEPALIVE.items() if name not in said})


def step_conninfo(dsn: str, role: str, database: str | None, *, own_role: str, check_seconds: float = 0.0) -> str:
    """Connection string for a session logged in as `role`, in `database` or the one the DSN names.

    own_role: whose password it is that the DSN (or PGPASSWORD, or a service file) has.
    check_seconds: how often the server looks, while a statement runs, whether we are still there; 0 never.
    """
    from psycopg.conninfo import make_conninfo

    settings = dict(STEP_SETTINGS)
    if check_seconds:
        settings["client_connection_check_interval"] = f"{int(check_seconds * 1000)}ms"
    options = " ".join(_options(settings))
    overrides: dict[str, str] = {"user": role, "options": options, "application_name": "pgweave step"}
    if database is not None:
        overrides["dbname"] = database
    if role != own_role:
        # Never sent for another role. Empty, and not left out: so libpq does not take PGPASSWORD, but looks for the role
        # in the password file.
        overrides["password"] = ""
    return make_conninfo(watchful(dsn), connect_timeout=CONNECT_SECONDS, client_encoding="utf8", **overrides)


def own_conninfo(dsn: str) -> str:
    """Connection string for the sessions that a worker uses for itself."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    given = conninfo_to_dict(dsn).get("options") or os.environ.get("PGOPTIONS") or ""
    options = " ".join([str(given), *_options(OWN_SETTINGS)]).strip()  # of two that set the same the last one counts
    return make_conninfo(
        watchful(dsn), connect_timeout=CONNECT_SECONDS, client_encoding="utf8", options=options,
        application_name="pgweave worker",
    )  # fmt: skip


@contextmanager
def lent(pool: ConnectionPool[Connection]) -> Iterator[Connection]:
    """Lend a connection of a pool that the server has not ended meanwhile. psycopg_pool.PoolTimeout when there is none."""
    while True:
        with _taken(pool) as connection:
            if still_there(connection):
                yield connection
                return


@contextmanager
def _taken(pool: ConnectionPool[Connection]) -> Iterator[Connection]:
    """A connection of a pool, which tries to make one as soon as the server is back."""
    from psycopg_pool import PoolTimeout

    ends = monotonic() + pool.timeout
    with ExitStack() as stack:
        while True:
            left = ends - monotonic()
            try:
                # A pool that cannot connect leaves those who wait alone, until the next one asks: so ask again.
                connection = stack.enter_context(pool.connection(timeout=min(left, ATTEMPT_SECONDS)))
                break
            except PoolTimeout:
                if left <= ATTEMPT_SECONDS:
                    raise
        yield connection


def still_there(connection: Connection) -> bool:
    """Whether the server has not ended the session of a connection that was idle; one that it has ended is closed.

    A dead connection has something to read: the server's last words, or its end. To look costs no round trip.
    """
    import psycopg

    if _is_quiet(connection):
        return True
    try:
        connection.execute("")  # a notice, perhaps
    except psycopg.Error:
        connection.close()
        return False
    return True


def _is_quiet(connection: Connection) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return not select.select([connection], [], [], 0)[0]
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)


def _options(settings: Mapping[str, str]) -> Iterator[str]:
    for name, value in settings.items():
        escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
        yield f"-c {name}={escaped}"


def first_line(message: str) -> str:
    """The first line of a libpq message; the others repeat it for each address."""
    return message.strip().split("\n", maxsplit=1)[0]
