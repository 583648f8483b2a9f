"""Edits of workflows that are in quotes: `DO 'BEGIN PERFORM df.start(''SELECT 1''); END'`.

In such a body the text is not what is written in the file, so the body is taken out of its quotes, the edit is made
in it, and what it changes is written back through the quotes. A body in dollar quotes is edited where it stands.
"""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing.patch import EditError, Edits, apply, proved_definition
from pgweave.grammar.editing.places import step_place
from pgweave.grammar.nodes import Text, same
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.extraction import Form, form_of
from pgweave.grammar.reading.lexer import STRING, lex
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.grammar.editing.places import Place

Arguments = ParamSpec("Arguments")


def through_quotes(
    edit: Callable[Concatenate[Place, Arguments], Edits],
) -> Callable[Concatenate[Place, Arguments], Edits]:
    """Make a function of edits work in quoted bodies, too; how deep they are in each other does not matter."""

    @wraps(edit)
    def made(place: Place, /, *args: Arguments.args, **options: Arguments.kwargs) -> Edits:
        body = quoted_body(place)
        if body is None:
            return edit(place, *args, **options)
        name = place.module.source.name
        # Which of the body's workflows it is: as many stand before it in the body as in the file within the body.
        number = sum(definition.span in body.span for definition in place.module.definitions[: place.index])
        inside = parse(Source(name, body.value)).module
        if number >= len(inside.definitions) or not same(inside.definitions[number].node, place.definition.node):
            raise EditError("This workflow stands inside of quotes; put dollar quotes around it first.")
        edits = made(step_place(inside, number, place.path), *args, **options)  # there may be quotes in the quotes
        changed = parse(Source(name, apply(body.value, edits))).module.definitions[number]
        escaped = _escaping(body.span.of(place.text))
        outside = [Edit(body.span_of(each.span.start, each.span.end), escaped(each.text)) for each in edits]
        return proved_definition(place, replace(place.definition, node=changed.node), outside)

    return made


def quoted_body(place: Place) -> Text | None:
    """The outermost string around the workflow whose value is not what is written; None if there is none."""
    if form_of(place.module.source.name) is not Form.SQL:
        return None
    wanted = place.definition.span.start
    text, base, psql = place.text, 0, True
    while True:
        around = (
            token
            for token in lex(text, psql=psql).tokens
            if token.kind == STRING and base + token.start < wanted < base + token.end
        )
        body = next(around, None)
        if body is None:
            return None
        if not text.startswith("$", body.start):  # in '..' the quotes of the workflow are doubled
            anchors = tuple((at, base + source) for at, source in body.anchors)
            return Text(body.value, Span(base + body.start, base + body.end), anchors)
        text, base, psql = body.value, base + body.anchors[0][1], False


def _escaping(literal: str) -> Callable[[str], str]:
    """How a text is written inside of this literal."""
    backslashes = literal[:1] in "eEuU"
    return lambda text: (text.replace("\\", "\\\\") if backslashes else text).replace("'", "''")
