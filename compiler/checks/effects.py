"""Checks of what steps do to the world: twice, in a session that is gone, or before they were meant to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.compiler.facts import sqltree
from pgweave.compiler.subject import verb
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, Severity, finding, rated
from pgweave.grammar.reading.lexer import STRING, WORD, lex
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.facts.sqltree import Message
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Span


def at_least_once_effect(subject: Subject) -> Iterator[Diagnostic]:
    """PW501. On pg_durable a step may run again after a crash; here it and its record are one transaction."""
    if not subject.portable:
        return
    for step in subject.facts.of(nodes.Sql):
        statement = subject.facts.statement(step)
        if statement is not None and statement.tree is not None:
            yield from _repeated(step, statement)
    for step in subject.facts.of(nodes.Http, nodes.HttpMultipart):
        node = step.node
        assert isinstance(node, nodes.Http | nodes.HttpMultipart)
        # Idempotency-Key or the like: the server sees that the request is the same.
        keyed = node.headers is not None and "idempotency" in node.headers.value.lower()
        if node.method == "POST" and not keyed:
            yield finding("PW501", subject.call_name(node), "post")


def _repeated(step: Step, statement: Statement) -> Iterator[Diagnostic]:
    """What a second run would do again; nothing for a statement that may as well run twice."""
    match statement.kind:
        # UPDATE t SET a = 1 and DELETE may run twice; an INSERT adds its row twice.
        case "insert_stmt" if not statement.body.HasField("on_conflict_clause") and not _runs_dry(statement):
            yield finding("PW501", _first_word(step))
        case "update_stmt" if (column := _moved_on(statement.body)) is not None:
            yield finding("PW501", _first_word(step), "update", column=column)
        case _:
            pass


def _runs_dry(statement: Statement) -> bool:
    """Whether an INSERT finds nothing the second time: it moves what it deletes, or leaves out what is there."""
    target = statement.body.relation.relname
    for name, found in sqltree.walk(statement.body):
        if name == "DeleteStmt":
            return True
        if name == "BoolExpr" and sqltree.enumerated(found, "boolop") == "NOT_EXPR":
            links = [item.sub_link for item in found.args if item.WhichOneof("node") == "sub_link"]
            if any(target in sqltree.relations(link) for link in links):
                return True
    return False


def _moved_on(update: Message) -> str | None:
    """A column that is set from its own value; None if there is none, or the row is no longer found once it is set."""
    moved: str | None = None
    constants: dict[str, Message] = {}
    for target in update.target_list:
        column, value = target.res_target.name, target.res_target.val
        if value.WhichOneof("node") == "a_const":
            constants[column] = value.a_const
        elif value.WhichOneof("node") == "a_expr" and column in _columns_in(value):
            # SET n = n + 1. SET state = 'done' is a constant, and running it again changes nothing.
            moved = moved or column
    guards = [update.where_clause]
    if update.where_clause.WhichOneof("node") == "bool_expr":
        # With OR a row may still be found after its state was set.
        both = sqltree.enumerated(update.where_clause.bool_expr, "boolop") == "AND_EXPR"
        guards = list(update.where_clause.bool_expr.args) if both else []
    return None if any(_is_guard(guard, constants) for guard in guards) else moved


def _is_guard(condition: Message, constants: dict[str, Message]) -> bool:
    """`state = 'queued'`, where the statement sets the state to another constant."""
    if condition.WhichOneof("node") != "a_expr" or sqltree.operator(condition.a_expr) != "=":
        return False
    column, value = _columns_in(condition.a_expr.lexpr), condition.a_expr.rexpr
    if len(column) != 1 or value.WhichOneof("node") != "a_const" or column[0] not in constants:
        return False
    return sqltree.constant(constants[column[0]]) != sqltree.constant(value.a_const)


def _columns_in(expression: Message) -> list[str]:
    return [found.fields[-1].string.sval for name, found in sqltree.walk(expression) if name == "ColumnRef"]


def _first_word(step: Step) -> Span:
    node = step.node
    assert isinstance(node, nodes.Sql)
    return verb(node.query)


def session_state(subject: Subject) -> Iterator[Diagnostic]:
    """PW502. What lives in a session or a transaction is gone before the next step: each has its own."""
    for step in subject.facts.of(nodes.Sql):
        statement = subject.facts.statement(step)
        said = _left_behind(statement) if statement is not None and statement.tree is not None else None
        if said is not None:
            yield finding("PW502", _first_word(step), said)
        elif statement is not None and statement.kind == "select_stmt":
            lowered = statement.text.lower()
            if "advisory" in lowered:
                yield from _session_lock(step, statement)
            if "set_config" in lowered:
                yield from _session_setting(step, statement)


# What libpg_query calls a statement that works on the session -> the variant of PW502.
_LEFT = {
    "variable_set_stmt": "",
    "transaction_stmt": "transaction",
    "declare_cursor_stmt": "declare-cursor",
    "fetch_stmt": "fetch",
    "close_portal_stmt": "close",
    "prepare_stmt": "prepare",
    "execute_stmt": "execute",
    "deallocate_stmt": "deallocate",
    "listen_stmt": "listen",
    "unlisten_stmt": "unlisten",
    "lock_stmt": "lock",
    "constraints_set_stmt": "constraints",
    "discard_stmt": "discard",
}
_LOCKING = re.compile(r"pg_(?:try_)?advisory_(?:lock|unlock)(?:_shared|_all)?\Z")


def _left_behind(statement: Statement) -> str | None:
    """Variant of PW502 for a statement that works on a session; None for all others."""
    made = _made(statement)
    if made is not None and made.relpersistence == "t":  # pg_class.relpersistence: t is temporary
        return "temporary"
    return _LEFT.get(statement.kind)


def _made(statement: Statement) -> Message | None:
    """The relation that a statement creates; None when it creates none."""
    body = statement.body
    match statement.kind:
        case "create_stmt":
            return body.relation
        case "create_seq_stmt":
            return body.sequence
        case "view_stmt":
            return body.view
        case "create_table_as_stmt":
            return body.into.rel
        case "select_stmt" if body.HasField("into_clause"):
            return body.into_clause.rel
        case _:
            return None


def _session_lock(step: Step, statement: Statement) -> Iterator[Diagnostic]:
    """A lock that a session takes, and that no later step of the workflow can release."""
    node = step.node
    assert isinstance(node, nodes.Sql)
    for name, call in sqltree.walk(statement.body):
        if name == "FuncCall" and _LOCKING.match(function := sqltree.called(call)):
            start = statement.offset(call.location)
            yield finding("PW502", node.query.span_of(start, start + len(function)), "advisory-lock")
            return


def _session_setting(step: Step, statement: Statement) -> Iterator[Diagnostic]:
    """set_config(.., false): a setting of a session that ends with the step."""
    node = step.node
    assert isinstance(node, nodes.Sql)
    for name, call in sqltree.walk(statement.body):
        if name == "FuncCall" and sqltree.called(call) == "set_config" and len(call.args) == 3:
            local = call.args[2]
            if local.WhichOneof("node") == "a_const" and not local.a_const.boolval.boolval:
                start = statement.offset(call.location)
                yield finding("PW502", node.query.span_of(start, start + len("set_config")), "set-config")


_VOLATILE = frozenset(
    {"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "random", "gen_random_uuid", "timeofday",
     "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "nextval", "select"}
)  # fmt: skip


def compose_time_call(subject: Subject) -> Iterator[Diagnostic]:
    """PW503. The time, a random value or a row of a table is put into a step's text when the workflow is composed.

    An error where other steps or turns of a loop run before it, so that the value is old by then; else a warning. A
    sub-select that gives the whole step is a way to keep steps in a table, and fine.
    """
    for step in subject.facts.of(nodes.Opaque):
        node = step.node
        assert isinstance(node, nodes.Opaque)
        tokens = lex(node.text).tokens
        words = [token.value for token in tokens if token.kind == WORD and token.value in _VOLATILE]
        joined = any(token.value == "||" or token.value in ("format", "concat", "concat_ws") for token in tokens)
        # 'now()' within a step's SQL is evaluated when the step runs; only what is put together outside of the
        # quotes is old by then.
        if not words or not joined or node.operands:
            continue
        looped = any(isinstance(outer.node, nodes.Loop) for outer in subject.facts.around(step))
        late = looped or subject.facts.preceded(step) is not None
        found = finding("PW503", node.span, "query" if words[0] == "select" else "", word=words[0])
        yield found if late else rated(found, Severity.WARNING)


def quote_hell(subject: Subject) -> Iterator[Diagnostic]:
    """PW506. A quote within a quote within a step: four of them in a row."""
    for step in subject.facts.of(nodes.Sql):
        node = step.node
        assert isinstance(node, nodes.Sql)
        literal = subject.written(node.query.span) if "''" in node.query.value else ""
        tokens = lex(literal).tokens if literal.startswith("'") else []
        # One literal whose value is the step's whole text: only that can be written with other quotes.
        if len(tokens) != 1 or tokens[0].value != node.query.value or not _holds_quoted_quotes(node.query.value):
            continue
        better = quote(node.query.value)
        tag = better[: better.index("$", 1) + 1] if better.startswith("$") else "$q1$"
        yield finding("PW506", node.query.span, tag=tag, edits=[Edit(node.query.span, better)], safe=True)


def _holds_quoted_quotes(value: str) -> bool:
    """Whether a string in the SQL holds a quote itself; an empty string does not."""
    strings = [value[token.start : token.end] for token in lex(value).tokens if token.kind == STRING]
    return any(string.startswith("'") and "''" in string[1:-1] for string in strings)
