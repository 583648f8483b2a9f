"""What a value means in the place of a step, and how a step gets its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.catalogue import phrase
from pgweave.grammar.diagnostics import note
from pgweave.grammar.meaning.durofut import BadStep, ensure
from pgweave.grammar.meaning.static_values import (
    BrokenValue,
    NullValue,
    OpaqueValue,
    PartialIf,
    StepValue,
    TextValue,
    Value,
    describe,
)
from pgweave.grammar.nodes import Binding
from pgweave.grammar.result_names import is_name

if TYPE_CHECKING:
    from pgweave.grammar.diagnostics import Edit
    from pgweave.grammar.meaning.finding_report import Report
    from pgweave.grammar.nodes import Node, Text
    from pgweave.grammar.span import Span


def as_step(value: Value, report: Report, strict: str = "") -> Node | None:
    """The step that a value is; None after reporting that it is none.

        'SELECT 1'                              a step of SQL
        '{"node_type": "SLEEP", "query": "5"}'  Durofut JSON: the step it describes
        concat('SELECT ', some_column)          only the database knows: Opaque
        42                                      PW019

    strict: the phrase with which df.start and df.call_child begin what they say about a text that is no step.
    """
    match value:
        case StepValue():
            node = value.node
            return node if value.parens is None else replace(node, parens=value.parens)
        case TextValue():
            try:
                node = ensure(value.text, value.span, strict=bool(strict))
            except BadStep as bad:
                _report_bad_step(bad, report, strict)
                return None
            return node if value.parens is None else replace(node, parens=value.parens)
        case OpaqueValue(type=""):
            return nodes.Opaque(
                text=report.written(value.span), operands=value.operands, span=value.span, parens=value.parens
            )
        case PartialIf():
            dangling(value, report)
        case NullValue():
            report.add("PW021", value.outer, what=phrase("this-step"))
        case BrokenValue():
            pass
        case _:
            what, expected = phrase("a-step-of-sql"), phrase("want-step")
            report.add("PW019", value.outer, what=what, expected=expected, actual=describe(value))
    return None


def dangling(partial: PartialIf, report: Report, variant: str = "", /, edits: tuple[Edit, ...] = ()) -> None:
    """Report an if that is only half built: no `!>` comes, or something stands between it and the `?>`."""
    notes = []
    if partial.taken is not None:
        symbol = report.written(partial.taken)
        notes.append(note("PW104", partial.taken, symbol=symbol))
    report.add("PW104", partial.operator, variant, notes=tuple(notes), edits=edits, safe=True)


def _report_bad_step(bad: BadStep, report: Report, strict: str) -> None:
    prefix = (phrase(strict) if strict else "") + bad.prefix
    report.add(bad.code, bad.span, bad.variant, values={**bad.fields, "prefix": prefix})


def bind_name(node: Node, name: Text, span: Span, operator: Span | None, target: Span, report: Report) -> Node | None:
    """`node |=> name`. A later name takes the place of an earlier one, as in the rows."""
    if not is_name(name.value):
        report.add("PW020", name.span, "bad-name" if name.value else "empty-name", name=name.value)
        return None
    grouped = node.parens is not None
    binding = Binding(name.value, name.span, operator, target, grouped)
    return replace(node, binding=binding, span=span, parens=None)
