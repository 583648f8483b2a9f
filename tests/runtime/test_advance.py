"""The state machine without a database: what it asks for, in which order, and what comes out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pgweave.compiler import lower
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.runtime.worker.advance import Broke, Done, Failed, Progress, Run, advance

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.compiler.rows import Graph
    from pgweave.runtime.worker.advance import Iteration, Key, Outcome, Todo


def graph(expression: str) -> Graph:
    parsed = parse(Source("test", expression))
    assert not parsed.diagnostics, parsed.diagnostics
    return lower.rows(parsed.module.definitions[0])


def rowset(*rows: dict[str, object]) -> str:
    return json.dumps({"rows": rows, "row_count": len(rows)})


class Bench:
    """Carries out what `advance` asks for, by a rule, one leaf at a time, and keeps what happened in order."""

    def __init__(self, expression: str, answer: Callable[[Todo], str | Exception], *, forget: bool = False) -> None:
        self.graph, self.answer, self.forget = graph(expression), answer, forget
        self.runs: dict[Key, Run] = {}
        self.order: list[str] = []
        self.clock = 0.0
        self.progress = Progress()

    def step(self, pick: int = 0) -> Outcome | None:
        """Ask once and do one thing: record decisions, or run the leaf at `pick`."""
        if self.forget:
            self.progress = Progress()
        plan = advance(self.graph, self.runs, self.progress)
        if plan.decisions:
            for decision in plan.decisions:
                for key in decision.forget:
                    del self.runs[key]
                self.runs[decision.key] = Run("completed", decision.result)
        elif plan.outcome is not None:
            return plan.outcome
        else:
            todo = plan.todo[pick % len(plan.todo)]
            self.order.append(todo.row.query or "")
            self.clock += 1
            answer = self.answer(todo)
            self.runs[todo.key] = (
                Run("failed", error={"message": str(answer)}, finished_at=self.clock)
                if isinstance(answer, Exception)
                else Run("completed", answer, finished_at=self.clock)
            )
        return None

    def finish(self, pick: int = 0) -> Outcome:
        for _ in range(1000):
            if (outcome := self.step(pick)) is not None:
                return outcome
        raise AssertionError("it never ends")


def echo(todo: Todo) -> str:
    return rowset({"ran": todo.row.query})


def test_a_chain_runs_from_left_to_right_and_results_in_its_last_step() -> None:
    bench = Bench("'a' ~> 'b' ~> 'c'", echo)
    outcome = bench.finish()
    assert bench.order == ["a", "b", "c"]
    assert isinstance(outcome, Done)
    assert json.loads(outcome.result)["rows"] == [{"ran": "c"}]


def test_a_step_is_asked_for_only_when_everything_before_it_has_ended() -> None:
    plan = advance(graph("'a' ~> 'b'"), {})
    assert [todo.row.query for todo in plan.todo] == ["a"]


def test_all_branches_of_a_join_are_asked_for_at_once() -> None:
    plan = advance(graph("df.join3('a', 'b' ~> 'c', 'd')"), {})
    assert [todo.row.query for todo in plan.todo] == ["a", "b", "d"]


@pytest.mark.parametrize("forget", [False, True])
def test_what_a_worker_remembers_changes_nothing(forget: bool) -> None:
    """A worker that takes over knows only the rows; it must come to the same."""
    bench = Bench("('a' |=> 'x') & ('b' ~> 'c') ~> ('d' ?> 'e' !> 'f')", echo, forget=forget)
    bench.finish()
    assert bench.order == ["a", "b", "c", "d", "e"]


def test_a_name_holds_the_result_of_its_step_for_all_later_steps() -> None:
    seen = {}

    def answer(todo: Todo) -> str:
        seen[todo.row.query] = dict(todo.names)
        return echo(todo)

    Bench("'a' |=> 'x' ~> ('b' ~> 'c') |=> 'y' ~> 'd'", answer).finish()
    assert seen["a"] == {}
    assert list(seen["b"]) == ["x"]
    assert list(seen["d"]) == ["x", "y"]
    assert json.loads(seen["d"]["y"])["rows"] == [{"ran": "c"}]


def test_branches_of_a_join_do_not_see_each_others_names() -> None:
    seen = {}

    def answer(todo: Todo) -> str:
        seen[todo.row.query] = sorted(todo.names)
        return echo(todo)

    Bench("('a' |=> 'x' ~> 'b') & ('c' |=> 'y' ~> 'd') ~> 'e'", answer).finish()
    assert (seen["b"], seen["d"], seen["e"]) == (["x"], ["y"], ["x", "y"])


def test_an_inherited_name_does_not_undo_what_a_sibling_bound() -> None:
    """The reference lets the last branch's stale copy win; here only what a branch bound itself is merged."""
    seen = {}

    def answer(todo: Todo) -> str:
        seen[todo.row.query] = dict(todo.names)
        return echo(todo)

    Bench("'old' |=> 'x' ~> (('new' |=> 'x') & 'other') ~> 'end'", answer).finish()
    assert json.loads(seen["end"]["x"])["rows"] == [{"ran": "new"}]


