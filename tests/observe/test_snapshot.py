"""What an instance is doing, laid over its program: on a real database, with a real worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from support.programs import definitions
from support.work import with_worker

import pgweave
from pgweave.compiler import lower
from pgweave.observe import past
from pgweave.observe.sentences import lines
from pgweave.observe.snapshot import Observer, Snapshot, take
from pgweave.observe.timeline import Timeline
from pgweave.runtime.client import Instance, NodeState
from pgweave.workflow import WorkflowSource, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.work import Database

    from pgweave.grammar.nodes import Definition


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    with with_worker(database) as found:
        yield found


def begun(place: Database, text: str, until: str) -> tuple[str, Snapshot]:
    """Start a program; look once the worker has said `until` about it."""
    workflow = pgweave.parse(text, "program")
    instance_id = start(place.client, workflow)
    place.events.wait_for(until, instance_id)
    return instance_id, take(place.client, instance_id, workflow)


def ended(place: Database, text: str) -> Snapshot:
    return begun(place, text, "finished")[1]


def states(snapshot: Snapshot) -> dict[str, str]:
    """State of every step by the text of its span."""
    text = snapshot.workflow.module.source.text
    return {step.node.span.of(text): step.state for step in snapshot.steps}


def test_a_waiting_step_says_what_for_and_who_releases_it(place: Database) -> None:
    instance_id, snapshot = begun(place, "'SELECT 1' ~> df.wait_for_signal('go', 3600) ~> 'SELECT 2'", "parked")
    found = states(snapshot)
    assert (found["'SELECT 1'"], found["df.wait_for_signal('go', 3600)"]) == ("completed", "waiting")
    assert found["'SELECT 2'"] == "pending"
    (wait,) = snapshot.waits
    assert (wait.kind, wait.name, wait.instance_id) == ("signal", "go", instance_id)
    assert snapshot.sentence.startswith("Waits for the signal go, until ")
    assert wait.until is not None
    assert 3500 < (wait.until - snapshot.taken_at).total_seconds() <= 3600


def test_the_steps_of_a_child_have_states_of_their_own(place: Database) -> None:
    """And a wait for the child is no news when the child says itself what it waits for."""
    text = "df.call_child('SELECT 1' ~> df.wait_for_signal('inner'), 'kid') ~> 'SELECT 2'"
    workflow = pgweave.parse(text, "program")
    parent = start(place.client, workflow)
    place.until(f"exists (select from df.runs where signal_name = 'inner' and status = 'waiting' and '{parent}' <> '')")
    snapshot = take(place.client, parent, workflow)
    found = states(snapshot)
    assert (found["'SELECT 1'"], found["df.wait_for_signal('inner')"]) == ("completed", "waiting")
    (wait,) = snapshot.waits
    assert wait.instance_id == snapshot.family[1].id != parent
    assert snapshot.by_path[wait.path].instance == snapshot.family[1]
    boxes = snapshot.boxes
    assert (boxes["n2_start"], boxes["n2_wait"], boxes["n2c2"], boxes["n2c3"]) == (
        "completed", "waiting", "completed", "waiting",
    )  # fmt: skip
    assert set(boxes) >= {
        node for node, about in workflow.graph.nodes(data=True) if about["part"] not in ("start", "end")
    }


def test_a_branch_that_is_not_taken_is_skipped(place: Database) -> None:
    snapshot = ended(place, "'SELECT false' ?> 'SELECT 1' !> 'SELECT 2'")
    found = states(snapshot)
    assert (found["'SELECT 1'"], found["'SELECT 2'"]) == ("skipped", "completed")
    assert snapshot.sentence.startswith("Completed in ")
    assert snapshot.failure is None
    assert lines(snapshot)[2].strip().startswith("✓ SELECT false"), "the condition stands before what it decides"


def test_in_a_later_turn_of_a_loop_the_steps_behind_are_pending_again(place: Database) -> None:
    text = "df.loop('SELECT 1' ~> df.wait_for_signal('next') ~> 'SELECT 2', 'SELECT true')"
    instance_id, _ = begun(place, text, "parked")
    place.client.signal(instance_id, "next")
    place.until(
        f"exists (select from df.runs where instance_id = '{instance_id}' and iteration = '{{2}}' and status = 'waiting')"
    )
    snapshot = take(place.client, instance_id, pgweave.parse(text, "program"))
    found = states(snapshot)
    assert (found["'SELECT 1'"], found["'SELECT 2'"], found["'SELECT true'"]) == ("completed", "pending", "pending")
    assert {step.iteration for step in snapshot.steps if step.state == "waiting"} == {(2,)}
    assert snapshot.sentence == "Waits for the signal next. Turn 2."


def test_a_failed_step_has_a_caret_in_the_text_through_quotes_and_values(place: Database) -> None:
    snapshot = ended(place, "'SELECT 123456 AS n' |=> 'long'\n~> 'SELECT ''it''''s'', $long, nme'")
    failure = snapshot.failure
    assert failure is not None
    assert failure.finding.span.of(snapshot.workflow.module.source.text) == "nme"
    assert (failure.finding.code, failure.title) == ("42703", 'column "nme" does not exist')
    assert failure.sql == "SELECT 'it''s', 123456, nme"
    assert "SELECT 'it''s', 123456, nme" in failure.explanation()
    assert snapshot.by_path[failure.path].state == "failed"


def test_a_failure_in_a_child_is_told_from_the_child_up(place: Database) -> None:
    snapshot = ended(place, "'SELECT 1'\n~> df.call_child(\n  'SELECT nope',\n  'kid')")
    failure = snapshot.failure
    assert failure is not None
    assert failure.instance_id == snapshot.family[1].id
    text = failure.text()
    assert "--> program:3:11" in text
    assert " ^^^^^^^^^^^^^ so the child kid failed" in text


def test_a_child_that_takes_too_long_is_told_in_the_parent_s_words(place: Database) -> None:
    snapshot = ended(place, """df.call_child(df.sleep(600), 'slow', '{"timeout_seconds": 1}') ~> 'SELECT 1'""")
    failure = snapshot.failure
    assert failure is not None
    assert failure.title == f"The child slow ({snapshot.family[1].id}) did not end within 1 s"
    assert '"on_timeout": "return"' in failure.finding.help
    assert "It goes on by itself" in failure.finding.help
    place.client.cancel(snapshot.family[1].id)
    later = take(place.client, snapshot.instance.id).failure
    assert later is not None
    assert later.title == failure.title, "what became of the child later is not why the parent failed"
    assert "It goes on by itself" not in later.finding.help


def test_a_child_that_was_cancelled_is_told_in_the_parent_s_words_too(place: Database) -> None:
    workflow = pgweave.parse("df.call_child(df.sleep(600), 'slow')", "program")
    parent = start(place.client, workflow)
    place.until("exists (select from df.runs where awaited_id is not null and status = 'waiting')")
    child = take(place.client, parent, workflow).family[1].id
    place.client.cancel(child)
    place.events.wait_for("finished", parent)
    failure = take(place.client, parent, workflow).failure
    assert failure is not None
    assert failure.title == f"The child slow ({child}) was cancelled"
    assert failure.finding.span.of(workflow.module.source.text) == "df.call_child"


def test_a_failure_that_was_caught_is_not_the_reason(place: Database) -> None:
    """The child's failure came first, and was asked for; the later one ended the parent."""
    text = """df.call_child('SELECT 1/0', 'kid', '{"on_failure": "return"}') ~> 'SELECT nope'"""
    failure = ended(place, text).failure
    assert failure is not None
    assert failure.title == 'column "nope" does not exist'


