"""The examples: clean, complete, and they run to the end that their comments promise."""

from __future__ import annotations

import json
from datetime import UTC, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import pgweave
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.nodes import CallChild, children
from pgweave.runtime.client import Client
from pgweave.runtime.worker.service import Worker, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Node

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.df"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_has_no_finding_above_a_remark(program: Path) -> None:
    assert [finding.code for finding in pgweave.load(program).check() if finding.severity is not Severity.INFO] == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_says_what_it_shows_and_how_to_run_it(program: Path) -> None:
    text = program.read_text(encoding="utf-8")
    assert text.startswith("-- ")
    assert f"pgweave run examples/{program.name}" in text


def test_every_set_up_belongs_to_an_example() -> None:
    assert {file.name.removesuffix(".setup.sql") for file in EXAMPLES.glob("*.sql")} == {file.stem for file in PROGRAMS}


def kinds(node: Node) -> Iterator[str]:
    yield type(node).__name__
    for child in children(node):
        yield from kinds(child)


def test_together_the_examples_show_the_language() -> None:
    shown = {kind for program in PROGRAMS for kind in kinds(pgweave.load(program).definition.node)}
    assert {"Sql", "Then", "If", "IfRows", "Join", "Race", "Loop", "Break", "Sleep", "WaitSchedule", "Signal"} <= shown
    assert CallChild.__name__ in shown


def run(database: str, name: str, *, before: str = "", signals: dict[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Set up, start and work off an example; `before` runs between set-up and start. Returns its result."""
    program = EXAMPLES / f"{name}.df"
    with psycopg.connect(database) as connection:
        connection.execute((EXAMPLES / f"{name}.setup.sql").read_bytes())
        connection.execute(before.encode())
    with working(database), Client(database) as client:
        instance_id = client.start(pgweave.load(program).compile("tree"))
        for signal, payload in (signals or {}).items():
            client.signal(instance_id, signal, payload)
        client.wait(instance_id, 30)
        instance = client.instance(instance_id)
        assert instance.status == "completed", instance.error
        result = json.loads(instance.result or "null")
        return result["rows"] if isinstance(result, dict) else result


def test_the_parent_keeps_what_the_child_says(database: str) -> None:
    (row,) = run(database, "parent_child")
    assert row["payload"]["result"]["rows"] == [{"report_id": 42, "status": "ready"}]


@pytest.mark.parametrize(("approved", "state"), [(True, "approved"), (False, "refused")])
def test_an_expense_is_decided_by_the_signal(database: str, approved: bool, state: str) -> None:
    decision = {"approved": approved, "by": "Ann"}
    assert run(database, "approval", signals={"decision": decision}) == [{"id": 1, "state": state, "decided_by": "Ann"}]


def test_three_reports_become_one_line(database: str) -> None:
    (row,) = run(database, "reports")
    assert row == {"sales": 4, "average": 85.12, "best_customer": "Ann", "regions": "north 200.50, south 139.99"}


def test_a_seat_that_is_paid_in_time_is_sold(database: str) -> None:
    assert run(database, "deadline", signals={"paid": {"amount": 25}}) == [{"id": 1, "state": "sold"}]


def test_a_nightly_job_that_is_switched_off_ends_before_its_next_night(database: str) -> None:
    assert run(database, "nightly", before="UPDATE nightly_clean_up SET wanted = false") == "switched off"


def test_a_nightly_job_waits_for_its_night(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute((EXAMPLES / "nightly.setup.sql").read_bytes())
    with Client(database) as client:
        instance_id = client.start(pgweave.load(EXAMPLES / "nightly.df").compile("tree"))
        Worker(database).run(once=True)
        (waiting,) = (node for node in client.nodes(instance_id) if node.run_status == "waiting")
        assert waiting.due_at is not None
        assert waiting.due_at.astimezone(UTC).time() == time(3)