def test_a_join_waits_for_every_branch_and_then_fails_with_the_first_in_order() -> None:
    def answer(todo: Todo) -> str | Exception:
        return ValueError(f"no {todo.row.query}") if todo.row.query in {"b", "c"} else echo(todo)

    bench = Bench("df.join3('a', 'b', 'c')", answer)
    outcome = bench.finish(pick=-1)
    assert bench.order == ["c", "b", "a"]
    assert isinstance(outcome, Failed)
    assert outcome.message == "JOIN branch 2 failed: no b"


def test_a_race_is_decided_once_and_for_all() -> None:
    """The loser is in flight and ends later, with an earlier time: the winner stays the winner."""
    bench = Bench("'fast' | ('slow' ~> 'slower')", echo)
    assert bench.step() is None
    assert bench.step() is None  # the decision
    slow = bench.graph.left(bench.graph.right(bench.graph.root))
    bench.runs[slow.id, ()] = Run("completed", rowset(), finished_at=0.1)
    outcome = bench.step()
    assert isinstance(outcome, Done)
    assert json.loads(outcome.result)["rows"] == [{"ran": "fast"}]
    assert bench.order == ["fast"]


def test_of_two_branches_that_have_ended_the_one_that_ended_first_wins() -> None:
    root = graph("('a' ~> 'b') | 'c'")
    by_query = {row.query: row.id for row in root.rows if row.query}
    runs: dict[Key, Run] = {
        (by_query["a"], ()): Run("completed", "1", finished_at=1.0),
        (by_query["b"], ()): Run("completed", "2", finished_at=3.0),
        (by_query["c"], ()): Run("completed", "3", finished_at=2.0),
    }
    (decision,) = advance(root, runs).decisions
    assert decision.result == "1"
    assert decision.final


def test_a_race_inside_a_race_is_decided_first() -> None:
    """All three have ended when somebody looks. The left branch was first, but its own race has no winner yet."""
    root = graph("('a' | 'b') | 'c'")
    by_query = {row.query: row.id for row in root.rows if row.query}
    runs: dict[Key, Run] = {
        (by_query["a"], ()): Run("completed", "1", finished_at=1.0),
        (by_query["c"], ()): Run("completed", "3", finished_at=2.0),
    }
    (inner,) = advance(root, runs).decisions
    runs[inner.key] = Run("completed", inner.result)
    (outer,) = advance(root, runs).decisions
    assert (inner.result, outer.result) == ("0", "0")
    assert outer.key == (root.root.id, ())


def test_a_race_gives_up_the_waits_of_its_loser_as_it_is_decided() -> None:
    """Not later: a wait that has lost could still take the signal that another one is there for."""
    root = graph("df.sleep(1) | (df.wait_for_signal('go') & 'step')")
    left, right = root.branches(root.root)
    waits = root.left(right)
    runs: dict[Key, Run] = {(left.id, ()): Run("completed", "{}", finished_at=1.0), (waits.id, ()): Run("waiting")}
    (decision,) = advance(root, runs).decisions
    assert decision.abandoned == ((waits.id, ()),)


def test_a_step_that_ends_after_its_turn_is_forgotten_with_the_next() -> None:
    """A statement that lost a race in the first turn ends during the second: history must not keep it."""
    root = graph("@> ('fast' | 'slow')")
    (race,) = (row for row in root.rows if row.node_type == "RACE")
    fast, slow = root.branches(race)
    runs: dict[Key, Run] = {
        (root.root.id, ()): Run("completed", '{"turn": 2, "names": {}, "at": 1.0}'),
        (slow.id, (1,)): Run("completed", "1", finished_at=2.0),
        (fast.id, (2,)): Run("completed", "2", finished_at=3.0),
        (race.id, (2,)): Run("completed", "0"),
    }
    (decision,) = advance(root, runs).decisions
    assert set(decision.forget) == {(slow.id, (1,)), (fast.id, (2,)), (race.id, (2,))}


