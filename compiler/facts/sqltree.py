"""What the tree of a statement says: its columns, how many rows it gives, which functions and tables it names.

Trees are protobuf messages of libpg_query, whose names are those of PostgreSQL's parser (`parsenodes.h`); what a
column is called follows FigureColname of its parse_target.c. Where the answer needs a catalogue (the columns of a
table, whether a function is an aggregate) it is "not known", never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pgweave.compiler.facts.sqltext import Statement

Message: TypeAlias = Any  # protobuf; there are no types of it


class Rows(Enum):
    """How many rows a statement gives, by what its text shows."""

    NONE = "none"  # it returns nothing: INSERT without RETURNING
    ONE = "one"
    AT_MOST_ONE = "at most one"
    MANY = "many"  # nothing in it keeps it to one row
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Empty:
    """Why a value may be missing. case: the variant of PW208 that says so. function: the aggregate, where it is one."""

    case: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result. type: as PostgreSQL calls it, where the text tells.

    unnamed: its name is made up by PostgreSQL. empty: why it can be NULL, where the text shows that.
    encoded: made by a function whose name says so. location: in the masked text, in bytes.
    """

    name: str
    type: str | None = None
    unnamed: bool = False
    empty: Empty | None = None
    encoded: bool = False
    location: int = -1


Columns: TypeAlias = "tuple[Column, ...] | None"
Sources: TypeAlias = "Mapping[str, Columns]"

AGGREGATES = frozenset(
    {
        "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "count", "every", "json_agg",
        "json_object_agg", "jsonb_agg", "jsonb_object_agg", "max", "min", "range_agg", "string_agg", "sum", "stddev",
        "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance", "xmlagg", "mode", "percentile_cont",
        "percentile_disc", "corr", "regr_slope", "any_value",
    }
)  # fmt: skip
# Of built-in functions only these give several rows, or are used so.
SET_RETURNING = frozenset(
    {
        "generate_series", "generate_subscripts", "unnest", "json_array_elements", "jsonb_array_elements", "json_each",
        "json_array_elements_text", "jsonb_array_elements_text", "jsonb_each", "json_each_text", "jsonb_each_text",
        "json_object_keys", "jsonb_object_keys", "regexp_split_to_table", "string_to_table", "json_populate_recordset",
        "jsonb_populate_recordset", "json_to_recordset", "jsonb_to_recordset", "jsonb_path_query",
    }
)  # fmt: skip
# Functions that certainly are neither, so that a SELECT of them from a table gives a row for each of the table's.
# A list, since nothing in the text of f(x) tells whether f returns a set: what is in neither list is "not
# known".
_SCALAR = frozenset(
    {
        "abs", "age", "btrim", "ceil", "ceiling", "char_length", "clock_timestamp", "concat", "concat_ws", "date_part",
        "date_trunc", "extract", "floor", "format", "gen_random_uuid", "initcap", "json_build_array", "left", "length",
        "json_build_object", "jsonb_build_array", "jsonb_build_object", "lower", "lpad", "ltrim", "make_interval", "md5",
        "mod", "now", "random", "regexp_replace", "replace", "right", "round", "row_to_json", "rpad", "rtrim", "sqrt",
        "split_part", "strpos", "substr", "substring", "to_char", "to_date", "to_json", "to_jsonb", "to_number",
        "to_timestamp", "translate", "trim", "trunc", "upper",
    }
)  # fmt: skip
_TYPES = {
    **dict.fromkeys(("count", "row_number", "rank", "dense_rank"), "int8"),
    **dict.fromkeys(("bool_and", "bool_or", "every", "pg_try_advisory_xact_lock", "starts_with"), "bool"),
    **dict.fromkeys(
        ("concat", "concat_ws", "format", "initcap", "left", "lower", "lpad", "md5", "right", "rpad", "string_agg",
         "regexp_replace", "split_part", "to_char", "upper"), "text"
    ),
    **dict.fromkeys(("json_agg", "json_build_array", "json_build_object", "row_to_json", "to_json"), "json"),
    **dict.fromkeys(("jsonb_agg", "jsonb_build_array", "jsonb_build_object", "jsonb_set", "to_jsonb"), "jsonb"),
    **dict.fromkeys(("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"), "timestamptz"),
    "gen_random_uuid": "uuid",
    **dict.fromkeys(("array_agg", "string_to_array", "regexp_matches", "regexp_split_to_array"), "array"),
    **dict.fromkeys(("age", "make_interval"), "interval"),
    **dict.fromkeys(("convert_to", "decode", "sha256", "sha512"), "bytea"),
}  # fmt: skip
# Operators that always give a boolean, whatever their operands are.
_COMPARISONS = frozenset(
    {"=", "<>", "!=", "<", ">", "<=", ">=", "~", "~*", "!~", "!~*", "@>", "<@", "&&", "?", "?|", "?&"}
)


