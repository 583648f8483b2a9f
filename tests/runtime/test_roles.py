"""Several roles on one database: whose rights steps have, and that one role's backlog does not delay the others."""

from __future__ import annotations

import json
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from support.proxy import Cut, Proxy
from support.work import Database, with_worker

from pgweave.runtime import enrolment, migrate
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.worker.service import Settings
from pgweave.runtime.worker.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.runtime.server.embedded import Server

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


# Shares of a worker.

BLOCKED = "'SELECT pg_advisory_xact_lock_shared(7)'"  # until the test lets it go on
TWO = Settings(concurrency=2, lease_seconds=3.0, poll_seconds=0.1)


def at_work(role: str) -> str:
    """Steps of a role that wait for the test."""
    return (
        "(select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pgweave step'"
        f" and wait_event = 'advisory' and usename = '{role}')"
    )


@contextmanager
def holding(place: Database) -> Iterator[None]:
    """BLOCKED steps wait while the block lasts."""
    with psycopg.connect(place.dsn) as holder:
        holder.execute("select pg_advisory_xact_lock(7)")
        yield


def test_a_role_that_fills_a_worker_does_not_keep_another_waiting(place: Database) -> None:
    with with_worker(place.dsn, TWO) as busy:
        with holding(place):
            blocked = [start_as(place, ANN, BLOCKED) for _ in range(6)]
            busy.until(f"{at_work(ANN)} = 2")  # alone it may use every slot
            for _ in range(3):
                assert busy.ended(start_as(place, BOB, "'SELECT 1'")).status == "completed"
            assert sum(busy.events.count("claimed", instance) for instance in blocked) == 2
        for instance in blocked:
            assert busy.ended(instance).status == "completed"


def test_two_roles_that_fill_a_worker_leave_a_slot_for_a_third(place: Database) -> None:
    with with_worker(place.dsn, Settings(concurrency=4, lease_seconds=3.0, poll_seconds=0.1)) as busy, holding(place):
        for _ in range(6):
            start_as(place, ANN, BLOCKED)
        busy.until(f"{at_work(ANN)} = 4")
        for _ in range(6):
            start_as(place, BOB, BLOCKED)
        busy.until("exists (select from df.queue where submitted_by <> 'ann'::regrole and leased_until > now())")
        assert busy.ended(place.start("'SELECT 1'")).status == "completed"


@pytest.mark.parametrize(
    ("in_hand", "limit", "taken"),
    [
        (0, 4, {(2, 3), (3, 2)}),
        (3, 1, {(0, 2)}),
        (4, 0, {(0, 2)}),
        (5, -1, {(0, 1)}),
        (6, -2, {(0, 1)}),
        (7, -3, {(0, 0)}),
    ],
)
def test_a_claim_takes_of_the_role_with_the_fewest_in_hand(
    place: Database, in_hand: int, limit: int, taken: set[tuple[int, int]]
) -> None:
    """Of 4 slots and a reserve of 3: the n-th slot of a role is one of the 4, or one of the 3 while n of them are free."""
    for _ in range(in_hand):
        start_as(place, ANN, "'SELECT 1'")
    held = [found for (found,) in place.sql("select instance_id from df_internal.worker_claim('by hand', 9, 60)")]
    assert len(held) == in_hand
    for _ in range(10):
        start_as(place, ANN, "'SELECT 1'")
        start_as(place, BOB, "'SELECT 1'")
    claimed = place.sql("select role_name from df_internal.worker_claim('by hand', %s, 60, %s, 3)", limit, held)
    assert (claimed.count((ANN,)), claimed.count((BOB,))) in taken


@pytest.mark.parametrize("reserve", [0, 1, 4, 100])
def test_a_role_that_is_alone_has_every_slot_and_none_of_the_reserve(place: Database, reserve: int) -> None:
    settings = Settings(concurrency=4, reserve=reserve)
    for _ in range(10):
        start_as(place, ANN, "'SELECT 1'")
    claim = "select instance_id from df_internal.worker_claim('by hand', %s, 60, %s, %s)"
    held = [found for (found,) in place.sql(claim, 4, [], settings.reserved)]
    assert len(held) == 4
    assert place.sql(claim, 0, held, settings.reserved) == []


