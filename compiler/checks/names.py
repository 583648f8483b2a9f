"""Checks of names: every `$name` needs a step that binds it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from pgweave.compiler.flow import ANY_NAME
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, Fix, Note, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.flow import Flow, Read, Step
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Binding, Module
    from pgweave.grammar.span import Source, Span


def undefined_name(module: Module, flow: Flow) -> Iterator[Diagnostic]:
    """PW201. A step reads `$x` and no step before it binds x, on any path.

    In SQL code such a `$x` is a syntax error for certain. In a string, a URL or a JSON body a dollar may mean itself
    (`'$min'` in a jsonpath, `?$filter=` in a URL), so there we speak up only when the name is nearly one that is known.
    """
    bindings = _bindings(flow)
    variables = {variable.name for variable in module.variables}
    for read in flow.reads:
        if None in read.binders and len(read.binders) == 1:
            found = _undefined(module.source, read, bindings, variables)
            if found is not None:
                yield found


def _undefined(
    source: Source, read: Read, bindings: tuple[tuple[Step, Binding], ...], variables: set[str]
) -> Diagnostic | None:
    reference = read.reference
    name = reference.name
    elsewhere = [binding for _, binding in bindings if binding.name == name]
    tested = isinstance(read.step.node, nodes.IfRows)
    near = get_close_matches(name, [visible for visible in read.visible if visible != ANY_NAME], n=1)
    fix: Fix | None = None
    notes: tuple[Note, ...] = ()
    if elsewhere:
        help_ = "A name can be read by the steps that run after the one that binds it, in the same workflow."
        notes = tuple(Note(binding.span, f"`{name}` is bound here") for binding in elsewhere[:3])
    elif name in variables and not tested:
        help_ = f"`{name}` is a variable: write `{{{name}}}`."
        fix = _rewrite(source, reference.span, f"${name}", f"{{{name}}}")
    elif near:
        help_ = f"Did you mean `{'' if tested else '$'}{near[0]}`?"
        fix = _rewrite(source, reference.name_span, name, near[0])
    elif reference.plain:
        return None
    else:
        help_ = f"Name the step that it should come from: `... |=> '{name}'`."
    return finding("PW201", reference.span, name=name, sigil="" if tested else "$", help=help_, notes=notes, fix=fix)


def _rewrite(source: Source, span: Span, old: str, new: str) -> Fix | None:
    """Write `new` for `old`; no mend where the text was put together and `old` does not stand there."""
    return Fix(f"Write {new}", (Edit(span, new),)) if span.of(source.text) == old else None


def _bindings(flow: Flow) -> tuple[tuple[Step, Binding], ...]:
    """Every binding of the definition, in the order of the text."""
    found = [(step, step.node.binding) for step in flow.root.walk() if step.node.binding is not None]
    return tuple(sorted(found, key=lambda pair: pair[1].span))