def walk(message: Message) -> Iterator[tuple[str, Message]]:
    """Every message below and including `message`, with the name of its type: `FuncCall`, `RangeVar`."""
    stack = [message]
    while stack:
        current = stack.pop()
        name = current.DESCRIPTOR.name
        if name != "Node":
            yield name, current
        children: list[Message] = []
        for field, value in current.ListFields():
            if field.message_type is None:
                continue
            # Repeated fields of protobuf have `add`, single messages have not; both kinds come out of
            # ListFields.
            children.extend(value if hasattr(value, "add") else (value,))
        stack.extend(reversed(children))


def called(call: Message) -> str:
    """Name of a function that is called, without pg_catalog: `now`, `df.start`."""
    parts = [part.string.sval for part in call.funcname]
    return ".".join(parts[1:] if parts[0] == "pg_catalog" else parts)


def string(node: Message) -> str | None:
    """The value of a string literal; None when the node is none. Casts to text are looked through."""
    kind = node.WhichOneof("node")
    if kind == "type_cast":
        return string(node.type_cast.arg)
    if kind == "a_const" and node.a_const.WhichOneof("val") == "sval":
        return str(node.a_const.sval.sval)
    return None


def constant(value: Message) -> tuple[str, str]:
    """Kind and text of a constant, to be compared with another."""
    kind = value.WhichOneof("val") or ""
    return kind, str(getattr(value, kind)) if kind else ""


def operator(expression: Message) -> str:
    """The symbol of an A_Expr."""
    return str(expression.name[-1].string.sval) if expression.name else ""


def enumerated(message: Message, field: str) -> str:
    """The word that a field's number stands for: AEXPR_OP."""
    numbers = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return str(numbers[getattr(message, field)].name)


def relations(message: Message) -> frozenset[str]:
    """Names of the tables that a statement names anywhere, without their schema."""
    return frozenset(found.relname for name, found in walk(message) if name == "RangeVar")


# Columns


def columns(statement: Statement, sources: Sources) -> Columns:
    """Columns of the result, in order; None when not all are known."""
    body = statement.body
    match statement.kind:
        case "select_stmt":
            return _of_select(statement, body, sources, {})
        case "insert_stmt" | "update_stmt" | "delete_stmt":
            targets = body.returning_clause.exprs if hasattr(body, "returning_clause") else body.returning_list
            return _of_targets(statement, targets, lambda _: None, sources) if targets else ()
        case _:
            return () if rows(statement) is Rows.NONE else None


def _of_select(statement: Statement, select: Message, sources: Sources, outer: Mapping[str, Columns]) -> Columns:
    known = {**outer, **_with(statement, select, sources, outer)}
    # A UNION B has no select list of its own: names and types are those of its first member.
    if select.HasField("larg"):
        return _of_select(statement, select.larg, sources, known)
    if select.values_lists:
        first = select.values_lists[0].list.items
        return tuple(
            Column(f"column{number}", _type(item), location=location(item)) for number, item in enumerate(first, 1)
        )

    def star(qualifier: str | None) -> Columns:
        return _of_sources(statement, select.from_clause, qualifier, sources, known)

    found = _of_targets(statement, select.target_list, star, sources)
    return (
        None
        if found is None
        else tuple(_with_reason(column, select, target) for column, target in _paired(found, select))
    )


