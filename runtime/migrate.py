"""The df schema of a database: install, upgrade, status, uninstall. The schema is two: df and df_internal.

In: a connection string; version 1, the files of `sql/schema` in the order of their names; later versions, one numbered
file of `sql/migrations` each. A version is installed once, in a transaction of its own, and recorded with its checksum
in df.migrations, whose lock keeps two installers apart. (Not an advisory lock: any role can take any advisory key.)
Until the first release there is only version 1, and its files are edited in place; afterwards no file that was released
is ever edited.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pgweave.runtime.connect import ask, connect
from pgweave.runtime.errors import PgweaveError, SchemaForeign, SchemaMissing, SchemaTooNew, SchemaTooOld
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    from typing import Any

    import psycopg

    Connection = psycopg.Connection[Any]

_WORKS_WITH = re.compile(r"^-- works with: (\d+)$", re.MULTILINE)

ENCODINGS = ("UTF8", "SQL_ASCII")
"""What a database may store text in: others could not keep every JSON text, nor what df.explain draws."""

OLDEST = 15  # major version of PostgreSQL: the first with views that keep to their reader's rights


@dataclass(frozen=True, slots=True)
class Migration:
    """What leads to one version of the schema. checksum: SHA-256 of its text, hexadecimal."""

    number: int
    name: str
    sql: str

    @property
    def works_with(self) -> int | None:
        """The oldest version whose workers and clients may go on beside this one: its line `-- works with: 1`."""
        found = _WORKS_WITH.search(self.sql)
        return int(found[1]) if found else None

    @property
    def checksum(self) -> str:
        """Proves that what was installed is what the files say today."""
        return _checksum(self.sql)


@dataclass(frozen=True, slots=True)
class Status:
    """installed: number of the newest migration in the database, None without a schema. available: newest we have.

    works: whether workers and clients of this pgweave may go on with it as it is.
    """

    installed: int | None
    available: int
    works: bool

    @property
    def state(self) -> str:
        """`missing`, `behind`, `current` or `ahead`."""
        if self.installed is None:
            return "missing"
        if self.pending == 0:
            return "current"
        return "behind" if self.pending > 0 else "ahead"

    @property
    def pending(self) -> int:
        """How many migrations an upgrade would run."""
        return self.available - (self.installed or 0)


@cache
def migrations() -> tuple[Migration, ...]:
    """All versions, oldest first."""
    # The checksum is that of the joined text: a file may be renamed, or split at an empty line, but no line
    # changed.
    first = "\n\n".join(text.rstrip() for text in topics().values()) + "\n"
    later = (
        Migration(int(name[:4]), name, text) for name, text in _files("migrations").items() if name[:4].isdecimal()
    )
    return (Migration(1, "0001_schema", first), *later)


def topics() -> dict[str, str]:
    """The files of version 1 by name, in the order in which they are read and run."""
    return _files("schema")


def _files(folder: str) -> dict[str, str]:
    files = (file for file in resources.files("pgweave.runtime").joinpath("sql", folder).iterdir())
    return {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(".sql")
    }


@cache
def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def status(dsn: str) -> Status:
    """Compare a database with this pgweave. SchemaForeign when its df is not ours."""
    with connect(dsn) as connection:
        installed, available = _installed(connection), migrations()[-1].number
        works = installed is not None and installed >= available and _works_with(connection, available)
        return Status(installed, available, works)


def require(connection: Connection) -> None:
    """Refuse to work with a schema that is missing, older than we need, or newer and not made to work with us."""
    installed, available = _installed(connection), migrations()[-1].number
    if installed is None:
        raise SchemaMissing(
            f"The database {_name(connection)} has no df schema.", "Run `pgweave db install` with the same --dsn."
        )
    # A migration may say that older workers go on beside it; then a newer schema is no reason to stop.
    if installed > available and not _works_with(connection, available):
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
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in ENCODINGS:
            raise PgweaveError(
                f"The database {_name(connection)} stores text in {encoding}; the df schema needs UTF8.",
                "Use another database of this server: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0;",
            )
        installed = _installed(connection)
        if installed is not None and installed > migrations()[-1].number:
            require(connection)
            return 0
        return sum(_run(connection, migration, operator_schema) for migration in migrations())


def uninstall(dsn: str) -> None:
    """Drop the schemas df and df_internal with every instance in them, and the operators."""
    with connect(dsn) as connection:
        if not _is_ours(connection):
            raise SchemaMissing(f"The database {_name(connection)} has no df schema.", "There is nothing to remove.")
        # The operators are in another schema and are dropped with the functions they call.
        ask(connection, "drop_schema")


def _run(connection: Connection, migration: Migration, operator_schema: str) -> bool:
    """Install one version unless it is installed. Of two at once the second waits, then finds it done."""
    import psycopg
    from psycopg import sql

    try:
        with connection.transaction():
            # The search_path of the role could put its own objects before those of PostgreSQL.
            connection.execute(QUERIES["our_path"])
            if _is_ours(connection):
                # Nothing in this transaction has read the table: two that hold a weaker lock would wait for each other.
                connection.execute(QUERIES["lock_migrations"])
                if any(number == migration.number for number, _ in _versions(connection)):
                    return False
            # The operators are the only objects without a schema name; they go where people's sessions find them.
            if connection.execute(QUERIES["schema_exists"], [operator_schema]).fetchone() is None:
                raise SchemaMissing(
                    f"There is no schema “{operator_schema}” in {_name(connection)} to keep the operators in.",
                    "Create it first, or leave --operator-schema out for `public`.",
                )
            place = sql.Identifier(operator_schema).as_string(connection)
            connection.execute(QUERIES["operator_schema"], [place])
            connection.execute(migration.sql.encode())
            connection.execute(
                QUERIES["record_migration"],
                [migration.number, migration.name, migration.checksum, migration.works_with],
            )
            return True
    except (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation) as error:
        # CREATE SCHEMA of two sessions at once: the second fails on the index of pg_namespace when the first
        # commits.
        if error.diag.constraint_name not in {None, "pg_namespace_nspname_index"}:
            raise
        # Another installer has created the schema first.
        return _run(connection, migration, operator_schema)
    except psycopg.errors.InsufficientPrivilege as error:
        raise PgweaveError(
            f"This role may not install the df schema in {_name(connection)}: {error.diag.message_primary}",
            _who_may_install(connection, operator_schema),
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise PgweaveError(
            f"The tables of the df schema in {_name(connection)} are in use: {error.diag.message_primary}",
            "Try again when no long transaction holds them; nothing has been changed.",
        ) from error


def _who_may_install(connection: Connection, operator_schema: str) -> str:
    """What to do when the server has refused to let this role install: it depends on what the role may."""
    ((may_create, may_place),) = ask(connection, "install_rights", [operator_schema])
    if not may_create:
        return "Install as the owner of the database, or as a role with CREATE on it."
    if not may_place:
        return f"Keep the operators in a schema in which this role may create them: --operator-schema NAME, not {operator_schema}."
    return (
        "It has CREATE on the database, so something else refuses it: an event trigger, or a node of a distributed PostgreSQL"
        " that does not know the role. The role has to exist on every node before it installs."
    )


def _installed(connection: Connection) -> int | None:
    """The version of a database; None without a schema. SchemaForeign when df exists and is not ours."""
    if not _is_ours(connection):
        return None
    return _versions(connection)[-1][0]


def _versions(connection: Connection) -> list[tuple[int, str]]:
    """Number and checksum of each installed version. PgweaveError when one is not what this pgweave has, or none is there."""
    found = ask(connection, "schema_versions")
    if not found:  # a version and the line that says so are committed together
        raise PgweaveError(
            f"The df schema in {_name(connection)} does not say which version it is: df.migrations is empty.",
            "Restore that table from a backup, or remove the schema with all its instances: `pgweave db uninstall`, then"
            " `pgweave db install`.",
        )
    known = {migration.number: migration for migration in migrations()}
    for number, checksum, _ in found:
        if number in known and checksum != known[number].checksum:
            raise PgweaveError(
                f"Version {number} of the df schema in {_name(connection)} is not the one that this pgweave has:"
                " it was installed by an unreleased version.",
                "Use the pgweave that installed it, or remove it with all its instances: `pgweave db uninstall`, then"
                " `pgweave db install`.",
            )
    return [(int(number), str(checksum)) for number, checksum, _ in found]


def _works_with(connection: Connection, version: int) -> bool:
    """Whether every version that is installed here and newer than `version` says that it works with it."""
    found = connection.execute(QUERIES["schema_versions"]).fetchall()
    return all(oldest is not None and oldest <= version for number, _, oldest in found if number > version)


def _is_ours(connection: Connection) -> bool:
    """Whether the schemas are there and ours; False when neither is there. SchemaForeign when one is not ours."""
    ((ours, schemas, extension),) = ask(connection, "schema_state")
    if extension:
        raise SchemaForeign(
            f"In {_name(connection)} the schema df belongs to an extension (pg_durable).",
            "Use another database, or compile with `pgweave compile --emit sql --style start` and start it there.",
        )
    if schemas == ["df_internal"]:
        raise SchemaForeign(
            f"In {_name(connection)} there is a schema df_internal and no schema df.",
            "If it is left from a df schema that was dropped by hand: drop schema df_internal cascade. If it is something"
            " else, rename it, or use another database.",
        )
    if schemas and not ours:
        raise SchemaForeign(
            f"In {_name(connection)} there is a schema df that pgweave did not make.",
            "Rename that schema, or use another database. On a node of a distributed PostgreSQL: use the coordinator.",
        )
    return bool(ours)


def _name(connection: Connection) -> str:
    return f"“{connection.info.dbname}”"
