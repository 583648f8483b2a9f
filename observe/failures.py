"""A failed workflow in words: which step, what the server said, and a caret in the program's text.

One of the two paths that lead back to the text: the failing row's position in pre-order names its AST node, and the
server's position inside the step's SQL becomes a place inside the literal, through quotes and escapes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.compiler.pictures import step_words
from pgweave.grammar import durations, nodes
from pgweave.grammar.diagnostics import Diagnostic, Note, Rule, Severity
from pgweave.grammar.span import Span
from pgweave.observe.run_state import Failure
from pgweave.observe.text_tables import short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Source
    from pgweave.observe.run_state import RunState, StepState
    from pgweave.runtime.client import Instance, NodeState

_PREFIX = "SQL execution failed: error returned from database: "
_TIMED_OUT = "Timed out after"  # both are words of the schema


def find(state: RunState) -> Failure | None:
    """Why the instance failed; None if it did not, or if nothing in the rows says so."""
    return _failure(state, state.instance) if state.status == "failed" else None


def _failure(state: RunState, instance: Instance) -> Failure | None:
    step = _culprit(state, instance)
    if step is None or step.run is None:
        return None
    child = next((member for member in state.family if member.id == step.run.awaited_id), None)
    source = state.workflow.module.source
    # A child that failed after its parent had given up is not why the parent failed.
    told = child is not None and child.status == "failed" and not _message(step.run).startswith(_TIMED_OUT)
    deeper = _failure(state, child) if child is not None and told else None
    if deeper is None or child is None:
        return Failure(step.path, instance.id, _finding(step.run, step.node, child, source), source, step.run.ran)
    note = Note(_head(step.node, source), f"so the child {child.label or child.id} failed")
    return replace(deeper, finding=replace(deeper.finding, notes=(*deeper.finding.notes, note)))


def _culprit(state: RunState, instance: Instance) -> StepState | None:
    """The step whose failure ended the instance: others may have failed and been caught, in a race or by an option."""
    own = [step for step in state.steps if step.instance is not None and step.instance.id == instance.id]
    message = str((instance.error or {}).get("message", ""))
    leaves = [step for step in own if step.run is not None and step.run.run_status == "failed"]
    #     instance   JOIN branch 2 failed: SQL execution failed: ..
    #     step       SQL execution failed: ..
    #     The instance's message ends with that of the step, behind what the blocks around it say.
    said = [step for step in leaves if _message(step.run) and message.endswith(_message(step.run))]
    for candidates in (said, leaves):
        if candidates:
            # The earliest: later ones may have failed in its wake.
            return min(candidates, key=lambda step: _ended_at(step.run))
    # No leaf failed: a condition had no truth, or df.if_rows found no such result.
    held = [step for step in own if step.run is not None and step.run.status == "failed"]
    return held[-1] if held else None


def _message(run: NodeState | None) -> str:
    return str((run.run_error or {}).get("message", "")) if run is not None else ""


def _ended_at(run: NodeState | None) -> float:
    return run.finished_at.timestamp() if run is not None and run.finished_at is not None else 0.0


def _finding(run: NodeState, origin: Node, child: Instance | None, source: Source) -> Diagnostic:
    error = run.run_error or {"message": run.error or "it failed"}
    rule = Rule(code=str(error.get("sqlstate") or "failed"), name="step-failed", severity=Severity.ERROR, title="")
    said = str(error["message"]).removeprefix(_PREFIX)
    late = said.startswith(_TIMED_OUT)
    if child is not None and (late or child.status == "cancelled"):
        return _in_words_of_the_parent(rule, origin, child, source, late=late)
    return Diagnostic(
        rule, _place(origin, error, source), said, str(error.get("detail") or ""), str(error.get("hint") or "")
    )


def _in_words_of_the_parent(rule: Rule, origin: Node, child: Instance, source: Source, *, late: bool) -> Diagnostic:
    """A child that was late for its parent, or that was cancelled: no step of it has failed."""
    name = f"{short(child.label)} ({child.id})" if child.label else child.id
    if not late:
        title, advice, option = f"The child {name} was cancelled", "", "on_failure"
    else:
        seconds = step_words.timeout(origin)
        within = f"within {durations.exact(seconds)}" if seconds is not None else "in time"
        title, option = f"The child {name} did not end {within}", "on_timeout"
        advice = "" if child.ended else "It goes on by itself. "
    if isinstance(origin, nodes.CallChild):
        advice += f"""Let the parent go on without it: '{{"{option}": "return"}}'."""
    return Diagnostic(rule, _head(origin, source), title, "", advice.strip())


def _head(node: Node, source: Source) -> Span:
    """The name of a call, so that carets do not run over all of a child; the whole step if it is no call."""
    written = node.span.of(source.text)
    opening = written.find("(")
    is_call = written[:3].lower() == "df." and opening > 0
    return Span(node.span.start, node.span.start + opening) if is_call else node.span


def _place(origin: Node, error: Mapping[str, object], source: Source) -> Span:
    position = error.get("position")
    if isinstance(origin, nodes.Sql) and isinstance(position, int):
        start = min(position - 1, len(origin.query.value))
        return origin.query.span_of(start, start + _word_length(origin.query.value[start:]))
    return _head(origin, source)


def _word_length(text: str) -> int:
    """How far the word or number at the caret reaches; at least one character."""
    length = next((i for i, character in enumerate(text) if not (character.isalnum() or character in "_$.")), len(text))
    return max(1, length)
