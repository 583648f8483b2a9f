"""`df.start(.., transaction_mode => 'new')` by roles that are no superuser: as themselves, or a sentence that says how."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from support.role_database import ANN, BOB, OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.role_database import RoleDatabase

START = "select df.start('SELECT 1', transaction_mode => 'new')"


@pytest.fixture
def with_dblink(db: RoleDatabase) -> RoleDatabase:
    if not db.sql(None, "select name from pg_available_extensions where name = 'dblink'"):
        pytest.skip("this PostgreSQL was built without dblink; Debian's 15 has it")
    db.sql(None, "create extension dblink schema common")
    return db


@contextmanager
def owner_may_connect(db: RoleDatabase) -> Iterator[None]:
    """As where the owner of the schema is a superuser, which it is on a server of one person."""
    db.sql(None, f"alter role {OWNER} superuser")
    try:
        yield
    finally:
        db.sql(None, f"alter role {OWNER} nosuperuser")


def test_an_ordinary_role_starts_in_a_new_transaction_as_itself(with_dblink: RoleDatabase) -> None:
    db = with_dblink
    with owner_may_connect(db), psycopg.connect(db.dsn(ANN)) as ann:
        ann.execute("select df.setvar('open', '1')")
        started = ann.execute(START).fetchone()
        ann.rollback()
        assert ann.execute("select common.dblink_get_connections()").fetchone() == (None,)
    assert started is not None
    assert db.sql(None, "select id, submitted_by::text, variables from df.instances") == [(started[0], ANN, {})]
    assert db.sql(None, "select name from df.wanted_sessions") == []


def test_a_role_that_acts_as_another_starts_as_that_one(with_dblink: RoleDatabase) -> None:
    db = with_dblink
    db.sql(None, f"grant {BOB} to {ANN}")
    try:
        with owner_may_connect(db), psycopg.connect(db.dsn(ANN), autocommit=True) as ann:
            ann.execute(f"set role {BOB}")
            ann.execute(START)
    finally:
        db.sql(None, f"revoke {BOB} from {ANN}")
    assert db.sql(None, "select submitted_by::text from df.instances") == [(BOB,)]


def test_nobody_gets_a_session_of_another_role(with_dblink: RoleDatabase) -> None:
    db = with_dblink
    with owner_may_connect(db):
        db.denied(ANN, f"insert into df.wanted_sessions (name, owner) values ('spy', '{BOB}')")
        db.denied(ANN, "select df_internal.connect_as_owner_of('spy')")
        for other in (BOB, None):  # a name that another role has written for another purpose, a superuser's too
            db.sql(other, "select df.setvar('spy', '1')")
            db.denied(ANN, "select df_internal.connect_as_owner_of('spy')")
        db.sql(None, "insert into df.wanted_sessions (name) values ('spy')")
        db.denied(ANN, "select df_internal.connect_as_owner_of('spy')")
        # A function of another role that somebody calls: what it asks for is its own.
        db.sql(None, f"grant usage, create on schema common to {ANN}")
        db.sql(
            ANN,
            "create function common.trap() returns text language plpgsql security definer as $f$ begin"
            " insert into df.wanted_sessions (name) values ('mine'); perform df_internal.connect_as_owner_of('mine');"
            " return (select who from common.dblink('mine', 'select current_user::text') as d (who text)); end $f$",
        )
        assert db.one(BOB, "select common.trap()") == ANN


def test_without_a_way_to_log_in_one_sentence_says_what_to_make(with_dblink: RoleDatabase) -> None:
    error = with_dblink.refused(ANN, START)
    assert error.sqlstate == "42501"
    assert error.diag.message_primary == (
        f'df.start() on new transaction failed: the server has no way to log in to itself as role "{ANN}"'
    )
    assert "user mapping for the foreign server pgweave_loopback" in str(error.diag.message_hint)
    assert with_dblink.sql(None, "select from df.wanted_sessions") == []


def test_a_user_mapping_lets_an_ordinary_role_start_in_a_new_transaction(with_dblink: RoleDatabase) -> None:
    """With a password that the server asks for: without that PostgreSQL admits no role but superusers."""
    db = with_dblink
    parts = conninfo_to_dict(db.root)
    db.sql(None, f"alter role {ANN} password 'secret'")
    db.sql(
        None,
        "create server pgweave_loopback foreign data wrapper dblink_fdw"
        f" options (host '{parts['host']}', port '{parts.get('port', 5432)}', dbname '{parts['dbname']}')",
    )
    db.sql(None, f"grant usage on foreign server pgweave_loopback to {ANN}")
    db.sql(None, f"create user mapping for {ANN} server pgweave_loopback options (user '{ANN}', password 'secret')")
    path = Path(db.one(None, "show hba_file"))
    before = path.read_text()
    try:
        path.write_text(f"local all {ANN} scram-sha-256\n{before}")
        with psycopg.connect(db.dsn(ANN), autocommit=True) as ann:  # it is logged in before a password is asked for
            db.sql(None, "select pg_reload_conf()")
            db.until("exists (select from pg_hba_file_rules where auth_method = 'scram-sha-256')")
            started = ann.execute(START).fetchone()
    finally:
        path.write_text(before)
        db.sql(None, "select pg_reload_conf()")
        db.sql(None, f"alter role {ANN} password null")
    assert started is not None
    assert db.sql(None, "select id, submitted_by::text from df.instances") == [(started[0], ANN)]
