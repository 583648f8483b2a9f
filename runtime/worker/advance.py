"""The state machine: what is known about an instance -> what to do next.

One pure function, `advance`, and the only place that knows how nodes behave. It reads the graph and the finished
node-runs and says which leaves have now been reached, what races and loops have come to, and how the instance ended,
if it did. No database, no clock, no waiting: the worker carries out what it says and asks again.

Nothing is replayed. A loop keeps its turn number and its names in its own run; a race keeps its winner; so history
does not grow, and a subtree that has ended is never visited again (`Progress.ended`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from pgweave.grammar.kinds import Wait
from pgweave.runtime.worker.substitution import (
    Result,
    ValueProblem,
    columns_of,
    is_json,
    is_true,
    render_raw,
    row_count,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pgweave.compiler.rows import Graph, Row

Iteration: TypeAlias = tuple[int, ...]
"""Turns of the enclosing loops, outermost first, from 1."""

Key: TypeAlias = tuple[str, Iteration]
"""One node-run: node id and iteration."""

Names: TypeAlias = "Mapping[str, str]"
"""Named results so far, as JSON text; a `Result` where the types of its columns are known."""

STRAY_BREAK = "df.break() was called outside of a loop. df.break() may only be used inside df.loop()."


@dataclass(frozen=True, slots=True)
class Run:
    """What is recorded of one node-run. finished_at, started_at: seconds on the database's clock; 0.0 where unknown.

    columns: of a result with rows, pairs of name and type as JSON text, where they were recorded.
    """

    status: str
    result: str | None = None
    error: Mapping[str, object] | None = None
    finished_at: float = 0.0
    started_at: float = 0.0
    columns: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A subtree has a result. names: everything bound once it has ended. at: when its last leaf finished."""

    result: str
    names: Names
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A subtree has failed. error: `message` and what the server said about it.

    by_step: whether a step of SQL or a request failed, and not the graph or the worker; a loop may go on after that.
    """

    error: Mapping[str, object]
    at: float
    by_step: bool = False

    @property
    def message(self) -> str:
        """The sentence people read."""
        return str(self.error["message"])

    def within(self, prefix: str) -> Failed:
        """The same failure as seen from outside of a branch."""
        return replace(self, error={**self.error, "message": f"{prefix}: {self.message}"})


@dataclass(frozen=True, slots=True)
class Broke:
    """A df.break is on its way to the nearest loop."""

    value: str
    names: Names
    at: float


class Pending:
    """A subtree has not ended."""


PENDING = Pending()
Outcome: TypeAlias = Done | Failed | Broke
Step: TypeAlias = Outcome | Pending


@dataclass(frozen=True, slots=True)
class Todo:
    """A leaf that has been reached and has no run yet."""

    row: Row
    iteration: Iteration
    names: Names = field(repr=False)

    @property
    def key(self) -> Key:
        """Its node-run."""
        return (self.row.id, self.iteration)


@dataclass(frozen=True, slots=True)
class Decision:
    """Something to record before going on: the winner of a race, or the next turn of a loop.

    final: it never changes again. forget: node-runs of the turn that is over. lost: the nodes of the branch that lost;
    nothing of them begins any more, and the signals they took go back to the inbox. abandoned: its waits; they end with
    the decision, or one of them could still take a signal that is not for it any more. pause_seconds: before the next turn of this loop may begin.
    """

    key: Key
    result: str
    final: bool
    forget: tuple[Key, ...] = ()
    lost: frozenset[str] = frozenset()
    abandoned: tuple[Key, ...] = ()
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Shown:
    """State of a node with children, for people who watch. status: running, completed, failed or cancelled."""

    status: str
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next. Decisions come first: once they are recorded, ask again."""

    todo: tuple[Todo, ...]
    decisions: tuple[Decision, ...]
    outcome: Outcome | None
    shown: Mapping[str, Shown]


