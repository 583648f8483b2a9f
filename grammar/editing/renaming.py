"""Give a result another name: where it is bound and wherever it is read, through quotes and escapes.

A name belongs to one graph: that of the workflow, or that of a child, which knows none of its parent's names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing.patch import EditError, Edits, proved_definition, reworded
from pgweave.grammar.editing.places import with_child
from pgweave.grammar.editing.quoted import through_quotes
from pgweave.grammar.meaning.durofut import bad_name
from pgweave.grammar.nodes import Text, children
from pgweave.grammar.reading.lexer import STRING, lex
from pgweave.grammar.result_names import is_name
from pgweave.grammar.span import Span
from pgweave.grammar.template import scan_raw, scan_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.grammar.editing.places import Place
    from pgweave.grammar.nodes import Node


@through_quotes
def rename(place: Place, new: str) -> Edits:
    """Rename the result of the step at `place`, and every `$name` of the same graph that means it.

    Steps of the same name are renamed together. EditError if `new` is no name, or means something there already.
    """
    binding = place.node.binding
    if binding is None:
        raise EditError("This step has no name; give it one first.")
    if not is_name(new):
        raise EditError(bad_name(new))
    if new == binding.name:
        return ()
    return _Renaming(_graph(place), binding.name, new).edits()


def _graph(place: Place) -> Place:
    """The root of the graph that a step belongs to."""
    while (parent := place.parent) is not None and not isinstance(parent.node, nodes.CallChild):
        place = parent
    return place


class _Renaming:
    """One renaming. steps: of the graph below `root`, without the graphs of children."""

    def __init__(self, root: Place, old: str, new: str) -> None:
        self.root = root
        self.old = old
        self.new = new
        self.steps = list(_steps(root))

    def edits(self) -> Edits:
        for step in self.steps:
            # Renaming onto a name that exists would join two results into one, silently.
            if self.new in _names(step):
                raise EditError(f"`{self.new}` already means something in this workflow.")
        edits = [edit for step in self.steps for edit in self._in_step(step)]
        changed = {step.path: self._changed(step, edits) for step in self.steps}
        node = _rebuilt(self.root, changed)
        # Above the graph are the calls that made it a child; they keep their names, and get the changed child.
        for step in _above(self.root):
            node = with_child(step.node, self.root.path[len(step.path)], node)
            if isinstance(node, nodes.Opaque):
                node = replace(node, text=reworded(step, edits))
        return proved_definition(self.root, replace(self.root.definition, node=node), edits)

    def _in_step(self, step: Place) -> Iterator[Edit]:
        node = step.node
        if node.binding is not None and node.binding.name == self.old:
            yield self._in_literal(step, node.binding.span)
        if isinstance(node, nodes.IfRows) and node.result_name.value == self.old:
            yield self._in_literal(step, node.result_name.span)
        for text in texts(node):
            yield from self._in_text(step, text, [start for start, name in references(node, text) if name == self.old])
        if isinstance(node, nodes.Opaque):
            for text in strings(step):
                found = [
                    mark.span.start + 1 for mark in scan_raw(text.value) if not mark.brace and mark.name == self.old
                ]
                yield from self._in_text(step, text, found)

    def _in_literal(self, step: Place, span: Span) -> Edit:
        """The name itself, in whatever quotes it stands."""
        written = span.of(step.text)
        if written.count(self.old) != 1:  # E'\x61': the name is written in escapes
            return Edit(span, f"'{self.new}'")
        start = span.start + written.index(self.old)
        return Edit(Span(start, start + len(self.old)), self.new)

    def _in_text(self, step: Place, text: Text, starts: Sequence[int]) -> list[Edit]:
        """The places of the name in a text; looked for in its source if the way there is lost."""
        spans = [text.span_of(start, start + len(self.old)) for start in starts]
        # A text that concat() or format() has computed has no anchors: look for `$old` where it is written.
        # One wrong place is enough: then all are looked for, so that none is edited twice.
        if any(span.of(step.text) != self.old for span in spans):
            written = text.span.of(step.text)
            # format('.. $%s', 'old') has no `$old` to find: the count differs, and the edit is refused.
            found = re.finditer(rf"\${re.escape(self.old)}(?![A-Za-z0-9_])", written)
            spans = [Span(text.span.start + each.start() + 1, text.span.start + each.end()) for each in found]
            if len(spans) != len(starts):
                raise EditError(f"`${self.old}` is read in a text that is computed; write that text out first.")
        return [Edit(span, self.new) for span in spans]

    def _changed(self, step: Place, edits: Sequence[Edit]) -> Node:
        """The step with the new name, its children aside."""
        node = step.node
        if node.binding is not None and node.binding.name == self.old:
            node = replace(node, binding=replace(node.binding, name=self.new))
        match node:
            case nodes.Sql():
                return replace(node, query=self._reworded(node, node.query))
            case nodes.IfRows() if node.result_name.value == self.old:
                return replace(node, result_name=replace(node.result_name, value=self.new))
            case nodes.Http():
                return replace(
                    node,
                    url=self._reworded(node, node.url),
                    body=self._maybe(node, node.body),
                    headers=self._maybe(node, node.headers),
                )
            case nodes.HttpMultipart():
                return replace(
                    node,
                    url=self._reworded(node, node.url),
                    parts=self._reworded(node, node.parts),
                    headers=self._maybe(node, node.headers),
                )
            case nodes.AwaitInstance():
                return replace(node, instance_id=self._reworded(node, node.instance_id))
            case nodes.Break():
                return replace(node, value=self._maybe(node, node.value))
            case nodes.CallChild():
                return self._changed_call(node)
            case nodes.Opaque():
                return replace(node, text=reworded(step, edits))
            case _:
                return node

    def _changed_call(self, node: nodes.CallChild) -> Node:
        options = node.options
        database = node.option("database")
        if database is not None and isinstance(database.value, str):
            value = self._reworded(node, Text(database.value, database.value_span)).value
            options = tuple(replace(each, value=value) if each is database else each for each in options or ())
        return replace(node, label=self._maybe(node, node.label), options=options)

    def _maybe(self, node: Node, text: Text | None) -> Text | None:
        return None if text is None else self._reworded(node, text)

    def _reworded(self, node: Node, text: Text) -> Text:
        out, place = [], 0
        for start, name in references(node, text):
            if name == self.old:
                out += [text.value[place:start], self.new]
                place = start + len(name)
        return replace(text, value="".join([*out, text.value[place:]]))


def _steps(root: Place) -> Iterator[Place]:
    pending = [root]
    while pending:
        step = pending.pop()
        yield step
        if not isinstance(step.node, nodes.CallChild):
            pending.extend(step.children)


def _above(place: Place) -> Iterator[Place]:
    while (parent := place.parent) is not None:
        yield parent
        place = parent


def _rebuilt(root: Place, changed: dict[tuple[int, ...], Node]) -> Node:
    """The graph of changed steps, put together from the leaves up: the longest path is the deepest step."""
    for path in sorted(changed, key=len, reverse=True):
        for number in range(len(children(changed[path]))):
            child = changed.get((*path, number))
            if child is not None:
                changed[path] = with_child(changed[path], number, child)
    return changed[root.path]


def _names(step: Place) -> set[str]:
    """Every name that a step binds or reads."""
    node = step.node
    names = {name for text in texts(node) for _, name in references(node, text)}
    if node.binding is not None:
        names.add(node.binding.name)
    if isinstance(node, nodes.IfRows):
        names.add(node.result_name.value)
    if isinstance(node, nodes.Opaque):
        names |= {mark.name for text in strings(step) for mark in scan_raw(text.value) if not mark.brace}
    return names


def texts(node: Node) -> tuple[Text, ...]:
    """The texts of a step that are filled in when it runs, where `$name` means a result."""
    found: tuple[Text | None, ...] = ()
    match node:
        case nodes.Sql():
            found = (node.query,)
        case nodes.Http():
            found = (node.url, node.body, node.headers)
        case nodes.HttpMultipart():
            found = (node.url, node.parts, node.headers)
        case nodes.AwaitInstance():
            found = (node.instance_id,)
        case nodes.Break():
            found = (node.value,)
        case nodes.CallChild():
            database = node.option("database")
            given = Text(database.value, database.value_span) if database and isinstance(database.value, str) else None
            found = (node.label, given)
        case _:
            pass
    return tuple(text for text in found if text is not None)


def references(node: Node, text: Text) -> list[tuple[int, str]]:
    """Where in a text of the step names of results stand (behind the dollar), and which."""
    scan = scan_sql if isinstance(node, nodes.Sql) else scan_raw
    return [(mark.span.start + 1, mark.name) for mark in scan(text.value) if not mark.brace]


def strings(place: Place) -> Iterator[Text]:
    """The strings of an opaque expression outside of the steps that are known in it."""
    span = place.unnamed
    known = [child.outer for child in place.children]
    for token in lex(span.of(place.text)).tokens:
        where = Span(span.start + token.start, span.start + token.end)
        if token.kind == STRING and not any(where in outer for outer in known):
            anchors = tuple((at, span.start + source) for at, source in token.anchors)
            yield Text(token.value, where, anchors)
