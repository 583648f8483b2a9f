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
    "value", ["{}", "[]", '"x"', "5", '{"node": 1}', '{"node_type": 5}', "{", "{x} is a table", ""]
)
def test_other_json_is_sql_text(value: str) -> None:
    assert step(f"'{value}'") == nodes.Sql(query=nodes.Text(value, Span(0, 0)), span=Span(0, 0))


REFUSED = {
    '{"node_type":"SQL","query":"a","query":"b"}': "Invalid Durofut JSON: failed to deserialize workflow step: duplicate field `query`",
    '{"node_type":"LOOP","left_node":{"node_type":"SQL","query":"a","result_name":null,"result_name":"b"}}': "Invalid Durofut JSON: failed to deserialize workflow step: duplicate field `result_name`",
    ' { "node_type" "SQL"}': 'Invalid Durofut JSON: expected a ":"',
    '{"node_type":"JOIN","extra_nodes":{}}': "Invalid Durofut JSON: failed to deserialize workflow step: extra_nodes must be an array",
    '{"node_type":"JOIN","extra_nodes":[1]}': "Invalid Durofut JSON: failed to deserialize workflow step: extra_nodes entries must be Durofut JSON objects",
    '{"node_type":"LOOP","condition_node":5}': "Invalid Durofut JSON: failed to deserialize workflow step: condition_node must be a Durofut JSON object",
    '{"node_type":"FOO"}': "Unknown node_type 'FOO'. Valid types: SQL, THEN, IF,",
    '{"node_type":"THEN","left_node":"a"}': "Invalid Durofut JSON: failed to deserialize workflow step: Durofut child",
    '{"node_type":"THEN","left_node":{},"right_node":{}}': "Invalid Durofut JSON: failed to deserialize workflow step: m",
    '{"node_type":"SQL"}': "Invalid Durofut JSON: failed to deserialize workflow step: a SQL node needs `query`",
    '{"node_type":"SQL","query":"a","condition_node":{}}': "condition_node is not valid for SQL nodes",
    '{"node_type":"SLEEP","query":"5","extra_nodes":[]}': "extra_nodes is not valid for SLEEP nodes",
    '{"node_type":"SQL","query":"a","left_node":{"node_type":"SQL","query":"b"}}': "left_node is not valid for SQL nodes",
    '{"node_type":"SLEEP","query":"5","right_node":{}}': "right_node is not valid for SLEEP nodes",
    '{"node_type":"LOOP","left_node":{},"right_node":{}}': "right_node is not valid for LOOP nodes",
    '{"node_type":"THEN","query":"a","left_node":{},"right_node":{}}': "query is not valid for THEN nodes",
    '{"node_type":"RACE","query":"","left_node":{},"right_node":{}}': "query is not valid for RACE nodes",
    '{"node_type":"LOOP","query":"SELECT false","left_node":{}}': "query in LOOP must be valid JSON config: ",
    '{"node_type":"IF","query":"[]","left_node":{},"right_node":{}}': "query in IF must be a JSON config object",
    '{"node_type":"LOOP","query":"{\\"condition_node\\":\\"a\\"}","left_node":{}}': "condition_node in LOOP must be a first-class",
    '{"node_type":"SIGNAL","query":"x"}': "query in SIGNAL must be valid JSON config: ",
    '{"node_type":"SIGNAL","query":"[]"}': "query in SIGNAL must be a JSON config object",
}


@pytest.mark.parametrize(("value", "title"), REFUSED.items())
def test_json_that_claims_to_be_a_step_and_is_none_is_refused(value: str, title: str) -> None:
    (found,) = parse(Source("test.df", f"'{value}'")).diagnostics
    assert found.code == "PW023"
    assert found.title.startswith(title)


ANSWERS = {
    "OK": "'OK' is the answer of a df function, not a statement; it cannot be used as a workflow step",
    "completed": "'completed' is the answer of a df function, not a statement; it cannot be used as a workflow step",
    "Instance a1b2c3d4 cancelled: Cancelled by user":
        "'Instance a1b2c3d4 cancelled: Cancelled by user' is the answer of a df function, not a statement; "
        "it cannot be used as a workflow step",
    " a1b2c3d4": "' a1b2c3d4' is the id of an instance, not a statement; it cannot be used as a workflow step",
}  # fmt: skip


@pytest.mark.parametrize(("value", "title"), ANSWERS.items())
def test_what_df_functions_answer_is_no_step(value: str, title: str) -> None:
    (found,) = parse(Source("test.df", f"'{value}' ~> 'b'")).diagnostics
    assert (found.code, found.title) == ("PW020", title)


@pytest.mark.parametrize(
    ("call", "beginning"),
    [("df.start", "Invalid durable function: "), ("df.call_child", "Invalid child durable function: ")],
)
def test_a_start_and_a_child_say_it_in_their_own_words(call: str, beginning: str) -> None:
    titles = [
        parse(Source("test.df", f"{call}('{value}')")).diagnostics[0].title
        for value in ('{"node_type":"FOO"}', '{"node_type":"SQL","query":5}')
    ]
    assert titles[0].startswith(f"{beginning}Unknown node_type 'FOO'. Valid types: SQL, THEN,")
    assert titles[1] == f"{beginning}Malformed Durofut JSON with node_type 'SQL': query must be a string"


def test_a_half_built_if_written_as_json_can_be_completed() -> None:
    half = (
        """'{"_partial_if":true,"condition":"c","then_branch":"{\\"node_type\\":\\"SLEEP\\",\\"query\\":\\"5\\"}"}'"""
    )
    assert shape(step(f"{half} !> 'e'")) == "if(c, sleep(), e)"
    assert codes("""'{"_partial_if":true,"condition":"c"}' !> 'e'""") == ["PW020"]


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
