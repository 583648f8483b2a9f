"""Leaves by the table: what a stage does with every kind that has no sub-steps, from `Kind.values` and CALLS alone.

    KINDS["SIGNAL"].values      signal_name <- name (text), timeout_seconds (integer)
    df.wait_for_signal('go')    nodes.Signal(signal_name='go'), row text {"signal_name":"go","timeout_seconds":null}

A stage has a case of its own only for a kind whose syntax is special, such as the bare string of SQL.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, get_args

from pgweave.grammar import nodes
from pgweave.grammar.kinds import CALLS, KINDS, Type
from pgweave.grammar.nodes import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.kinds import Kind, Member, Param
    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Span

CLASSES: dict[str, type[Node]] = {
    each.kind.name: each for each in get_args(nodes.Node) if each.kind.name in KINDS and each.kind.is_leaf
}
"""The class of each kind of leaf. A called child and an opaque expression are no kinds of their own."""

OF_CALL: dict[str, Kind] = {each.kind.function: each.kind for each in CLASSES.values()}
"""The kind of each call that makes a leaf."""


def make(kind: Kind, values: dict[str, object], span: Span) -> Node:
    """A leaf of its fields. Fields that are left out take the defaults of the class."""
    made: Any = CLASSES[kind.name]
    leaf: Node = made(**values, span=span)
    return leaf


def may_lack(kind: Kind, member: Member) -> bool:
    """Whether the class has a default for this value."""
    (found,) = (each for each in fields(CLASSES[kind.name]) if each.name == member.field)
    return found.default is not MISSING


def arguments(node: Node) -> Iterator[tuple[Param, Member, str | int | None]]:
    """The arguments of a leaf's call in order; None where the value is the call's default."""
    params = {param.name: param for param in CALLS[node.kind.function].params}
    for member in node.kind.values:
        value = plain(getattr(node, member.field))
        param = params[member.param]
        yield param, member, None if value == param.default else value


def row_text(node: Node) -> str | None:
    """The text of a row before ids of children join it; None for a kind without any.

    A called child and an opaque expression are no rows and have none.

        df.sleep(60)                    60
        df.wait_for_signal('go', 60)    {"signal_name":"go","timeout_seconds":60}
    """
    if isinstance(node, nodes.IfRows):
        return _object({"condition_type": '"result_has_rows"', "result_name": quoted(node.result_name.value)})
    if isinstance(node, nodes.Loop):
        # Only where it differs from the default: the row of a plain loop has no text.
        return _object({"continue_on_failure": "true"}) if node.continue_on_failure else None
    if node.kind.whole is not None:
        return str(plain(getattr(node, node.kind.whole.field)))
    members = node.kind.members
    return _object({one.key: _json(plain(getattr(node, one.field)), one) for one in members}) if members else None


def plain(value: Text | str | int | None) -> str | int | None:
    """A field's value without its place."""
    return value.value if isinstance(value, Text) else value


def quoted(value: str) -> str:
    """JSON string as PostgreSQL's to_json(text) writes it: only quotes, backslashes and controls escaped."""
    return json.dumps(value, ensure_ascii=False)


def _json(value: str | int | None, member: Member) -> str:
    """A member's value as JSON. Text of type jsonb keeps PostgreSQL's rendering, as in the call."""
    if value is None:
        return "null"
    # jsonb goes in unquoted: {"headers": {"a": "b"}}, not a string that contains JSON.
    return quoted(str(value)) if member.type is Type.TEXT else str(value)


def _object(members: dict[str, str]) -> str:
    return "{" + ",".join([f'"{name}":{value}' for name, value in members.items()]) + "}"
