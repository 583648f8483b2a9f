"""The shape of a step in one line: `seq(a, as(b, 'x'))`, as semantics.md writes its trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Definition, Node

NAMES = {nodes.Then: "seq", nodes.Join: "join", nodes.Race: "race", nodes.Loop: "loop", nodes.If: "if"}


def shape(node: Node) -> str:
    match node:
        case nodes.Sql():
            core = node.query.value
        case nodes.If():
            core = f"if({shape(node.condition)}, {shape(node.then_branch)}, {shape(node.else_branch)})"
        case nodes.Opaque():
            core = f"<{node.text}>"
        case nodes.CallChild():
            core = f"child({shape(node.child)})"
        case _:
            inside = ", ".join(shape(child) for child in nodes.children(node))
            core = f"{NAMES.get(type(node), type(node).__name__.lower())}({inside})"
    return core if node.binding is None else f"as({core}, {node.binding.name})"


def program(text: str) -> Definition:
    """The one workflow of a program that must be clean."""
    parsed = parse(Source("test.df", text))
    assert parsed.diagnostics == (), parsed.diagnostics
    (definition,) = parsed.module.definitions
    return definition


def step(text: str) -> Node:
    return program(text).node


def codes(text: str) -> list[str]:
    return [found.code for found in parse(Source("test.df", text)).diagnostics]
