"""schema.sql, which people read, is the sum of the migrations, which run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.catalogue import catalogue, generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import TemplateDatabases


@pytest.fixture
def from_the_file(any_databases: TemplateDatabases) -> Iterator[str]:
    """A database made by schema.sql alone, on the server of `any_database`."""
    dsn = any_databases.create()
    empty = make_conninfo(dsn, dbname="from_the_file")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create database from_the_file template template0")
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(generator().SCHEMA.read_bytes())
    yield empty
    any_databases.drop(empty)
    any_databases.drop(dsn)


def test_a_database_made_by_schema_sql_is_one_made_by_the_migrations(from_the_file: str, any_database: str) -> None:
    made, migrated = catalogue(from_the_file), catalogue(any_database)
    for part, found in migrated.items():
        assert made[part] == found, f"{part}: run `python docs/generate.py` after a change to the migrations"


def test_schema_sql_is_what_the_generator_writes() -> None:
    script = generator()
    assert script.SCHEMA.read_text(encoding="utf-8") == script.schema(), "run `python docs/generate.py`"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("grant execute on function df.metrics() to public", "functions"),
        ("grant select on df.queue to public", "relations"),
        ("grant update (status) on df.instances to public", "columns"),
        ("comment on column df.runs.query is 'else'", "columns"),
        ("drop policy runs_user_isolation on df.runs", "policies"),
        ("alter table df.nodes no force row level security", "relations"),
        ("alter function df.clock() stable", "functions"),
        ("drop index df.idx_inbox_open", "indexes"),
        ("drop trigger ring on df.inbox", "triggers"),
        ("update df.settings set value = 5 where name = 'max_depth'", "settings"),
        ("comment on operator public.~> (text, text) is 'else'", "operators"),
    ],
)
def test_the_comparison_sees_a_difference(database: str, change: str, part: str) -> None:
    """Otherwise the first test proves nothing."""
    before = catalogue(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(change.encode())
    after = catalogue(database)
    assert [name for name in before if before[name] != after[name]] == [part]