def _paired(found: tuple[Column, ...], select: Message) -> list[tuple[Column, Message | None]]:
    """Each column with its item of the select list; without one where stars make more columns than there are items."""
    items = select.target_list
    return [(column, items[at] if len(items) == len(found) else None) for at, column in enumerate(found)]


def _with_reason(column: Column, select: Message, target: Message | None) -> Column:
    why = None if target is None else _empty(target.res_target.val, select)
    return column if why is None else replace(column, empty=why)


def _empty(value: Message, select: Message) -> Empty | None:
    kind = value.WhichOneof("node")
    if kind == "type_cast":
        return _empty(value.type_cast.arg, select)
    if kind == "a_const" and value.a_const.isnull:
        return Empty("null")
    if kind == "a_expr" and _kind(value.a_expr) == "AEXPR_NULLIF":
        return Empty("nullif")
    # SELECT max(a) FROM t WHERE .. : one row, of NULL, when nothing matches. With GROUP BY there is no row
    # then; without WHERE an empty table would be the reason, which no text shows.
    if kind == "func_call" and select.HasField("where_clause") and not select.group_clause:
        name = called(value.func_call)
        # count is 0 and never NULL; with OVER there is a row for each row, and none for none.
        if name in AGGREGATES - {"count"} and not value.func_call.HasField("over"):
            return Empty("aggregate", name)
    return None


def _with(statement: Statement, select: Message, sources: Sources, outer: Mapping[str, Columns]) -> dict[str, Columns]:
    """Columns of the names that WITH gives, as far as they are known."""
    found: dict[str, Columns] = {}
    for item in select.with_clause.ctes:
        table = item.common_table_expr
        inner = table.ctequery
        below: Columns = None
        # A recursive query reads its own name, of which nothing is known yet.
        if inner.WhichOneof("node") == "select_stmt" and not select.with_clause.recursive:
            # WITH a AS (..), b AS (SELECT * FROM a): each may read those before it.
            below = _of_select(statement, inner.select_stmt, sources, {**outer, **found})
        found[table.ctename] = _renamed(below, [name.string.sval for name in table.aliascolnames])
    return found


def _renamed(found: Columns, names: Sequence[str]) -> Columns:
    if found is None:
        return None
    return tuple(replace(column, name=names[at]) if at < len(names) else column for at, column in enumerate(found))


def _of_targets(statement: Statement, targets: Sequence[Message], star: Any, sources: Sources) -> Columns:  # noqa: ANN401
    """star: gives the columns of `*` (None) or `name.*`."""
    found: list[Column] = []
    for item in targets:
        target = item.res_target
        value = target.val
        if value.WhichOneof("node") == "column_ref" and value.column_ref.fields[-1].WhichOneof("node") == "a_star":
            fields = value.column_ref.fields
            below = star(fields[-2].string.sval if len(fields) > 1 else None)
            if below is None:
                return None
            found += below
            continue
        # (row).* : columns of a composite value, which only the catalogue knows.
        if value.WhichOneof("node") == "a_indirection" and any(
            part.WhichOneof("node") == "a_star" for part in value.a_indirection.indirection
        ):
            return None
        try:
            name = target.name or _figure(value)[0]
        except KeyError:
            return None
        encoded = value.WhichOneof("node") == "func_call" and "encode" in called(value.func_call).lower()
        place = location(value)
        found.append(Column(name or "?column?", _type(value), unnamed=not name, encoded=encoded, location=place))
    return tuple(found)


