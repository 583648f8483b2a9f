"""Who reads what: scopes of names, seen through PW201 and through what binds each reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import ast

from pgweave.compiler import passes
from pgweave.compiler.facts import flow
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Node

READ = "SELECT $x"


def undefined(node: Node, *variables: str) -> list[str]:
    """Names that PW201 reports."""
    found = passes.check(ast.module(node, variables=variables))
    return [finding.title.split("`")[1] for finding in found if finding.code == "PW201"]


def binders(node: Node) -> list[set[str]]:
    """For each reading, in order, the SQL of the steps that may have bound it; `?`: maybe nobody."""
    reads = flow.trace(ast.definition(node)).reads
    return [{str(getattr(step.node, "query").value) if step else "?" for step in read.binders} for read in reads]  # noqa: B009


def bind(query: str, name: str = "x") -> Node:
    return ast.sql(query, name)


def test_a_name_is_known_to_the_steps_after_the_one_that_binds_it() -> None:
    assert undefined(ast.then(bind("a"), ast.sql(READ))) == []
    assert undefined(ast.then(ast.sql(READ), bind("a"))) == ["$x"]


def test_a_step_does_not_read_its_own_name() -> None:
    assert undefined(ast.sql(READ, "x")) == ["$x"]


def test_the_name_of_a_sequence_is_known_after_it() -> None:
    pair = ast.then(ast.sql("a"), ast.sql("b"), name="x")
    assert undefined(ast.then(pair, ast.sql(READ))) == []


def test_a_condition_binds_for_both_arms() -> None:
    choice = ast.if_(bind("c"), ast.sql(READ), ast.sql(READ))
    assert binders(choice) == [{"c"}, {"c"}]


def test_after_a_choice_either_arm_may_have_bound_the_name() -> None:
    choice = ast.if_(ast.sql("c"), bind("yes"), bind("no"))
    assert binders(ast.then(choice, ast.sql(READ))) == [{"yes", "no"}]
    one_arm = ast.if_(ast.sql("c"), bind("yes"), ast.sql("no"))
    assert binders(ast.then(one_arm, ast.sql(READ))) == [{"yes", "?"}]
    assert undefined(ast.then(one_arm, ast.sql(READ))) == []


def test_branches_of_a_join_do_not_see_each_other() -> None:
    assert undefined(ast.join(bind("a"), ast.sql(READ))) == ["$x"]
    assert undefined(ast.join(ast.sql(READ), bind("a"))) == ["$x"]


def test_after_a_join_the_last_branch_that_changed_a_name_has_it() -> None:
    before = bind("before")
    join = ast.join(bind("one"), bind("two"), ast.sql("three"))
    assert binders(ast.then(before, join, ast.sql(READ))) == [{"two"}]
    maybe = ast.join(bind("one"), ast.if_(ast.sql("c"), bind("two"), ast.sql("no")))
    assert binders(ast.then(before, maybe, ast.sql(READ))) == [{"one", "two"}]


def test_after_a_race_only_the_winner_has_bound_its_names() -> None:
    race = ast.race(bind("fast"), ast.sleep(9))
    assert binders(ast.then(race, ast.sql(READ))) == [{"fast", "?"}]


def test_a_loop_reads_in_its_next_turn_what_it_bound_in_the_last() -> None:
    body = ast.then(ast.sql(READ), bind("turn"))
    assert binders(ast.loop(body)) == [{"turn", "?"}]
    assert binders(ast.then(bind("before"), ast.loop(body, ast.sql(READ)))) == [{"before", "turn"}, {"turn"}]


def test_a_break_carries_out_what_was_bound_before_it_and_no_more() -> None:
    body = ast.then(bind("first"), ast.if_(ast.sql("c"), ast.break_(), ast.sql("go on")), bind("last", "y"))
    after = ast.then(ast.loop(body), ast.sql("SELECT $x, $y"))
    assert binders(after) == [{"first"}, {"last", "?"}]


def test_an_arm_that_breaks_does_not_make_a_name_uncertain() -> None:
    body = ast.then(ast.if_(ast.sql("c"), ast.break_(), bind("bound")), ast.sql(READ))
    assert binders(ast.loop(body)) == [{"bound"}]


def test_nothing_is_said_about_steps_that_are_never_reached() -> None:
    assert undefined(ast.then(ast.loop(ast.sql("SELECT 1")), ast.sql(READ))) == []
    assert undefined(ast.loop(ast.then(ast.break_(), ast.sql(READ)))) == []


def test_a_called_child_has_names_of_its_own() -> None:
    parent = ast.then(bind("a"), ast.call(ast.sql(READ)))
    assert undefined(parent) == ["$x"]
    assert undefined(ast.then(ast.call(bind("in the child")), ast.sql(READ))) == ["$x"]
    assert undefined(ast.then(ast.call(ast.sleep(1), None, "x"), ast.sql(READ))) == []


def test_the_label_of_a_child_is_read_in_the_parent() -> None:
    call = ast.call(ast.sleep(1), "order $x", timeout_seconds=1, database="db_$x")
    assert binders(ast.then(bind("a"), call)) == [{"a"}, {"a"}]


def test_texts_that_are_filled_in_are_read_and_others_are_not() -> None:
    texts: list[Node] = [ast.http("https://x.y/$x", "PUT", "$x", '{"h": "$x"}'), ast.await_instance("$x.instance_id")]
    for node in texts:
        assert {frozenset(found) for found in binders(ast.then(bind("a"), node))} == {frozenset({"a"})}
    assert binders(ast.then(bind("a"), ast.loop(ast.break_("$x")))) == [{"a"}]
    for node in (ast.signal("$x"), ast.schedule("$x")):
        assert binders(ast.then(bind("a"), ast.loop(node))) == []


def test_comments_are_not_read_and_dollar_quotes_are_no_names() -> None:
    assert undefined(ast.sql("SELECT 1 -- $x\n /* $x */")) == []
    assert undefined(ast.sql("SELECT $body$ text $body$, a$x, $1")) == []


def test_rows_of_an_unknown_result_are_reported_too() -> None:
    assert undefined(ast.if_rows("x", ast.sql("a"), ast.sql("b"))) == ["x"]
    assert undefined(ast.then(bind("a"), ast.if_rows("x", ast.sql("a"), ast.sql("b")))) == []


@pytest.mark.parametrize(
    "node",
    [ast.sql("SELECT jsonb_path_query(d, '$.a ? (@ > $min)')"), ast.http("https://x.y?$filter=a", body='{"$set": 1}')],
)
def test_a_dollar_that_may_mean_itself_is_left_alone(node: Node) -> None:
    assert undefined(ast.then(bind("a", "order"), node)) == []


def test_a_slip_in_a_quoted_text_is_reported_where_the_name_is_nearly_one_that_is_known() -> None:
    program = ast.then(bind("a", "customer"), ast.sql("SELECT 'Dear $custmer'"))
    assert undefined(program) == ["$custmer"]


def test_after_an_expression_that_only_the_database_knows_any_name_may_be_bound() -> None:
    assert undefined(ast.then(ast.opaque(":graph"), ast.sql(READ))) == []
    assert undefined(ast.opaque(":graph", ast.sql(READ))) == []


def advice(text: str) -> tuple[str, str]:
    """Help of the one finding, and the program after its fix."""
    parsed = parse(Source("test.df", text))
    assert parsed.diagnostics == ()
    (finding,) = [each for each in passes.check(parsed.module) if each.code != "PW206"]
    for edit in finding.fix.edits if finding.fix else ():
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return finding.help, text


def test_the_nearest_name_is_suggested() -> None:
    assert advice("'SELECT 1' |=> 'order' ~> 'SELECT ''x'', $ordr.id'") == (
        "Did you mean `$order`?",
        "'SELECT 1' |=> 'order' ~> 'SELECT ''x'', $order.id'",
    )
    assert advice("'SELECT 1' |=> 'order' ~> df.if_rows('odrer', 'SELECT a()', 'SELECT b()')") == (
        "Did you mean `order`?",
        "'SELECT 1' |=> 'order' ~> df.if_rows('order', 'SELECT a()', 'SELECT b()')",
    )


def test_a_text_that_was_put_together_is_not_corrected_by_guess() -> None:
    program = "'SELECT 1' |=> 'order' ~> df.sql(replace('SELECT $o-dr.id', '-', 'r'))"
    assert advice(program) == ("Did you mean `$order`?", program)


def test_a_variable_that_is_read_with_a_dollar_is_explained() -> None:
    variable = "df.setvar('region', 'eu');"
    assert advice(f"{variable} 'SELECT $region'") == (
        "Write `{region}`.",
        f"{variable} 'SELECT {{region}}'",
    )


def test_a_name_that_is_bound_elsewhere_is_shown_with_its_place() -> None:
    program = ast.then(ast.sql(READ), bind("SELECT later()"))
    (finding,) = passes.check(ast.module(program))
    assert [note.text for note in finding.notes] == ["`x` is bound here"]
    assert "run after the one that binds it" in finding.help


def test_a_name_that_nobody_knows_asks_for_a_binding() -> None:
    assert advice("'SELECT $x'")[0] == "Name the step that it should come from: `... |=> 'x'`."


def test_the_caret_stands_under_the_name_inside_the_text() -> None:
    program = ast.sql("SELECT 1, $x.total")
    (finding,) = [each for each in passes.check(ast.module(program)) if each.code == "PW201"]
    start = program.query.span.start + 1 + len("SELECT 1, ")
    assert (finding.span.start, finding.span.end) == (start, start + len("$x.total"))
