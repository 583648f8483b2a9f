"""Checks other than those of names, and the order of what is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from support import ast
from support.programs import definitions
from support.sections import find

from pgweave.compiler import passes
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.nodes import CallChild, Definition, Module, Option
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Node


def check(node: Node) -> tuple[Diagnostic, ...]:
    return passes.check(ast.module(node))


def codes(node: Node) -> list[str]:
    return [finding.code for finding in check(node)]


def test_a_break_without_a_loop_is_reported_wherever_it_hides() -> None:
    branch = ast.if_(ast.sql("SELECT c()"), ast.break_(), ast.join(ast.sql("SELECT a()"), ast.break_()))
    assert codes(branch) == ["PW304", "PW304"]
    assert codes(ast.loop(branch)) == []
    assert codes(ast.loop(ast.sql("SELECT a()"), ast.break_())) == []
    assert codes(ast.then(ast.loop(ast.sql("SELECT a()"), ast.sql("SELECT c()")), ast.break_())) == ["PW304"]


def test_a_child_cannot_leave_its_parents_loop() -> None:
    assert codes(ast.loop(ast.call(ast.break_(), "child", timeout_seconds=1))) == ["PW304"]
    assert codes(ast.call(ast.loop(ast.break_()), "child", timeout_seconds=1)) == []


def test_what_an_unknown_expression_does_with_a_break_is_not_judged() -> None:
    assert codes(ast.opaque("twice(df.break())", ast.break_())) == []


def test_a_wait_without_a_timeout_is_worth_a_remark() -> None:
    bound = ast.sql("SELECT df.start('SELECT 1', 'report') AS id", "report")
    waits = (
        ast.then(bound, ast.await_instance("$report.id")),
        ast.call(ast.sleep(1), "c"),
        ast.call(ast.sleep(1), "c", database="d"),
    )
    for node in waits:
        (finding,) = check(node)
        assert (finding.code, finding.severity) == ("PW601", Severity.INFO)
    assert codes(ast.then(bound, ast.await_instance("$report.id", 60))) == []
    assert codes(ast.call(ast.sleep(1), "child", timeout_seconds=60)) == []


def test_a_misspelt_timeout_is_one_finding_and_not_two() -> None:
    assert codes(ast.call(ast.sleep(1), "child", timeout=60)) == ["PW602"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("timeout", "timeout_seconds"),
        ("Timeout-Seconds", "timeout_seconds"),
        ("databse", "database"),
        ("onfailure", "on_failure"),
    ],
)
def test_an_unknown_option_is_refused_in_the_words_of_the_reference_with_what_was_meant(name: str, meant: str) -> None:
    call = ast.call(ast.sleep(1), "child", **{"timeout_seconds": 1, name: 1})
    (finding,) = check(call)
    assert finding.title == (
        f"df.call_child: unsupported option '{name}'. Supported options: timeout_seconds, database, on_failure, on_timeout, on_cancel"
    )
    assert finding.help == f"Did you mean `{meant}`?"
    option = call.option(name)
    assert option is not None
    assert finding.span == option.name_span


def test_an_option_that_is_like_no_other_is_to_be_removed() -> None:
    (finding,) = check(ast.call(ast.sleep(1), "child", timeout_seconds=1, retries=3))
    assert finding.help.startswith("Remove it")
    assert finding.fix is None


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_fix_keeps_the_quotes_that_stand_there(quote: str) -> None:
    text = f"x{quote}timeout{quote}x"
    option = Option("timeout", 1, Span(1, len(text) - 1), Span(0, 1))
    call = CallChild(child=ast.sleep(1), label=ast.text("child"), options=(option,), span=Span(0, 1))
    definition = Definition(node=call, name="d", span=Span(0, 1))
    (finding,) = passes.check(Module(source=Source("d", text), definitions=(definition,)))
    assert finding.fix is not None
    assert [edit.text for edit in finding.fix.edits] == [f"{quote}timeout_seconds{quote}"]


NOT_INTEGERS: tuple[object, ...] = (None, "30", 1.5, 30.0, True, [], {})
BAD_VALUES: tuple[tuple[str, tuple[object, ...], str], ...] = (
    ("timeout_seconds", NOT_INTEGERS, "df.call_child timeout_seconds must be an integer"),
    ("timeout_seconds", (0, -1, 2**31, 10**30), "df.call_child timeout_seconds must be between 1 and 2147483647"),
    ("database", (None, 1, ["d"]), "df.call_child database must be a string"),
    ("on_failure", (None, 1), "df.call_child on_failure must be a string"),
    ("on_failure", ("continue",), "df.call_child on_failure must be 'raise' or 'return'"),
    ("on_timeout", ("continue",), "df.call_child on_timeout must be 'raise' or 'return'"),
    ("on_cancel", ("raise",), "df.call_child on_cancel must be 'leave' or 'cancel'"),
)


@pytest.mark.parametrize(
    ("name", "value", "title"), [(name, value, title) for name, values, title in BAD_VALUES for value in values]
)
def test_a_bad_value_is_refused_in_the_words_of_the_reference(name: str, value: object, title: str) -> None:
    call = ast.call(ast.sleep(1), "child", **{"timeout_seconds": 1, name: value})
    (finding,) = check(call)
    option = call.option(name)
    assert option is not None
    assert (finding.code, finding.title, finding.span) == ("PW603", title, option.value_span)


@pytest.mark.parametrize("options", [{"timeout_seconds": 2147483647}, {"on_failure": "raise"}, {"database": "d"}])
def test_good_values_pass(options: dict[str, object]) -> None:
    assert codes(ast.call(ast.sleep(1), "child", **{"timeout_seconds": 1, **options})) == []


def test_of_equal_keys_the_last_counts() -> None:
    first, last = (ast.call(ast.sleep(1), "child", timeout_seconds=value).options or () for value in ("30", 30))
    call = CallChild(child=ast.sleep(1), label=ast.text("child"), options=(*first, *last), span=ast.span())
    assert codes(call) == []


def test_findings_are_in_the_order_of_the_text_over_all_definitions() -> None:
    found = passes.check(
        ast.module(ast.then(ast.sql("SELECT $a"), ast.break_()), ast.join(ast.break_(), ast.sql("SELECT $b")))
    )
    assert [finding.code for finding in found] == ["PW201", "PW304", "PW304", "PW201"]
    assert [finding.span for finding in found] == sorted(finding.span for finding in found)


@given(definitions())
def test_any_program_can_be_checked_and_says_the_same_twice(definition: Definition) -> None:
    module = ast.module(definition.node)
    assert passes.check(module) == passes.check(module)


@pytest.mark.parametrize(
    ("script", "places"),
    [
        ("BEGIN;\nSELECT df.start('SELECT 1') AS id \\gset\nSELECT df.wait_for_completion(:'id');\nCOMMIT;\n", 1),
        ("start transaction; SELECT df.start('SELECT 1'); SELECT DF.WAIT_FOR_COMPLETION(:'id', 5);", 1),
        ("SELECT df.wait_for_completion(df.start('SELECT 1'));", 1),
        ("SELECT df.start('SELECT 1') AS id \\gset\nSELECT df.wait_for_completion(:'id');\n", 0),
        ("BEGIN; SELECT df.start('SELECT 1'); COMMIT; SELECT df.wait_for_completion('0a1b2c3d');", 0),
        ("BEGIN; SELECT df.wait_for_completion('0a1b2c3d'); SELECT df.start('SELECT 1'); COMMIT;", 0),
        ("BEGIN; SELECT df.start('SELECT 1', transaction_mode => 'new'); SELECT df.wait_for_completion(:'id');", 0),
        ("-- BEGIN;\nSELECT df.start('SELECT ''df.wait_for_completion''');", 0),
    ],
)
def test_a_script_that_waits_before_it_commits_waits_in_vain(script: str, places: int) -> None:
    found = [one for one in find(Source("deploy.sql", script)) if one.code == "PW507"]
    assert len(found) == places
    assert all(one.span.of(script).lower() == "df.wait_for_completion" for one in found)
