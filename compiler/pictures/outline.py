"""The definition as an indented outline in plain text: the layout of df.explain, for terminals and pull requests.

    SQL: SELECT 1 |=> 'a'
    → IF
        ? condition:
          └─SQL: SELECT $a > 0
        ✓ then:
          └─SLEEP 1s
        ✗ else:
          └─SQL: SELECT 3

Lines are padded to one width, as df.explain pads them. Beyond df.explain: every kind shows its name, texts are cut by
characters, and a called child is shown with its steps instead of the SQL that starts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.compiler.pictures import step_words
from pgweave.grammar import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Definition, Node

_PADDING = 4  # spaces behind the longest line


def ascii(definition: Definition) -> str:  # noqa: A001 - the name of the picture, as in `--emit ascii`
    """Outline of one definition; lines joined by line feeds, without one at the end."""
    lines = list(_lines(definition.node, "", "", last=True))
    width = max(len(line) for line in lines) + _PADDING
    return "\n".join(line.ljust(width) for line in lines)


def _lines(node: Node, prefix: str, connector: str, *, last: bool) -> Iterator[str]:
    """One step. connector: `→ ` for a later step of a sequence; empty: what its place asks for."""
    if isinstance(node, nodes.Then):
        yield from _lines(node.first, prefix, connector, last=last)
        yield from _lines(node.second, prefix, "→ ", last=last)
        return
    if connector:
        inner = prefix + "    "
    elif prefix:
        connector, inner = ("└─", prefix + "    ") if last else ("├─", prefix + "│   ")
    else:
        inner = "    "
    suffix = f" |=> '{node.binding.name}'" if node.binding else ""
    first, *rest = f"{prefix}{connector}{step_words.outline(node)}{suffix}".split("\n")
    yield first
    yield from rest
    for title, child, child_last in _sections(node):
        yield inner + title
        yield from _lines(child, inner + "  ", "", last=child_last)


def _sections(node: Node) -> tuple[tuple[str, Node, bool], ...]:
    match node:
        case nodes.If():
            condition = ("? condition:", node.condition, True)
            return (condition, ("✓ then:", node.then_branch, True), ("✗ else:", node.else_branch, True))
        case nodes.IfRows():
            return (("✓ then:", node.then_branch, True), ("✗ else:", node.else_branch, True))
        case nodes.Loop():
            body = ("↻ body:", node.body, True)
            return (body,) if node.condition is None else (body, ("? while:", node.condition, True))
        case nodes.CallChild():
            return (("↳ child:", node.child, True),)
        case _:
            inside = nodes.children(node)
            return tuple(
                (f"║ branch {number}:", child, number == len(inside)) for number, child in enumerate(inside, 1)
            )
