"""Words of PostgreSQL, as its own scanner and grammar know them (version 17)."""

from __future__ import annotations

# Keywords that no plain identifier can be: those that quote_ident puts in quotes. That is every keyword whose class in
# kwlist.h is not "unreserved".
NEEDS_QUOTES = frozenset(
    {
        "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization",
        "between", "bigint", "binary", "bit", "boolean", "both", "case", "cast", "char", "character", "check",
        "coalesce", "collate", "collation", "column", "concurrently", "constraint", "create", "cross",
        "current_catalog", "current_date", "current_role", "current_schema", "current_time",
        "current_timestamp", "current_user", "dec", "decimal", "default", "deferrable", "desc", "distinct",
        "do", "else", "end", "except", "exists", "extract", "false", "fetch", "float", "for", "foreign",
        "freeze", "from", "full", "grant", "greatest", "group", "grouping", "having", "ilike", "in",
        "initially", "inner", "inout", "int", "integer", "intersect", "interval", "into", "is", "isnull",
        "join", "json", "json_array", "json_arrayagg", "json_exists", "json_object", "json_objectagg",
        "json_query", "json_scalar", "json_serialize", "json_table", "json_value", "lateral", "leading",
        "least", "left", "like", "limit", "localtime", "localtimestamp", "merge_action", "national", "natural",
        "nchar", "none", "normalize", "not", "notnull", "null", "nullif", "numeric", "offset", "on", "only",
        "or", "order", "out", "outer", "overlaps", "overlay", "placing", "position", "precision", "primary",
        "real", "references", "returning", "right", "row", "select", "session_user", "setof", "similar",
        "smallint", "some", "substring", "symmetric", "system_user", "table", "tablesample", "then", "time",
        "timestamp", "to", "trailing", "treat", "trim", "true", "union", "unique", "user", "using", "values",
        "varchar", "variadic", "verbose", "when", "where", "window", "with", "xmlattributes", "xmlconcat",
        "xmlelement", "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot", "xmlserialize",
        "xmltable",
    }
)  # fmt: skip

# Reserved words that end an expression or begin something that is no part of it. Reserved words that do belong to an
# expression (AND, CASE, SELECT ..) are not here: terminals.py knows what each of them means.
RESERVED = frozenset(
    {
        "analyse", "analyze", "asc", "asymmetric", "both", "check", "column", "constraint", "create", "default",
        "deferrable", "desc", "distinct", "do", "else", "end", "except", "fetch", "for", "foreign", "from",
        "grant", "group", "having", "initially", "intersect", "into", "lateral", "leading", "limit", "offset",
        "on", "only", "order", "placing", "primary", "references", "returning", "symmetric", "then", "to",
        "trailing", "union", "unique", "using", "variadic", "when", "where", "window", "with",
    }
)  # fmt: skip

# Functions whose calls are computed before the program runs, so that their arguments are read as expressions.
# meaning/fold.py computes them; a test compares the two lists.
COMPUTED_FUNCTIONS = frozenset(
    {
        "chr", "concat", "format", "jsonb_build_array", "jsonb_build_object", "quote_ident", "quote_literal", "repeat",
        "replace",
    }
)  # fmt: skip
