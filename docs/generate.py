"""What the repository keeps twice, written from its one source: `python docs/generate.py`.

runtime/sql/install.sql   installs the df schema with nothing but psql
tests/golden/schema_v1.sql   a frozen copy of version 1 of the schema, from which tests upgrade
docs/sql-reference.md   every function, operator, table and setting, from the comments in the database itself
grammar/reading/parse_table.py   the parser's table, from grammar/df.lark

Tests compare all with what they come from (tests/runtime/test_schema_files.py, tests/runtime/test_schema_comments.py,
tests/grammar/test_parse_table.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgweave.grammar.kinds import CALLS
from pgweave.grammar.reading import lalr
from pgweave.runtime import migrate
from pgweave.runtime.connect import connect
from pgweave.runtime.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
INSTALL = ROOT / "runtime" / "sql" / "install.sql"
FROZEN = ROOT / "tests" / "golden" / "schema_v1.sql"
REFERENCE = ROOT / "docs" / "sql-reference.md"
TABLE = ROOT / "grammar" / "reading" / "parse_table.py"

# All functions of schema df, in the order in which people meet them. What they call is in schema df_internal.
_BUILDERS = (
    "sql", "seq", "as", "if", "if_rows", "join", "join3", "race", "loop", "break", "sleep", "wait_for_schedule",
    "wait_for_signal", "await_instance", "call_child", "http", "http_multipart",
)  # fmt: skip
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Start and steer": ("start", "signal", "cancel", "status", "result", "wait_for_completion", "run"),
    "Build": (*_BUILDERS, *(name for name in CALLS if name not in _BUILDERS), "ensure_durofut", "node_types"),
    "Variables and secrets": ("setvar", "getvar", "unsetvar", "clearvars", "set_secret", "unset_secret"),
    "Watch": (
        "explain", "waiting", "list_instances", "instance_info", "instance_nodes", "instance_runs", "instance_family",
        "instance_executions", "metrics",
    ),
    "Privileges": ("grant_usage", "revoke_usage", "grant_worker", "revoke_worker"),
    "Behind the operators": ("as_op", "if_then_op", "if_else_op", "loop_prefix_op"),
    "The schema itself": ("version", "target_database", "duroxide_schema", "prune", "clock"),
}  # fmt: skip

INSTALL_HEADER = """\
-- Installs the df schema with nothing but psql, as `pgweave db install` does:  psql -v ON_ERROR_STOP=1 -f install.sql
-- The operators go to the schema named in the second line; it has to be on people's search_path.
-- Written by docs/generate.py.
"""
FROZEN_HEADER = """\
-- Version 1 of the df schema, frozen: tests install it and upgrade from it. Written by docs/generate.py until the first
-- release; after it version 1 never changes, and neither does this file.
"""
BEGIN = "begin;\nset local pgweave.operator_schema to public;\nset local search_path to pg_catalog, pg_temp;"
COMMIT = "insert into df.migrations (number, name, checksum)\nvalues ({number}, '{name}', '{checksum}');\ncommit;\n"

FUNCTIONS = """
select n.nspname, p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
       obj_description(p.oid, 'pg_proc')
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace and n.nspname in ('df', 'df_internal')
order by p.proname, p.pronargs
"""
OPERATORS = """
select o.oprname, o.oprleft = 0, obj_description(o.oid, 'pg_operator')
from pg_operator as o join pg_proc as p on p.oid = o.oprcode
where p.pronamespace = 'df'::regnamespace order by p.proname
"""
TABLES = """
select c.relname, obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, a.atttypmod),
       col_description(c.oid, a.attnum)
from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v') order by c.relname, a.attnum
"""
SETTINGS = "select name, case name when 'superuser_instances' then '' else default_value::text end, description from df.settings order by name"


def install() -> str:
    """Text of install.sql: the files of version 1, included one after the other."""
    includes = [f"\\ir schema/{name}.sql" for name in migrate.topics()]
    return "\n".join([INSTALL_HEADER, BEGIN, *includes, _commit()])


def frozen() -> str:
    """Text of schema_v1.sql: all of version 1 as one script."""
    return "\n".join([FROZEN_HEADER, BEGIN, "", migrate.migrations()[0].sql, _commit()])


def _commit() -> str:
    first = migrate.migrations()[0]
    return COMMIT.format(number=first.number, name=first.name, checksum=first.checksum)


def reference(dsn: str) -> str:
    """Text of sql-reference.md, from a database with the df schema in it."""
    with connect(dsn) as connection:
        functions = connection.execute(FUNCTIONS).fetchall()
        operators = connection.execute(OPERATORS).fetchall()
        columns = connection.execute(TABLES).fetchall()
        settings = connection.execute(SETTINGS.encode()).fetchall()
    return "\n".join(_pages(functions, operators, columns, settings))


def _pages(functions: list[Any], operators: list[Any], columns: list[Any], settings: list[Any]) -> Iterator[str]:
    yield "# The df schema\n"
    yield "Written by `python docs/generate.py` from the comments in the database; psql shows the same: `\\df+ df.*`, `\\d+ df.*`.\n"
    for title, names in GROUPS.items():
        yield f"## {title}\n"
        for name in names:
            for _, _, arguments, result, comment in [row for row in functions if row[:2] == ("df", name)]:
                yield f"### df.{name}\n\n```text\ndf.{name}({arguments}) returns {result}\n```\n\n{comment}\n"
        if title == "Build":
            yield "### Operators\n\nAll have one precedence and group from the left; put parentheses around what belongs together.\n"
            yield "| Operator | Meaning |\n|---|---|"
            yield from (f"| `{_cell(name)}` | {_cell(comment)} |" for name, _, comment in operators)
            yield ""
    yield "## Settings\n\nRows of `df.settings`, which the owner of the schema may update.\n"
    yield "| Name | Default | Meaning |\n|---|---|---|"
    yield from (f"| `{name}` | {default} | {_cell(text)} |" for name, default, text in settings)
    yield "\n## Tables\n\nRow-level security shows each role the rows of its own instances.\n"
    for table in dict.fromkeys(row[0] for row in columns):
        rows = [row for row in columns if row[0] == table]
        yield f"### df.{table}\n\n{rows[0][1]}\n\n| Column | Type | Meaning |\n|---|---|---|"
        yield from (f"| `{name}` | {kind} | {_cell(comment)} |" for _, _, name, kind, comment in rows)
        yield ""
    yield "## Schema df_internal\n\nNot for people, but where an error message may come from.\n"
    yield "| Function | Meaning |\n|---|---|"
    yield from (f"| `df_internal.{name}` | {_cell(text)} |" for schema, name, _, _, text in functions if schema != "df")
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write the files."""
    TABLE.write_text(lalr.module(), encoding="utf-8")
    INSTALL.write_text(install(), encoding="utf-8")
    FROZEN.write_text(frozen(), encoding="utf-8")
    with embedded.temporary() as server:
        migrate.install(server.dsn)
        REFERENCE.write_text(reference(server.dsn), encoding="utf-8")


if __name__ == "__main__":
    main()
