"""Steps that go elsewhere: moved, copied, or into a call, with the text that a person wrote and the comments about them.

An edit of grammar.edits prints new steps in its own way. So what is to be placed is first written as a placeholder, a step of SQL
that no program contains; once everything else is in place, the old text replaces the placeholder.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.designer import block_palette
from pgweave.designer.differences import difference
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing import edits
from pgweave.grammar.editing.edits import EditError, Edits, Place
from pgweave.grammar.editing.places import places, with_child
from pgweave.grammar.kinds import MAX_TEXT
from pgweave.grammar.nodes import same
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Module, Node

PLACEHOLDER = "pgweave: this step is on its way"
CUT = "pgweave: this step has gone"


def duplicate(place: Place) -> Edits:
    """Do this step once more, just after it; the second has no name."""
    text = edits.apply(place.text, edits.insert_after(place, block_palette.sql(PLACEHOLDER)))
    return difference(place.text, _put_back(parsed_as(place.module, text), place, unnamed=True))


def with_condition(place: Place, loop: nodes.Loop, condition: Node) -> Edits:
    """Give an endless loop a condition: `@> a` becomes `df.loop(a, c)`."""
    text = edits.apply(
        place.text, edits.replace_step(place, replace(loop, body=block_palette.sql(PLACEHOLDER), condition=condition))
    )
    return difference(place.text, _put_back(parsed_as(place.module, text), place.child(0)))


def move(place: Place, to: Place, *, before: bool) -> Edits:
    """Cut a step out with all that stands below it, and put it before or after another. EditError when that cannot be."""
    if (to.index, to.path[: len(place.path)]) == (place.index, place.path):
        raise EditError("A step cannot be moved into itself.")
    about = _lines_above(place)
    module = parsed_as(place.module, edits.apply(place.text, [Edit(about, "")] if about else []))
    # Replaced and not deleted: all paths stay what they were, so `to` still leads to the same step.
    cut = edits.replace_step(again(module, place), block_palette.sql(CUT))
    module = parsed_as(module, edits.apply(module.source.text, cut))
    insert = edits.insert_before if before else edits.insert_after
    module = parsed_as(
        module, edits.apply(module.source.text, insert(again(module, to), block_palette.sql(PLACEHOLDER)))
    )
    module = parsed_as(module, edits.apply(module.source.text, edits.delete(_find(module, CUT))))
    return difference(place.text, _put_back(module, place, comments=True))


def _lines_above(place: Place) -> Span | None:
    """The lines directly above a step, or above the `~>` before it, that are comments about nothing else."""
    text, first = place.text, place.outer.start
    # rfind is -1 in the first line, so `line` is 0.
    line = text.rfind("\n", 0, first) + 1
    if text[line:first].strip(" \t>~") or line <= place.definition.span.start:
        return None
    start = line
    for comment in reversed(parse(place.module.source).comments):
        begin = text.rfind("\n", 0, comment.start) + 1
        behind = text[comment.end : start]
        if (
            comment.end <= start
            and not text[begin : comment.start].strip()
            and behind.count("\n") == 1
            and not behind.strip()
        ):
            start = begin
    return Span(start, line) if place.definition.span.start < start < line else None


def _put_back(module: Module, moved: Place, *, unnamed: bool = False, comments: bool = False) -> str:
    """The text with a step, as it was written, in the place of its placeholder. comments: with those that were cut off."""
    placeholder = _find(module, PLACEHOLDER)
    node = replace(moved.node, binding=None) if unnamed else moved.node
    written = (moved.unnamed if unnamed else moved.outer).of(moved.text)
    expected = _root_with(placeholder, node)
    about = _comments_before(module, moved, placeholder) if comments else []
    if len(module.source.text) + len(written) > MAX_TEXT:
        raise EditError(f"The program would be longer than {MAX_TEXT:,} characters.")
    # `a ~> b` moved beside `&` needs parentheses, as an argument it does not: tried in that order, and proved.
    for text in (written, f"({written})"):
        new = edits.apply(module.source.text, [*about, Edit(placeholder.outer, text)])
        parsed = parse(Source(module.source.name, new))
        there = parsed.module.definitions
        # >=: a text with another mistake may stay as it is, but must not become worse.
        as_well = parsed.ok >= parse(module.source).ok and len(there) == len(module.definitions)
        if as_well and same(there[placeholder.index].node, expected):
            return new
    raise EditError("This step cannot be taken elsewhere: it is computed, or it stands inside of quotes.")


def _comments_before(module: Module, moved: Place, placeholder: Place) -> list[Edit]:
    """Comments that went with the step and stand nowhere else now: on lines of their own before it, if it begins one."""
    outside = [span.of(moved.text) for span in parse(moved.module.source).comments if span not in moved.outer]
    # Counted by their text: two equal comments are two.
    there = Counter(span.of(module.source.text) for span in parse(module.source).comments)
    lost = []
    for comment in outside:
        if there[comment]:
            there[comment] -= 1
        else:
            lost.append(comment)
    text, at = module.source.text, placeholder.outer.start
    line = text.rfind("\n", 0, at) + 1
    ahead = text[line:at]
    indent = ahead[: len(ahead) - len(ahead.lstrip())]
    if not ahead.strip(" \t>~"):
        return [Edit(Span(line, line), "".join(f"{indent}{comment}\n" for comment in lost))] if lost else []
    inline = "".join(f"{comment}\n{indent}" if comment.startswith("--") else f"{comment} " for comment in lost)
    return [Edit(Span(at, at), inline)] if inline else []


def parsed_as(module: Module, text: str) -> Module:
    """Another text under the same name."""
    return parse(Source(module.source.name, text)).module


def again(module: Module, place: Place) -> Place:
    """The same place of a module that has the same shape up to there."""
    return edits.step_place(module, place.index, place.path)


def _find(module: Module, query: str) -> Place:
    """The step of SQL that says just this. EditError when an edit has lost it: it stands inside of what is computed."""
    for place in places(module):
        if isinstance(place.node, nodes.Sql) and place.node.query.value == query:
            return place
    raise EditError("This step cannot be taken elsewhere: it is computed, or it stands inside of quotes.")


def _root_with(place: Place, node: Node) -> Node:
    """The root of the workflow with another step at a place."""
    while (parent := place.parent) is not None:
        node = with_child(parent.node, place.path[-1], node)
        place = parent
    return node
