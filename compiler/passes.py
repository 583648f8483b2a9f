"""What stands between the parser and the lowering: every check, in one visible order.

A module in, findings out. A check is a function of the module and of one definition's flow; it changes nothing, finds
everything it can, and raises only for a bug of ours. Suppression and levels are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from pgweave.compiler import flow
from pgweave.compiler.checks import children, names, shape
from pgweave.compiler.flow import Flow
from pgweave.grammar.diagnostics import Diagnostic
from pgweave.grammar.nodes import Module

Check: TypeAlias = Callable[[Module, Flow], Iterable[Diagnostic]]

PASSES: tuple[Check, ...] = (
    names.undefined_name,
    shape.stray_break,
    children.await_without_timeout,
    children.unknown_option,
    children.bad_option_value,
)


def check(module: Module) -> tuple[Diagnostic, ...]:
    """Run every check on every definition. Findings in the order of the text, then of their codes."""
    flows = [flow.trace(definition) for definition in module.definitions]
    found = [diagnostic for traced in flows for run in PASSES for diagnostic in run(module, traced)]
    return tuple(sorted(found, key=lambda diagnostic: (diagnostic.span, diagnostic.code)))