def test_a_backlog_of_one_role_does_not_slow_down_a_claim(place: Database) -> None:
    """Plans that read the whole backlog read its 100,000 rows each time."""
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # only the rows matter here
        connection.execute(
            "insert into df.queue (instance_id, submitted_by, ready_at)"
            " select lpad(to_hex(g), 8, '0'), 'ann'::regrole, now() - interval '1 h' from generate_series(1, 100000) as g"
        )
        connection.execute("analyze df.queue")
        read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relid = 'df.queue'::regclass"
        for _ in range(8):  # more often than a plan is made again
            with connection.transaction(force_rollback=True):
                connection.execute(
                    "select * from df_internal.worker_claim('by hand', 8, 60, array['00000001', '00000002'], 4)"
                )
                row = connection.execute(read.encode()).fetchone()
                assert row is not None
                assert int(row[0]) < 200
        connection.execute("truncate df.queue")


def test_a_wide_join_leaves_threads_and_sessions_for_other_instances(place: Database) -> None:
    """Of its own role and of others."""
    pair = "'SELECT 1' & 'SELECT 2'"
    with with_worker(place.dsn, TWO) as busy:
        with holding(place):
            wide = start_as(place, ANN, " & ".join([BLOCKED] * 40))
            busy.until(f"{at_work(ANN)} = {TWO.branches}")
            assert busy.ended(start_as(place, ANN, pair)).status == "completed"
            assert busy.ended(start_as(place, BOB, pair)).status == "completed"
            assert busy.sql(f"select {at_work(ANN)}") == [(TWO.branches,)]
            again = start_as(place, ANN, " & ".join([BLOCKED] * 40))
            busy.until(f"{at_work(ANN)} > {TWO.branches}")
            assert busy.ended(start_as(place, BOB, pair)).status == "completed"
            sessions = (
                "select count(*) from pg_stat_activity where application_name = 'pgweave step' and usename = 'ann'"
            )
            assert busy.sql(sessions)[0][0] <= TWO.sessions
        for instance in (wide, again):
            assert busy.ended(instance).status == "completed"
    assert place.sql("select count(*) from df.runs where status = 'completed'") == [(86,)]


def test_a_worker_that_stops_does_not_begin_the_branches_that_have_no_thread_yet(place: Database) -> None:
    with with_worker(place.dsn, TWO) as busy, holding(place):
        start_as(place, ANN, " & ".join([BLOCKED] * 40))
        busy.until(f"{at_work(ANN)} = {TWO.branches}")
        busy.worker.stop()
    assert place.sql("select count(*) from df.runs") == [(TWO.branches,)]


def test_the_end_of_a_session_of_one_step_waits_for_no_other(place: Database) -> None:
    """Each is wiped by its own step: one slow wipe, or many over a slow link, do not add up."""
    slow, go_on = Event(), Event()

    def plan(message: bytes) -> Cut:
        if b"discard temp" in message and not slow.is_set():
            slow.set()
            go_on.wait(60)
        return Cut.NOT

    with Proxy(place.dsn, plan) as proxy, with_worker(proxy.dsn, TWO) as busy:
        try:
            first = start_as(place, ANN, "'SELECT 1'")
            assert slow.wait(60)
            assert busy.ended(start_as(place, ANN, "'SELECT 1' ~> 'SELECT 2' ~> 'SELECT 3'")).status == "completed"
            assert busy.client.status(first) == "running"
        finally:
            go_on.set()
        assert busy.ended(first).status == "completed"


