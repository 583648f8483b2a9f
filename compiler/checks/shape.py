"""Checks of control flow: every step must stand where it can do its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.flow import Flow
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Module


def stray_break(module: Module, flow: Flow) -> Iterator[Diagnostic]:
    """PW304. df.break with no loop around it.

    A called child is an instance of its own and cannot leave its parent's loop. What an expression that only the
    database can evaluate does with its operands nobody knows, so those are left alone.
    """
    pending = [(flow.root, False)]
    while pending:
        step, may_break = pending.pop()
        match step.node:
            case nodes.Break() if not may_break:
                yield finding("PW304", step.node.span)
            case nodes.Loop() | nodes.Opaque():
                may_break = True
            case nodes.CallChild():
                may_break = False
            case _:
                pass
        pending += [(child, may_break) for child in step.children]
