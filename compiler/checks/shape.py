"""Checks of control flow: every step can be reached, and every loop knows when to end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.compiler.checks import grouping
from pgweave.compiler.facts import reads, sqltree
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.result_names import RESULT, VARIABLE
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic

MAX_TURNS = 100_000  # of one loop, on pg_durable
_YEAR = 365 * 86_400  # seconds; a loop that lasts longer than that there is no worry of this day


def do_while(subject: Subject) -> Iterator[Diagnostic]:
    """PW301. The condition asks whether a table has rows, the body takes them: it also runs when there are none.

    Not where the body tests something itself.
    """
    facts = subject.facts
    for step in facts.of(nodes.Loop):
        if len(step.children) < 2:
            continue
        body, condition = step.children
        guard = facts.statement(condition)
        if guard is None or guard.tree is None or not _asks_for_rows(guard):
            continue
        # A body that tests something decides for itself what to do with an empty table.
        if any(isinstance(below.node, nodes.If | nodes.IfRows) for below in body.walk()):
            continue
        tables = sqltree.relations(guard.tree)
        # Only the first statement of the body counts: it runs before any other could have made rows.
        first = next((one for below in body.walk() if (one := facts.statement(below)) is not None), None)
        if first is not None and first.tree is not None and tables & _taken_from(first):
            yield finding("PW301", condition.node.outer, condition=subject.brief(condition.node.outer))


def _taken_from(statement: Statement) -> frozenset[str]:
    """Tables that a statement reads or takes rows from; not the one that it only adds to."""
    added = {statement.body.relation.relname} if statement.kind == "insert_stmt" else set()
    return sqltree.relations(statement.tree) - added


def _asks_for_rows(statement: Statement) -> bool:
    """Whether it asks if anything is left: `SELECT EXISTS (..)`, `SELECT count(*) > 0 FROM ..`."""
    if statement.kind != "select_stmt" or len(statement.body.target_list) != 1:
        return False
    value = statement.body.target_list[0].res_target.val
    match value.WhichOneof("node"):
        case "sub_link":
            return sqltree.enumerated(value.sub_link, "sub_link_type") == "EXISTS_SUBLINK"
        case "a_expr":
            left, right = value.a_expr.lexpr, value.a_expr.rexpr
            counts = left.WhichOneof("node") == "func_call" and sqltree.called(left.func_call) == "count"
            nothing = right.WhichOneof("node") == "a_const" and right.a_const.ival.ival == 0
            return counts and nothing and sqltree.operator(value.a_expr) in {">", "<>", "!="}
        case _:
            return False


def eternal_loop(subject: Subject) -> Iterator[Diagnostic]:
    """PW302. A loop without an end that never waits; on pg_durable also one that reaches its limit of turns.

    Not inside a race: whoever wins it ends the loop. Not where `@>` has swallowed too little: that has its own finding.
    """
    facts = subject.facts
    swallowed = _swallowed(facts)
    for step in facts.of(nodes.Loop):
        if facts.ends(step) or step.node.condition is not None or step in swallowed:  # type: ignore[union-attr]
            continue
        if any(isinstance(outer.node, nodes.Race | nodes.Opaque) for outer in facts.around(step)):
            continue
        span = Span(step.node.span.start, step.node.span.start + 2) if step.node.operator else step.node.span
        turn = facts.waiting(step.children[0])
        if not facts.pauses(step.children[0]):
            yield finding("PW302", span)
        # A loop that sleeps a day in each turn reaches the limit after 273 years: no finding.
        elif subject.portable and turn is not None and turn.worst * MAX_TURNS < _YEAR:
            days = int(turn.worst * MAX_TURNS / 86_400)
            yield finding("PW302", span, "turn-limit", turns=f"{MAX_TURNS:,}", days=days)


def unreachable(subject: Subject) -> Iterator[Diagnostic]:
    """PW303. A step behind one that never ends. Not where `@>` has swallowed too little: that has its own finding."""
    facts = subject.facts
    swallowed = _swallowed(facts)
    for step in sorted(facts.unreached, key=facts.order.__getitem__):
        before, variant = _blocking(facts, step)
        if before is None or any(outer in facts.unreached for outer in facts.around(step)) or before in swallowed:
            continue
        yield finding("PW303", step.node.outer, variant)


def _swallowed(facts: Facts) -> set[Step]:
    """Loops that repeat less than they seem to."""
    return {loop for row in facts.operator_rows for loop in grouping.swallowing(facts, row)}


def _blocking(facts: Facts, step: Step) -> tuple[Step | None, str]:
    """The innermost step that keeps `step` from being reached, and the variant of PW303; None when an earlier one did."""
    before = facts.preceded(step)
    while before is not None:
        match before.node:
            case nodes.Then():
                first, second = before.children
                if not facts.ends(first):
                    return None, ""
                before = second
            case nodes.Loop():
                return before, "loop"
            case nodes.Break():
                return before, "break"
            case nodes.Join():
                return before, "join"
            case _:
                return before, ""
    return None, ""


def stray_break(subject: Subject) -> Iterator[Diagnostic]:
    """PW304. df.break with no loop around it.

    A called child is an instance of its own and cannot leave its parent's loop. What an expression that only the
    database can evaluate does with its operands nobody knows, so those are left alone.
    """
    for step in subject.facts.of(nodes.Break):
        for outer in subject.facts.around(step):
            if isinstance(outer.node, nodes.Loop | nodes.Opaque):
                break
            if isinstance(outer.node, nodes.CallChild):
                yield finding("PW304", step.node.span)
                break
        else:
            yield finding("PW304", step.node.span)


_SQL = re.compile(r"\s*(?:select|insert|update|delete|with)\s", re.IGNORECASE)
_FILLED = re.compile(f"{RESULT}|{VARIABLE}")


def break_value(subject: Subject) -> Iterator[Diagnostic]:
    """PW305. The value of a break is a text: SQL in it is not run, and on pg_durable nothing in it is replaced."""
    for step in subject.facts.of(nodes.Break):
        text = step.node.value  # type: ignore[union-attr]
        if text is None:
            continue
        span = text.span_of(0, len(text.value))
        if _SQL.match(text.value):
            yield finding("PW305", span)
        elif subject.portable and _FILLED.search(text.value) and _reads_something(subject, step):
            yield finding("PW305", span, "not-replaced")


def _reads_something(subject: Subject, step: Step) -> bool:
    if any(not read.undefined for read in subject.facts.reads_of(step)):
        return True
    return any(reference.name in subject.declared for reference in reads.variables(step.node))


def race_error_wins(subject: Subject) -> Iterator[Diagnostic]:
    """PW308. Both branches of a race begin with work: the one that fails first decides, and the loser's work stays.

    A race against a wait is what a race is for.
    """
    for step in subject.facts.of(nodes.Race):
        starts = [_first(child) for child in step.children]
        if not all(isinstance(start.node, nodes.Sql | nodes.Http | nodes.HttpMultipart) for start in starts):
            continue
        writes = [start for start in starts if _writes(subject.facts, start)]
        requests = all(not isinstance(start.node, nodes.Sql) for start in starts)
        if len(writes) == 2:
            variant = "both-write"
        elif requests:
            variant = "requests"
        else:
            variant = "one-writes" if writes else ""
        yield finding("PW308", step.node.operator or step.node.span, variant)


def _first(step: Step) -> Step:
    """The first leaf that runs."""
    while step.children:
        match step.node:
            case nodes.If():
                step = step.children[2]
            case nodes.Then() | nodes.Loop():
                step = step.children[0]
            case _:
                return step
    return step


def _writes(facts: Facts, step: Step) -> bool:
    statement = facts.statement(step)
    if statement is None:
        return False
    return statement.kind in {"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"}
