"""Every df call: arguments in both spellings, types, defaults, and the words of the reference where it refuses."""

from __future__ import annotations

import pytest
from support.shape import codes, program, shape, step

from pgweave.grammar import nodes
from pgweave.grammar.kinds import CALLS
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

AT = Span(0, 0)


def text(value: str) -> nodes.Text:
    return nodes.Text(value, AT)


A, B = (nodes.Sql(query=text(letter), span=AT) for letter in "ab")
EQUAL: dict[str, nodes.Node] = {
    "df.sql('a')": A,
    "df.sql(query => 'a')": A,
    """df.sql('{"node_type":"SLEEP","query":"1"}')""":
        nodes.Sql(query=text('{"node_type":"SLEEP","query":"1"}'), span=AT),
    "df.seq('a', 'b')": nodes.Then(first=A, second=B, span=AT),
    "df.seq(b := 'b', a => 'a')": nodes.Then(first=A, second=B, span=AT),
    "DF.SEQ('a', 'b')": nodes.Then(first=A, second=B, span=AT),
    '"df"."seq"(\'a\', \'b\')': nodes.Then(first=A, second=B, span=AT),
    "df . seq /* c */ ('a' -- c\n, 'b')": nodes.Then(first=A, second=B, span=AT),
    "df.as('a', 'n')": nodes.Sql(query=text("a"), binding=nodes.Binding("n", AT), span=AT),
    "df.\"as\"('a' |=> 'm', 'n')": nodes.Sql(query=text("a"), binding=nodes.Binding("n", AT), span=AT),
    "df.sleep(60)": nodes.Sleep(seconds=60, span=AT),
    "df.sleep('60')": nodes.Sleep(seconds=60, span=AT),
    "df.sleep(60 * 60::bigint)": nodes.Sleep(seconds=3600, span=AT),
    "df.sleep(0)": nodes.Sleep(seconds=0, span=AT),
    "df.wait_for_schedule('0 6 * * *')": nodes.WaitSchedule(cron=text("0 6 * * *"), span=AT),
    "df.loop('a')": nodes.Loop(body=A, span=AT),
    "df.loop('a', NULL)": nodes.Loop(body=A, span=AT),
    "df.loop('a', condition => 'b')": nodes.Loop(body=A, condition=B, span=AT),
    "df.break()": nodes.Break(span=AT),
    "df.break(NULL)": nodes.Break(span=AT),
    "df.break('done')": nodes.Break(value=text("done"), span=AT),
    "df.if('a', 'b', 'a')": nodes.If(condition=A, then_branch=B, else_branch=A, span=AT),
    "df.if_rows('r', 'a', 'b')": nodes.IfRows(result_name=text("r"), then_branch=A, else_branch=B, span=AT),
    "df.join('a', 'b')": nodes.Join(branches=(A, B), span=AT),
    "df.join3('a', 'b', 'a')": nodes.Join(branches=(A, B, A), span=AT),
    "df.race('a', 'b')": nodes.Race(left=A, right=B, span=AT),
    "df.wait_for_signal('go')": nodes.Signal(signal_name=text("go"), span=AT),
    "df.wait_for_signal('go', timeout_seconds => 5)": nodes.Signal(signal_name=text("go"), timeout_seconds=5, span=AT),
    "df.await_instance('$c.instance_id')": nodes.AwaitInstance(instance_id=text("$c.instance_id"), span=AT),
    "df.await_instance('{id}', 9)": nodes.AwaitInstance(instance_id=text("{id}"), timeout_seconds=9, span=AT),
    "df.http('https://x')": nodes.Http(url=text("https://x"), span=AT),
    "df.http('{base}/x', 'get')": nodes.Http(url=text("{base}/x"), method="GET", span=AT),
    "df.http('$u.url', headers => '{\"bb\":1,\"a\":\"$t\"}', timeout_seconds => 5, body => 'b')": nodes.Http(
        url=text("$u.url"), body=text("b"), headers=text('{"a": "$t", "bb": 1}'), timeout_seconds=5, span=AT
    ),
    "df.http_multipart('http://x', parts => jsonb_build_array(jsonb_build_object('name', 'f')))": nodes.HttpMultipart(
        url=text("http://x"), parts=text('[{"name": "f"}]'), span=AT
    ),
    "df.call_child('a')": nodes.CallChild(child=A, span=AT),
    "df.call_child('a', NULL, NULL)": nodes.CallChild(child=A, span=AT),
    "df.call_child('a', 'l', options => '{}')": nodes.CallChild(child=A, label=text("l"), options=(), span=AT),
    "df.call_child('a', 'l', jsonb_build_object('timeout_seconds', 5))": nodes.CallChild(
        child=A, label=text("l"), options=(nodes.Option("timeout_seconds", 5, AT, AT),), span=AT
    ),
    "df.call_child('a', options => '{\"x\": [1.5, null], \"x\": \"y\"}'::jsonb)": nodes.CallChild(
        child=A, options=(nodes.Option("x", [1.5, None], AT, AT), nodes.Option("x", "y", AT, AT)), span=AT
    ),
    "OPERATOR(public.@>) 'a' OPERATOR(df.~>) 'b'": nodes.Then(first=nodes.Loop(body=A, span=AT), second=B, span=AT),
    "df.sleep(60)::text": nodes.Sleep(seconds=60, span=AT),
}  # fmt: skip