def test_instances_that_sql_starts_are_named_with_their_step(place: Database) -> None:
    instance_id, _ = begun(place, "$$ SELECT df.start(df.sleep(0), 'by hand') $$", "finished")
    snapshot = take(place.client, instance_id)
    (started,) = [child for step in snapshot.steps for child in step.started]
    assert snapshot.family[1].id == started


def test_the_program_of_an_old_instance_is_read_from_its_rows(place: Database) -> None:
    text = "'SELECT 1' |=> 'a' ~> df.call_child('SELECT 2', 'kid', '{\"timeout_seconds\": 300}')"
    instance_id, snapshot = begun(place, text, "finished")
    rebuilt = take(place.client, instance_id)
    assert rebuilt.workflow.definition.node == snapshot.workflow.definition.node
    assert "df.call_child('SELECT 2', 'kid', '{\"timeout_seconds\": 300}')" in rebuilt.workflow.module.source.text
    assert [step.state for step in rebuilt.steps] == [step.state for step in snapshot.steps]


def test_what_only_the_database_could_evaluate_is_drawn_as_it_runs(place: Database) -> None:
    text = "'SELECT 1' ~> df.sleep((SELECT 0)) ~> 'SELECT 2'"
    _, snapshot = begun(place, text, "finished")
    assert "df.sleep(0)" in snapshot.workflow.module.source.text
    assert {step.state for step in snapshot.steps} == {"completed"}


