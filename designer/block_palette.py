"""What can be put into a program by pointing: every kind of the language, as it is at first.

A new step does something harmless and passes the checks where that is possible; people change it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pgweave.designer.protocol import Entry
from pgweave.grammar import nodes
from pgweave.grammar.editing.edits import EditError
from pgweave.grammar.kinds import KINDS, Wait
from pgweave.grammar.nodes import Option, Text
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Node

NOWHERE = Span(0, 0)  # a step that is not in a text yet


def text(value: str) -> Text:
    """A text of a step that stands nowhere yet."""
    return Text(value, NOWHERE)


def sql(query: str = "SELECT 1") -> nodes.Sql:
    """A step of SQL."""
    return nodes.Sql(query=text(query), span=NOWHERE)


def sleep(seconds: int = 60) -> nodes.Sleep:
    """A pause."""
    return nodes.Sleep(seconds=seconds, span=NOWHERE)


def signal(name: str = "approved") -> nodes.Signal:
    """A wait for a signal."""
    return nodes.Signal(signal_name=text(name), span=NOWHERE)


@dataclass(frozen=True, slots=True)
class _Offer:
    """One thing on the palette, with the step that it makes."""

    title: str
    group: Literal["steps", "waits", "flow", "children"]
    says: str
    keywords: str
    step: Node


_GROUPS: dict[Wait, Literal["steps", "waits", "flow"]] = {
    Wait.ACTIVITY: "steps",
    Wait.TIMER: "waits",
    Wait.SIGNAL: "waits",
    Wait.INSTANCE: "waits",
    Wait.NOTHING: "flow",
}


def _leaves(group: str) -> dict[str, _Offer]:
    """What KINDS offers in a group. The step is read from its example."""
    found = {}
    for kind in KINDS.values():
        if (offer := kind.offer) is not None and _GROUPS[kind.waits_for] == group:
            # The example of the table and the step that is inserted cannot differ.
            (made,) = parse(Source("", offer.example)).module.definitions
            found[offer.id or kind.name.lower()] = _Offer(
                offer.title, _GROUPS[kind.waits_for], offer.says, offer.keywords, made.node
            )
    return found


_OFFERS: dict[str, _Offer] = {
    **_leaves("steps"),
    **_leaves("waits"),
    "sequence": _Offer(
        "Sequence",
        "flow",
        "Steps one after the other.",
        "then steps chain order",
        nodes.Then(first=sql(), second=sql("SELECT 2"), span=NOWHERE),
    ),
    "if": _Offer(
        "If",
        "flow",
        "Run one of two branches, by the result of a question.",
        "condition decision branch else choose",
        nodes.If(
            condition=sql("SELECT true"), then_branch=sql("SELECT 'yes'"), else_branch=sql("SELECT 'no'"), span=NOWHERE
        ),
    ),
    "if_rows": _Offer(
        "If there are rows",
        "flow",
        "Run one of two branches: does a named result have rows?",
        "condition decision branch empty exists",
        nodes.IfRows(
            result_name=text("rows"), then_branch=sql("SELECT 'some'"), else_branch=sql("SELECT 'none'"), span=NOWHERE
        ),
    ),
    "loop": _Offer(
        "Loop",
        "flow",
        "Repeat for ever, or until a break.",
        "repeat again endless forever cycle",
        nodes.Loop(body=nodes.Then(first=sql(), second=sleep(), span=NOWHERE), span=NOWHERE),
    ),
    "while": _Offer(
        "While loop",
        "flow",
        "Repeat as long as a question, asked after each turn, is answered with yes.",
        "repeat again until condition cycle",
        nodes.Loop(body=sql(), condition=sql("SELECT false"), span=NOWHERE),
    ),
    **_leaves("flow"),
    "parallel": _Offer(
        "In parallel",
        "flow",
        "Run branches side by side and wait for all of them.",
        "join fork all concurrent and",
        nodes.Join(branches=(sql(), sql("SELECT 2")), span=NOWHERE),
    ),
    "race": _Offer(
        "Race",
        "flow",
        "Run branches side by side; the first to finish wins.",
        "first any concurrent or either",
        nodes.Race(left=signal(), right=sleep(), span=NOWHERE),
    ),
    "timeout": _Offer(
        "With a time limit",
        "flow",
        "A step, and a clock beside it: the first to finish wins.",
        "deadline limit at most race sleep",
        nodes.Race(left=sql(), right=sleep(), span=NOWHERE),
    ),
    "child": _Offer(
        "Child workflow",
        "children",
        "Start a workflow of its own, and wait for its end.",
        "call sub orchestration instance",
        nodes.CallChild(
            child=sql(),
            label=text("child"),
            options=(Option("timeout_seconds", 300, NOWHERE, NOWHERE),),
            span=NOWHERE,
        ),
    ),
}
PALETTE: list[Entry] = [
    Entry(id=name, title=offer.title, group=offer.group, says=offer.says, keywords=offer.keywords.split())
    for name, offer in _OFFERS.items()
]


def new_step(entry: str) -> Node:
    """The step that an entry of the palette makes. EditError when there is no such entry."""
    offer = _OFFERS.get(entry)
    if offer is None:
        raise EditError(f"The palette has no `{entry}`.")
    return offer.step
