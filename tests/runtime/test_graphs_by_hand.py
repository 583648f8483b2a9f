"""Limits and shape hold for whatever is committed, however its rows came to be, and odd trees end or can be cancelled."""

from __future__ import annotations

import json
import os
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgweave.runtime.worker.service import Settings, Worker

if TYPE_CHECKING:
    from support.work import Database

QUICK = Settings(lease_seconds=3.0, poll_seconds=0.05, loop_seconds=0.0, max_attempts=4)
TREES = int(os.environ.get("PGWEAVE_TREES", "120"))

BY_HAND = (
    "with i as (insert into df.instances (root_node) values ('00000001') returning id),"
    " n as (insert into df.nodes (id, instance_id, node_type, query, left_node, right_node)"
    "  select x.* from i, lateral (values {}) as x)"
    " select id from i"
)


def by_hand(*nodes: tuple[str, str, str | None, str | None, str | None]) -> str:
    """A statement that inserts an instance with these nodes: id, type, query, left, right. The root is 00000001."""

    def quote(text: str | None) -> str:
        return "null" if text is None else "'" + text.replace("'", "''") + "'"

    rows = (f"({quote(node[0])}, i.id, {', '.join(map(quote, node[1:]))})" for node in nodes)
    return BY_HAND.format(", ".join(rows))


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"node_type": "SLEEP", "query": "01"}, "Invalid sleep duration"),
        ({"node_type": "SLEEP", "query": "1e3"}, "Invalid sleep duration"),
        ({"node_type": "SLEEP", "query": "99999999999999999999"}, "Invalid sleep duration"),
        ({"node_type": "BREAK", "query": '{"break_value": "1e400000"}'}, "more than a result can hold"),
        ({"node_type": "BREAK", "query": '{"break_value": 1}'}, "break_value must be a string"),
        ({"node_type": "SIGNAL", "query": '{"signal_name": 1}'}, "signal_name must be a string"),
        ({"node_type": "SIGNAL", "query": '{"signal_name": "a", "timeout_seconds": "5"}'}, "positive number"),
        ({"node_type": "SIGNAL", "query": '{"signal_name": "a", "timeout_seconds": 1e400000}'}, "overflows"),
        ({"node_type": "AWAIT_INSTANCE", "query": '{"instance_id": "$x", "timeout_seconds": 0}'}, "positive number"),
        ({"node_type": "WAIT_SCHEDULE", "query": "[]"}, "must be a JSON config object"),
        ({"node_type": "WAIT_SCHEDULE", "query": '{"cron_expr": "never"}'}, "expected 5 fields"),
    ],
)
def test_what_a_worker_could_not_run_is_refused_at_the_start(quiet: Database, tree: object, said: str) -> None:
    with pytest.raises(psycopg.Error, match=said):
        quiet.sql("select df.start(%s)", json.dumps({"node_type": "LOOP", "left_node": tree}))


def test_rows_inserted_without_ordinals_are_numbered_in_pre_order(quiet: Database) -> None:
    """The documented columns are enough, in any order."""
    ((instance,),) = quiet.sql(
        by_hand(
            ("00000003", "SLEEP", "0", None, None), ("00000001", "THEN", None, "00000002", "00000003"),
            ("00000002", "SQL", "SELECT 1", None, None),
        )
    )  # fmt: skip
    assert quiet.sql("select id, ordinal from df.nodes order by id") == [
        ("00000001", 0), ("00000002", 1), ("00000003", 2),
    ]  # fmt: skip
    Worker(quiet.dsn, QUICK).run(once=True)
    assert quiet.client.status(instance) == "completed"


@pytest.mark.parametrize(
    "nodes",
    [
        [("00000001", "THEN", None, "00000001", "00000001")],
        [("00000001", "THEN", None, "00000002", "00000002"), ("00000002", "SLEEP", "1", None, None)],
        [("00000001", "SLEEP", "1", None, None), ("00000002", "THEN", None, "00000003", "00000002"),
         ("00000003", "SLEEP", "1", None, None)],
        [("00000001", "LOOP", None, "00000009", None)],
        [("00000001", "JOIN", '{"extra_nodes": ["00000001"]}', "00000002", "00000003"),
         ("00000002", "SLEEP", "1", None, None), ("00000003", "SLEEP", "1", None, None)],
        [("00000001", "LOOP", "{", "00000002", None), ("00000002", "SLEEP", "1", None, None)],
        [("00000001", "SLEEP", "01", None, None)],
    ],
)  # fmt: skip
def test_rows_that_are_no_tree_are_refused_when_they_are_committed(quiet: Database, nodes: list[Any]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="Invalid durable function graph"):
        quiet.sql(by_hand(*nodes))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("select lpad(to_hex(g), 8, '0'), %s, g, 'SLEEP', '1', null from generate_series(2, 20000) as g", "node count"),
        ("values ('00000002', %s, 1, 'LOOP', null, '00000002')", "ordinals|one tree"),
        ("values ('00000002', %s, 1, 'SLEEP', '01', null)", "one tree"),
    ],
)
def test_nodes_that_are_added_after_the_check_fail_the_instance_by_name(quiet: Database, more: str, said: str) -> None:
    """SET CONSTRAINTS has the check run before the last nodes are there."""
    with psycopg.connect(quiet.dsn) as connection:
        ((instance,),) = connection.execute(by_hand(("00000001", "SLEEP", "1", None, None)).encode()).fetchall()
        connection.execute("set constraints all immediate")
        connection.execute(
            f"insert into df.nodes (id, instance_id, ordinal, node_type, query, left_node) {more}".encode(), [instance]
        )
    Worker(quiet.dsn, QUICK).run(once=True)
    ((status, message),) = quiet.sql("select status, error ->> 'message' from df.instances")
    assert status == "failed"
    assert message.startswith("Invalid durable function graph")