@pytest.mark.parametrize(("written", "node"), EQUAL.items())
def test_a_call_gives_its_node(written: str, node: nodes.Node) -> None:
    assert step(written) == node


def test_every_call_of_the_table_is_tried_here() -> None:
    assert {name for name in CALLS if any(f"df.{name}(" in text.lower() for text in EQUAL)} | {"as", "seq"} == set(
        CALLS
    )


# One line for each refusal of the reference that can be told from the text alone: what each call says when it builds.
WORDING = {
    "df.as('a', '1n')": "df.as: result name '1n' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*",
    "'a' |=> ''": "df.as: result name cannot be empty",
    "df.wait_for_schedule('* * *')":
        "Invalid cron expression '* * *': expected 5 fields (minute hour day-of-month month day-of-week), found 3",
    "df.wait_for_schedule('61 * * * *')": "Invalid cron expression '61 * * * *': minute 61 is outside of 0 to 59",
    "df.wait_for_schedule('a * * * *')": "Invalid cron expression 'a * * * *': 'a' is not a minute",
    "df.http('{base}/x', timeout_seconds => -1)": "Timeout must be positive",
    "df.http('x')": "Blocked: unsupported URL scheme 'x'. Only http and https are allowed.",
    "df.http_multipart('https://x', timeout_seconds => 0, parts => '[{}]')": "Timeout must be positive",
    "df.http_multipart('https://x', parts => '[1]')": "parts must be a JSON array of part objects",
    "df.call_child('a', options => '5')": "df.call_child options must be a JSON object",
    "df.sleep(-1)": "Sleep duration must be non-negative",
    "df.wait_for_signal('')": "Signal name cannot be empty",
    "df.wait_for_signal('x', 0)": "Timeout must be positive",
    "df.await_instance('')": "Instance ID cannot be empty",
    "df.await_instance('x', -5)": "Timeout must be positive",
    "df.as('a', '')": "df.as: result name cannot be empty",
    "'a' |=> 'a-b'": "df.as: result name 'a-b' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*",
    "df.call_child('a', 'l', '[]')": "df.call_child options must be a JSON object",
    "df.call_child('a', 'l', 'null')": "df.call_child options must be a JSON object",
    "df.http('ftp://x')": "Blocked: unsupported URL scheme 'ftp'. Only http and https are allowed.",
    "df.http('POST', 'https://x')": "Blocked: unsupported URL scheme 'POST'. Only http and https are allowed.",
    "df.http('https://x', 'HEAD')": "Invalid HTTP method: HEAD. Must be GET, POST, PUT, DELETE, or PATCH",
    "df.http('https://x', timeout_seconds => 0)": "Timeout must be positive",
    "df.http_multipart('https://x', 'GET', '[{}]')":
        "Invalid HTTP method for multipart: GET. Must be POST, PUT, or PATCH",
    "df.http_multipart('https://x')": "parts is required and cannot be NULL",
    "df.http_multipart('https://x', parts => '{}')": "parts must be a JSON array of part objects",
    "df.http_multipart('https://x', parts => '[]')": "parts must contain at least one part",
    "'a' !> 'b'": "Invalid if-then-else: left side of !> must be a ?> expression",
    "df.start('a', transaction_mode => 'later')":
        "invalid transaction_mode \"later\" for df.start(): expected 'caller' or 'new'",
}  # fmt: skip


