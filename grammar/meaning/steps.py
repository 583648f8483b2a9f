"""What a value means in the place of a step, and how a step gets its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import note
from pgweave.grammar.meaning.durofut import BadStep, bad_name, ensure
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

_CORRECT_JSON = "Correct the JSON, or write the step with a df call."


def as_step(value: Value, report: Report, strict: str = "") -> Node | None:
    """The step that a value is; None after reporting that it is none.

        'SELECT 1'                              a step of SQL
        '{"node_type": "SLEEP", "query": "5"}'  Durofut JSON: the step it describes
        concat('SELECT ', some_column)          only the database knows: Opaque
        42                                      PW019

    strict: how df.start and df.call_child begin what they say about a text that is no step.
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
            report.add("PW021", value.outer, what="This step")
        case BrokenValue():
            pass
        case _:
            report.add(
                "PW019", value.outer, what="A step", expected="a text of SQL or a df call", actual=describe(value)
            )
    return None


def dangling(partial: PartialIf, report: Report, variant: str = "", /, edits: tuple[Edit, ...] = ()) -> None:
    """Report an if that is only half built: no `!>` comes, or something stands between it and the `?>`."""
    notes = []
    if partial.taken is not None:
        symbol = report.written(partial.taken)
        notes.append(note("PW104", partial.taken, symbol=symbol))
    report.add("PW104", partial.operator, variant, notes=tuple(notes), edits=edits, safe=True)


def _report_bad_step(bad: BadStep, report: Report, strict: str) -> None:
    if bad.code == "PW020":
        report.bad_value(bad.title, bad.span, bad.help or _CORRECT_JSON)
    elif bad.code == "PW023":
        report.add("PW023", bad.span, title=strict + bad.title)
    elif bad.code == "PW104":
        report.add("PW104", bad.span)
    else:
        report.add(bad.code, bad.span)


def bind_name(node: Node, name: Text, span: Span, operator: Span | None, target: Span, report: Report) -> Node | None:
    """`node |=> name`. A later name takes the place of an earlier one, as in the rows."""
    if not is_name(name.value):
        report.bad_value(bad_name(name.value), name.span, "Use letters, digits and underscores; begin with no digit.")
        return None
    grouped = node.parens is not None
    binding = Binding(name.value, name.span, operator, target, grouped)
    return replace(node, binding=binding, span=span, parens=None)
