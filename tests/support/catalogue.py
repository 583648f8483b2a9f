"""Everything that makes up the df schema of a database, as text: what two databases are compared by.

Definitions, privileges, comments, owners of policies, settings; not the order in which things were made, nor when.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import psycopg

Catalogue = dict[str, list[tuple[object, ...]]]
GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"

# acl: who may do what, as a sorted list; the stored order tells only who was granted it first.
_ACL = "(select array_agg(x::text order by x::text) from unnest({}) as x)"

QUERIES = {
    "schema":
        f"select nspname, {_ACL.format('nspacl')}, obj_description(oid) from pg_namespace"
        " where nspname in ('df', 'df_internal')",
    "relations":
        f"select relname, relkind, relrowsecurity, relforcerowsecurity, reloptions, {_ACL.format('relacl')},"
        " case relkind when 'v' then pg_get_viewdef(oid) end, obj_description(oid, 'pg_class')"
        " from pg_class where relnamespace = 'df'::regnamespace and relkind in ('r', 'v', 'S')",
    "columns":
        f"select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, {_ACL.format('a.attacl')},"
        " pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)"
        " from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum"
        " where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v')",
    "constraints":
        "select conrelid::regclass::text, conname, contype, condeferrable, condeferred, pg_get_constraintdef(oid)"
        " from pg_constraint where connamespace = 'df'::regnamespace",
    "indexes": "select indexname, indexdef from pg_indexes where schemaname = 'df'",
    "triggers":
        "select t.tgrelid::regclass::text, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger')"
        " from pg_trigger as t join pg_class as c on c.oid = t.tgrelid"
        " where c.relnamespace = 'df'::regnamespace and not t.tgisinternal",
    "policies": "select tablename, policyname, roles::text, cmd, qual, with_check from pg_policies where schemaname = 'df'",
    "functions":
        f"select oid::regprocedure::text, pg_get_functiondef(oid), prosecdef, provolatile, {_ACL.format('proacl')},"
        " obj_description(oid, 'pg_proc') from pg_proc"
        " where pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace)",
    "types":
        f"select oid::regtype::text, typtype, typbasetype::regtype::text, {_ACL.format('typacl')}, obj_description(oid, 'pg_type')"
        " from pg_type where typnamespace = 'df_internal'::regnamespace and typtype <> 'b'",
    "operators":
        "select o.oid::regoperator::text, o.oprcode::text, obj_description(o.oid, 'pg_operator')"
        " from pg_operator as o join pg_proc as p on p.oid = o.oprcode where p.pronamespace = 'df'::regnamespace",
    "settings": "select name, value, lowest, highest, default_value, description from df.settings",
    "migrations": "select number, name, checksum from df.migrations",
}  # fmt: skip


def catalogue(dsn: str) -> Catalogue:
    """All of it, each part sorted."""
    with psycopg.connect(dsn, options="-c search_path=pg_catalog") as connection:
        return {
            part: sorted(connection.execute(query.encode()).fetchall(), key=repr) for part, query in QUERIES.items()
        }


def generator() -> Any:  # noqa: ANN401 - a script, not a module of the package
    """`docs/generate.py`, which writes install.sql and the reference page."""
    spec = importlib.util.spec_from_file_location("generate", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
