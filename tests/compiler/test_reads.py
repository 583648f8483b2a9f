"""What checks take for a reading of a name is what the runtime fills in: in SQL, in requests, in the value of a break."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ast
from support.pace import examples

from pgweave.compiler.facts import reads
from pgweave.grammar import nodes
from pgweave.runtime.worker.substitution import ValueProblem, render_raw, render_sql

PIECES = [
    "SELECT ", "$x", "$xy", "$x.c", "$x.*", "$x?", "$x.c?", "$y", "{x}", "{y}", "'", "''", '"', "$$", "$x$", "-- ", "\n", "/* ", " */",
    "E'", "\\", " ", ",", "::text", "a", ".b", "?", "DO ", "(", ")", "$1",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
ROWS = json.dumps({"rows": [{"c": "marked"}], "row_count": 1})


def filled(text: str, *, sql: bool, names: dict[str, str], variables: dict[str, str]) -> bool:
    """Whether the runtime puts something into a text; a value that does not fit was meant to be put in."""
    try:
        done = render_sql(text, names, variables).text if sql else render_raw(text, names, variables)
    except ValueProblem:
        return True
    return done != text


@settings(deadline=None, max_examples=examples(400))
@given(texts, st.sampled_from(["x", "xy", "y"]))
@pytest.mark.parametrize("slot", ["sql", "break", "instance"])
def test_a_name_is_read_where_the_runtime_fills_it_in(slot: str, text: str, name: str) -> None:
    node: nodes.Node
    match slot:
        case "sql":
            node = ast.sql(text)
        case "break":
            node = nodes.Break(value=ast.text(text), span=ast.span())
        case _:
            node = nodes.AwaitInstance(instance_id=ast.text(text), timeout_seconds=None, span=ast.span())
    read = any(one.name == name for one in reads.references(node))
    assert read is filled(text, sql=slot == "sql", names={name: ROWS}, variables={})
    taken = any(one.name == name for one in reads.variables(node))
    put_in = filled(text, sql=slot == "sql", names={}, variables={name: "marked"})
    # A variable is put into a comment too, as raw text goes anywhere; there is nothing to say about it.
    assert taken is put_in or (put_in and ("--" in text or "/*" in text))
