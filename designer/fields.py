"""What can be filled in about a step in a form: the arguments of its call and its options, with what they say now.

Names, order and defaults are those of grammar.kinds.CALLS and compiler.manual.OPTIONS; here is only how a person is asked.
Steps, SQL and names of results are no fields: the designer has other ways to change those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pgweave.compiler.manual import OPTIONS
from pgweave.designer.protocol import Field
from pgweave.grammar import nodes
from pgweave.grammar.kinds import CALLS, Type
from pgweave.grammar.leaves import CLASSES, OF_CALL

if TYPE_CHECKING:
    from pgweave.grammar.kinds import Param
    from pgweave.grammar.nodes import Node

FieldType: TypeAlias = Literal["text", "integer", "seconds", "cron", "choice", "boolean", "json", "url"]

# Which call a step is, and which of its attributes hold the arguments where they are called otherwise.
_CALLS: dict[type, tuple[str, dict[str, str]]] = {
    **{
        CLASSES[kind.name]: (kind.function, {member.param: member.field for member in kind.values})
        for kind in OF_CALL.values()
        if kind.name != "SQL"
    },
    nodes.IfRows: ("if_rows", {}),
    nodes.CallChild: ("call_child", {}),
}
_TYPES: dict[str, FieldType] = {
    "seconds": "seconds",
    "timeout_seconds": "seconds",
    "cron_expr": "cron",
    "url": "url",
    "method": "choice",
}
_METHODS = {"http": ("GET", "POST", "PUT", "DELETE", "PATCH"), "http_multipart": ("POST", "PUT", "PATCH")}
_TITLES = {
    "seconds": "How long",
    "timeout_seconds": "Wait at most",
    "cron_expr": "Schedule",
    "instance_id": "Instance",
    "result_name": "Result",
    "value": "Value",
    "name": "Signal",
    "url": "URL",
    "method": "Method",
    "body": "Body",
    "parts": "Parts",
    "headers": "Headers",
    "label": "Label",
    "database": "Database",
    "on_failure": "When it fails",
    "on_timeout": "When time is up",
    "on_cancel": "When this is cancelled",
}
_HELP = {
    "seconds": "Whole seconds.",
    "timeout_seconds": "Whole seconds; empty: for ever.",
    "cron_expr": "Minute, hour, day of month, month, day of week; UTC, unless CRON_TZ=Area/City stands before them.",
    "instance_id": "The id of an instance, as text or from a result: $child.instance_id.",
    "result_name": "The name of a result: has it any rows?",
    "value": "The result of the loop; empty: none.",
    "name": "What the signal is called. Whoever sends it needs the name.",
    "url": "It may read results: $order.id.",
    "method": "What is done at the URL.",
    "body": 'Text, usually JSON. Results are filled in: {"id": $order.id}.',
    "parts": "A JSON array of objects with name, filename, content_type and data_b64.",
    "headers": "A JSON object.",
    "label": "What the new instance is called.",
}


def fields(node: Node) -> list[Field]:
    """The form of a step; empty for one that has nothing to fill in."""
    found = _CALLS.get(type(node))
    if found is None:
        return []
    call, attributes = found
    form = [
        _field(param, call, _value(node, attributes.get(param.name, param.name)))
        for param in CALLS[call].params
        # Steps are blocks of their own, and options are fields one by one.
        if param.type is not Type.STEP and param.name != "options"
    ]
    return [*form, *_options(node)] if isinstance(node, nodes.CallChild) else form


def _field(param: Param, call: str, value: str | int | None) -> Field:
    kind = _TYPES.get(param.name) or _plain(param.type)
    help_ = _HELP.get(param.name, "")
    if call.startswith("http") and param.name == "timeout_seconds":
        help_ = "Whole seconds for the whole request."
    field = Field(
        name=param.name,
        title=_TITLES.get(param.name, param.name.replace("_", " ").capitalize()),
        type=kind,
        value=value,
        help=help_,
        required=param.required,
    )
    if kind == "choice":
        field["choices"] = list(_METHODS[call])
    return field


def _plain(kind: Type) -> FieldType:
    match kind:
        case Type.INTEGER | Type.BIGINT:
            return "integer"
        case Type.JSONB:
            return "json"
        case _:
            return "text"


def _value(node: Node, attribute: str) -> str | int | None:
    value = getattr(node, attribute)
    if isinstance(value, nodes.Text):
        return value.value
    assert value is None or isinstance(value, str | int)
    return value


def _options(node: nodes.CallChild) -> list[Field]:
    form = []
    for name, (says, choices) in OPTIONS.items():
        option = node.option(name)
        value = option.value if option is not None and isinstance(option.value, str | int) else None
        kind: FieldType = "choice" if choices else _TYPES.get(name, "text")
        field = Field(
            name=name,
            title=_TITLES.get(name, name.replace("_", " ").capitalize()),
            type=kind,
            value=value,
            help=says,
            required=False,
        )
        if choices:
            field["choices"] = list(choices)
        form.append(field)
    return form
