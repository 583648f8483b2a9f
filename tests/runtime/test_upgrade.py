"""Upgrades carry everything across: instances of every node kind in flight, privileges, and what a stop left half done.

The old schema is the frozen copy of version 1, tests/golden/schema_v1.sql. The next versions are made up here: migrations
that change tables, functions and comments the way real ones would.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.catalogue import catalogue, generator
from support.checker import check
from support.role_database import ANN, OWNER, WORKER
from support.work import QUICK, Database, with_worker

from pgweave.grammar.kinds import KINDS
from pgweave.runtime import migrate
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.migrate import Migration, migrations
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import TemplateDatabases
    from support.role_database import RoleDatabase

NEWEST = migrations()[-1].number
NEXT = Migration(
    NEWEST + 1,
    f"{NEWEST + 1:04}_next",
    """
    alter table df.instances add column priority integer not null default 0;
    comment on column df.instances.priority is 'Made up.';
    alter table df.runs add column place text;
    comment on column df.runs.place is 'Made up.';
    create index idx_instances_priority on df.instances (priority) where priority > 0;
    create or replace function df.run(instance_id text default null) returns text
    language sql set search_path = pg_catalog, pg_temp as $$ select 'Triggered run for everything'::text $$;
    create function df_internal.worker_new(p_number integer) returns integer language sql security definer
    set search_path = pg_catalog, pg_temp as $$ select p_number $$;
    comment on function df_internal.worker_new(integer) is 'Made up.';
    revoke execute on function df_internal.worker_new(integer) from public;
    insert into df.settings (name, value, lowest, highest, default_value, description)
    values ('max_made_up', 1, 1, 2, 1, 'Made up.');
    """,
)
AFTER_NEXT = Migration(
    NEWEST + 2,
    f"{NEWEST + 2:04}_after_next",
    "alter table df.instances alter column priority type bigint; alter table df.runs drop column place;",
)


@contextmanager
def known(*found: Migration) -> Iterator[None]:
    """A pgweave that brings these migrations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: found)
        yield


@pytest.fixture
def empty(databases: TemplateDatabases) -> Iterator[str]:
    dsn = databases.create()
    migrate.uninstall(dsn)
    yield dsn
    databases.drop(dsn)


