"""Connections to PostgreSQL, and what every session of ours begins with.

Three kinds of session: people's own (client), a worker's own, and those on which a worker runs the SQL of a role,
logged in as that role. The last kind runs foreign code, so its settings are fixed in the start-up packet, which
outranks settings of roles and databases and is what DISCARD ALL returns to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgweave.runtime.errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    Connection = psycopg.Connection[Any]

CONNECT_SECONDS = 10

# Why each: reliability of results (encodings, time zone, exact floats), no traps set by ALTER ROLE, no values in logs.
STEP_SETTINGS: Mapping[str, str] = {
    "role": "none",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "60s",
    "row_security": "on",
    "standard_conforming_strings": "on",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_min_messages": "error",
    "log_parameter_max_length_on_error": "0",
    "synchronous_commit": "on",
}


def connect(dsn: str, *, application_name: str = "pgweave") -> Connection:
    """Open an autocommit connection. ConnectionFailed, with the server's own words, when that does not work."""
    import psycopg

    try:
        return psycopg.connect(
            dsn,
            autocommit=True,
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


def step_conninfo(dsn: str, role: str, database: str | None, step_seconds: float = 0.0) -> str:
    """Connection string for a session logged in as `role`, in `database` or the one the DSN names.

    step_seconds: how long the server lets one statement run; 0 for ever.
    """
    from psycopg.conninfo import make_conninfo

    settings = {**STEP_SETTINGS, "statement_timeout": f"{int(step_seconds * 1000)}ms"}
    options = " ".join(_options(settings))
    overrides: dict[str, str] = {"user": role, "options": options, "application_name": "pgweave step"}
    if database is not None:
        overrides["dbname"] = database
    return make_conninfo(dsn, connect_timeout=CONNECT_SECONDS, client_encoding="utf8", **overrides)


def _options(settings: Mapping[str, str]) -> Iterator[str]:
    for name, value in settings.items():
        escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
        yield f"-c {name}={escaped}"


def first_line(message: str) -> str:
    """The part of a libpq message that says it all; the rest repeats it per address."""
    return message.strip().split("\n", maxsplit=1)[0]
