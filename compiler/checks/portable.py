"""Checks of values that are others on pg_durable, or that the extension refuses: looked for with that target alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.compiler.checks.children import child_database
from pgweave.compiler.checks.results import place_of_column
from pgweave.compiler.facts import sqltree
from pgweave.compiler.facts.outcomes import COUNTS, Form
from pgweave.compiler.facts.reads import Slot
from pgweave.compiler.facts.sqltree import Rows
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.template import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.outcomes import Result
    from pgweave.compiler.facts.reads import Reference
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic


def other_result(subject: Subject) -> Iterator[Diagnostic]:
    """PW219. A value of a break, the counts of a statement, or an alias of a row set: read otherwise there, or not at all."""
    if not subject.portable:
        return
    for read, results in subject.facts.readings:
        placeholder = read.reference.placeholder
        if placeholder is None:
            continue
        name = read.reference.name
        if placeholder.column in COUNTS and any(result.form is Form.ROWS and _counts(result) for result in results):
            yield finding("PW219", read.reference.span, "count", name=name, column=placeholder.column)
        elif not placeholder.star and any(_is_broken(result) for result in results):
            variant = "key" if placeholder.column else ""
            yield finding("PW219", read.reference.span, variant, name=name, column=placeholder.column)
    yield from _aliases(subject)


def _counts(result: Result) -> bool:
    """Whether `$name.row_count` is the statement's own, and no column of that name."""
    return not COUNTS.intersection(result.names or ())


def _is_broken(result: Result) -> bool:
    """Whether it may be the value of a df.break, which is any JSON."""
    return result.form is Form.UNKNOWN and isinstance(result.step.node, nodes.Loop)


def _aliases(subject: Subject) -> Iterator[Diagnostic]:
    for step in subject.facts.of(nodes.Sql):
        statement = subject.facts.statement(step)
        if statement is None or statement.tree is None or not any(one.star for one in statement.placeholders):
            continue
        assert isinstance(step.node, nodes.Sql)
        for kind, table in sqltree.walk(statement.tree):
            star = statement.placeholder_at(table.location) if kind == "RangeVar" and table.alias.aliasname else None
            if star is not None and star.star:
                span = step.node.query.span_of(star.span.start, star.span.end)
                yield finding("PW219", span, "alias", name=star.name, column="", alias=table.alias.aliasname)


# What PostgreSQL's parser calls types that the extension does not read -> how people call them.
_UNREAD = {
    "array": "an array", "bytea": "bytea", "interval": "interval", "bpchar": "char(n)", "char": '"char"', "time": "time",
    "timetz": "timetz", "bit": "bit", "varbit": "varbit", "oid": "oid", "regclass": "regclass", "inet": "inet",
    "cidr": "cidr", "xml": "xml", "money": "money", "int4range": "a range", "int8range": "a range",
    "numrange": "a range", "tsrange": "a range", "tstzrange": "a range", "daterange": "a range",
}  # fmt: skip


def unread_type(subject: Subject) -> Iterator[Diagnostic]:
    """PW220. A column of a type that the extension cannot read: the step fails there, after its effects are committed."""
    if not subject.portable:
        return
    for step in subject.facts.of(nodes.Sql):
        for result in subject.facts.results(step):
            if subject.facts.rows(result) is Rows.NONE:
                continue
            for column in result.columns or ():
                if column.type in _UNREAD:
                    span = place_of_column(subject.facts, step, column.location)
                    yield finding("PW220", span, column=column.name, type=_UNREAD[column.type])


def minus_before_value(subject: Subject) -> Iterator[Diagnostic]:
    """PW221. `10-$a`: there a negative value is written right behind the minus, and `--` begins a comment."""
    if not subject.portable:
        return
    for read in subject.facts.flow.reads:
        if not read.undefined and _after_minus(read.reference):
            text, at = read.reference.text, read.reference.placeholder
            edits = subject.rewrite(text, at.span.start, at.span.start, " ") if text and at else ()
            written = subject.written(read.reference.span)
            yield finding("PW221", read.reference.span, edits=edits, safe=True, written=written)


def _after_minus(reference: Reference) -> bool:
    placeholder, text = reference.placeholder, reference.text
    if placeholder is None or text is None or reference.slot is not Slot.SQL or placeholder.context is not Context.CODE:
        return False
    return text.value[: placeholder.span.start].endswith("-")


def child_calls(subject: Subject) -> Iterator[Diagnostic]:
    """PW612. df.call_child and df.await_instance as steps: the extension has neither.

    Not where the database is in question as well, which has a finding of its own.
    """
    if not subject.portable:
        return
    # By the place, which both findings give to the name of the call.
    elsewhere = {diagnostic.span for diagnostic in child_database(subject)}
    for step in subject.facts.of(nodes.CallChild, nodes.AwaitInstance):
        if subject.call_name(step.node) in elsewhere:
            continue
        variant = "await" if isinstance(step.node, nodes.AwaitInstance) else ""
        yield finding("PW612", subject.call_name(step.node), variant)