@dataclass(slots=True)
class Progress:
    """What a worker remembers between two calls for one leased instance. Losing it costs time, nothing else."""

    ended: dict[Key, Outcome] = field(default_factory=dict)


def advance(
    graph: Graph,
    runs: Mapping[Key, Run],
    progress: Progress | None = None,
    variables: Mapping[str, str] | None = None,
    loop_seconds: float = 0.0,
) -> Plan:
    """Say what to do next with an instance of which exactly `runs` is known.

    variables: for the texts of breaks. loop_seconds: the least time from turn to turn of a loop without a condition.
    """
    # A new visit each time: only `ended` outlives it, since what has ended never changes.
    visit = _Visit(graph, runs, progress or Progress(), variables or {}, loop_seconds)
    step = visit.node(graph.root, (), {})
    outcome = None if isinstance(step, Pending) else step
    if isinstance(outcome, Broke):
        outcome = Failed({"message": STRAY_BREAK}, outcome.at)
    return Plan(tuple(visit.todo), tuple(visit.decisions), outcome, visit.shown)


class _Visit:
    """One walk from the root to every leaf that is next.

    Recursion is bounded by the depth limit of graphs. It may take two frames per level, no more (no comprehension that
    calls `node`): at the limit that is half of what Python allows.
    """

    def __init__(
        self,
        graph: Graph,
        runs: Mapping[Key, Run],
        progress: Progress,
        variables: Mapping[str, str],
        loop_seconds: float,
    ) -> None:
        self.loop_seconds = loop_seconds
        self.graph = graph
        self.runs = runs
        self.ended = progress.ended
        self.variables = variables
        self.todo: list[Todo] = []
        self.decisions: list[Decision] = []
        self.shown: dict[str, Shown] = {}

    def node(self, row: Row, iteration: Iteration, names: Names) -> Step:
        key = (row.id, iteration)
        if key in self.ended:
            return self.ended[key]
        match row.node_type:
            case "THEN":
                step = self._then(row, iteration, names)
            case "IF":
                step = self._if(row, iteration, names)
            case "JOIN":
                step = self._join(row, iteration, names)
            case "RACE":
                step = self._race(row, iteration, names)
            case "LOOP":
                step = self._loop(row, iteration, names)
            case "BREAK":
                step = self._break(row, names)
            case _:
                step = self._leaf(row, iteration, names)
        if isinstance(step, Done) and row.result_name is not None:
            # A copy: branches of a JOIN start from the same names, and must not see each other's.
            step = Done(step.result, {**step.names, row.result_name: step.result}, step.at)
        if not isinstance(step, Pending):
            self.ended[key] = step
        # Leaves have runs that say how they are; a break has none.
        if not row.kind.is_leaf or row.node_type == "BREAK":
            self.shown[row.id] = _shown(step)
        return step

    def _break(self, row: Row, names: Names) -> Step:
        try:
            value = _break_value(row, names, self.variables)
        except ValueError as problem:
            return Failed({"message": f"Invalid BREAK config: {problem}"}, 0.0)
        except ValueProblem as problem:
            return Failed({"message": str(problem)}, 0.0)
        # 0.0: a break takes no time, so it happens when what came before it ended (_not_before).
        return Broke(value, names if row.result_name is None else {**names, row.result_name: value}, 0.0)

    def _leaf(self, row: Row, iteration: Iteration, names: Names) -> Step:
        run = self.runs.get((row.id, iteration))
        if run is None:
            # With the names as they are here: two branches may have bound one name to different values.
            self.todo.append(Todo(row, iteration, names))
            return PENDING
        match run.status:
            case "completed":
                return Done(Result(run.result or "null", run.columns), names, run.finished_at)
            case "failed":
                by_step = row.node_type in ("SQL", "HTTP", "HTTP_MULTIPART")
                return Failed(run.error or {"message": "unknown failure"}, run.finished_at, by_step)
            case _:
                return PENDING

    def _then(self, row: Row, iteration: Iteration, names: Names) -> Step:
        first = self.node(self.graph.left(row), iteration, names)
        if not isinstance(first, Done):
            return first
        second = self.node(self.graph.right(row), iteration, first.names)
        return _not_before(second, first.at)

    def _if(self, row: Row, iteration: Iteration, names: Names) -> Step:
        condition = self.graph.condition(row)
        if condition is None:
            # Decided again at every visit, from a result that does not change.
            branch, at = _rows_branch(self.graph, row, names), 0.0
        else:
            tested = self.node(condition, iteration, names)
            if not isinstance(tested, Done):
                return tested
            met, names, at = _is_met(tested), tested.names, tested.at
            if isinstance(met, Failed):
                return met
            branch = self.graph.left(row) if met else self.graph.right(row)
        return branch if isinstance(branch, Failed) else _not_before(self.node(branch, iteration, names), at)

    def _join(self, row: Row, iteration: Iteration, names: Names) -> Step:
        """All branches run to their end, failed ones too; then the first failure in program order counts.

        `('SELECT 1' |=> 'a') & ('SELECT 2' |=> 'b')` -> the result [1, 2] (as row sets), with $a and $b bound.
        """
        ends, waiting = [], False
        for branch in self.graph.branches(row):
            step = self.node(branch, iteration, names)
            if isinstance(step, Pending):
                waiting = True
            else:
                ends.append(step)
        if waiting:
            return PENDING
        at = max(end.at for end in ends)
        merged = dict(names)
        for number, end in enumerate(ends, start=1):
            # In program order and not by time, so that the same failures give the same message.
            if isinstance(end, Failed):
                return _not_before(end.within(f"JOIN branch {number} failed"), at)
            # Only what the branch has changed: an inherited name must not undo a sibling's new value.
            merged.update({name: value for name, value in end.names.items() if _differs(names.get(name), value)})
            if isinstance(end, Broke):
                # With the names of the branches before it; those behind it are not looked at.
                return Broke(end.value, merged, at)
        return Done(f"[{','.join(end.result for end in ends if isinstance(end, Done))}]", merged, at)

    def _race(self, row: Row, iteration: Iteration, names: Names) -> Step:
        """The branch whose end is earliest on the database's clock wins; on a tie the left one.

        `df.wait_for_signal('ok') | df.sleep(60)` when the signal comes: first call: Decision(result "0", lost = the
        sleep, abandoned = its wait), and pending. Once that is recorded, the next call finds the run of the race and
        goes on with branch 0, whatever the other one does meanwhile.
        """
        branches = self.graph.branches(row)
        decided = self.runs.get((row.id, iteration))
        # Both branches are walked until there is a winner; afterwards only the winner's.
        if decided is None:
            ends, decisions = [], len(self.decisions)
            for side, branch in enumerate(branches):
                step = self.node(branch, iteration, names)
                if not isinstance(step, Pending):
                    ends.append((step.at, side))
            # With a decision inside to be recorded first, a branch may turn out to have ended before the other.
            if ends and len(self.decisions) == decisions:
                # Recorded before anything follows from it: a loser that finishes late must not overturn the race.
                winner = min(ends)[1]
                lost = frozenset(subtree(self.graph, branches[1 - winner]))
                waits = tuple(
                    key for key, run in self.runs.items() if run.status == "waiting" and within(key, lost, iteration)
                )
                self.decisions.append(
                    Decision((row.id, iteration), str(winner), final=True, lost=lost, abandoned=waits)
                )
            return PENDING
        winner = 0 if decided.result == "0" else 1
        end = self.node(branches[winner], iteration, names)
        if isinstance(end, Failed):
            return end.within(f"RACE {('left', 'right')[winner]} branch failed")
        return end

    def _loop(self, row: Row, iteration: Iteration, names: Names) -> Step:
        """A loop's own run says which turn it is in and what was bound when that turn began.

        In turn 3 of a loop at the top its body's runs have the iteration (3,). When the body has ended and the
        condition is true: Decision(result {"turn": 4, ..}, forget = the runs of (3,)), and pending; so of all turns
        only one is ever stored.
        """
        state = self.runs.get((row.id, iteration))
        turn, entry, began, may_begin = 1, names, 0.0, None
        if state is not None:
            recorded = json.loads(state.result or "{}")
            turn, began = int(recorded["turn"]), float(recorded["at"])
            columns = recorded.get("columns", {})
            entry = {name: Result(value, columns.get(name)) for name, value in recorded["names"].items()}
            may_begin = float(recorded.get("may_begin", began))
        inner = (*iteration, turn)
        # began: of turns whose leaves are forgotten nothing else says when they ended.
        body = _not_before(self.node(self.graph.left(row), inner, entry), began)
        if isinstance(body, Broke):
            return Done(body.value, body.names, body.at)
        if isinstance(body, Failed) and body.by_step and _goes_on(row):
            # entry and not body's names: what a failed turn has bound is lost with it.
            self._next_turn(row, iteration, turn, Done("null", entry, body.at), may_begin)
            return PENDING
        if not isinstance(body, Done):
            return body
        again, after = True, body
        condition = self.graph.condition(row)
        if condition is not None:
            # The condition is in the same turn as the body: it reads the names that the body bound.
            tested = _not_before(self.node(condition, inner, body.names), body.at)
            if isinstance(tested, Broke):
                return Done(tested.value, tested.names, tested.at)
            if not isinstance(tested, Done):
                return tested
            met = _is_met(tested)
            if isinstance(met, Failed):
                return met
            again, after = met, tested
        if not again:
            # The loop's result is the last body's; the condition's is only its truth.
            return Done(body.result, after.names, after.at)
        self._next_turn(row, iteration, turn, after, may_begin)
        return PENDING

    def _next_turn(self, row: Row, iteration: Iteration, turn: int, after: Done, may_begin: float | None) -> None:
        """Decide the next turn. may_begin: since when this one could run, on the database's clock; None: the first."""
        members = subtree(self.graph, row)

        def is_over(key: Key) -> bool:
            # Of earlier turns too: a step that had lost a race may have ended when its turn was long over.
            turns, depth = key[1], len(iteration)
            return within(key, members, iteration) and len(turns) > depth and turns[depth] <= turn

        over = tuple(key for key in self.runs if is_over(key))
        pause = self._pause(row, over, may_begin, after.at)
        # Types are kept beside the names: the texts in "names" go through JSON and lose them.
        typed = {name: columns for name, value in after.names.items() if (columns := columns_of(value)) is not None}
        state = {
            "turn": turn + 1, "names": dict(after.names), "columns": typed, "at": after.at, "may_begin": after.at + pause,
        }  # fmt: skip
        recorded = json.dumps(state, ensure_ascii=False)
        self.decisions.append(Decision((row.id, iteration), recorded, final=False, forget=over, pause_seconds=pause))
        # A list first: entries are deleted while the loop runs.
        for key in [key for key in self.ended if is_over(key)]:
            del self.ended[key]

    def _pause(self, row: Row, over: tuple[Key, ...], began: float | None, ended: float) -> float:
        """How long an endless loop waits before its next turn, so that it cannot keep a worker and a disk busy.

        It is about the turn that was, not about what the body holds: `@> ('SELECT 1' ~> df.sleep(0))` turned 50 times
        a second. With loop_seconds = 1 a turn of 0.2 s is followed by a pause of 0.8 s, one of 5 s by none. A turn that
        has taken a signal is followed by none either: whoever sends the signals says how fast the loop turns.
        """
        if self.graph.condition(row) is not None or any(self._took_signal(key) for key in over):
            return 0.0
        if began is None:
            # The first turn has no record of its beginning: it is when the first of its steps began.
            times = [self.runs[key].started_at or self.runs[key].finished_at for key in over]
            began = min((time for time in times if time), default=ended)
        # Not longer, even when the turn began before it might (a worker that died took the pause with it).
        return min(max(0.0, began + self.loop_seconds - ended), self.loop_seconds)

    def _took_signal(self, key: Key) -> bool:
        run = self.runs[key]
        if self.graph.by_id[key[0]].node_type != "SIGNAL" or run.status != "completed":
            return False
        found = json.loads(run.result or "{}")
        return isinstance(found, dict) and found.get("timed_out") is False


