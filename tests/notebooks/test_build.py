"""pgweave.build: the language as Python values, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ast
from support.pace import examples
from support.programs import programs, words

import pgweave
from pgweave import build
from pgweave.build import (
    Step,
    await_instance,
    break_,
    call_child,
    code,
    expression,
    http,
    if_,
    if_rows,
    join,
    loop,
    race,
    sleep,
    sql,
    wait_for_schedule,
    wait_for_signal,
    workflow,
)
from pgweave.grammar.nodes import same
from pgweave.grammar.span import Source
from pgweave.grammar.writing.printer import print_node
from pgweave.workflow import load_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Node

ROOT = __file__.rpartition("/tests/")[0]


def run(program: str) -> dict[str, object]:
    """What a program of Python binds; names that it imports are left out."""
    bound: dict[str, object] = {}
    exec(program, bound)
    return {name: value for name, value in bound.items() if not hasattr(build, name) and name != "__builtins__"}


@settings(max_examples=examples(150), deadline=None)
@given(programs())
def test_every_tree_can_be_built_and_its_python_builds_it(tree: Node) -> None:
    """Tree -> Python -> tree, for every kind of node with every kind of text, name and number."""
    *_, built = run(code(Step(tree))).values()
    assert isinstance(built, Step)
    assert same(built.node, tree)


@settings(max_examples=examples(100), deadline=None)
@given(programs(), st.none() | words)
def test_what_is_built_says_itself_in_the_language(tree: Node, label: str | None) -> None:
    """Tree -> workflow -> text -> tree, and the workflow's Python builds an equal one."""
    built = workflow(Step(tree), label)
    assert same(built.definition.node, tree)
    assert same(pgweave.parse(built.text).definition.node, tree)
    assert built.label == label
    *_, again = run(code(built)).values()
    assert again == built


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (sql("SELECT 1") >> "SELECT 2" >> sleep(5), "'SELECT 1' ~> 'SELECT 2' ~> df.sleep(5)"),
        ("SELECT 1" >> sleep(5), "'SELECT 1' ~> df.sleep(5)"),
        (sql("a") & "b", "'a' & 'b'"),
        ("a" & sql("b"), "'a' & 'b'"),
        (sql("a") | "b", "'a' | 'b'"),
        ("a" | sql("b"), "'a' | 'b'"),
        (race("a", sleep(3)), "'a' | df.sleep(3)"),
        (join("a", "b", "c"), "df.join3('a', 'b', 'c')"),
        ((sql("a") >> "b").named("x"), "('a' ~> 'b') |=> 'x'"),
        (if_("c", "t", "e"), "'c' ?> 't' !> 'e'"),
        (if_rows("r", "t", "e"), "df.if_rows('r', 't', 'e')"),
        (loop("a"), "@> 'a'"),
        (loop("a", "c"), "df.loop('a', 'c')"),
        (break_("done"), "df.break('done')"),
        (wait_for_schedule("0 6 * * *"), "df.wait_for_schedule('0 6 * * *')"),
        (wait_for_signal("go", timeout_seconds=60), "df.wait_for_signal('go', 60)"),
        (await_instance("$c.instance_id"), "df.await_instance('$c.instance_id')"),
        (http("https://example.com", "GET"), "df.http('https://example.com', 'GET')"),
        (
            http("https://example.com", body="{}", headers={"x-key": "it's"}),
            """df.http('https://example.com', body => '{}', headers => $${"x-key": "it's"}$$)""",
        ),
        (
            call_child("a", "report", timeout_seconds=300, on_failure="return"),
            """df.call_child('a', 'report', '{"timeout_seconds": 300, "on_failure": "return"}')""",
        ),
        (expression("(SELECT query FROM steps)"), "(SELECT query FROM steps)"),
    ],
)
def test_each_call_and_operator_is_that_of_the_language(step: Step, text: str) -> None:
    assert str(step) == text
    assert same(pgweave.parse(text).definition.node, step.node)


def test_the_examples_come_back_from_their_python() -> None:
    for name in ("approval", "deadline", "nightly", "parent_child", "reports"):
        original = pgweave.load(f"{ROOT}/examples/{name}.df")
        (built,) = run(code(original)).values()
        assert built == original
        assert max(len(line) for line in code(original).splitlines() if '"' not in line) <= 100


def test_code_is_laid_out_for_reading() -> None:
    hold = workflow(
        sql("INSERT INTO seats DEFAULT VALUES RETURNING id").named("seat")
        >> ((wait_for_signal("paid") >> "UPDATE seats SET state = 'sold'") | sleep(900)),
        "hold",
    )
    assert code(hold) == (
        "from pgweave.build import sleep, sql, wait_for_signal, workflow\n"
        "\n"
        "hold = workflow(\n"
        '    sql("INSERT INTO seats DEFAULT VALUES RETURNING id").named("seat")\n'
        '    >> ((wait_for_signal("paid") >> sql("UPDATE seats SET state = \'sold\'")) | sleep(900)),\n'
        '    label="hold",\n'
        ")\n"
    )