@pytest.mark.parametrize(("written", "title"), WORDING.items())
def test_a_refused_value_is_refused_in_the_words_of_the_reference(written: str, title: str) -> None:
    (found,) = parse(Source("test.df", written)).diagnostics
    assert (found.code, found.title) == ("PW020", title)


def test_a_cron_caret_stands_under_the_field() -> None:
    written = r"df.wait_for_schedule(E'0 6 *\t13 *')"
    (found,) = parse(Source("test.df", written)).diagnostics
    assert found.span.of(written) == "13"


CODES = {
    "df.wait_for_signal('x', 5::bigint)": ["PW019"], "df.wait_for_signal('x', 2147483647 + 1)": ["PW026"],
    "df.sleep(interval '1 hour')": ["PW019"], "df.if(1 = 1, 'a', 'b')": ["PW019"], "'a' AND 'b'": ["PW019"],
    "'a' |=> n": ["PW019"], "df.sleep '5'": ["PW001"], 'df.start("SELECT 1")': ["PW028"],
    "df.slep(5)": ["PW013"], "df.start(df.then('a', 'b'))": ["PW013"], "df.sleep(secs => 5)": ["PW014"],
    "df.join('a')": ["PW015"], "df.join('a', 'b', 'c')": ["PW016"], "df.join('a', a => 'b')": ["PW017"],
    "df.join(a => 'a', 'b')": ["PW018"], "df.sleep('soon')": ["PW019"], "df.sleep(1.5)": ["PW019"],
    "df.sleep(99999999999999999999)": ["PW019"], "df.wait_for_signal('x', 2147483648)": ["PW019"],
    "df.sql(5)": ["PW019"], "df.sql(df.sleep(1))": ["PW033"], "df.seq('a', 5)": ["PW019"],
    "df.http('https://x', headers => '{}'::text)": ["PW019"], "df.seq('a', NULL)": ["PW021"], "NULL & 'a'": ["PW021"],
    "df.loop(NULL)": ["PW021"], "df.http('https://x', method => NULL)": ["PW021"], "'a' |=> NULL": ["PW021"],
    "df.http('https://x', headers => '{')": ["PW022"], "df.status('x')": ["PW024"], "SELECT df.cancel('x')": ["PW024"],
    "'a' ~> df.start('b')": ["PW504"], "df.setvar('a', 'b') ~> 'c'": ["PW504"], "df.start('a', :label)": ["PW027"],
    "df.start('a', 5)": ["PW019"], "df.setvar('a')": ["PW015"], "df.setvar(1, 'a')": ["PW019"],
}  # fmt: skip


@pytest.mark.parametrize(("written", "found"), CODES.items())
def test_a_wrong_argument_is_named(written: str, found: list[str]) -> None:
    assert codes(written) == found


def test_options_point_into_the_json_inside_the_literal() -> None:
    written = """df.call_child('a', 'l', E'{"time\\u006fut": 30,\\n "b": {"c": 1}}')"""
    node = step(written)
    assert isinstance(node, nodes.CallChild)
    first, second = node.options or ()
    assert (first.name, first.value) == ("timeout", 30)
    assert first.name_span.of(written) == '"time\\u006fut"'
    assert first.value_span.of(written) == "30"
    assert second.name_span.of(written) == '"b"'
    assert second.value_span.of(written) == '{"c": 1}'


