"""The df schema comes and goes: once, whoever installs it, beside whatever else is in the database."""

from __future__ import annotations

import re
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
from pgweave.runtime.migrate import Migration, migrations
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
    assert migrate.status(empty) == migrate.Status(None, NEWEST, works=False)
    assert migrate.install(empty) == len(migrations())
    assert migrate.status(empty) == migrate.Status(NEWEST, NEWEST, works=True)
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


def test_a_version_that_was_edited_after_it_was_installed_is_refused_by_all(empty: str) -> None:
    """Not only by an installer: a worker would meet functions it does not know."""
    migrate.install(empty)
    execute(empty, "update df.migrations set checksum = 'another' where number = 1")
    for refused in (migrate.install, migrate.status, Client):
        with pytest.raises(PgweaveError, match=r"Version 1 .* is not the one that this pgweave has") as refusal:
            refused(empty)
        assert "pgweave db uninstall" in refusal.value.advice
    migrate.uninstall(empty)
    assert objects(empty) == []


def test_the_topic_files_are_installed_in_the_order_of_their_numbers() -> None:
    names = list(migrate.topics())
    assert names == sorted(names)
    assert all(name[:2].isdecimal() and name[2] == "_" for name in names)
    assert migrations()[0].sql.startswith(migrate.topics()["10_schemas"])


def test_nothing_is_defined_twice() -> None:
    """So there is one place to read each object, and one to change it."""
    text = "\n".join(migrate.topics().values())
    found = re.findall(
        r"^create (?:constraint |unique )?(table|view|function|trigger|index|policy|domain|schema) ([^\s(]+)(\([^)]*\))?",
        text,
        re.MULTILINE,
    )
    assert len(found) > 150
    assert len(found) == len(set(found))
    assert "create or replace" not in text


def test_no_function_takes_the_row_type_of_a_table(database: str) -> None:
    """PostgreSQL 15.20 then refuses to alter the table, and no upgrade could."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select p.oid::regprocedure::text from pg_proc as p, unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype) as a (type)"
            " join pg_type as t on t.oid = a.type left join pg_type as e on e.oid = t.typelem"
            " where p.pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace) and 'c' in (t.typtype, e.typtype)"
        ).fetchall()
    assert rows == []


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


def test_a_newer_schema_that_says_so_works_with_the_version_before(empty: str) -> None:
    """Workers and clients go on during an upgrade, and one that is started afterwards may work too."""
    migrate.install(empty)
    later = Migration(NEWEST + 1, "later", f"-- works with: {NEWEST}\ncreate table df.later ()")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: (*migrations(), later))
        migrate.install(empty)
    Client(empty).close()
    with working(empty):
        pass


def test_an_older_schema_is_refused_until_it_is_upgraded(empty: str) -> None:
    migrate.install(empty)
    later = Migration(NEWEST + 1, "later", "create table df.later ()")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: (*migrations(), later))
        assert (migrate.status(empty).pending, migrate.status(empty).state) == (1, "behind")
        with pytest.raises(SchemaTooOld, match="pgweave needs"):
            Client(empty)
        assert migrate.install(empty) == 1
        Client(empty).close()


@pytest.mark.parametrize(
    "before",
    ["create schema df", "create schema df_internal", "create schema df; alter extension plpgsql add schema df"],
)
def test_a_schema_of_either_name_that_is_not_ours_is_left_as_it_is(empty: str, before: str) -> None:
    """pg_durable's df is an extension's; anybody may have made either by hand."""
    execute(empty, before)
    found = objects(empty)
    for refused in (migrate.install, migrate.uninstall, migrate.status, Client):
        with pytest.raises(SchemaForeign) as refusal:
            refused(empty)
        assert ("pg_durable" in str(refusal.value)) == ("extension" in before)
        assert ("drop schema df_internal" in refusal.value.advice) == (before == "create schema df_internal")
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