@pytest.mark.parametrize("step_seconds", [0.0, 7.0])
def test_a_session_is_wiped_and_used_again(server: Server, step_seconds: float) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        role, database = admin.info.user, admin.info.dbname
    leftovers = "select current_setting('work_mem'), to_regclass('left_behind'), current_setting('statement_timeout')"
    with Sessions(server.dsn, (role, database), 2, step_seconds=step_seconds) as sessions:
        with sessions.borrow(role, None, ("a", ("1", ()))) as first:
            clean = first.execute(leftovers).fetchone()
            first.execute("set work_mem = '77MB'; set statement_timeout = '99s'; create temp table left_behind (n int)")
            first.execute("begin")
            pid = first.info.backend_pid
        with sessions.borrow(role, None, ("a", ("2", ()))) as second:
            assert second.execute(leftovers).fetchone() == clean
            assert second.info.backend_pid == pid
    assert clean is not None
    assert clean[2] == ("7s" if step_seconds else "0")


def test_the_sessions_of_a_role_in_many_databases_do_not_add_up(server: Server) -> None:
    databases = [f"many_{number}" for number in range(6)]
    settled = (
        "do $do$ begin for i in 1..1000 loop"
        " if (select count(*) <= 4 from pg_stat_activity where datname like 'many%') then return; end if;"
        " perform pg_stat_clear_snapshot(); commit; perform pg_sleep(0.01); end loop;"
        " raise exception 'they stay'; end $do$"
    )
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        role = admin.info.user
        for name in databases:
            admin.execute(f"create database {name}".encode())
        try:
            with Sessions(server.dsn, (role, "postgres"), 2) as sessions:
                for round_number in range(2):
                    for name in databases:
                        tags = [(name, (f"{round_number}-{which}", ())) for which in range(2)]
                        with sessions.borrow(role, name, tags[0]) as one, sessions.borrow(role, name, tags[1]) as two:
                            assert one is not two
                admin.execute(settled.encode())
        finally:
            for name in databases:
                admin.execute(f"drop database {name} with (force)".encode())


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_step_of_a_role_with_strict_isolation_outlives_renewals_of_its_lease(place: Database, isolation: str) -> None:
    """A renewal writes the row that the step has locked."""
    place.sql(f"alter role ann set default_transaction_isolation = '{isolation}'")
    with with_worker(place.dsn, Settings(lease_seconds=0.9, poll_seconds=0.1)) as busy:
        with holding(place):
            instance = start_as(
                place, ANN, "$$SELECT current_setting('transaction_isolation') AS level," + BLOCKED[8:-1] + "$$"
            )
            busy.until(f"{at_work(ANN)} = 1")
            ((leased_until,),) = busy.sql("select leased_until from df.queue")
            for _ in range(3):
                busy.until(f"exists (select from df.queue where leased_until > '{leased_until}')")
                ((leased_until,),) = busy.sql("select leased_until from df.queue")
        ended = busy.ended(instance)
    assert (ended.status, busy.events.count("claimed", instance)) == ("completed", 1), ended.error
    assert json.loads(ended.result or "")["rows"][0]["level"] == isolation
    assert [run.attempts for run in place.client.runs(instance)] == [1]


@pytest.mark.parametrize(
    ("may", "hint"),
    [
        ("nothing", "Install as the owner of the database, or as a role with CREATE on it"),
        ("create on database", "Keep the operators in a schema in which this role may create them: --operator-schema"),
        ("all", "something else refuses it: an event trigger, or a node of a distributed PostgreSQL"),
    ],
)
def test_a_role_that_may_not_install_is_told_what_fits_its_privileges(server: Server, may: str, hint: str) -> None:
    bare = make_conninfo(server.dsn, dbname="bare_database")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("create database bare_database")
        admin.execute("create role installer login")
        try:
            with psycopg.connect(bare, autocommit=True) as connection:
                if may == "create on database":
                    connection.execute("grant create on database bare_database to installer")
                if may == "all":
                    connection.execute("alter database bare_database owner to installer")
                    connection.execute(
                        "create function refuse() returns event_trigger language plpgsql as"
                        " $f$ begin raise 'role does not exist there' using errcode = '42501'; end $f$"
                    )
                    connection.execute("create event trigger t on ddl_command_start execute function refuse()")
            with pytest.raises(PgweaveError, match="may not install the df schema in “bare_database”") as refused:
                migrate.install(make_conninfo(bare, user="installer"))
        finally:
            admin.execute("drop database bare_database with (force)")
            admin.execute("drop role installer")
    assert hint in refused.value.advice


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
