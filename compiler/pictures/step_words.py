"""What a step is called in pictures: a verb, and the one detail that tells it from its neighbours. Plain text only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from pgweave.grammar import nodes

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
    """Words for one step. Those for a called child are its start; the wait for it is `describe_wait`."""
    match node:
        case nodes.Sql():
            return _cut("SQL", node.query.value)
        case nodes.Then():
            return Words("then")
        case nodes.If():
            return Words("if")
        case nodes.IfRows():
            return Words("rows in", f"{node.result_name.value}?")
        case nodes.Join():
            count = len(node.branches)
            return Words("join", f"all {count} branches" if count > 2 else "both branches")
        case nodes.Race():
            return Words("race", "the first to finish wins")
        case nodes.Loop():
            return Words("loop", "for ever" if node.condition is None else "while the test holds")
        case nodes.Break():
            return Words("break") if node.value is None else _cut("break with", node.value.value)
        case nodes.Sleep():
            return Words("sleep", duration(node.seconds))
        case nodes.WaitSchedule():
            return _cut("wait for schedule", node.cron.value)
        case nodes.Signal():
            return _cut("wait for signal", node.signal_name.value)
        case nodes.Http() | nodes.HttpMultipart():
            return _cut(node.method.upper(), node.url.value)
        case nodes.AwaitInstance():
            return _cut("wait for instance", node.instance_id.value)
        case nodes.CallChild():
            return _cut("start child", child_title(node))
        case nodes.Opaque():
            return _cut("computed at start", node.text)
        case _:
            assert_never(node)


def describe_wait(node: nodes.CallChild) -> Words:
    """Words for the second half of a called child."""
    return _cut("wait for child", child_title(node))


def child_title(node: nodes.CallChild) -> str:
    """Label of a called child, or nothing."""
    return node.label.value if node.label else ""


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


def duration(seconds: int) -> str:
    """Seconds as people say them: `90 s`, `5 min`, `36 h`, `7 d`; only exact multiples change the unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0 and (unit != "d" or seconds >= 2 * size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def first_line(text: str) -> str:
    """The first line that says anything: not blank, and no comment if another line is none."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("--")), lines[0] if lines else "")


def _cut(verb: str, text: str) -> Words:
    line = first_line(text)
    short = line if len(line) <= DETAIL_WIDTH else line[: DETAIL_WIDTH - 3].rstrip() + "..."
    if short == line and len(text.split("\n")) > 1 and text.strip() != line:
        short += " ..."
    return Words(verb, short, text if short != text else "")
