"""A step in words: what pictures, outlines and messages call it. Verbs are those of KINDS. Plain text only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar import durations, nodes
from pgweave.grammar.shortened import cut, one_line, visible

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Node

# What stands where branches part and where they meet.
BARS = {
    ("JOIN", "fork"): "side by side",
    ("JOIN", "merge"): "when all are done",
    ("RACE", "fork"): "race",
    ("RACE", "merge"): "when the first is done",
}
DETAIL_WIDTH = 44  # characters of a box's text; SQL that is cut here stands whole in the tooltip


@dataclass(frozen=True, slots=True)
class Words:
    """verb: what the step does. detail: to what; may be empty. full: the whole of a detail that was cut."""

    verb: str
    detail: str = ""
    full: str = ""

    @property
    def label(self) -> str:
        """Verb and detail in one line."""
        return f"{self.verb}: {self.detail}" if self.detail else self.verb


def describe(node: Node) -> Words:
    """Words for one step. Those for a called child are its start; the wait for it is `describe_wait`.

    A kind that is not named here says its verb, and the first member of its configuration: a new leaf needs no case.
    """
    verb = node.kind.verb
    match node:
        case nodes.Sql():
            return _cut(verb, node.query.value)
        case nodes.IfRows():
            return Words("rows in", f"{node.result_name.value}?")
        case nodes.Join():
            count = len(node.branches)
            return Words(verb, f"all {count} branches" if count > 2 else "both branches")
        case nodes.Race():
            return Words(verb, "the first to finish wins")
        case nodes.Loop():
            return Words(verb, "for ever" if node.condition is None else "while the test holds")
        case nodes.Break():
            return Words(verb) if node.value is None else _cut(f"{verb} with", node.value.value)
        case nodes.Http() | nodes.HttpMultipart():
            return _cut(node.method.upper(), node.url.value)
        case nodes.CallChild():
            return _cut(verb, child_title(node))
        case nodes.Opaque():
            return _cut(verb, node.text)
        case _ if node.kind.is_pause:
            return Words(verb, durations.exact(getattr(node, node.kind.values[0].field)))
        case _:
            return _cut(verb, first_member(node))


def outline(node: Node) -> str:
    """One step in an outline: what df.explain writes, without the name. A new leaf needs no case."""
    word = node.kind.outline or node.kind.name
    match node:
        case nodes.Sql():
            return f"{word}: {_short(node.query.value, 50)}"
        case nodes.Opaque():
            return f"{word}: {_short(node.text, 50)}"
        case _ if node.kind.is_pause:
            return f"{word} {getattr(node, node.kind.values[0].field)}s"
        case nodes.Http() | nodes.HttpMultipart():
            return f"{word} {node.method.upper()} {_short(node.url.value, 40)}"
        case nodes.Loop():
            return f"{word} (infinite)" if node.condition is None else f"{word} (while)"
        case nodes.Break():
            return word if node.value is None else f"{word} '{_short(node.value.value, 20)}'"
        case nodes.Join():
            return f"{word} ({len(node.branches)})"
        case nodes.CallChild():
            return (f"{word} '{node.label.value}'" if node.label else word) + _limit(node)
        case _:
            detail = first_member(node)
            return (f"{word} '{detail}'" if detail else word) + _limit(node)


def first_member(node: Node) -> str:
    """What a leaf is about: the first member of its configuration, as it is written; empty without any."""
    members = node.kind.members
    value = getattr(node, members[0].field) if members else None
    return "" if value is None else str(value.value if isinstance(value, nodes.Text) else value)


def _limit(node: Node) -> str:
    seconds = timeout(node)
    return "" if seconds is None else f" ({seconds}s)"


def _short(text: str, width: int) -> str:
    return cut(text, width, "...")


def describe_wait(node: nodes.CallChild) -> Words:
    """Words for the second half of a called child."""
    return _cut("wait for child", child_title(node))


def child_title(node: nodes.CallChild) -> str:
    """Label of a called child, or nothing."""
    return visible(node.label.value) if node.label else ""


def timeout(node: Node) -> int | None:
    """Seconds after which a wait gives up; None: never, or it is no wait."""
    match node:
        case nodes.Signal() | nodes.AwaitInstance():
            return node.timeout_seconds
        case nodes.CallChild():
            option = node.option("timeout_seconds")
            return option.value if option and isinstance(option.value, int) else None
        case _:
            return None


def first_line(text: str) -> str:
    """The first line that says anything: not blank, and no comment if another line is none."""
    lines = [one_line(line) for line in text.splitlines() if line.strip()]
    # A comment above a statement says less about it than its first line.
    return next((line for line in lines if not line.startswith("--")), lines[0] if lines else "")


def _cut(verb: str, text: str) -> Words:
    text = visible(text)
    line = first_line(text)
    short = line if len(line) <= DETAIL_WIDTH else line[: DETAIL_WIDTH - 3].rstrip() + "..."  # no blank before the dots
    # The first line was shown whole, and there are more.
    if short == line and len(text.split("\n")) > 1 and text.strip() != line:
        short += " ..."
    return Words(verb, short, text if short != text else "")
