"""Version 1 of the df schema in its three forms: installed by pgweave, by psql, and from the frozen copy for tests."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.catalogue import catalogue, generator
from support.servers import VERSIONS

from pgweave.runtime.server import provision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.database import TemplateDatabases

FIX = "run `make golden` after a change to runtime/sql/schema"


@pytest.fixture
def bare(any_databases: TemplateDatabases) -> Iterator[str]:
    """A database without the df schema, on the server of `any_database`."""
    dsn = any_databases.create()
    empty = make_conninfo(dsn, dbname="bare")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create database bare template template0")
    yield empty
    any_databases.drop(empty)
    any_databases.drop(dsn)


def psql(dsn: str, script: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would who has nothing but psql."""
    program = provision.programs(VERSIONS[-1]) / "bin" / "psql"
    return subprocess.run(
        [program, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", dsn, "--file", script],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_psql_alone_installs_the_same_schema(bare: str, any_database: str) -> None:
    done = psql(bare, generator().INSTALL)
    assert (done.returncode, done.stderr) == (0, "")
    made, installed = catalogue(bare), catalogue(any_database)
    for part, found in installed.items():
        assert made[part] == found, f"{part}: {FIX}"


def test_a_second_installation_by_psql_is_refused_and_changes_nothing(bare: str) -> None:
    assert psql(bare, generator().INSTALL).returncode == 0
    before = catalogue(bare)
    done = psql(bare, generator().INSTALL)
    assert done.returncode != 0
    assert 'schema "df" already exists' in done.stderr
    assert catalogue(bare) == before


def test_the_frozen_copy_makes_the_same_schema(bare: str, any_database: str) -> None:
    with psycopg.connect(bare, autocommit=True) as connection:
        connection.execute(generator().FROZEN.read_bytes())
    assert catalogue(bare) == catalogue(any_database), FIX


def test_the_generated_files_are_what_the_generator_writes() -> None:
    """Before the first release the frozen copy follows the schema; afterwards neither changes."""
    script = generator()
    assert script.INSTALL.read_text(encoding="utf-8") == script.install(), FIX
    assert script.FROZEN.read_text(encoding="utf-8") == script.frozen(), FIX


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
        ("drop trigger notify_workers on df.inbox", "triggers"),
        (
            "grant execute on function df_internal.worker_claim(text, integer, double precision, text[], integer) to public",
            "functions",
        ),
        ("grant usage on schema df_internal to public", "schema"),
        ("comment on domain df_internal.workflow is 'else'", "types"),
        ("update df.settings set value = 5 where name = 'max_depth'", "settings"),
        ("comment on operator public.~> (text, text) is 'else'", "operators"),
    ],
)
def test_the_comparison_sees_a_difference(database: str, change: str, part: str) -> None:
    """Otherwise the tests above prove nothing."""
    before = catalogue(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(change.encode())
    after = catalogue(database)
    assert [name for name in before if before[name] != after[name]] == [part]
