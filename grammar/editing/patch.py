"""Edits of a text, and the proof that they make the tree that was meant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, Severity
from pgweave.grammar.editing.places import is_in_json, with_child
from pgweave.grammar.nodes import same
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.editing.places import Place
    from pgweave.grammar.nodes import Definition, Node
    from pgweave.grammar.parser import Parsed

Edits = tuple[Edit, ...]


class EditError(ValueError):
    """An edit that cannot be made here. The message says why, for people."""


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Make the edits. ValueError when two of them overlap."""
    out, place = [], 0
    for edit in sorted(edits, key=lambda edit: edit.span):
        if edit.span.start < place:
            raise ValueError("these edits overlap")
        out += [text[place : edit.span.start], edit.text]
        place = edit.span.end
    return "".join([*out, text[place:]])


def proved(place: Place, expected: Node, edits: Iterable[Edit]) -> Edits:
    """The edits, cut down to what differs, if they make `expected` of the step at `place` and change nothing else."""
    smallest = _smallest(place.text, edits)
    module = place.module
    definition = replace(place.definition, node=_in_tree(place, expected, smallest))
    # The tree that is expected is made of nodes, the tree that there is by parsing: an edit that both agree on is right.
    definitions = (*module.definitions[: place.index], definition, *module.definitions[place.index + 1 :])
    return _proved(place, definitions, smallest)


def proved_definition(place: Place, expected: Definition, edits: Iterable[Edit]) -> Edits:
    """The same for a change all over one workflow."""
    module = place.module
    definitions = (*module.definitions[: place.index], expected, *module.definitions[place.index + 1 :])
    return _proved(place, definitions, _smallest(place.text, edits))


def _proved(place: Place, definitions: tuple[Definition, ...], edits: Edits) -> Edits:
    module = place.module
    parsed = parse(Source(module.source.name, apply(module.source.text, edits)))
    errors, before = _errors(parsed), _errors(parse(module.source))
    if not same(parsed.module.definitions, definitions) or not same(parsed.module.variables, module.variables):
        raise EditError(_reason(place, errors if len(errors) > len(before) else []))
    if len(errors) > len(before):
        raise EditError(_reason(place, errors))
    return edits


def _errors(parsed: Parsed) -> list[Diagnostic]:
    return [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]


def _reason(place: Place, errors: Sequence[Diagnostic]) -> str:
    """Why not, in one sentence. errors: what the program would be refused for."""
    limits = [error.title for error in errors if error.code in ("PW010", "PW011", "PW012")]
    if limits:
        return limits[0]
    if is_in_json(place):
        return "This step is part of Durofut JSON; write that JSON as df calls first."
    if errors and errors[0].code not in ("PW001", "PW002", "PW003", "PW004"):
        return f"The program would be refused: {errors[0].title.removesuffix('.')}."
    return "This step is computed from several texts; write it as one step first."


def _smallest(text: str, edits: Iterable[Edit]) -> Edits:
    """The same edits without what they leave as it is."""
    cut = (_cut(text, edit) for edit in sorted(edits, key=lambda edit: edit.span))
    return tuple(edit for edit in cut if edit.text or edit.span)


def _cut(text: str, edit: Edit) -> Edit:
    """The edit without what its old and new text have in common at the start and at the end.

    Where `'SELECT 1'` becomes `'SELECT 12'`, only the `2` is inserted, so that an editor keeps its cursor and its marks.
    """
    old, new = edit.span.of(text), edit.text
    most = min(len(old), len(new))
    start = next((i for i in range(most) if old[i] != new[i]), most)
    most -= start
    end = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    return Edit(Span(edit.span.start + start, edit.span.end - end), new[start : len(new) - end])


def _in_tree(place: Place, node: Node, edits: Sequence[Edit]) -> Node:
    """The root of the workflow with `node` at `place`."""
    while (parent := place.parent) is not None:
        above = with_child(parent.node, place.path[-1], node)
        if isinstance(above, nodes.Opaque):  # its text contains that of the step
            above = replace(above, text=reworded(parent, edits))
        place, node = parent, above
    return node


def reworded(place: Place, edits: Iterable[Edit]) -> str:
    """The text of the opaque expression at `place` after the edits that fall into it."""
    span = place.unnamed
    inside = [
        Edit(Span(edit.span.start - span.start, edit.span.end - span.start), edit.text)
        for edit in edits
        if edit.span in span
    ]
    return apply(span.of(place.text), inside)