def _goes_on(row: Row) -> bool:
    """Whether a loop has continue_on_failure."""
    # The text first: this is asked at every visit of every loop, and few have the option.
    return "continue_on_failure" in (row.query or "") and bool(json.loads(row.query or "{}").get("continue_on_failure"))


def within(key: Key, members: Collection[str], iteration: Iteration) -> bool:
    """Whether a node-run belongs to these nodes and to this turn, or to a turn of a loop inside of it."""
    return key[0] in members and key[1][: len(iteration)] == iteration


def _differs(before: str | None, after: str) -> bool:
    """Whether a name has another value than before; without rows only the types tell results apart."""
    return before != after or columns_of(before) != columns_of(after)


def _is_met(tested: Done) -> bool | Failed:
    """Whether a condition is true; Failed when its result is neither true nor false."""
    try:
        return is_true(tested.result)
    except ValueProblem as problem:
        return Failed({"message": f"The condition has no truth: {problem}"}, tested.at)


def _rows_branch(graph: Graph, row: Row, names: Names) -> Row | Failed:
    """The branch of df.if_rows: it asks a result that is there already."""
    name = row.config().get("result_name")
    if not isinstance(name, str) or name not in names:
        return Failed({"message": f"df.if_rows: result '{name}' not found"}, 0.0)
    try:
        count = row_count(names[name])
    except ValueProblem as problem:
        return Failed({"message": f"df.if_rows: result '{name}': {problem}"}, 0.0)
    if count is None:
        return Failed({"message": f"df.if_rows: result '{name}' is not a SQL result (missing row_count)"}, 0.0)
    return graph.left(row) if count > 0 else graph.right(row)