def _of_sources(
    statement: Statement,
    items: Sequence[Message],
    qualifier: str | None,
    sources: Sources,
    known: Mapping[str, Columns],
) -> Columns:
    """Columns of a FROM list; of one of its members when there is a qualifier."""
    found: list[Column] = []
    for item in items:
        name, below = _of_source(statement, item, sources, known)
        if qualifier is not None and name != qualifier:
            # A member without a name (a function, a join) may contain the one that is looked for.
            if name is None:
                return None
            continue
        if below is None:
            return None
        found += below
        if qualifier is not None:
            return tuple(found)
    return tuple(found) if qualifier is None else None


def _of_source(
    statement: Statement, item: Message, sources: Sources, known: Mapping[str, Columns]
) -> tuple[str | None, Columns]:
    """Name and columns of one member of FROM."""
    match item.WhichOneof("node"):
        case "range_var":
            table = item.range_var
            placeholder = statement.placeholder_at(table.location)
            if placeholder is not None and placeholder.star:
                return placeholder.name, sources.get(statement.text[placeholder.span.start : placeholder.span.end])
            alias = [name.string.sval for name in table.alias.colnames]
            # known has the names of WITH only. A table of the database is not in it, so its columns are "not
            # known".
            return table.alias.aliasname or table.relname, _renamed(known.get(table.relname), alias)
        case "range_subselect":
            inner = item.range_subselect
            alias = [name.string.sval for name in inner.alias.colnames]
            below = _of_select(statement, inner.subquery.select_stmt, sources, known)
            return inner.alias.aliasname or None, _renamed(below, alias)
        case _:
            return None, None


def location(node: Message) -> int:
    """Where an expression begins; -1 when the tree does not say."""
    kind = node.WhichOneof("node")
    if kind == "type_cast":
        return location(node.type_cast.arg)
    if kind == "a_expr" and node.a_expr.HasField("lexpr"):
        return location(node.a_expr.lexpr)
    if kind == "a_indirection":
        return location(node.a_indirection.arg)
    return int(getattr(getattr(node, kind), "location", -1)) if kind else -1


def _figure(node: Message) -> tuple[str | None, int]:
    """What PostgreSQL calls a column without AS (None: `?column?`), and how good that name is.

    2: a name, 1: of a type or keyword, as FigureColnameInternal counts. KeyError for what is not known here.
    """
    kind = node.WhichOneof("node")
    match kind:
        case "column_ref":
            return _last_name(node.column_ref.fields) or (None, 0)
        case "a_indirection":
            return _last_name(node.a_indirection.indirection) or _figure(node.a_indirection.arg)
        case "func_call":
            return node.func_call.funcname[-1].string.sval, 2
        case "type_cast":
            return _figure_cast(node.type_cast)
        case "collate_clause":
            return _figure(node.collate_clause.arg)
        case "case_expr":
            return _figure_case(node.case_expr)
        case "sub_link":
            return _figure_sublink(node.sub_link)
        case "a_expr":
            return ("nullif", 2) if _kind(node.a_expr) == "AEXPR_NULLIF" else (None, 0)
        case "min_max_expr":
            return enumerated(node.min_max_expr, "op").removeprefix("IS_").lower(), 2
        case "sqlvalue_function":
            word = enumerated(node.sqlvalue_function, "op").removeprefix("SVFOP_").lower()
            return word.removesuffix("_n"), 2
        case _:
            return _FIXED[kind or ""], 2 if _FIXED[kind or ""] else 0


def _last_name(parts: Sequence[Message]) -> tuple[str, int] | None:
    """The last part that is a name, not a star or a subscript: `b` of `a.b[1]`."""
    names = [part.string.sval for part in parts if part.WhichOneof("node") == "string"]
    return (names[-1], 2) if names else None


def _figure_cast(cast: Message) -> tuple[str | None, int]:
    """`a::text` is called a, `1::int4` int4: a cast names only what has no name."""
    name, strength = _figure(cast.arg)
    # `a::text` keeps a (2); for `CASE .. END::text` the type's name is taken over the keyword's (1).
    if strength <= 1 and cast.type_name.names:
        return cast.type_name.names[-1].string.sval, 1
    return name, strength


