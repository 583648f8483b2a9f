"""Workers on a real database, effect by effect: who goes on, who dies and what arrives is for Hypothesis to choose.

The code is the runtime's own (`Drive`, `steps`, the functions df_internal.worker_*), the test sets the clock (pgweave.fake_now). After
every rule the checker looks at the database; at the end everybody works on undisturbed, and then every instance has to
have told a story that the reference interpreter can tell from the same record.

PGWEAVE_STORIES sets how many stories are told (default 60, fewer in CI).
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, product
from typing import TYPE_CHECKING, Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import ast, interpreter, programs
from support.checker import wrong
from support.interpreter import Ending, Reached, interpret
from support.lockstep import Fault, Heard, SimulatedWorker, Stage
from support.pace import examples

from pgweave.compiler import lower
from pgweave.grammar import nodes
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.worker.service import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Node
    from pgweave.runtime.worker.advance import Key

STORIES = int(os.environ.get("PGWEAVE_STORIES", examples(60)))
BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
SETTINGS = Settings(lease_seconds=15.0, poll_seconds=1.0, max_attempts=1000, loop_seconds=0.0)

WORLD = """
create table world (seed int);
create table effects (instance_id text, node_id text);
create table gone (instance_id text, payload jsonb, taken boolean);
create function keep_letter() returns trigger language plpgsql as $$
begin
    insert into gone values (old.instance_id, old.payload::jsonb, old.consumed_by is not null);
    return null;
end $$;
create trigger keep_letter after delete on df.inbox for each row execute function keep_letter();
create function act(n int) returns setof jsonb language plpgsql as $$
declare
    v_instance constant text := current_setting('df.instance_id');
    v_node constant text := current_setting('df.node_id');
    v_turn constant bigint := (select count(*) from effects where (instance_id, node_id) = (v_instance, v_node));
    v_chance constant int := abs(hashtext(format('%s %s %s', (select seed from world), n, v_turn)) % 24);
begin
    insert into effects values (v_instance, v_node);
    case v_chance
        when 0 then return;
        when 1 then raise exception 'no luck';
        when 2 then raise exception 'busy' using errcode = 'serialization_failure';
        else return next (array['false', 'true', '0', '7', '"f"', '"yes"', 'null'])[v_chance % 7 + 1]::jsonb;
    end case;
