"""A text in a step's place: SQL, or Durofut JSON that is itself a step."""

from __future__ import annotations

import json

import pytest
from support.shape import codes, shape, step

from pgweave.grammar import nodes
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span


def quoted(value: object) -> str:
    return "'" + json.dumps(value).replace("'", "''") + "'"


SQL = {"node_type": "SQL", "query": "a"}
STEPS = {
    "a": SQL,
    "as(a, n)": SQL | {"result_name": "n", "left_node": None, "unknown": 1},
    "seq(a, a)": {"node_type": "THEN", "left_node": SQL, "right_node": SQL},
    "if(a, a, a)": {"node_type": "IF", "left_node": SQL, "right_node": SQL, "condition_node": SQL},
    "ifrows(a, a)": {
        "node_type": "IF", "left_node": SQL, "right_node": SQL,
        "query": '{"condition_type":"result_has_rows","result_name":"x"}',
    },
    "join(a, a, a)": {"node_type": "JOIN", "left_node": SQL, "right_node": SQL, "extra_nodes": [SQL]},
    "race(a, a)": {"node_type": "RACE", "left_node": SQL, "right_node": SQL},
    "loop(a)": {"node_type": "LOOP", "left_node": SQL},
    "loop(a, a)": {"node_type": "LOOP", "left_node": SQL, "condition_node": SQL},
    "break()": {"node_type": "BREAK", "query": '{"break_value":null}'},
    "sleep()": {"node_type": "SLEEP", "query": "5"},
    "waitschedule()": {"node_type": "WAIT_SCHEDULE", "query": '{"cron_expr":"* * * * *"}'},
    "signal()": {"node_type": "SIGNAL", "query": '{"signal_name":"go","timeout_seconds":null}'},
    "awaitinstance()": {"node_type": "AWAIT_INSTANCE", "query": '{"instance_id":"$x","timeout_seconds":5}'},
    "http()": {
        "node_type": "HTTP",
        "query": '{"url":"https://x","method":"GET","body":null,"headers":{"a":"b"},"timeout_seconds":30}',
    },
    "httpmultipart()": {
        "node_type": "HTTP_MULTIPART",
        "query": '{"url":"https://x","method":"POST","parts":[{"name":"f"}],"headers":null,"timeout_seconds":30}',
    },
}  # fmt: skip


@pytest.mark.parametrize(("tree", "value"), STEPS.items())
def test_json_of_a_step_is_that_step(tree: str, value: object) -> None:
    assert shape(step(quoted(value))) == tree


@pytest.mark.parametrize(
    "value", ["{}", "[]", '"x"', "5", '{"node": 1}', '{"node_type": 5}', '{"_partial_if": false}', "{", ""]
)
def test_other_json_is_sql_text(value: str) -> None:
    assert step(f"'{value}'") == nodes.Sql(query=nodes.Text(value, Span(0, 0)), span=Span(0, 0))


REFUSED = {
    '{"node_type":"FOO"}': "Unknown node_type 'FOO'. Valid types: SQL, THEN, IF,",
    '{"node_type":"THEN","left_node":"a"}': "Invalid Durofut JSON: failed to deserialize workflow step: Durofut child",
    '{"node_type":"THEN","left_node":{},"right_node":{}}': "Invalid Durofut JSON: failed to deserialize workflow step: m",
    '{"node_type":"SQL"}': "Invalid Durofut JSON: failed to deserialize workflow step: a SQL node needs `query`",
    '{"node_type":"SQL","query":"a","condition_node":{}}': "condition_node is not valid for SQL nodes",
    '{"node_type":"SLEEP","query":"5","extra_nodes":[]}': "extra_nodes is not valid for SLEEP nodes",
    '{"node_type":"SIGNAL","query":"x"}': "query in SIGNAL must be valid JSON config: ",
    '{"node_type":"SIGNAL","query":"[]"}': "query in SIGNAL must be a JSON config object",
}


@pytest.mark.parametrize(("value", "title"), REFUSED.items())
def test_json_that_claims_to_be_a_step_and_is_none_is_refused(value: str, title: str) -> None:
    (found,) = parse(Source("test.df", f"'{value}'")).diagnostics
    assert found.code == "PW023"
    assert found.title.startswith(title)


def test_a_half_built_if_is_refused_in_every_spelling() -> None:
    assert codes("""'{"_partial_if":true,"condition":"a","then_branch":"b"}' ~> 'c'""") == ["PW104"]
    assert codes("df.start('a' ?> 'b')") == ["PW104"]


def test_sql_inside_json_inside_quotes_still_knows_its_place() -> None:
    written = """E'{"node_type":"SQL","query":"SELECT \\\\"x\\\\", \\'$a\\'"}'"""
    node = step(written)
    assert isinstance(node, nodes.Sql)
    assert node.query.value == """SELECT "x", '$a'"""
    at = node.query.value.index("$a")
    assert node.query.span_of(at, at + 2).of(written) == "$a"


def test_a_graph_in_json_has_the_same_limit_of_depth() -> None:
    def nested(levels: int) -> str:
        return '{"node_type":"LOOP","left_node":' * levels + json.dumps(SQL) + "}" * levels

    assert codes(f"'{nested(256)}'") == []
    assert codes(f"'{nested(257)}'") == ["PW011"]
    assert codes(f"'{nested(5000)}'") == ["PW011"]