def test_a_loop_that_leaves_without_a_step_ends_when_its_last_turn_began() -> None:
    """Not at the beginning of time: it would win every race."""
    root = graph("(@> (df.if_rows('x', df.break(), 'a' |=> 'x'))) | 'b'")
    (loop,) = (row for row in root.rows if row.node_type == "LOOP")
    (other,) = (row for row in root.rows if row.query == "b")
    state = json.dumps({"turn": 2, "names": {"x": rowset({"n": 1})}, "at": 7.0})
    runs: dict[Key, Run] = {
        (loop.id, ()): Run("completed", state),
        (other.id, ()): Run("completed", "1", finished_at=5.0),
    }
    (decision,) = advance(root, runs).decisions
    assert decision.result == "1"


@pytest.mark.parametrize(
    ("value", "names", "result"),
    [
        ("$x", {"x": rowset({"n": 5})}, "5"),
        ("$x.who, {v}", {"x": rowset({"n": 5, "who": "ann"})}, '"ann, var"'),
        ("$x", {"x": '{"data": [1]}'}, '{"data": [1]}'),
        ("$x", {"x": "null"}, "null"),
        ("$y costs 5 $", {"x": "1"}, '"$y costs 5 $"'),
        ("NaN", {}, '"NaN"'),
    ],
)
def test_the_value_of_a_break_may_name_results_and_variables(value: str, names: dict[str, str], result: str) -> None:
    root = graph(f"@> df.break('{value}')")
    state = json.dumps({"turn": 2, "names": names, "at": 0.0})
    outcome = advance(root, {(root.root.id, ()): Run("completed", state)}, variables={"v": "var"}).outcome
    assert isinstance(outcome, Done)
    assert outcome.result == result


def test_a_break_whose_value_is_not_there_fails() -> None:
    root = graph("@> df.break('$x')")
    state = json.dumps({"turn": 2, "names": {"x": rowset()}, "at": 0.0})
    outcome = advance(root, {(root.root.id, ()): Run("completed", state)}).outcome
    assert isinstance(outcome, Failed)
    assert outcome.message == "$x has no rows — query returned zero results"


@pytest.mark.parametrize(
    "kind", ["df.join({}, 'b')", "({}) | 'b'", "df.if({}, 'b', 'c')", "@> ({})", "df.if_rows('x', {}, 'b')"]
)
def test_every_block_may_nest_as_deep_as_a_graph_may(kind: str) -> None:
    """256 levels of each; the walk must not need more stack than Python gives."""
    expression = "'a'"
    for _ in range(256):
        expression = kind.format(expression)
    plan = advance(graph(expression), {}, Progress(), {})
    assert plan.todo or isinstance(plan.outcome, Failed)


def test_a_result_that_nests_too_deep_to_be_read_is_no_condition() -> None:
    outcome = Bench("'c' ?> 'a' !> 'b'", lambda _: "[" * 5000 + "]" * 5000).finish()
    assert isinstance(outcome, Failed)
    assert "nested too deeply" in outcome.message


@pytest.mark.parametrize(("count", "branch"), [("1e400", "some"), ("-1", "none"), ("0.0", "none"), ("1.5", "some")])
def test_if_rows_takes_any_number_for_a_count(count: str, branch: str) -> None:
    bench = Bench("'a' |=> 'x' ~> df.if_rows('x', 'some', 'none')", lambda _: f'{{"rows":[],"row_count":{count}}}')
    bench.finish()
    assert bench.order[-1] == branch


def test_a_fast_failure_loses_nothing_but_the_race() -> None:
    outcome = Bench("'a' | 'b'", lambda _: ValueError("boom")).finish()
    assert isinstance(outcome, Failed)
    assert outcome.message == "RACE left branch failed: boom"


def test_a_loop_repeats_while_its_condition_holds_and_keeps_one_turn_of_history() -> None:
    turns = []

    def answer(todo: Todo) -> str:
        if todo.row.query == "body":
            turns.append(todo.iteration)
            return rowset({"n": len(turns)})
        return rowset({"again": len(turns) < 4})

    bench = Bench("df.loop('body', 'test') |=> 'l' ~> 'after'", answer)
    bench.finish()
    assert turns == [(1,), (2,), (3,), (4,)]
    assert {key[1] for key in bench.runs} == {(), (4,)}
    assert bench.order[-1] == "after"