def test_another_program_is_not_laid_over_the_rows(place: Database) -> None:
    """Somebody has edited the cell since: the picture is that of what runs."""
    instance_id, _ = begun(place, "'SELECT 1' ~> 'SELECT 2'", "finished")
    edited = pgweave.parse("'SELECT 1' ~> 'SELECT 3'", "edited")
    assert "'SELECT 2'" in take(place.client, instance_id, edited).workflow.module.source.text


def test_nothing_new_is_one_question_and_a_change_is_noticed(place: Database) -> None:
    instance_id, _ = begun(place, "df.wait_for_signal('go') ~> 'SELECT 1'", "parked")
    observer = Observer(place.client, instance_id)
    assert observer.changed()
    observer.look()
    observer.changed()
    assert not observer.changed()
    place.client.signal(instance_id, "go")
    place.events.wait_for("finished", instance_id)
    assert observer.changed()
    assert observer.look().ended


def test_the_timeline_has_a_bar_for_each_step_that_was_reached(place: Database) -> None:
    instance_id, snapshot = begun(
        place, "'SELECT 1' ~> df.call_child('SELECT pg_sleep(0.05)', 'kid') ~> ('SELECT false' ?> 'SELECT 2' !> 'SELECT 3')",
        "finished",
    )  # fmt: skip
    timeline = Timeline.of(snapshot, place.client.runs(instance_id))
    words = [track.words for track in timeline.tracks]
    assert words == [
        f"program {instance_id}", "SELECT 1", "child kid", "SELECT pg_sleep(0.05)", "SELECT false", "SELECT 3",
    ]  # fmt: skip
    whole, *steps = [bar for track in timeline.tracks for bar in track.bars]
    assert all(whole.began <= bar.began <= bar.ended <= whole.ended for bar in steps)
    assert steps[2].ended - steps[2].began >= 0.05
    assert timeline.text().count("│") == 2 * len(words)


def test_a_hostile_label_stays_text_in_the_timeline(place: Database) -> None:
    from xml.etree import ElementTree

    workflow = pgweave.parse(
        "df.start('SELECT ''<script>1</script>'' AS \"&\"', '<img src=x onerror=alert(1)>')", "hostile"
    )
    instance_id = start(place.client, workflow)
    place.events.wait_for("finished", instance_id)
    svg = Timeline.of(take(place.client, instance_id, workflow), place.client.runs(instance_id)).svg()
    found = ElementTree.fromstring(svg)
    assert {element.tag.rpartition("}")[2] for element in found.iter()} == {
        "svg",
        "style",
        "rect",
        "line",
        "text",
        "title",
    }
    assert any("<img src=x" in (element.text or "") for element in found.iter())


@given(definitions())
def test_every_program_can_be_read_from_its_rows(definition: Definition) -> None:
    rows = lower.rows(definition)
    label = definition.label.value if definition.label else None
    database = definition.database.value if definition.database else None
    instance = Instance(
        id="0000abcd", label=label, status="completed", database=database, created_at=None, completed_at=None,  # type: ignore[arg-type]
        result=None, error=None, parent_instance_id=None, parent_node_id=None,
    )  # fmt: skip
    states = [
        NodeState(
            "0000abcd", row.id, ordinal, row.node_type, row.query, row.result_name, row.left_node, row.right_node, "pending",
            *[None] * 12,
        )
        for ordinal, row in enumerate(rows.rows)
    ]  # fmt: skip
    rebuilt = past.program(instance, states, WorkflowSource)
    assert lower.rows(rebuilt.definition) == rows
    assert past.runs(rebuilt, states)