def _figure_case(expression: Message) -> tuple[str | None, int]:
    """CASE is called as its ELSE, where that has a name of its own."""
    name, strength = _figure(expression.defresult) if expression.HasField("defresult") else (None, 0)
    return (name, strength) if strength > 1 else ("case", 1)


_FIXED: dict[str, str | None] = {
    "a_array_expr": "array", "row_expr": "row", "coalesce_expr": "coalesce", "grouping_func": "grouping",
    "xml_serialize": "xmlserialize", "a_const": None, "param_ref": None, "bool_expr": None, "null_test": None,
    "boolean_test": None,
}  # fmt: skip
"""What else has a name; anything that is not listed here has one that is not known."""


def _figure_sublink(link: Message) -> tuple[str | None, int]:
    match enumerated(link, "sub_link_type"):
        case "EXISTS_SUBLINK":
            return "exists", 2
        case "ARRAY_SUBLINK":
            return "array", 2
        case "EXPR_SUBLINK":
            select = link.subselect.select_stmt
            # A UNION is named by its first member.
            while select.HasField("larg"):
                select = select.larg
            if not select.target_list:
                return None, 0
            target = select.target_list[0].res_target
            return (target.name, 2) if target.name else _figure(target.val)
        case _:
            return None, 0


def _type(node: Message) -> str | None:
    """Type of an expression, where its text alone tells."""
    match node.WhichOneof("node"):
        case "type_cast":
            name = node.type_cast.type_name
            return "array" if name.array_bounds else str(name.names[-1].string.sval) if name.names else None
        case "a_array_expr":
            return "array"
        case "a_const":
            # A literal that is too large for int4 is an fval to the scanner, and numeric here; to PostgreSQL it
            # may be int8.
            kinds = {"ival": "int4", "fval": "numeric", "boolval": "bool", "sval": "text"}
            return None if node.a_const.isnull else kinds.get(node.a_const.WhichOneof("val") or "ival")
        case "bool_expr" | "null_test" | "boolean_test":
            return "bool"
        case "sub_link":
            return "bool" if _figure_sublink(node.sub_link)[0] == "exists" else None
        case "func_call":
            return _TYPES.get(called(node.func_call))
        case "coalesce_expr":
            return _first_type(node.coalesce_expr.args)
        case "case_expr":
            return _first_type([when.case_when.result for when in node.case_expr.args])
        case "a_expr":
            return _type_of_operator(node.a_expr)
        case _:
            return None


def _first_type(expressions: Iterable[Message]) -> str | None:
    return next((found for found in map(_type, expressions) if found), None)


def _type_of_operator(expression: Message) -> str | None:
    kind = _kind(expression)
    if kind not in {"AEXPR_OP", "AEXPR_NULLIF"}:
        return "bool"
    symbol = operator(expression)
    if kind == "AEXPR_OP" and symbol in _COMPARISONS:
        return "bool"
    if symbol in {"->>", "#>>"}:
        return "text"
    # json or jsonb: which of the two depends on the operand, and nothing here needs to know.
    if symbol in {"->", "#>"}:
        return "json"
    if symbol == "||" and "text" in {_type(expression.lexpr), _type(expression.rexpr)}:
        return "text"
    return None


# How many rows


def rows(statement: Statement) -> Rows:
    """How many rows a statement gives."""
    body = statement.body
    match statement.kind:
        case "select_stmt":
            return _rows_of_select(statement, body)
        case "insert_stmt":
            return _rows_of_insert(statement, body)
        case "update_stmt" | "delete_stmt":
            if not _returning(body):
                return Rows.NONE
            return _rows_where(body)
        case "":
            return Rows.UNKNOWN
        case "variable_show_stmt":
            return Rows.ONE
        # Each may return rows or none, by what it is applied to.
        case kind if kind in {"explain_stmt", "execute_stmt", "fetch_stmt", "call_stmt", "merge_stmt"}:
            return Rows.UNKNOWN
        case _:
            return Rows.NONE