def test_a_loop_that_continues_on_failure_takes_the_next_turn_untested() -> None:
    turns: list[Iteration] = []

    def answer(todo: Todo) -> str | Exception:
        if todo.row.query == "body":
            turns.append(todo.iteration)
            return ValueError("no") if len(turns) < 3 else rowset({"n": 1})
        assert len(turns) >= 3, "the condition is not asked in a turn that failed"
        return rowset({"again": False})

    bench = Bench("df.loop('body', 'test', continue_on_failure => true) ~> 'after'", answer)
    assert isinstance(bench.finish(), Done)
    assert turns == [(1,), (2,), (3,)]


def test_a_condition_that_fails_ends_a_loop_that_continues_on_failure() -> None:
    def answer(todo: Todo) -> str | Exception:
        return ValueError("no") if todo.row.query == "test" else rowset({"n": 1})

    assert isinstance(Bench("df.loop('body', 'test', continue_on_failure => true)", answer).finish(), Failed)
    assert isinstance(Bench("df.loop('test', continue_on_failure => false)", answer).finish(), Failed)


def test_names_bound_in_one_turn_are_there_in_the_next_and_after_the_loop() -> None:
    seen: list[list[str]] = []

    def answer(todo: Todo) -> str:
        seen.append(sorted(todo.names))
        return rowset({"again": len(seen) < 4})

    Bench("df.loop('body' |=> 'x', 'test') ~> 'after'", answer).finish()
    assert seen == [[], ["x"], ["x"], ["x"], ["x"]]


def test_nested_loops_count_their_turns_apart() -> None:
    seen = []

    def answer(todo: Todo) -> str:
        seen.append((todo.row.query, todo.iteration))
        return rowset({"again": todo.iteration[-1] < 2})

    Bench("df.loop(df.loop('in', 'inner?'), 'outer?')", answer).finish()
    assert [iteration for query, iteration in seen if query == "in"] == [(1, 1), (1, 2), (2, 1), (2, 2)]


@pytest.mark.parametrize(
    ("value", "result"),
    [("'done'", '"done"'), ("""'{"n": 1}'""", '{"n": 1}'), ("NULL", "null"), ("'7'", "7"), ("''", '""')],
)
def test_break_gives_its_value_to_the_nearest_loop(value: str, result: str) -> None:
    outcome = Bench(f"df.loop('a' ~> ('c' ?> df.break({value}) !> 'd'))", echo).finish()
    assert isinstance(outcome, Done)
    assert outcome.result == result


def test_break_leaves_through_join_and_race_once_the_branches_allow_it() -> None:
    bench = Bench("df.loop(('a' & ('b' ~> df.break('x'))) ~> 'never')", echo)
    outcome = bench.finish()
    assert isinstance(outcome, Done)
    assert bench.order == ["a", "b"]


def test_a_break_outside_of_loops_fails_the_instance() -> None:
    outcome = Bench("'a' ~> df.break('x')", echo).finish()
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("df.break() was called outside of a loop")
    assert not isinstance(outcome, Broke)


def test_if_rows_asks_the_named_result_and_runs_nothing() -> None:
    bench = Bench("'a' |=> 'x' ~> df.if_rows('x', 'some', 'none')", lambda _: rowset())
    bench.finish()
    assert bench.order == ["a", "none"]


def test_if_rows_of_an_unknown_name_says_so() -> None:
    outcome = Bench("df.if_rows('x', 'some', 'none')", echo).finish()
    assert isinstance(outcome, Failed)
    assert outcome.message == "df.if_rows: result 'x' not found"


def test_a_name_on_a_sleep_is_bound() -> None:
    seen = {}

    def answer(todo: Todo) -> str:
        seen[todo.row.node_type] = dict(todo.names)
        return '{"slept": true, "seconds": 0}'

    Bench("df.sleep(0) |=> 'nap' ~> 'a'", answer).finish()
    assert "nap" in seen["SQL"]


def test_the_deepest_legal_graph_is_walked() -> None:
    expression = " ~> ".join(["'s'"] * 257)
    bench = Bench(expression, echo)
    bench.finish()
    assert len(bench.order) == 257