def test_a_workflow_carries_what_start_is_told() -> None:
    made = workflow("SELECT {who}", "greets", database="shop", transaction_mode="new", variables={"who": "it's me"})
    assert made.text == "SELECT df.start('SELECT {who}', 'greets', 'shop', 'new');\n"
    assert [(one.name, one.value) for one in made.module.variables] == [("who", "it's me")]
    (again,) = run(code(made)).values()
    assert again == made
    assert again.module.variables == made.module.variables


@pytest.mark.parametrize(
    ("python", "code", "title"),
    [
        ("sleep(-1)", "PW020", "Sleep duration must be non-negative"),
        ("sleep(1.5)", "PW019", "must be a whole number"),
        ("sql('SELECT 1').named('1 b')", "PW020", "result name '1 b' is not a valid identifier"),
        ("wait_for_signal('go', 0)", "PW020", "Timeout must be positive"),
        ("wait_for_schedule('61 * * * *')", "PW020", "minute 61 is outside of 0 to 59"),
        ("http('ftp://example.com')", "PW020", "unsupported URL scheme 'ftp'"),
        ("sql(None)", "PW021", "cannot be NULL"),
        ("workflow('SELECT 1', transaction_mode='x')", "PW020", "invalid transaction_mode"),
    ],
)
def test_what_the_language_refuses_is_refused_with_its_finding(python: str, code: str, title: str) -> None:
    (finding,) = refusal(python)
    assert (finding.code, title in finding.title) == (code, True)


def refusal(python: str) -> Sequence[Diagnostic]:
    """The findings with which an expression of Python is refused."""
    with pytest.raises(pgweave.ProgramError) as refused:
        eval(python, vars(build).copy())
    return list(refused.value.findings)


def test_a_program_that_is_too_deep_is_refused_with_its_finding() -> None:
    with pytest.raises(pgweave.ProgramError) as refused:
        workflow(deep(300))
    assert [finding.code for finding in refused.value.findings][:1] == ["PW011"]


def deep(levels: int) -> Step:
    step = sql("SELECT 1")
    for _ in range(levels):
        step = loop(step)
    return step


def test_an_unknown_option_is_a_finding_as_in_the_language() -> None:
    found = workflow(call_child("SELECT 1", "child", timeout=3)).check()
    assert "PW602" in [finding.code for finding in found]


def test_a_deep_program_becomes_python_that_python_can_read() -> None:
    """Python refuses more than 200 brackets in each other."""
    tree = ast.sql("SELECT 1")
    for _ in range(250):
        tree = ast.loop(tree)  # type: ignore[assignment]
    bound = run(code(Step(tree)))
    assert len(bound) > 1
    assert same(bound["step"].node, tree)  # type: ignore[attr-defined]


def test_what_only_the_database_knows_is_carried_as_it_is_written() -> None:
    built = workflow(sql("SELECT 1") >> expression("(SELECT query FROM steps LIMIT 1)").named("found"), "asks")
    assert built.computed
    assert "~> ((SELECT query FROM steps LIMIT 1) |=> 'found')" in built.text
    (again,) = run(code(built)).values()
    assert again == built


def test_a_step_that_is_a_variable_of_the_sql_around_it_has_no_python() -> None:
    (found,) = load_source(
        Source("f.sql", "DO $$ BEGIN PERFORM df.start('SELECT 1' ~> p_step, 'x'); END $$"), pgweave.Workflow
    )
    with pytest.raises(pgweave.PgweaveError, match="`p_step` stands for a step in the SQL around it"):
        code(found)


def test_python_s_own_precedences_hold_and_are_shown_in_parentheses() -> None:
    a, b, c = sql("a"), sql("b"), sql("c")
    assert str(a & b >> c) == "'a' & ('b' ~> 'c')"
    assert str((a & b) >> c) == "('a' & 'b') ~> 'c'"
    assert str(a | b & c) == "'a' | ('b' & 'c')"


def test_a_step_has_no_truth_value() -> None:
    """`a and b` would quietly be `b`."""
    a, b = sql("a"), sql("b")
    with pytest.raises(TypeError, match="has no truth value before it has run"):
        assert [a and b]
    with pytest.raises(TypeError, match="has no truth value before it has run"):
        assert [not a]
    with pytest.raises(TypeError, match="has no truth value before it has run"):
        bool(a)


def test_what_is_no_step_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="and not int: 3"):
        sql("a") >> 3  # type: ignore[operator]
    with pytest.raises(pgweave.PgweaveError, match="needs two branches"):
        join("a")
    with pytest.raises(TypeError, match="not both"):
        call_child("a", options="{}", timeout_seconds=3)


def test_a_join_that_no_text_gives_says_what_to_write() -> None:
    with pytest.raises(pgweave.PgweaveError) as refusal:
        workflow(join(call_child("a"), "b", "c", "d"))
    assert "(a & b) & (c & d)" in refusal.value.advice


def test_equal_steps_are_equal_and_print_as_the_language() -> None:
    assert sql("a") >> "b" == sql("a") >> "b" != sql("a") & "b"
    assert len({sql("a"), sql("a"), sql("b")}) == 2
    assert repr(sql("a").named("x")) == "<Step 'a' |=> 'x'>"
    assert str(sql("a") >> "b") == print_node((sql("a") >> "b").node)