def _returning(body: Message) -> Sequence[Message]:
    found = body.returning_clause.exprs if hasattr(body, "returning_clause") else body.returning_list
    return list(found)


def _rows_of_insert(statement: Statement, insert: Message) -> Rows:
    if not _returning(insert):
        return Rows.NONE
    source = insert.select_stmt.select_stmt if insert.HasField("select_stmt") else None
    given = Rows.ONE if source is None else _rows_of_select(statement, source)
    # INSERT .. VALUES (..) ON CONFLICT DO NOTHING RETURNING id returns no row when the row exists.
    return Rows.AT_MOST_ONE if given is Rows.ONE and insert.HasField("on_conflict_clause") else given


def _rows_where(body: Message) -> Rows:
    if not body.HasField("where_clause"):
        return Rows.MANY
    # WHERE id = (SELECT .. LIMIT 1): how takers of a queue are written, and it is one row.
    if any(name == "SubLink" for name, _ in walk(body.where_clause)):
        return Rows.UNKNOWN
    return Rows.UNKNOWN if _pinned(body.where_clause) else Rows.MANY


def _rows_of_select(statement: Statement, select: Message) -> Rows:
    most = _rows_unlimited(statement, select)
    limit = select.limit_count
    # LIMIT NULL is no limit; LIMIT 5 keeps no query to one row and is treated like none.
    if limit.WhichOneof("node") == "a_const" and limit.a_const.ival.ival == 1 and not limit.a_const.isnull:
        return most if most is Rows.ONE else Rows.AT_MOST_ONE
    if select.HasField("limit_count") and limit.WhichOneof("node") != "a_const":
        return most if most is Rows.ONE else Rows.UNKNOWN
    return most


def _rows_unlimited(statement: Statement, select: Message) -> Rows:
    if select.HasField("into_clause"):
        return Rows.NONE
    # UNION of two single rows may be two rows.
    if select.HasField("larg"):
        return Rows.MANY
    if select.values_lists:
        return Rows.ONE if len(select.values_lists) == 1 else Rows.MANY
    functions = [found for target in select.target_list for found in _functions(target)]
    if any(name in SET_RETURNING for name in functions):
        return Rows.MANY
    return _rows_of_sources(statement, select, functions)


def _rows_of_sources(statement: Statement, select: Message, functions: list[str]) -> Rows:
    """Rows of a plain SELECT that calls no function of many rows: by its grouping, its aggregates and its FROM.

    SELECT count(*) FROM t                  one
    SELECT max(a) FROM t HAVING max(a) > 1  at most one
    SELECT a FROM t                         many
    SELECT a FROM t WHERE id = 1            not known: id may be a key
    """
    if select.group_clause:
        return Rows.UNKNOWN if _pinned(select.where_clause) else Rows.MANY
    if any(name in AGGREGATES for name in functions):
        return Rows.AT_MOST_ONE if select.HasField("having_clause") else Rows.ONE
    # f(x) may be an aggregate of the user's own (one row) or return a set (many).
    if any(name not in _SCALAR for name in functions):
        return Rows.UNKNOWN
    if not select.from_clause:
        return Rows.AT_MOST_ONE if select.HasField("where_clause") else Rows.ONE
    sources = [_rows_of_source(statement, item) for item in select.from_clause]
    if any(found is Rows.UNKNOWN for found in sources) or _pinned(select.where_clause):
        return Rows.UNKNOWN
    return Rows.MANY if any(found is Rows.MANY for found in sources) else Rows.AT_MOST_ONE


def _functions(target: Message) -> list[str]:
    """Functions called in an item of the select list, sub-selects and window functions aside."""
    if target.res_target.val.WhichOneof("node") in {"column_ref", "a_const", "param_ref"}:
        return []
    found: list[str] = []
    stack = [target]
    while stack:
        current = stack.pop()
        name = current.DESCRIPTOR.name
        # SELECT (SELECT max(a) FROM t): the aggregate is that of the inner query.
        if name == "SubLink":
            continue
        if name == "FuncCall":
            if current.HasField("over"):
                continue
            found.append(called(current))
        for field, value in current.ListFields():
            if field.message_type is not None:
                stack.extend(value if hasattr(value, "add") else (value,))
    return found