def _not_before(step: Step, at: float) -> Step:
    """The same end, but not earlier than what came before it: races compare whole branches."""
    match step:
        case Done():
            return step if step.at >= at else Done(step.result, step.names, at)
        case Failed():
            return step if step.at >= at else Failed(step.error, at)
        case Broke():
            return step if step.at >= at else Broke(step.value, step.names, at)
        case _:
            return step


def _shown(step: Step) -> Shown:
    match step:
        case Done():
            return Shown("completed", result=step.result)
        case Failed():
            return Shown("failed", error=step.message)
        case Broke():
            return Shown("completed", result=step.value)
        case _:
            return Shown("running")


def _break_value(row: Row, names: Names, variables: Mapping[str, str]) -> str:
    """Its text with values put in. What is JSON then stays what it says, any other text becomes a JSON string."""
    template = row.config().get("break_value")
    if not isinstance(template, str):
        return "null"
    value = render_raw(template, names, variables)
    return value if is_json(value) else json.dumps(value, ensure_ascii=False)


def subtree(graph: Graph, row: Row) -> set[str]:
    """Ids of a node and of everything below it."""
    found: set[str] = set()
    stack = [row]
    while stack:
        current = stack.pop()
        found.add(current.id)
        if current.kind.waits_for is not Wait.CHILDREN:
            continue
        stack.append(graph.left(current))
        if current.right_node is not None:
            stack.append(graph.right(current))
        if current.node_type in {"IF", "LOOP"} and (condition := graph.condition(current)) is not None:
            stack.append(condition)
        if current.node_type == "JOIN":
            stack.extend(graph.branches(current)[2:])
    return found
