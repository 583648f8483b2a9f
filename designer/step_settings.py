"""Edits of what one step says: its SQL, its arguments and options, as the forms of the designer give them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.compiler.manual import OPTIONS
from pgweave.designer.fields import fields
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, Severity
from pgweave.grammar.editing.arguments import arguments_of
from pgweave.grammar.editing.edits import EditError, Edits, apply, set_argument, set_option
from pgweave.grammar.editing.patch import proved
from pgweave.grammar.kinds import Type
from pgweave.grammar.nodes import Text
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.lexer import STRING, lex
from pgweave.grammar.span import Source
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.editing.edits import Place


def set_sql(place: Place, query: str) -> Edits:
    """Give a step of SQL another statement, in the quotes that it has if they can hold it."""
    node = place.node
    if not isinstance(node, nodes.Sql):
        raise EditError("Only a step of SQL has SQL.")
    expected = replace(node, query=Text(query, node.span))
    for literal in _in_same_quotes(node.query.span.of(place.text), query):
        try:
            return proved(place, expected, [Edit(node.query.span, literal)])
        except EditError:
            continue
    return set_argument(place, "query", query)


def _in_same_quotes(written: str, value: str) -> Iterator[str]:
    """A literal of the kind that was there; none where plain quotes would now need their first escape."""
    tokens = lex(written).tokens
    if len(tokens) != 1 or tokens[0].kind != STRING:
        return
    # A person who already doubles quotes goes on doubling them; else set_argument finds better quotes.
    if written.startswith("'") and ("'" not in value or "''" in written[1:-1]):
        yield "'" + value.replace("'", "''") + "'"
    elif written.startswith("$"):
        tag = written[: written.index("$", 1) + 1]
        # value + tag[:-1]: `$$` could also be made of a `$` at the end of the value and the first of the
        # closing tag.
        if tag not in value + tag[:-1]:
            yield tag + value + tag


def set_field(place: Place, field: str, value: str | int | bool | None) -> Edits:
    """Give an argument or an option another value; None, or nothing in an optional text, leaves it to its default."""
    known = {known["name"]: known for known in fields(place.node)}
    if field not in known:
        raise EditError(f"This step has no `{field}`.")
    if isinstance(value, bool):
        raise EditError(f"`{field}` is neither true nor false.")
    if value in (None, "") and known[field]["required"]:
        raise EditError(f"`{field}` is needed here.")
    value = None if value == "" else value
    if isinstance(place.node, nodes.CallChild) and field in OPTIONS:
        return set_option(place, field, value)
    try:
        return set_argument(place, field, value)
    except EditError as refusal:
        raise EditError(_why(place, field, value) or str(refusal)) from refusal


def _why(place: Place, field: str, value: str | int | None) -> str | None:
    """What the language has against this value: the finding that it would make."""
    arguments = arguments_of(place)
    param = arguments.param(field) if arguments is not None else None
    if arguments is None or param is None or value is None:
        return None
    if isinstance(value, str) and param.type in (Type.INTEGER, Type.BIGINT):
        return f"`{field}` must be a whole number."
    literal = quote(value, dollars=False) if isinstance(value, str) else json.dumps(value)
    text = apply(place.text, arguments.with_value(field, literal))
    found = parse(Source(place.module.source.name, text)).diagnostics
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if not errors:
        return None
    return f"{errors[0].title}: {errors[0].label}." if errors[0].label else f"{errors[0].title}."
