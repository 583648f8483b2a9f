"""Runs as objects of a notebook: start, wait, signal, look, open again. Real database, worker in the background."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.work import PATIENCE_SECONDS, with_worker

import pgweave
from pgweave.api import Run
from pgweave.observe import background, runs
from pgweave.observe.runs import StillGoing
from pgweave.runtime.client import Client
from pgweave.runtime.errors import InstanceNotFound, PgweaveError
from pgweave.texts import ProgramError
from pgweave.workflow import RunFailed

if TYPE_CHECKING:
    from support.notebook import Notebook

APPROVAL = "'SELECT 7 AS id' |=> 'x' ~> (df.wait_for_signal('decision') |=> 'd') ~> 'SELECT $x.id AS id, 2.50 AS price'"


def run(text: str, name: str = "program") -> Run:
    return Run.start(pgweave.parse(text, name))


def waiting(text: str, signal: str) -> Run:
    """A run that has come to its wait for a signal."""
    found = run(text)
    with psycopg.connect(found.dsn, autocommit=True) as connection:
        connection.execute(
            "do $do$ begin for i in 1..6000 loop"
            f" if exists (select from df.runs where signal_name = '{signal}' and status = 'waiting') then return; end if;"
            " commit; perform pg_sleep(0.01); end loop; raise exception 'waited in vain'; end $do$".encode()
        )
    return found


def test_starting_returns_at_once_and_a_worker_of_this_process_executes_it(connected: Notebook) -> None:
    found = run("'SELECT 40 + 2 AS answer, 0.10 AS exact'")
    assert found.result(PATIENCE_SECONDS) == {
        "rows": [{"answer": 42, "exact": Decimal("0.10")}], "row_count": 1, "rows_affected": 1,
    }  # fmt: skip
    assert found.status == "completed"
    assert background.ensure_worker(found.dsn) is background.Who.THIS_PROCESS


def test_nobody_is_hired_where_somebody_works(connected: Notebook, database: str) -> None:
    with with_worker(database) as place:
        place.until("exists (select from df.workers)")
        assert background.ensure_worker(database) is background.Who.ELSEWHERE


def test_a_worker_that_was_last_heard_of_long_ago_is_none(connected: Notebook, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into df.workers (name, seen_at, concurrency, version) values ('dead', now() - interval '1 min', 1, '1')"
        )
    assert background.ensure_worker(database) is background.Who.THIS_PROCESS


def test_a_signal_releases_it(connected: Notebook) -> None:
    found = waiting(APPROVAL, "decision")
    assert found.snapshot().sentence == "Waits for the signal decision."
    found.signal("decision", {"approved": True})
    assert found.wait(PATIENCE_SECONDS) == "completed"
    assert found.result() == {"rows": [{"id": 7, "price": Decimal("2.50")}], "row_count": 1, "rows_affected": 1}


def test_a_signal_goes_to_the_child_that_waits_for_it(connected: Notebook) -> None:
    found = waiting("df.call_child(df.wait_for_signal('inner'), 'kid') ~> 'SELECT 1'", "inner")
    found.signal("inner")
    assert found.wait(PATIENCE_SECONDS) == "completed"


def test_a_run_settles_where_it_waits_and_where_it_ends(connected: Notebook) -> None:
    """Through a child, too: a parent that waits for a child at work does not rest."""
    found = run("df.call_child('SELECT pg_sleep(0.3)' ~> df.wait_for_signal('inner'), 'kid') ~> 'SELECT 1'")
    assert [(wait.kind, wait.name) for wait in found.settle(PATIENCE_SECONDS).waits] == [("signal", "inner")]
    found.signal("inner")
    found.wait(PATIENCE_SECONDS)
    assert found.settle().status == "completed"


def test_what_does_not_settle_in_time_says_how_it_stands(connected: Notebook) -> None:
    found = run("'SELECT pg_sleep(60)'")
    with pytest.raises(StillGoing, match=r"is still running steps after 0\.2 s"):
        found.settle(0.2)
    found.cancel()


def test_a_signal_before_its_wait_is_kept(connected: Notebook) -> None:
    found = run("'SELECT pg_sleep(0.3)' ~> df.wait_for_signal('early')")
    found.signal("early")
    assert found.wait(PATIENCE_SECONDS) == "completed"


def test_a_signal_that_nobody_waits_for_is_refused_with_the_name_that_was_meant(connected: Notebook) -> None:
    found = waiting(APPROVAL, "decision")
    with pytest.raises(PgweaveError, match="No step of this workflow waits for a signal 'desicion'") as refused:
        found.signal("desicion")
    assert refused.value.advice == "Did you mean 'decision'?"
    with pytest.raises(PgweaveError, match="JSON cannot say this"):
        found.signal("decision", {1, 2})
    found.cancel()
    with pytest.raises(PgweaveError, match="is cancelled: it waits for nothing"):
        found.signal("decision")


def test_waiting_ends_after_its_time_and_says_for_what(connected: Notebook) -> None:
    found = waiting(APPROVAL, "decision")
    with pytest.raises(TimeoutError, match=r"has not ended after 0\.1 s\. Waits for the signal decision\."):
        found.wait(0.1)


def test_a_cell_that_waits_for_a_signal_says_how_to_get_out(
    connected: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "SAY_SECONDS", 0.05)
    found = waiting(APPROVAL, "decision")
    said = Event()
    monkeypatch.setattr(runs, "_show", lambda _: said.set())
    waiter = Thread(target=found.wait)
    waiter.start()
    assert said.wait(PATIENCE_SECONDS)
    found.signal("decision")
    waiter.join(PATIENCE_SECONDS)
    assert not waiter.is_alive()


def test_a_program_with_an_error_is_not_started(connected: Notebook, database: str) -> None:
    with pytest.raises(ProgramError):
        run("'SELECT $nobody'")
    with Client(database) as client:
        assert client.instances() == []


def test_a_failed_run_raises_with_the_place_and_the_sql_that_ran(connected: Notebook) -> None:
    connected.run("%%pgweave fails\n'SELECT 5 AS n' |=> 'x'\n~> 'SELECT $x / 0'")
    shown = connected.run("fails.start().result()")
    assert isinstance(shown.error, RunFailed)
    assert "Traceback" not in shown.printed
    assert "error[22012]: division by zero" in shown.printed
    assert "--> fails:3:4" in shown.printed, "counted from the first line of the cell"
    assert "This ran:\nSELECT 5 / 0" in shown.printed


def test_cancelling_ends_it(connected: Notebook) -> None:
    found = waiting(APPROVAL, "decision")
    found.cancel("not today")
    assert found.wait(PATIENCE_SECONDS) == "cancelled"
    assert found.snapshot().sentence.endswith(": not today")
    with pytest.raises(RunFailed, match="not today"):
        found.result()


def test_a_run_can_be_opened_by_its_id_alone(connected: Notebook) -> None:
    found = waiting(APPROVAL, "decision")
    again = Run.open(found.id)
    assert again.workflow.definition.node == pgweave.parse(APPROVAL).definition.node
    assert again.snapshot().boxes == found.snapshot().boxes
    again.signal("decision")
    assert again.wait(PATIENCE_SECONDS) == "completed"


def test_an_id_that_nobody_knows_is_said_in_a_sentence(connected: Notebook) -> None:
    with pytest.raises(InstanceNotFound, match="There is no instance deadbeef"):
        Run.open("deadbeef")


def test_opening_a_run_on_a_database_of_one_s_own_starts_no_worker(connected: Notebook, database: str) -> None:
    """Somebody may have stopped the workers there for a reason."""
    with Client(database) as client:
        instance_id = client.start("SELECT 1")
    found = Run.open(instance_id)
    assert "Start one in this session: run.work()" in found._repr_mimebundle_()["text/plain"]
    with Client(database) as client:
        assert client.workers() == []
    assert found.work().wait(PATIENCE_SECONDS) == "completed"


def test_a_role_that_may_not_work_starts_no_worker(connected: Notebook, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("create role plain_user login")
        try:
            owner.execute("select df.grant_usage('plain_user')")
            found = Run.start(pgweave.parse("'SELECT 1'"), dsn=make_conninfo(database, user="plain_user"))
            assert found._repr_mimebundle_()["text/plain"] == f"text {found.id}: Waits for a worker."
            with pytest.raises(PgweaveError, match="may not run a worker"):
                found.work()
        finally:
            owner.execute("drop owned by plain_user; drop role plain_user")


def test_the_table_of_steps(connected: Notebook) -> None:
    found = run("'SELECT 1 AS one' |=> 'x' ~> ('SELECT false' ?> 'SELECT 2' !> 'SELECT $x')")
    found.wait(PATIENCE_SECONDS)
    table = found.nodes()
    steps = [(str(row["step"]).strip(), row["state"], row["sql"]) for row in table.rows]
    assert steps == [
        ("SELECT 1 AS one", "completed", "SELECT 1 AS one"),
        ("if", "completed", None),
        ("SELECT false", "completed", "SELECT false"),
        ("SELECT 2", "skipped", None),
        ("SELECT $x", "completed", "SELECT 1"),
    ]
    assert table.rows[0]["result"] == [{"one": 1}]
    assert "attempts" not in table.columns, "a column that says nothing is left out"


def test_variables_and_label_are_those_of_the_start(connected: Notebook) -> None:
    workflow = pgweave.parse("df.setvar('n', '1'); df.start('SELECT {n} AS n', 'label')")
    found = workflow.start(label="other", variables={"n": "5"})
    assert found.result(PATIENCE_SECONDS) == {"rows": [{"n": 5}], "row_count": 1, "rows_affected": 1}
    assert found.snapshot().instance.label == "other"


def test_a_run_shows_itself_without_a_kernel_as_it_is_now(connected: Notebook) -> None:
    connected.run(f"%%pgweave approval\n{APPROVAL}")
    shown = connected.run(
        "run = approval.start()\nrun.wait(0.01) if False else None\nrun.cancel() and None\nrun.wait()\nrun"
    )
    words, picture = shown.shown[-2:]
    assert "Cancelled after" in words["text/plain"]
    assert picture["image/svg+xml"].startswith("<svg")
    assert f"⊘ {'wait for signal: decision'}  skipped" in picture["text/plain"]


def test_a_script_that_starts_and_ends_leaves_no_worker_behind_and_does_not_hang(database: str) -> None:
    """The worker and the threads of its pools end with the process, whatever still waits."""
    code = (
        "import pgweave\n"
        "run = pgweave.parse(\"df.wait_for_signal('never')\").start()\n"
        "print(pgweave.parse(\"'SELECT 1'\").start().wait(30))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, env={**os.environ, "PGWEAVE_DSN": database},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "completed\n", "")
    with Client(database) as client:
        assert client.workers() == []