def test_an_instance_whose_rows_are_wrong_can_be_cancelled(quiet: Database) -> None:
    with psycopg.connect(quiet.dsn) as connection:
        ((instance,),) = connection.execute(by_hand(("00000001", "SLEEP", "1", None, None)).encode()).fetchall()
        connection.execute("set constraints all immediate")
        connection.execute(
            "insert into df.nodes (id, instance_id, node_type, query) values ('00000002', %s, 'SLEEP', '1')", [instance]
        )
    quiet.client.cancel(instance)
    Worker(quiet.dsn, QUICK).run(once=True)
    assert quiet.client.status(instance) == "cancelled"


def test_the_same_key_with_another_graph_is_refused_by_name(quiet: Database) -> None:
    start = "select df.start(df.if('SELECT true', df.join3('SELECT 1', 'SELECT 2', %s), df.sleep(1)), idempotency_key => 'k')"
    first = quiet.sql(start, "SELECT 3")
    assert quiet.sql(start, "SELECT 3") == first
    with pytest.raises(psycopg.errors.UniqueViolation, match="has another graph"):
        quiet.sql(start, "SELECT 4")


def test_a_label_beyond_the_limit_is_refused_at_the_start(quiet: Database) -> None:
    assert quiet.sql("select df.start('SELECT 1', repeat('x', 1000))")
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="maximum of 1000 bytes"):
        quiet.sql("select df.start('SELECT 1', repeat('x', 1001))")


# Odd trees.

VALUES = (
    "", "0", "1", "-1", "01", "1.5", "1e400000", "NaN", "null", "true", "[]", "{}", '"x"', "$x", "{x}", "$x.y", "$$",
    "\\u0000", "'", "SELECT 1", "SELECT 1e400", "SELECT 'NaN'::float8 AS n", "SELECT", "SELECT 1; SELECT 2", "BEGIN",
    "SELECT repeat('[', 9000) || repeat(']', 9000)", "🐘", "9" * 25, "[" * 2000, "SELECT $x", "SELECT pg_sleep(0)",
    "SELECT '\\u0000'::json", "SELECT 1e400000::text::json", "VALUES (false)", "infinity",
)  # fmt: skip
KEYS = (
    "break_value",
    "signal_name",
    "timeout_seconds",
    "instance_id",
    "cron_expr",
    "url",
    "method",
    "result_name",
    "on_failure",
)
TYPES = (
    "SQL",
    "THEN",
    "IF",
    "JOIN",
    "LOOP",
    "BREAK",
    "RACE",
    "SLEEP",
    "WAIT_SCHEDULE",
    "HTTP",
    "SIGNAL",
    "AWAIT_INSTANCE",
)
LEAVES = ("SQL", "SQL", "SQL", "BREAK", "BREAK", "SLEEP", "SIGNAL", "AWAIT_INSTANCE", "WAIT_SCHEDULE", "HTTP")


MORE_TURNS = {
    "node_type": "SQL",
    "query": "SELECT random() < 0.5",
}  # a counter would never come out even beside inner loops


