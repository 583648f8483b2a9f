"""Lowering to a SQL script: what one would send to PostgreSQL to start the workflow without pgweave at hand.

A definition and the variables its file declares in, text out, for psql or any client that sends several statements.
Style `rows` inserts exactly the rows of `lower.rows`; style `start` is `SELECT df.start(..)`, fully parenthesised, which
also runs where pg_durable is installed. Equal input gives equal text: the instance's id is chosen by the database.
"""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from pgweave.compiler import lower
from pgweave.grammar.span import Source
from pgweave.grammar.writing.formatter import format_source
from pgweave.grammar.writing.printer import print_definition
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from pgweave.compiler.rows import Row
    from pgweave.grammar.nodes import Definition, Module

Style: TypeAlias = Literal["rows", "start"]
STYLES: tuple[Style, ...] = get_args(Style)

_HEADING = "{name}. Made by `pgweave compile`: change the program, not this script."


def script(module: Module, definition: Definition, style: Style = "rows") -> str:
    """Start `definition`, one of `module`, after setting the variables that the module declares; ends in a line feed.

    LoweringError for style `rows` when the definition holds what only the database can evaluate.
    """
    parts = {
        "heading": _HEADING.format(name=" ".join(definition.name.split())),
        "variables": "".join(f"SELECT {setvar};\n" for setvar in _variables(module)),
    }
    if style == "start":
        parts["start"] = _laid_out(print_definition(definition))
    else:
        rows = lower.rows(definition).rows
        parts |= {
            "label": literal(definition.label.value if definition.label else None),
            "database": literal(definition.database.value if definition.database else None),
            "root": literal(rows[0].id),
            "rows": ",\n".join(f"    ({_values(position, row)})" for position, row in enumerate(rows)),
        }
    # psql sends bytes as it found them, whatever the encoding of its terminal.
    # Only where it is needed, so that scripts in plain ASCII stay as short as they are.
    needed = any(not text.isascii() for text in parts.values())
    parts["encoding"] = "SET LOCAL client_encoding TO 'UTF8';\n" if needed else ""
    return _template("instance.sql" if style == "rows" else "start.sql").substitute(parts)


def _laid_out(statement: str) -> str:
    return format_source(Source("", statement)).text.rstrip()


def _template(name: str) -> Template:
    return Template(resources.files("pgweave.compiler").joinpath(f"sql/{name}").read_text(encoding="utf-8"))


def _variables(module: Module) -> list[str]:
    """Calls of df.setvar in the order of the text; a value that only the database can evaluate is kept as it is written."""
    return [
        variable.span.of(module.source.text)
        if variable.value is None
        else f"df.setvar({literal(variable.name)}, {literal(variable.value)})"
        for variable in module.variables
    ]


def _values(position: int, row: Row) -> str:
    texts = (row.node_type, row.query, row.result_name, row.left_node, row.right_node)
    return ", ".join([literal(row.id), str(position), *map(literal, texts)])


def literal(value: str | None) -> str:
    """Write a string with as few escapes as there can be.

    A backslash is never in plain quotes: what it means there depends on `standard_conforming_strings`.
    """
    if value is None:
        return "NULL"
    quoted = quote(value)
    # Dollar quotes take a backslash as it is under any setting.
    return "E" + quoted.replace("\\", r"\\") if quoted.startswith("'") and "\\" in value else quoted