@pytest.fixture
def first(any_databases: TemplateDatabases) -> Iterator[str]:
    """A database in which version 1 was installed from the frozen copy, on each supported PostgreSQL."""
    dsn = any_databases.create()
    migrate.uninstall(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(generator().FROZEN.read_bytes())
    yield dsn
    any_databases.drop(dsn)


# How each kind can be in flight: a program that stands still in it or before it, and how it goes on after the upgrade.
GO = "df.wait_for_signal('go')"
IN_FLIGHT = {
    "SQL": f"'INSERT INTO fx VALUES (''first'')' ~> {GO} ~> 'INSERT INTO fx VALUES (''second'')'",
    "THEN": f"('SELECT 1' ~> {GO}) ~> 'SELECT 2'",
    "IF": f"df.if({GO}, 'INSERT INTO fx VALUES (''then'')', 'INSERT INTO fx VALUES (''else'')')",
    "JOIN": f"{GO} & ('INSERT INTO fx VALUES (''branch'')' ~> df.wait_for_signal('too'))",
    "RACE": f"({GO} ~> 'SELECT 1') | df.sleep(3600)",
    "LOOP": f"df.loop({GO} ~> 'INSERT INTO turns VALUES (1)', 'SELECT count(*) < 2 FROM turns')",
    "BREAK": f"@> ({GO} ~> df.break('done'))",
    "SLEEP": "df.sleep(3600) ~> 'SELECT 1'",
    "WAIT_SCHEDULE": "df.wait_for_schedule('0 3 1 1 *') ~> 'SELECT 1'",
    "SIGNAL": GO,
    "AWAIT_INSTANCE": f"df.call_child({GO}, 'the child')",
    "HTTP": f"{GO} ~> df.http('http://127.0.0.1:9/')",
    "HTTP_MULTIPART": f"""{GO} ~> df.http_multipart('http://127.0.0.1:9/', parts => '[{{"name":"f","data_b64":"QQ=="}}]')""",
}
FAILS = {"HTTP", "HTTP_MULTIPART"}  # nobody listens there, and if so it would be refused


def test_every_kind_is_in_flight_here() -> None:
    assert IN_FLIGHT.keys() == KINDS.keys()


def signal_all(place: Database) -> None:
    """What is waited for by name, arrives."""
    for (release,) in place.sql("select distinct release from df.waiting() where release is not null"):
        place.sql(release)


def test_instances_of_every_kind_are_carried_across_an_upgrade(first: str) -> None:
    """Parked under the old schema, finished by a new worker under the new one, with one effect of every step."""
    with with_worker(first) as old:
        old.sql("create table fx (step text)")
        old.sql("create table turns (n int)")
        ids = {kind: old.start(program, kind) for kind, program in IN_FLIGHT.items()}
        for instance in ids.values():
            old.events.wait_for("parked", instance)
        # Into the middle of the second turn.
        old.client.signal(ids["LOOP"], "go")
        old.until("select count(*) = 1 from turns")
        old.events.wait_for("parked", ids["LOOP"], times=2)
        waiting = old.sql("select instance_id, node_id, iteration from df.runs where status = 'waiting' order by 1, 2")
    with known(*migrations(), NEXT):
        assert migrate.install(first) == 1
        with with_worker(first) as new:
            assert (
                new.sql("select instance_id, node_id, iteration from df.runs where status = 'waiting' order by 1, 2")
                == waiting
            )
            signal_all(new)
            new.sql("update df.runs set due_at = now() where status = 'waiting' and due_at is not null and node_id in"
                    " (select id from df.nodes where node_type in ('SLEEP', 'WAIT_SCHEDULE') and instance_id = df.runs.instance_id)"
                    " and instance_id = any (%s)", [ids["SLEEP"], ids["WAIT_SCHEDULE"]])  # fmt: skip
            new.sql("update df.queue set ready_at = now()")
            ended = {kind: new.ended(instance).status for kind, instance in ids.items()}
            assert ended == {kind: "failed" if kind in FAILS else "completed" for kind in IN_FLIGHT}
            steps = sorted(row[0] for row in new.sql("select step from fx"))
            assert steps == ["branch", "first", "second", "then"]
            assert new.sql("select count(*) from turns") == [(2,)]
            assert new.sql("select df.run(), sum(priority) from df.instances") == [("Triggered run for everything", 0)]
    check(first)


def test_a_worker_goes_on_while_the_schema_is_upgraded_under_it(database: str) -> None:
    with with_worker(database) as place:
        place.sql("create table fx (step text)")
        ids = [
            place.start(" ~> ".join(f"'INSERT INTO fx VALUES (''{n}-{step}'')'" for step in range(40)))
            for n in range(6)
        ]
        place.events.wait_for("checkpointed", ids[0])
        with known(*migrations(), NEXT):
            assert migrate.install(database) == 1
        ids.append(place.start("'INSERT INTO fx VALUES (''after'')'"))
        assert {place.ended(instance).status for instance in ids} == {"completed"}
        assert place.sql("select count(*) from fx") == [(241,)]
    check(database)


def test_the_schema_goes_without_a_trace_and_comes_back_on_every_supported_version(any_database: str) -> None:
    before = catalogue(any_database)
    migrate.uninstall(any_database)
    with psycopg.connect(any_database) as connection:
        left = connection.execute(
            "select (select count(*) from pg_namespace where nspname in ('df', 'df_internal')),"
            " (select count(*) from pg_operator where oprnamespace = 'public'::regnamespace)"
        ).fetchone()
    assert left == (0, 0)
    assert migrate.install(any_database) == NEWEST
    assert catalogue(any_database) == before


def test_an_older_postgresql_is_refused_by_name(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "OLDEST", 99)
    with pytest.raises(PgweaveError, match="the df schema needs 99 or newer"):
        migrate.install(empty)
    assert migrate.status(empty).installed is None


@pytest.mark.parametrize("stop", range(1, NEWEST + 2))
def test_an_installation_that_stopped_between_two_versions_goes_on_from_there(
    empty: str, database: str, stop: int
) -> None:
    versions = (*migrations(), NEXT, AFTER_NEXT)
    with known(*versions[:stop]):
        assert migrate.install(empty) == stop
    with known(*versions):
        assert migrate.status(empty).pending == len(versions) - stop
        assert migrate.install(empty) == len(versions) - stop
        migrate.install(database)
    assert catalogue(empty) == catalogue(database)


def test_an_upgraded_schema_is_a_fresh_one_privileges_included(empty: str, database: str) -> None:
    with known(*migrations(), NEXT):
        migrate.install(database)
        migrate.install(empty)
    assert catalogue(database) == catalogue(empty)
    assert any(row[0] == "max_made_up" for row in catalogue(database)["settings"])


def test_settings_that_were_changed_stay_changed(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update df.settings set value = 77 where name = 'retention_days'")
        with known(*migrations(), NEXT):
            migrate.install(database)
        row = connection.execute("select value from df.settings where name = 'retention_days'").fetchone()
    assert row == (77,)


def test_people_keep_their_privileges_and_the_worker_gets_the_new_ones_by_granting_again(db: RoleDatabase) -> None:
    before = db.start(ANN, "'SELECT 1' ~> 'SELECT 2'")
    with known(*migrations(), NEXT):
        assert migrate.install(make_conninfo(db.root, user=OWNER)) == 1
        db.denied(ANN, "select df_internal.worker_new(1)")
        db.denied(WORKER, "select df_internal.worker_new(1)")
        db.sql(OWNER, "select df.grant_worker('worker_role')")
        assert db.one(WORKER, "select df_internal.worker_new(1)") == 1
        with db.work():
            assert db.ended(ANN, before).status == "completed"
            assert db.ended(ANN, db.start(ANN, "'SELECT 3'")).status == "completed"


def test_a_migration_that_fails_changes_nothing(database: str) -> None:
    before = catalogue(database)
    broken = Migration(NEXT.number, NEXT.name, NEXT.sql + "; select 1/0;")
    with known(*migrations(), broken), pytest.raises(psycopg.errors.DivisionByZero):
        migrate.install(database)
    assert catalogue(database) == before
    with known(*migrations(), NEXT):
        assert migrate.install(database) == 1


def test_an_upgrade_does_not_wait_for_long_behind_a_long_transaction(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who comes after a waiting lock waits behind it."""
    shorter: dict[str, Any] = {
        "lock_migrations": QUERIES["lock_migrations"].replace(b"'10s'", b"'100ms'"),
    }
    assert shorter["lock_migrations"] != QUERIES["lock_migrations"]
    monkeypatch.setattr(migrate, "QUERIES", {**QUERIES, **shorter})
    before = catalogue(database)
    with psycopg.connect(database) as reader, known(*migrations(), NEXT):
        reader.execute("select * from df.instances")
        with pytest.raises(PgweaveError, match="are in use") as refusal:
            migrate.install(database)
        assert "nothing has been changed" in refusal.value.advice
        reader.rollback()
        assert catalogue(database) == before
        assert migrate.install(database) == 1


def test_starting_goes_on_during_an_upgrade(database: str) -> None:
    """Every start either commits or is not there; none is lost."""
    started: list[str] = []
    place = Database(database)

    def start() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            for n in range(100):
                row = connection.execute("select df.start('SELECT ' || %s)", [n]).fetchone()
                assert row is not None
                started.append(row[0])

    thread = Thread(target=start)
    thread.start()
    with known(*migrations(), NEXT):
        assert migrate.install(database) == 1
    thread.join()
    assert len(started) == 100
    assert place.sql("select count(*) from df.instances") == [(100,)]
    with known(*migrations(), NEXT), with_worker(database, QUICK) as busy:
        assert {busy.ended(instance).status for instance in started} == {"completed"}
    place.client.close()
    check(database)