def _rows_of_source(statement: Statement, item: Message) -> Rows:
    match item.WhichOneof("node"):
        case "range_var":
            placeholder = statement.placeholder_at(item.range_var.location)
            if placeholder is not None:
                return Rows.UNKNOWN
            # A name of WITH may stand for one row, a table has many.
            ctes = [table.common_table_expr.ctename for table in _all_ctes(statement)]
            return Rows.UNKNOWN if item.range_var.relname in ctes else Rows.MANY
        case "range_subselect":
            return _rows_of_select(statement, item.range_subselect.subquery.select_stmt)
        case "join_expr":
            sides = [_rows_of_source(statement, side) for side in (item.join_expr.larg, item.join_expr.rarg)]
            if Rows.UNKNOWN in sides or _pinned(item.join_expr.quals):
                return Rows.UNKNOWN
            return Rows.MANY if Rows.MANY in sides else Rows.AT_MOST_ONE
        case "range_function":
            names = [called(found) for name, found in walk(item) if name == "FuncCall"]
            return Rows.MANY if set(names) & SET_RETURNING else Rows.UNKNOWN
        case _:
            return Rows.UNKNOWN


def _all_ctes(statement: Statement) -> list[Message]:
    if "with" not in statement.text.lower():
        return []
    return [table for name, clause in walk(statement.tree) if name == "WithClause" for table in clause.ctes]


def _pinned(condition: Message) -> bool:
    """Whether a condition compares a column for equality with something that is no column: it may be a key."""
    match condition.WhichOneof("node"):
        case "bool_expr":
            return any(_pinned(item) for item in condition.bool_expr.args)
        case "a_expr":
            expression = condition.a_expr
            if operator(expression) != "=" or _kind(expression) != "AEXPR_OP":
                return False
            # a.id = b.id joins two tables, 1 = 1 says nothing; id = $x.id may pin one row.
            if _has_column(expression.lexpr) is _has_column(expression.rexpr):
                return False
            return not (
                _is_status(expression.lexpr, expression.rexpr) or _is_status(expression.rexpr, expression.lexpr)
            )
        case "column_ref" | "type_cast" | "func_call" | "sub_link":
            return True  # a boolean of unknown meaning; it may keep one row
        case "current_of_expr":
            return True
        case _:
            return False


def _is_status(column: Message, value: Message) -> bool:
    """Whether a column that says how far a row has come, or a boolean, is compared: many rows are equal in that."""
    if column.WhichOneof("node") != "column_ref" or column.column_ref.fields[-1].WhichOneof("node") != "string":
        return False
    if value.WhichOneof("node") == "a_const" and value.a_const.WhichOneof("val") == "boolval":
        return True
    state = string(value)
    name = column.column_ref.fields[-1].string.sval
    # state = 'CA' is a place in America, state = 'queued' is the state of a row.
    return state is not None and (name == "status" or (name == "state" and not re.fullmatch("[A-Z]{2}", state)))


def _has_column(node: Message) -> bool:
    match node.WhichOneof("node"):
        case "column_ref":
            return True
        case "param_ref" | "a_const" | "sub_link":  # a sub-select gives a value, whatever columns it has inside
            return False
        case _:
            return any(name == "ColumnRef" for name, _ in walk(node))


def _kind(expression: Message) -> str:
    return enumerated(expression, "kind")


def skips_locked(statement: Statement) -> bool:
    """Whether it takes only what nobody else has locked, as readers of a queue do: it is often empty-handed."""
    return any(
        name == "LockingClause" and enumerated(found, "wait_policy") == "LockWaitSkip"
        for name, found in walk(statement.tree)
    )
