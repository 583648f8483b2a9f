"""What can be wrong with several files together: workflows that start each other across files, for ever.

Modules in, findings out, each with the number of the module that it is about. A label that two files give to different
workflows names neither of them, so it takes no part.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pgweave.compiler import suppress
from pgweave.compiler.checks.starts import MAX_NAMES, Edges, cycles, started
from pgweave.compiler.facts.definition_facts import Facts
from pgweave.grammar.diagnostics import finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Module
    from pgweave.grammar.span import Span


def check(modules: Sequence[Module]) -> Iterator[tuple[int, Diagnostic]]:
    """PW605 for every cycle that no single file shows, at its first member. Which file: its place among `modules`."""
    edges = _edges(modules)
    for start, path in cycles(edges).items():
        (_, (number, span)), *others = path
        if all(other == number for _, (other, _) in path):
            continue  # said by the check of that file
        names = [_named(name, modules[at], place) for name, (at, place) in others[: MAX_NAMES - 1]]
        hidden = len(others) - len(names)
        if hidden:
            found = finding("PW605", span, "long", names=" -> ".join(names), count=hidden, name=start)
        else:
            found = finding("PW605", span, names=" -> ".join([*names, f"`{start}`"]))
        yield from ((number, one) for one in suppress.allowed([found], modules[number]))


def _edges(modules: Sequence[Module]) -> Edges[tuple[int, Span]]:
    homes: Counter[str] = Counter()
    found: Edges[tuple[int, Span]] = {}
    for number, module in enumerate(modules):
        homes.update({one.name for one in module.definitions if one.label is not None})
        for name, starts in started(map(Facts, module.definitions)).items():
            found.setdefault(name, []).extend((label, (number, span)) for label, span in starts)
    # homes: in how many files a label is given. Two workflows of one label would make a cycle that is none.
    return {name: starts for name, starts in found.items() if homes[name] == 1}


def _named(name: str, module: Module, place: Span) -> str:
    return f"`{name}` ({module.source.name}:{module.source.location(place.start).line})"