def fixed(written: str) -> str:
    """The text after the safe fix of its only finding."""
    (found,) = parse(Source("test.df", written)).diagnostics
    assert found.fix is not None
    assert found.fix.safe
    for edit in sorted(found.fix.edits, key=lambda edit: edit.span, reverse=True):
        written = written[: edit.span.start] + edit.text + written[edit.span.end :]
    return written


FIXED = {
    "'c' ?> 'a' ~> 'b' !> 'd'": "'c' ?> ('a' ~> 'b') !> 'd'",
    "'c' ?> @> 'a' & 'b' |=> 'n' !> 'd' ~> 'e'": "'c' ?> (@> 'a' & 'b' |=> 'n') !> 'd' ~> 'e'",
    "'a' |=> n ~> 'b'": "'a' |=> 'n' ~> 'b'",
    "'a'~>@>'b'": "'a'~> @>'b'",
}


@pytest.mark.parametrize(("written", "text"), FIXED.items())
def test_a_safe_fix_makes_a_good_program(written: str, text: str) -> None:
    assert fixed(written) == text
    assert codes(text) == []


def test_ensure_durofut_is_what_the_place_of_a_step_does_anyway() -> None:
    (ensured, plain) = parse(
        Source("x.df", "df.ensure_durofut('a' |=> 'x') ~> 'b'; 'a' |=> 'x' ~> 'b'")
    ).module.definitions
    assert ensured.node == plain.node


def test_an_opaque_argument_makes_the_call_opaque_and_keeps_the_steps_inside() -> None:
    node = step("df.call_child('a' ~> 'b', :'label')")
    assert isinstance(node, nodes.Opaque)
    assert node.text == "df.call_child('a' ~> 'b', :'label')"
    assert [shape(operand) for operand in node.operands] == ["seq(a, b)"]


def test_an_opaque_step_is_a_step_like_any_other() -> None:
    assert shape(step("'a' ~> (SELECT q FROM saved) |=> 'x' & :'more'")) == (
        "join(as(seq(a, <(SELECT q FROM saved)>), x), <:'more'>)"
    )


def test_a_file_holds_workflows_and_variables() -> None:
    parsed = parse(
        Source(
            "flows/nightly.df",
            "SELECT df.setvar('region', 'no''rth'); df.setvar('n', NULL);\n"
            "SELECT df.start('a', 'first', database => 'x', transaction_mode => 'NEW') AS id;;\n"
            "'b' ~> 'c'; df.explain('d'); SELECT df.start('e'), df.start('f', NULL);",
        )
    )
    assert parsed.diagnostics == ()
    module = parsed.module
    assert [(one.name, one.value) for one in module.variables] == [("region", "no'rth"), ("n", None)]
    assert [(one.name, shape(one.node)) for one in module.definitions] == [
        ("first", "a"), ("nightly-2", "seq(b, c)"), ("nightly-3", "d"), ("nightly-4", "e"), ("nightly-5", "f"),
    ]  # fmt: skip
    first = module.definitions[0]
    assert first.label == text("first")
    assert first.database == text("x")
    assert first.transaction_mode == "new"


def test_the_first_workflow_without_a_label_takes_the_name_of_the_file() -> None:
    assert program("'a'").name == "test"


def test_spans_tell_parentheses_operators_and_names_apart() -> None:
    written = "('a' ~> 'b') |=> 'x' & ('c')"
    join = step(written)
    assert isinstance(join, nodes.Join)
    left, right = join.branches
    assert join.span.of(written) == written
    assert join.operator is not None
    assert join.operator.of(written) == "&"
    assert left.span.of(written) == "('a' ~> 'b') |=> 'x'"
    assert left.binding is not None
    assert left.binding.grouped
    assert left.binding.target is not None
    assert left.binding.target.of(written) == "('a' ~> 'b')"
    assert left.parens is None
    assert right.span.of(written) == "'c'"
    assert right.outer.of(written) == "('c')"
