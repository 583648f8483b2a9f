"""The df schema of a database: install, upgrade, status, uninstall.

In: a connection string and the numbered files of `sql/migrations`. Each file runs once, in a transaction of its own,
and is recorded with its checksum in df.migrations, whose lock keeps two installers apart. (Not an advisory lock: any
role can take any advisory key.) A migration that has run anywhere is never edited.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pgweave.runtime.connect import connect
from pgweave.runtime.errors import PgweaveError, SchemaForeign, SchemaMissing, SchemaTooNew, SchemaTooOld
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    from typing import Any

    import psycopg

    Connection = psycopg.Connection[Any]

OLDEST = 15  # major version of PostgreSQL: the first with views that keep to their reader's rights


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file. checksum: SHA-256 of its text, hexadecimal."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Proves that what ran is what the file says today."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Status:
    """installed: number of the newest migration in the database, None without a schema. available: newest we have."""

    installed: int | None
    available: int

    @property
    def pending(self) -> int:
        """How many migrations an upgrade would run."""
        return self.available - (self.installed or 0)


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations, oldest first."""
    folder = resources.files("pgweave.runtime").joinpath("sql/migrations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in files
    )


def status(dsn: str) -> Status:
    """Compare a database with this version. SchemaForeign when its df is somebody else's."""
    with connect(dsn) as connection:
        return Status(_installed(connection), migrations()[-1].number)


def require(connection: Connection) -> None:
    """Refuse to work with a schema that is missing, older than we need or newer than we know."""
    installed, available = _installed(connection), migrations()[-1].number
    if installed is None:
        raise SchemaMissing(
            f"The database {_name(connection)} has no df schema.", "Run `pgweave db install` with the same --dsn."
        )
    if installed > available:
        raise SchemaTooNew(
            f"The df schema of {_name(connection)} is at version {installed}; this pgweave knows {available}.",
            "Upgrade pgweave (`pip install --upgrade pgweave`); the schema itself is fine.",
        )
    if installed < available:
        raise SchemaTooOld(
            f"The df schema of {_name(connection)} is at version {installed}; this pgweave needs {available}.",
            "Run `pgweave db upgrade` with the same --dsn. Running instances are carried over.",
        )


def install(dsn: str, operator_schema: str = "public") -> int:
    """Bring a database up to date and return how many migrations ran: 0 when there was nothing to do.

    operator_schema: where the operators `~> & |` .. are created; it has to be on people's search_path.
    """
    with connect(dsn) as connection:
        if connection.info.server_version < OLDEST * 10_000:
            raise PgweaveError(
                f"This is PostgreSQL {connection.info.server_version // 10_000}; the df schema needs {OLDEST} or newer.",
                "Upgrade the server, or use another one; without --dsn pgweave brings its own.",
            )
        installed = _installed(connection)
        if installed is not None and installed > migrations()[-1].number:
            require(connection)
        return sum(_run(connection, migration, operator_schema) for migration in migrations())


def uninstall(dsn: str) -> None:
    """Drop the df schema with every instance in it, and the operators."""
    with connect(dsn) as connection:
        if _installed(connection) is None:
            raise SchemaMissing(f"The database {_name(connection)} has no df schema.", "There is nothing to remove.")
        # The operators stand in another schema and go with the functions they call.
        connection.execute(QUERIES["drop_schema"])


def _run(connection: Connection, migration: Migration, operator_schema: str) -> bool:
    """Run one migration unless it has run. Whoever comes second waits for the lock and finds it done."""
    import psycopg
    from psycopg import sql

    try:
        with connection.transaction():
            if not _is_ours(connection):
                connection.execute(QUERIES["begin_schema"])
            # Nothing in this transaction has read the table: two that hold a weaker lock would wait for each other.
            connection.execute(QUERIES["lock_migrations"])
            row = connection.execute(QUERIES["migration_checksum"], [migration.number]).fetchone()
            if row is not None:
                _compare(migration, row[0])
                return False
            # Unqualified objects of a migration are the operators; they go where people's sessions find them.
            if connection.execute(QUERIES["schema_exists"], [operator_schema]).fetchone() is None:
                raise SchemaMissing(
                    f"There is no schema “{operator_schema}” in {_name(connection)} to keep the operators in.",
                    "Create it first, or leave --operator-schema out for `public`.",
                )
            connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(operator_schema)))
            connection.execute(migration.sql.encode())
            connection.execute(QUERIES["record_migration"], [migration.number, migration.name, migration.checksum])
            return True
    except (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation) as error:
        if error.diag.constraint_name not in {None, "pg_namespace_nspname_index"}:
            raise
        # Somebody else has just begun, too.
        return _run(connection, migration, operator_schema)
    except psycopg.errors.InsufficientPrivilege as error:
        raise PgweaveError(
            f"This role may not install the df schema in {_name(connection)}: {error.diag.message_primary}",
            "Install as the owner of the database, or as a role with CREATE on it; such a role keeps the operators in a"
            " schema of its own: --operator-schema NAME.",
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise PgweaveError(
            f"The tables of the df schema in {_name(connection)} are in use: {error.diag.message_primary}",
            "Try again when no long transaction holds them; nothing has been changed.",
        ) from error


def _compare(migration: Migration, checksum: str) -> None:
    if checksum != migration.checksum:
        raise PgweaveError(
            f"Migration {migration.name} of this pgweave is not the one that was run in the database.",
            "Use a released version of pgweave; files of released migrations never change.",
        )


def _installed(connection: Connection) -> int | None:
    """Newest migration in the database. SchemaForeign when df exists and is not ours."""
    if not _is_ours(connection):
        return None
    newest = connection.execute(QUERIES["schema_version"]).fetchone()
    assert newest is not None
    return newest[0] and int(newest[0])


def _is_ours(connection: Connection) -> bool:
    """Whether there is a schema df of ours; False when there is none. SchemaForeign when it is somebody else's."""
    row = connection.execute(QUERIES["schema_state"]).fetchone()
    assert row is not None
    ours, exists, extension = row
    if extension:
        raise SchemaForeign(
            f"In {_name(connection)} the schema df belongs to an extension (pg_durable).",
            "Use another database, or compile with `pgweave compile --emit sql --style start` and start it there.",
        )
    if exists and not ours:
        raise SchemaForeign(
            f"In {_name(connection)} there is a schema df that pgweave did not make.",
            "Rename that schema, or use another database.",
        )
    return bool(ours)


def _name(connection: Connection) -> str:
    return f"“{connection.info.dbname}”"
