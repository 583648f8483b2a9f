"""Programs at the limits of the language go through every stage, and importing a check stays cheap."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pgweave.compiler import graph, lower, passes
from pgweave.compiler.pictures import mermaid, outline, picture
from pgweave.grammar.kinds import MAX_DEPTH
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Definition


def nested(opening: str, closing: str, levels: int = MAX_DEPTH) -> str:
    return opening * levels + "'SELECT 1'" + closing * levels


def balanced(steps: int, operator: str) -> str:
    if steps == 1:
        return "'SELECT 1'"
    return f"({balanced(steps // 2, operator)} {operator} {balanced(steps - steps // 2, operator)})"


PROGRAMS = {
    "chain": " ~> ".join(f"('SELECT 1' |=> 'x{number}')" for number in range(MAX_DEPTH + 1)),
    "loops": nested("df.loop(", ")"),
    "joins": nested("('a' & ", ")"),
    "races": nested("(", " | 'a')"),
    "arms": nested("df.if('c', 't', ", ")"),
    "conditions": nested("df.if(", ", 't', 'e')"),
    "children": nested("df.call_child(", ")", 12),
    "wide": balanced(4999, "&"),
}


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_deepest_and_the_widest_programs_go_through_every_stage(text: str) -> None:
    parsed = parse(Source("limits.df", text))
    assert parsed.ok
    (definition,) = parsed.module.definitions
    passes.check(parsed.module)
    assert lower.tree(definition)
    assert lower.rows(definition).rows
    assert drawn(definition)


def drawn(definition: Definition) -> list[str]:
    built = graph.build(definition)
    return [picture.dot(built), mermaid.mermaid(built), graph.to_json(built), outline.ascii(definition)]


def test_checks_and_lowering_start_without_the_heavy_libraries() -> None:
    """`pgweave check` stays near the interpreter's own start-up; a worker that knows rows needs no parser."""
    program = (
        "import sys; from pgweave.compiler import lower, passes, rows\n"
        "print(*sorted({'lark', 'networkx', 'graphviz', 'psycopg'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