class OddTrees:
    """Random Durofut trees: mostly of the right shape, with odd values everywhere.

    endless: whether the last tree has a loop that may have no end.
    """

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.endless = False

    def value(self) -> object:
        return self.chance.choice((*VALUES, 0, 1, -1, 1.5, True, None, [], {}, 10**30))

    def config(self) -> str:
        chosen = {key: self.value() for key in self.chance.sample(KEYS, self.chance.randint(0, 3))}
        return json.dumps(chosen)

    def query(self, kind: str) -> str | None:
        chance = self.chance.random()
        if kind == "SQL":
            return self.chance.choice(VALUES)
        if kind == "SLEEP" and chance < 0.6:
            return self.chance.choice(("0", "0", "01", "9" * 18))
        if kind == "BREAK" and chance < 0.7:
            return json.dumps({"break_value": self.chance.choice(VALUES)})
        if kind == "SIGNAL" and chance < 0.7:
            return json.dumps(
                {"signal_name": self.chance.choice(VALUES), "timeout_seconds": self.chance.choice((None, 1, 1e300))}
            )
        if kind == "AWAIT_INSTANCE" and chance < 0.7:
            return json.dumps({"instance_id": self.chance.choice(VALUES), "timeout_seconds": 1})
        return self.config() if chance < 0.9 else self.chance.choice(VALUES)

    def tree(self, depth: int = 0, kind: str = "") -> dict[str, object]:
        kind = kind or self.chance.choice(LEAVES if depth > 4 or self.chance.random() < 0.25 * depth else TYPES)
        node: dict[str, object] = {"node_type": kind}
        if self.chance.random() < 0.3:
            node["result_name"] = self.chance.choice(("x", "x", "y", "", "1", None))
        if kind in {"THEN", "RACE", "JOIN", "IF"}:
            node |= {"left_node": self.tree(depth + 1), "right_node": self.tree(depth + 1)}
        if kind == "IF" and self.chance.random() < 0.3:
            node["query"] = self.config()
        elif kind == "IF":
            node["condition_node"] = self.tree(depth + 1)
        if kind == "LOOP":
            node |= self.loop(depth)
        if kind == "JOIN" and self.chance.random() < 0.5:
            node["extra_nodes"] = [self.tree(depth + 1)]
        if kind not in {"THEN", "RACE", "JOIN", "IF", "LOOP"}:
            node["query"] = self.query(kind)
        if self.chance.random() < 0.03:
            node[self.chance.choice(("left_node", "extra_nodes", "query", "node_type"))] = self.value()
        return node

    def loop(self, depth: int) -> dict[str, object]:
        """What is below a loop: three in ten may have no end, the others have few turns."""
        plain: dict[str, object] = {"node_type": "SQL", "query": "SELECT 1"}
        body = plain if self.chance.random() < 0.5 else self.tree(depth + 1)
        chance = self.chance.random()
        if chance < 0.2:
            self.endless = True
            below: dict[str, object] = {"left_node": body}
            return below | ({"condition_node": self.tree(depth + 1)} if chance < 0.1 else {})
        if chance < 0.3:  # a turn that fails goes on without asking the condition, and most bodies here fail
            self.endless = True
            goes_on = '{"continue_on_failure":true}'
            return {"left_node": body, "condition_node": MORE_TURNS, "query": goes_on}
        if chance < 0.65:
            return {"left_node": body, "condition_node": MORE_TURNS}
        leave = {"node_type": "BREAK", "query": json.dumps({"break_value": self.chance.choice(VALUES)})}
        last = {"node_type": "IF", "condition_node": MORE_TURNS, "left_node": plain, "right_node": leave}
        turn: object = {"node_type": "THEN", "left_node": body, "right_node": last}
        return {"left_node": turn}


def test_every_odd_tree_that_is_accepted_ends_or_can_be_cancelled_and_every_other_is_refused_in_words(
    quiet: Database,
) -> None:
    trees = OddTrees(20)
    accepted, refusals, endless = 0, [], []
    with psycopg.connect(quiet.dsn, autocommit=True) as connection:
        for number in range(TREES):
            trees.endless = False
            text = json.dumps(trees.tree(kind="LOOP" if number % 3 == 0 else ""))
            try:
                ((instance,),) = connection.execute("select df.start(%s)", [text])
                accepted += 1
                endless += [instance] if trees.endless else []
            except psycopg.Error as refused:
                refusals.append((text, refused.diag.message_primary or ""))
    assert [refusal for refusal in refusals if not refusal[1].startswith("Invalid durable function")] == []
    assert TREES / 5 < accepted < TREES
    worker = Worker(quiet.dsn, QUICK)
    for instance in endless:  # nothing but their cancel ends them
        quiet.client.cancel(instance)
    worker.run(once=True)
    for instance, _ in quiet.sql("select id, df.cancel(id) from df.instances where status in ('pending', 'running')"):
        assert quiet.client.status(instance) == "cancelled"
    Worker(quiet.dsn, QUICK).run(once=True)
    # Of a loop the latest turn is kept.
    ((turned,),) = quiet.sql("select count(distinct instance_id) from df.runs where iteration[1] > 1")
    assert turned > accepted / 100, "hardly any loop came to its second turn"
    left = quiet.sql(
        "select id, status, (select json_agg(n) from df.nodes as n where n.instance_id = i.id) from df.instances as i"
        " where status in ('pending', 'running')"
    )
    assert left == []
    unexplained = quiet.sql(
        "select error ->> 'message' from df.instances where error ->> 'message' like 'Internal error%'"
    )
    assert unexplained == []
