"""A database with several roles: an owner of the schema who is no superuser, a worker that owns nothing, and users.

    schema_owner    owns the df schema         anna, bert   may start workflows
    worker_role     executes them              eve          may log in, and nothing else

Roles belong to a server, not to a database: they are made once per server, and each test gets a clone of a database in
which they have their privileges.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.database import TemplateDatabases
from support.work import PATIENCE_SECONDS, QUICK

from pgweave.runtime import migrate
from pgweave.runtime.client import Client
from pgweave.runtime.worker.service import working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.runtime.client import Instance

OWNER, WORKER, ANN, BOB, EVE = "schema_owner", "worker_role", "anna", "bert", "eve"
HOSTILE = (
    'we"ird; --', "Mixed Case", "it's", "back\\slash", "žluťoučký 🐘", "a=b,c", "{brace}$x", "select", "x" * 63,
    "-c role=postgres",
)  # fmt: skip


def prepare(dsn: str) -> None:
    """Create the roles, and in this database the df schema with their privileges."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        there = {name for (name,) in connection.execute("select rolname from pg_roles")}
        for role in {OWNER, WORKER, ANN, BOB, EVE, *HOSTILE} - there:  # another template of this server made them
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
        connection.execute(sql.SQL("alter database {} owner to {}").format(name, sql.Identifier(OWNER)))
        connection.execute("create schema common; grant all on schema common to public")
    migrate.install(make_conninfo(dsn, user=OWNER))
    with psycopg.connect(make_conninfo(dsn, user=OWNER), autocommit=True) as connection:
        for role in (ANN, BOB, *HOSTILE):
            connection.execute("select df.grant_usage(%s)", [role])
        connection.execute("select df.grant_worker(%s)", [WORKER])


class RoleDatabase:
    """One database. root: dsn of the superuser who created it."""

    def __init__(self, dsn: str) -> None:
        self.root = dsn

    def dsn(self, role: str) -> str:
        """Log in as this role."""
        return make_conninfo(self.root, user=role)

    def sql(self, role: str | None, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """What a role gets for a statement, on a session of its own. None: the superuser."""
        dsn = self.root if role is None else self.dsn(role)
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, role: str | None, statement: str, *arguments: object) -> Any:  # noqa: ANN401 - of any type
        """The only value of the only row."""
        ((value,),) = self.sql(role, statement, *arguments)
        return value

    def refused(self, role: str | None, statement: str, *arguments: object) -> psycopg.Error:
        """The error a role gets for a statement."""
        with pytest.raises(psycopg.Error) as caught:
            self.sql(role, statement, *arguments)
        return caught.value

    def denied(self, role: str, statement: str, *arguments: object) -> None:
        """The role lacks a privilege: 42501, be it of a table, a function or a policy."""
        error = self.refused(role, statement, *arguments)
        assert error.sqlstate == "42501", error

    def until(self, question: str) -> None:
        """Block until the database answers a question with true. The asking is done by the server, every 10 ms."""
        self.sql(
            None,
            f"do $do$ begin for i in 1..{PATIENCE_SECONDS * 100} loop if ({question}) then return; end if;"
            " perform pg_stat_clear_snapshot(); commit; perform pg_sleep(0.01); end loop;"
            " raise exception 'waited in vain'; end $do$",
        )

    def start(self, role: str, expression: str) -> str:
        """Start a workflow as this role."""
        return str(self.one(role, f"select df.start({expression})"))

    @contextmanager
    def work(self) -> Iterator[None]:
        """A worker that is logged in as the worker role, until the block ends."""
        with working(self.dsn(WORKER), QUICK):
            yield

    def ended(self, role: str, instance_id: str) -> Instance:
        """Wait for the end of an instance, as the role that started it."""
        with Client(self.dsn(role)) as client:
            client.wait(instance_id, PATIENCE_SECONDS)
            return client.instance(instance_id)


class RoleDatabases:
    """Fresh databases with these roles on one server. dsn: of its superuser."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._databases = TemplateDatabases(dsn, prepare)

    @contextmanager
    def create(self) -> Iterator[RoleDatabase]:
        """A database for one test."""
        dsn = self._databases.create()
        try:
            yield RoleDatabase(dsn)
        finally:
            self._databases.drop(dsn)
