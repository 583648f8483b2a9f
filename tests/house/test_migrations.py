"""The df schema comes and goes: once, whoever installs it, beside whatever else is in the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgweave.runtime import migrate
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError, SchemaForeign, SchemaMissing, SchemaTooNew, SchemaTooOld
from pgweave.runtime.migrate import migrations
from pgweave.runtime.worker.service import working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.runtime.server.embedded import Server

NEWEST = migrations()[-1].number
ROLE = "house_owner"


def execute(dsn: str, statement: str, *names: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture
def empty(server: Server) -> Iterator[str]:
    """A database with nothing in it."""
    execute(server.dsn, "create database house_empty")
    yield make_conninfo(server.dsn, dbname="house_empty")
    execute(server.dsn, "drop database house_empty with (force)")


@pytest.fixture
def role(server: Server) -> Iterator[str]:
    """An ordinary role that may log in, and nothing else. Ask for it before `empty`: it goes when its objects are gone."""
    execute(server.dsn, "create role {} login nosuperuser", ROLE)
    yield ROLE
    execute(server.dsn, "drop role {}", ROLE)


def objects(dsn: str) -> list[tuple[str, str]]:
    """Everything that is not part of every new database: its catalogue and name."""
    catalogues = ("pg_class", "pg_proc", "pg_type", "pg_operator", "pg_namespace", "pg_cast", "pg_trigger",
                  "pg_policy", "pg_event_trigger", "pg_extension", "pg_default_acl", "pg_opclass", "pg_largeobject_metadata")  # fmt: skip
    with psycopg.connect(dsn) as connection:
        return sorted(
            (catalogue, str(row[0]))
            for catalogue in catalogues
            for row in connection.execute(f"select c::text from {catalogue} as c where oid >= 16384")
        )


def test_installing_twice_is_installing_once(empty: str) -> None:
    assert migrate.status(empty) == migrate.Status(None, NEWEST)
    assert migrate.install(empty) == len(migrations())
    assert migrate.status(empty) == migrate.Status(NEWEST, NEWEST)
    before = objects(empty)
    assert migrate.install(empty) == 0
    assert objects(empty) == before


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, NEWEST + 1))


def test_two_who_install_at_once_both_succeed(empty: str) -> None:
    together = Barrier(4)

    def install() -> int:
        together.wait()
        return migrate.install(empty)

    with ThreadPoolExecutor(4) as threads:
        ran = [future.result() for future in [threads.submit(install) for _ in range(4)]]
    assert sum(ran) == len(migrations())
    assert migrate.status(empty).pending == 0


def test_a_migration_that_was_edited_after_it_ran_is_refused(empty: str) -> None:
    migrate.install(empty)
    execute(empty, "update df.migrations set checksum = 'another' where number = 2")
    with pytest.raises(
        PgweaveError, match=f"Migration {migrations()[1].name} .* is not the one that was run"
    ) as refusal:
        migrate.install(empty)
    assert refusal.value.advice


def test_a_newer_schema_is_refused_by_all(empty: str) -> None:
    migrate.install(empty)
    execute(empty, "insert into df.migrations (number, name, checksum) values (9999, 'later', 'x')")
    before = objects(empty)
    for refused in (migrate.install, Client):
        with pytest.raises(SchemaTooNew, match="at version 9999"):
            refused(empty)
    with pytest.raises(SchemaTooNew), working(empty):
        pass
    assert objects(empty) == before
    assert migrate.status(empty).pending < 0


def test_an_older_schema_is_refused_until_it_is_upgraded(empty: str) -> None:
    """What an upgrade finds: everything but the newest migration."""
    older = migrations()[:-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: older)
        migrate.install(empty)
    assert migrate.status(empty).pending == 1
    with pytest.raises(SchemaTooOld, match="pgweave needs"):
        Client(empty)
    assert migrate.install(empty) == 1
    Client(empty).close()


@pytest.mark.parametrize("before", ["create schema df", "create schema df; alter extension plpgsql add schema df"])
def test_a_schema_df_that_is_not_ours_is_left_as_it_is(empty: str, before: str) -> None:
    """pg_durable's is an extension's; anybody may have one by hand."""
    execute(empty, before)
    found = objects(empty)
    for refused in (migrate.install, migrate.uninstall, migrate.status, Client):
        with pytest.raises(SchemaForeign) as refusal:
            refused(empty)
        assert ("pg_durable" in str(refusal.value)) == ("extension" in before)
    assert objects(empty) == found


def test_uninstalling_leaves_nothing_and_lets_it_be_installed_again(empty: str) -> None:
    assert objects(empty) == []
    migrate.install(empty)
    with working(empty), Client(empty) as client:
        assert client.wait(client.start("SELECT 1")) == "completed"
    migrate.uninstall(empty)
    assert objects(empty) == []
    with pytest.raises(SchemaMissing):
        migrate.uninstall(empty)
    assert migrate.install(empty) == len(migrations())


def test_an_ordinary_role_installs_where_it_may_create_schemas(role: str, empty: str) -> None:
    """No superuser anywhere: it installs, starts, works and removes."""
    dsn = make_conninfo(empty, user=role)
    execute(empty, "create schema mine authorization {}", role)
    execute(empty, "grant create on database house_empty to {}", role)
    migrate.install(dsn, operator_schema="mine")
    with psycopg.connect(dsn, options="-c search_path=mine") as connection:
        row = connection.execute("select df.start('SELECT 1 AS one' |=> 'one' ~> 'SELECT $one + 1 AS two')").fetchone()
    assert row is not None
    with working(dsn), Client(dsn) as client:
        assert client.wait(row[0]) == "completed"
    migrate.uninstall(dsn)
    execute(empty, "drop schema mine")
    assert objects(empty) == []


def test_the_owner_of_a_database_installs_into_it(role: str, empty: str) -> None:
    execute(empty, "alter database house_empty owner to {}", role)
    assert migrate.install(make_conninfo(empty, user=role)) == len(migrations())


def test_a_role_that_may_not_is_told_what_it_lacks_and_leaves_nothing(role: str, empty: str) -> None:
    with pytest.raises(PgweaveError, match="permission denied for database") as refusal:
        migrate.install(make_conninfo(empty, user=role))
    assert "CREATE" in refusal.value.advice
    assert objects(empty) == []