end $$;
"""


@dataclass
class Ended:
    """A leaf whose end is on record."""

    ending: Ending
    begun: float


@dataclass
class Told:
    """One instance and all that was heard of it. Times count what was heard: the clock may stand still."""

    program: Node
    rows: dict[str, Node]
    ended: dict[Key, Ended] = field(default_factory=dict)
    waits: dict[Key, float] = field(default_factory=dict)
    decided: dict[Key, tuple[int, float]] = field(default_factory=dict)
    final: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        self.ids = {
            id(node): row for row, node in self.rows.items()
        }  # by identity: equal nodes stand at several places

        # Around each node: the races and the side it is on.
        self.races: dict[str, tuple[tuple[str, int], ...]] = {}
        pending: list[tuple[Node, tuple[tuple[str, int], ...]]] = [(self.program, ())]
        while pending:
            node, around = pending.pop()
            self.races[self.ids[id(node)]] = around
            for side, child in enumerate(nodes.children(node)):
                race = ((self.ids[id(node)], side),) if isinstance(node, nodes.Race) else ()
                pending.append((child, around + race))

    def is_lost(self, key: Key) -> bool:
        """Whether a race around this node-run has been decided for the other side."""
        return any(
            node == race and key[1][: len(iteration)] == iteration and winner != side
            for race, side in self.races[key[0]]
            for (node, iteration), (winner, _) in self.decided.items()
        )

    def leaf(self, reached: Reached) -> Ending | None:
        """What the record says about a leaf; this and `decide` make a world of it."""
        ended = self.ended.get((self.ids[id(reached.node)], reached.iteration))
        if ended is None:
            return None
        assert ended.begun >= reached.at, "a leaf was begun before it was its turn"
        return ended.ending

    def decide(
        self,
        race: nodes.Race,
        iteration: tuple[int, ...],
        left: interpreter.Outcome | None,
        right: interpreter.Outcome | None,
    ) -> tuple[int, float] | None:
        decided = self.decided.get((self.ids[id(race)], iteration))
        if decided is not None:
            winner = (left, right)[decided[0]]
            assert winner is not None, "a branch has won that has not ended"
            assert winner.at <= decided[1], "a branch has won before it ended"
        return decided


def playable(program: Node, awaited: str | None) -> Node:
    """The same program for the world above: every step acts under a number of its own, and waits are short.

    Breaks outside of loops and waits for unknown instances would end most programs before they begin; they become steps.
    """
    numbers = iter(range(1000))

    def act(node: Node) -> Node:
        return ast.sql(f"SELECT v FROM act({next(numbers)}) AS v", None if node.binding is None else node.binding.name)

    def made(node: Node, *, in_loop: bool) -> Node:
        match node:
            case nodes.Signal():
                return replace(node, timeout_seconds=node.timeout_seconds and node.timeout_seconds % 20 + 1)
            case nodes.AwaitInstance() if awaited is not None:
                seconds = node.timeout_seconds and node.timeout_seconds % 20 + 1
                return replace(node, instance_id=ast.text(awaited), timeout_seconds=seconds)
            case nodes.Break() if in_loop:
                return node
            case nodes.Sql() | nodes.Break() | nodes.AwaitInstance():
                return act(node)
            case _:
                return changed(node, in_loop=in_loop or isinstance(node, nodes.Loop))

    def changed(node: Node, *, in_loop: bool) -> Node:
        parts = {name: getattr(node, name) for name in PARTS if getattr(node, name, None) is not None}
        below = {name: made(part, in_loop=in_loop) for name, part in parts.items()}
        if isinstance(node, nodes.Join):
            return replace(node, branches=tuple(made(branch, in_loop=in_loop) for branch in node.branches))
        return replace(node, **below)  # type: ignore[arg-type]

    return made(program, in_loop=False)


PARTS = ("first", "second", "condition", "then_branch", "else_branch", "left", "right", "body")
PROGRAMS = st.lists(programs.runnable(max_leaves=6), min_size=2, max_size=4).map(lambda steps: ast.then(*steps))


class Workers(RuleBasedStateMachine):
    """The rules of the game. `connection` is set by the test."""

    connection: psycopg.Connection[Any]

    @initialize(seed=st.integers(0, 10**6), program=PROGRAMS)
    def begin(self, seed: int, program: Node) -> None:
        self.connection.execute("truncate df.instances, df.nodes, df.runs, df.queue, df.inbox, world, effects, gone")
        self.connection.execute("insert into world values (%s)", [seed])
        self.stage = Stage(self.connection, self.hear)
        self.told: dict[str, Told] = {}
        self.now = 0.0
        self.moments = count(1)
        self.set_clock()
        self.workers = [SimulatedWorker(self.stage, SETTINGS) for _ in range(2)]
        self.sent: list[tuple[str, int]] = []
        self.start(program)

    def set_clock(self) -> None:
        now = (BEGINNING + timedelta(seconds=self.now)).isoformat()
        self.connection.execute("select set_config('pgweave.fake_now', %s, false)", [now])

    # What people and other programs do.

    @precondition(lambda self: len(self.told) < 3)
    @rule(program=PROGRAMS)
    def start(self, program: Node) -> None:
        awaited = next(iter(self.told), None)
        definition = ast.definition(playable(program, awaited))
        row = self.connection.execute(QUERIES["start"], [lower.tree(definition), None, None, "caller", ""]).fetchone()
        assert row is not None
        ids = self.connection.execute("select id from df.nodes where instance_id = %s order by ordinal", [row[0]])
        rows = {node_id: node for (node_id,), node in zip(ids, lower.origin(definition), strict=True)}
        self.told[row[0]] = Told(definition.node, rows)

    @rule(which=st.integers(0, 2), name=st.sampled_from(("go", "stop")))
    def signal(self, which: int, name: str) -> None:
        instance, number = self.picked(which), len(self.sent)
        if self.connection.execute("select 1 from df.queue where instance_id = %s", [instance]).fetchone():
            self.connection.execute(QUERIES["signal"], [instance, name, str(number)])
            self.sent.append((instance, number))

    @precondition(lambda self: self.now > 10)  # not before something can have happened
    @rule(which=st.integers(0, 2))
    def cancel(self, which: int) -> None:
        self.connection.execute(QUERIES["cancel"], [self.picked(which), "enough"])

    @rule(seconds=st.integers(1, 20))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds
        self.set_clock()

    def picked(self, which: int) -> str:
        return list(self.told)[which % len(self.told)]

    # What workers do.

    @rule(worker=st.integers(0, 1))
    def claim(self, worker: int) -> None:
        self.workers[worker].claim()

    @precondition(lambda self: any(worker.ready() for worker in self.workers))
    @rule(picks=st.lists(st.integers(0, 9), min_size=1, max_size=30))
    def go_on(self, picks: list[int]) -> None:
        for pick in picks:
            ready = [actor for worker in self.workers for actor in worker.ready()]
            if ready:
                ready[pick % len(ready)].step()

    @precondition(lambda self: any(worker.actors for worker in self.workers))
    @rule(worker=st.integers(0, 1))
    def renew(self, worker: int) -> None:
        self.workers[worker].renew()

    # What happens to workers.

    @precondition(lambda self: any(actor.effect in QUERIES for worker in self.workers for actor in worker.ready()))
    @rule(pick=st.integers(0, 9), fault=st.sampled_from((Fault.CUT, Fault.CUT_AFTER)))
    def cut(self, pick: int, fault: Fault) -> None:
        ready = [actor for worker in self.workers for actor in worker.ready() if actor.effect in QUERIES]
        ready[pick % len(ready)].step(fault)

    @precondition(lambda self: any(worker.actors for worker in self.workers))
    @rule(worker=st.integers(0, 1), fault=st.sampled_from((Fault.KILLED, Fault.KILLED_AFTER)))
    def kill(self, worker: int, fault: Fault) -> None:
        self.workers[worker].kill(fault)
        self.workers[worker] = SimulatedWorker(self.stage, SETTINGS)

    # What must be true.

    def hear(self, heard: Heard) -> None:
        """Everything the database has done for a worker, as it was answered."""
        given, moment = heard.arguments, float(next(self.moments))
        match heard.query:
            case "exec_node":
                instance, node, iteration, token = given[:4]
                self.record(instance, (node, tuple(iteration)), Ending(moment, heard.answer[0]), moment)
            case "fail":
                instance, token, node, iteration, error = given[:5]
                ending = Ending(moment, failure=json.loads(error)["message"])
                self.record(instance, (node, tuple(iteration)), ending, moment)
            case "wait":
                instance, token, waits = given
                for wait in json.loads(waits):
                    self.told[instance].waits.setdefault((wait["node_id"], tuple(wait["iteration"])), moment)
            case "settle":
                instance, token, _ = given
                self.record_waits(instance, json.loads(heard.answer[0])["runs"], moment)
            case "decide":
                instance, token, node, iteration, result = given[:5]
                if isinstance(self.told[instance].rows[node], nodes.Race):
                    key = (node, tuple(iteration))
                    assert key not in self.told[instance].decided, "a race was decided twice"
                    self.told[instance].decided[key] = (int(result), moment)
            case "load" | "park" | "release" | "finish" | "run":
                instance, token = given[:2]
            case _:
                return
        if heard.query != "release":  # without a lease there is nothing to give back
            assert token == self.stage.tokens[instance], f"{heard.query} of a worker whose lease another worker has"

    def record(self, instance: str, key: Key, ending: Ending, begun: float) -> None:
        assert key not in self.told[instance].ended, "a step that has been recorded ran again"
        self.told[instance].ended[key] = Ended(ending, begun)

    def record_waits(self, instance: str, runs: list[dict[str, Any]], moment: float) -> None:
        told = self.told[instance]
        for run in runs:
            key = (run["node_id"], tuple(run["iteration"]))
            if key not in told.waits or key in told.ended or run["status"] not in {"completed", "failed"}:
                continue
            failure = run["error"] and run["error"]["message"]
            self.record(instance, key, Ending(moment, run["result"] or "null", failure), told.waits[key])

    def seconds(self, at: datetime) -> float:
        return (at - BEGINNING).total_seconds()

    @invariant()
    def the_database_is_right(self) -> None:
        assert wrong(self.connection) == {}

    @invariant()
    def no_signal_is_lost_or_doubled(self) -> None:
        """Each is in the inbox, or went with a turn that is over, to the wait that had taken it."""
        rows = self.connection.execute(
            "select instance_id, payload::text, true from df.inbox where kind = 'signal'"
            " union all select instance_id, payload::text, taken from gone"
        ).fetchall()
        assert sorted((instance, int(payload)) for instance, payload, _ in rows) == sorted(self.sent)
        assert all(taken for *_, taken in rows), "a signal that nobody took was removed"

    @invariant()
    def every_effect_has_its_checkpoint(self) -> None:
        committed = sum(
            isinstance(told.rows[key[0]], nodes.Sql) and ended.ending.failure is None
            for told in self.told.values()
            for key, ended in told.ended.items()
        )
        assert self.connection.execute("select count(*) from effects").fetchone() == (committed,)

    @invariant()
    def what_has_ended_never_changes(self) -> None:
        rows = self.connection.execute(
            "select id, i::text, array(select r::text from df.runs as r where r.instance_id = i.id order by 1)"
            " from df.instances as i where status in ('completed', 'failed', 'cancelled')"
        )
        for instance, *final in rows:
            told = self.told[instance]
            assert told.final in {None, tuple(map(str, final))}, "an ended instance has changed"
            told.final = tuple(map(str, final))

    # The end of the story.

    def teardown(self) -> None:
        for which, name in product(range(len(self.told)), ("go", "stop")):
            self.work_off(50)
            self.signal(which, name)  # what still waits for one is to go on
        if not self.work_off(300):
            for instance in self.told:  # a loop without an end
                self.connection.execute(QUERIES["cancel"], [instance, "enough"])
            assert self.work_off(1000), "instances that are cancelled do not come to an end"
        self.the_database_is_right()
        self.every_effect_has_its_checkpoint()
        for instance, told in self.told.items():
            self.judge(instance, told)
            self.judge_signals(told)

    def work_off(self, effects: int) -> bool:
        """Everybody goes on until nothing moves, however much time has to pass. False: that takes too long."""
        for _ in range(effects):
            ready = [actor for worker in self.workers for actor in worker.ready()]
            if ready:
                for actor in ready:
                    actor.step()
                self.the_database_is_right()
            elif not self.workers[0].claim(10) and not self.wait_for_the_next():
                return True
        return False

    def wait_for_the_next(self) -> bool:
        found = self.connection.execute(
            "select min(greatest(ready_at, leased_until)) from df.queue where ready_at < 'infinity'"
        ).fetchone()
        assert found is not None
        if found[0] is None:
            return False
        later = self.seconds(found[0])
        assert later > self.now, "an instance is due and no worker can claim it"
        self.now = later
        self.set_clock()
        return True

    def judge(self, instance: str, told: Told) -> None:
        """Compare how it ended with what the interpreter says of the same record."""
        story = interpret(told.program, told)
        reached = {(told.ids[id(leaf.node)], leaf.iteration) for leaf in story.reached}
        assert told.ended.keys() <= reached, "something ran that the program did not ask for"
        row = self.connection.execute(
            "select status, result::text, error ->> 'message' from df.instances where id = %s", [instance]
        ).fetchone()
        assert row is not None
        if row[0] == "cancelled":
            assert row[2] == "canceled: enough"
            return
        match story.outcome:
            case interpreter.Done(result):
                assert row == ("completed", result, None)
            case interpreter.Failed(message):
                assert row == ("failed", None, message)
            case None:
                assert row[0] in {"pending", "running"}
                assert any(key in told.waits for key in reached - told.ended.keys()), "it goes on, and nothing moves it"

    def judge_signals(self, told: Told) -> None:
        """Their payloads count up: of one name each comes once to a branch that goes on, and in that order.

        Unless one came back from a branch that lost: later ones may have gone to other waits meanwhile.
        """
        came: dict[str, list[tuple[float, int]]] = {}
        returned = set()
        for key, ended in told.ended.items():
            if isinstance(told.rows[key[0]], nodes.Signal):
                envelope = json.loads(ended.ending.result)
                if not envelope["timed_out"] and told.is_lost(key):
                    returned.add(envelope["signal_name"])
                elif not envelope["timed_out"]:
                    came.setdefault(envelope["signal_name"], []).append((ended.ending.at, envelope["data"]))
        for name, letters in came.items():
            payloads = [payload for _, payload in sorted(letters)]
            assert len(payloads) == len(set(payloads)), f"a signal {name} was delivered twice"
            assert name in returned or payloads == sorted(payloads), f"signals {name} were delivered in another order"


class NoErrors(logging.Handler):
    """An internal error of a worker is a failure of the test, not a line in a log."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            raise AssertionError(record.getMessage()) from (record.exc_info[1] if record.exc_info else None)


