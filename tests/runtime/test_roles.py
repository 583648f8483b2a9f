"""Several roles on one database: whose rights steps have, and that one role's backlog does not delay the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from support.work import Database, with_worker

from pgweave.runtime import enrolment
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Iterator

ANN, BOB = "ann", 'b"o b; --'  # the second as hostile as a name can be


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    with psycopg.connect(database, autocommit=True) as connection:
        for role in (ANN, BOB):
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        list(enrolment.enrol(database, ANN))
        list(enrolment.enrol(database, BOB))
        found = Database(database)
        yield found
        found.client.close()
        for role in (ANN, BOB):
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
        for table in ("runs", "inbox", "queue", "nodes", "instances", "vars"):
            connection.execute(f"truncate df.{table} cascade".encode())
        for role in (ANN, BOB):
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def start_as(place: Database, role: str, expression: str) -> str:
    with psycopg.connect(make_conninfo(place.dsn, user=role), autocommit=True) as connection:
        found = connection.execute(f"select df.start({expression})".encode()).fetchone()
        assert found is not None
        return str(found[0])


def test_a_step_runs_with_the_rights_of_the_role_that_started_it(place: Database) -> None:
    with with_worker(place.dsn) as busy:
        for role in (ANN, BOB):
            instance = busy.ended(
                start_as(place, role, "'SELECT current_user::text AS me, session_user::text AS login'")
            )
            assert json.loads(instance.result or "")["rows"] == [{"me": role, "login": role}]


def test_a_step_cannot_become_somebody_else(place: Database) -> None:
    place.sql("create table secrets (n int)")
    attempts = (
        "RESET ROLE",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SET SESSION AUTHORIZATION DEFAULT",
    )
    with with_worker(place.dsn) as busy:
        for attempt in attempts:
            block = f"$q$DO $d$ BEGIN BEGIN EXECUTE '{attempt}'; EXCEPTION WHEN OTHERS THEN NULL; END;"
            instance = busy.ended(start_as(place, ANN, block + " PERFORM * FROM secrets; END $d$$q$"))
            assert (instance.error or {}).get("sqlstate") == "42501", (attempt, instance)


def test_a_child_belongs_to_the_role_of_its_parent(place: Database) -> None:
    with with_worker(place.dsn) as busy:
        parent = busy.ended(start_as(place, ANN, "df.call_child('SELECT current_user::text AS me', 'c')"))
    assert json.loads(parent.result or "")["result"]["rows"] == [{"me": ANN}]
    owners = place.sql("select distinct submitted_by::text from df.instances")
    assert owners == [(ANN,)]


def test_one_role_cannot_await_an_instance_of_another(place: Database) -> None:
    with with_worker(place.dsn) as busy:
        secret = busy.ended(start_as(place, ANN, "'SELECT 42'"))
        spy = busy.ended(start_as(place, BOB, f"df.await_instance('{secret.id}')"))
    assert (spy.error or {})["message"] == f"Instance not found: {secret.id}"


def test_a_backlog_of_one_role_does_not_keep_another_waiting(place: Database) -> None:
    for _ in range(20):
        start_as(place, ANN, "'SELECT 1'")
    start_as(place, BOB, "'SELECT 1'")
    claimed = place.sql("select role_name from df_internal.worker_claim('by hand', 4, 60)")
    assert sorted(claimed) == sorted([(ANN,)] * 3 + [(BOB,)])


def test_enrolment_says_what_is_missing(place: Database) -> None:
    (granted, login) = enrolment.enrol(place.dsn, ANN, http=True)
    assert granted == "ann may start workflows with HTTP steps."
    assert login == "A worker with this --dsn can log in as ann."
    place.sql("alter role ann connection limit 0")
    words = "\n".join(enrolment.enrol(place.dsn, ANN))
    assert "cannot log in as ann yet" in words
    assert "peer  map=pgweave" in words
    with pytest.raises(PgweaveError, match="does not exist"):
        list(enrolment.enrol(place.dsn, "nobody-here"))
