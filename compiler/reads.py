"""Where a step reads names: `$name` in the texts that the runtime fills in, and the name that df.if_rows tests.

One AST node in, references with spans in the source out. What is not filled in (a break's value, a signal's name,
seconds, a cron expression) reads nothing, however much it looks like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.nodes import Text
from pgweave.grammar.template import Context, scan_raw, scan_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Span
    from pgweave.grammar.template import Placeholder


@dataclass(frozen=True, slots=True)
class Reference:
    """One reading of a name. span: the whole placeholder. name_span: the name in it.

    plain: the text may mean just what it says, as `$` does in a URL, a JSON body or a quoted literal.
    """

    name: str
    span: Span
    name_span: Span
    plain: bool = False


def references(node: Node) -> tuple[Reference, ...]:
    """What `node` itself reads, its sub-steps not included, in the order of the arguments."""
    return tuple(_references(node))


def _references(node: Node) -> Iterator[Reference]:
    match node:
        case nodes.Sql():
            yield from _in_sql(node.query)
        case nodes.IfRows():
            yield Reference(node.result_name.value, _whole(node.result_name), _whole(node.result_name))
        case nodes.Http():
            for text in (node.url, node.body, node.headers):
                yield from _in_text(text, plain=True)
        case nodes.HttpMultipart():
            for text in (node.url, node.parts, node.headers):
                yield from _in_text(text, plain=True)
        case nodes.AwaitInstance():
            yield from _in_text(node.instance_id, plain=False)
        case nodes.CallChild():
            yield from _in_text(node.label, plain=True)
            database = node.option("database")
            if database is not None and isinstance(database.value, str):
                yield from _in_text(Text(database.value, database.value_span), plain=True)
        case _:
            return


def _in_sql(text: Text) -> Iterator[Reference]:
    for placeholder in scan_sql(text.value):
        if placeholder.context is not Context.COMMENT:
            yield from _reference(text, placeholder, plain=placeholder.context is not Context.CODE)


def _in_text(text: Text | None, *, plain: bool) -> Iterator[Reference]:
    if text is not None:
        for placeholder in scan_raw(text.value):
            yield from _reference(text, placeholder, plain=plain)


def _reference(text: Text, placeholder: Placeholder, *, plain: bool) -> Iterator[Reference]:
    """One reference; none for `{name}`, which is a variable."""
    if not placeholder.brace:
        start, end = placeholder.span.start, placeholder.span.end
        name_span = text.span_of(start + 1, start + 1 + len(placeholder.name))
        yield Reference(placeholder.name, text.span_of(start, end), name_span, plain)


def _whole(text: Text) -> Span:
    return text.span_of(0, len(text.value))
