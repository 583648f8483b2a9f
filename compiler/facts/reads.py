"""Where a step reads names and variables: in the texts that the runtime fills in, and the name that df.if_rows tests.

One AST node in, what it fills in out, with places in the source. What is not filled in (a signal's name, seconds, a
cron expression) reads nothing, however much it looks like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.kinds import MAX_NODES
from pgweave.grammar.nodes import Text
from pgweave.grammar.template import Context, scan_raw, scan_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Span
    from pgweave.grammar.template import Placeholder


class Slot(Enum):
    """What a text that is filled in is for; it decides how a value is written there."""

    SQL = "SQL"
    URL = "URL"
    BODY = "body"
    HEADERS = "headers"
    PARTS = "parts"
    INSTANCE = "instance id"
    LABEL = "label"
    DATABASE = "database"
    BREAK = "value of a break"


@dataclass(frozen=True, slots=True)
class Reference:
    """One reading of a name. span: the whole placeholder. name_span: the name in it.

    plain: the text may mean just what it says, as `$` does in a URL, a JSON body or a quoted literal. text, slot and
    placeholder: what it is in and what it is; None when df.if_rows tests the name.
    """

    name: str
    span: Span
    name_span: Span
    plain: bool = False
    text: Text | None = None
    slot: Slot | None = None
    placeholder: Placeholder | None = None

    def after(self, characters: int = 80) -> str:
        """What follows the placeholder in its text, as far as that matters."""
        if self.text is None or self.placeholder is None:
            return ""
        end = self.placeholder.span.end
        return self.text.value[end : end + characters]


def references(node: Node) -> tuple[Reference, ...]:
    """What `node` itself reads, its sub-steps not included, in the order of the arguments."""
    if isinstance(node, nodes.IfRows):
        return (Reference(node.result_name.value, _whole(node.result_name), _whole(node.result_name)),)
    return tuple(
        _reference(text, slot, placeholder)
        for text, slot in texts(node)
        if "$" in text.value
        for placeholder in _scan(text, slot)
        if not placeholder.brace and placeholder.context is not Context.COMMENT
    )


def variables(node: Node) -> tuple[Reference, ...]:
    """The `{name}` forms in what `node` fills in. name_span: without the braces."""
    return tuple(
        _reference(text, slot, placeholder)
        for text, slot in texts(node)
        if "{" in text.value
        for placeholder in _scan(text, slot)
        if placeholder.brace and placeholder.context is not Context.COMMENT
    )


def texts(node: Node) -> Iterator[tuple[Text, Slot]]:
    """The texts of `node` that the runtime fills in."""
    found: tuple[tuple[Text | None, Slot], ...] = ()
    match node:
        case nodes.Sql():
            yield node.query, Slot.SQL
        case nodes.Http():
            found = ((node.url, Slot.URL), (node.body, Slot.BODY), (node.headers, Slot.HEADERS))
        case nodes.HttpMultipart():
            found = ((node.url, Slot.URL), (node.parts, Slot.PARTS), (node.headers, Slot.HEADERS))
        case nodes.AwaitInstance():
            yield node.instance_id, Slot.INSTANCE
        case nodes.Break():
            found = ((node.value, Slot.BREAK),)
        case nodes.CallChild():
            database = node.option("database")
            # A text without anchors: places in it are the start of the option's value.
            given = Text(database.value, database.value_span) if database and isinstance(database.value, str) else None
            found = ((node.label, Slot.LABEL), (given, Slot.DATABASE))
        case _:
            pass
    yield from ((text, slot) for text, slot in found if text is not None)


def _scan(text: Text, slot: Slot) -> tuple[Placeholder, ...]:
    return placeholders(text.value) if slot is Slot.SQL else scan_raw(text.value)


@lru_cache(maxsize=MAX_NODES)
def placeholders(sql: str) -> tuple[Placeholder, ...]:
    """Every placeholder in a text of SQL; remembered, since facts, graph and PostgreSQL's parser all ask for them."""
    return scan_sql(sql) if "$" in sql or "{" in sql else ()


def _reference(text: Text, slot: Slot, placeholder: Placeholder) -> Reference:
    start, end = placeholder.span.start, placeholder.span.end
    name_span = text.span_of(start + 1, start + 1 + len(placeholder.name))
    # An instance id is never anything but a value; everywhere else outside of code a dollar may mean itself.
    plain = placeholder.context is not Context.CODE and slot is not Slot.INSTANCE
    return Reference(placeholder.name, text.span_of(start, end), name_span, plain, text, slot, placeholder)


def _whole(text: Text) -> Span:
    return text.span_of(0, len(text.value))