@contextmanager
def on_stage(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the world in it; an internal error of a worker is a failure of the test."""
    log, handler = logging.getLogger("pgweave.worker"), NoErrors()
    log.addHandler(handler)
    log.propagate = False  # lost leases and lost connections are what this is about; not every one belongs in the log
    try:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("set synchronous_commit = off")  # no machine fails here, only workers
            connection.execute(WORLD.encode())
            with Stage(connection, lambda heard: None).open():
                yield connection
    finally:
        log.propagate = True
        log.removeHandler(handler)


def test_whatever_happens_to_workers_the_story_is_one_the_program_tells(database: str) -> None:
    with on_stage(database) as Workers.connection:
        run_state_machine_as_test(
            Workers,
            settings=settings(
                max_examples=STORIES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


def test_every_block_means_the_same_inside_every_other_block(database: str) -> None:
    """All pairs, undisturbed; `test_advance` tells each of them in forty worlds."""
    turns: Counter[int] = Counter()
    with on_stage(database) as Workers.connection:
        for seed, (outer, inner) in enumerate(product(programs.BLOCKS, programs.BLOCKS)):
            story = Workers()
            story.begin(seed=seed, program=programs.nested(outer, inner))
            story.teardown()
            (told,) = story.told.values()
            turns.update(max(iteration, default=0) for _, iteration in told.ended)
    assert turns[2] > 50, "hardly any loop came to its second turn"
