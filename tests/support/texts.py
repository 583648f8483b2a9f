"""Random program texts: every spelling people use, and now and then something that PostgreSQL refuses.

`tests/support/programs.py` makes ASTs, of which the printer knows one spelling each; this makes the text itself.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

VALUES = [
    "SELECT 1",
    "it's",
    "a\\b",
    'say "x"',
    "two\nlines",
    "{v} $n.c?",
    "é🐘",
    "",
    " ",
    "$$",
    "'",
    "-- x",
    "\t",
    "%s",
]
_GAPS = ["", "", " ", "\n", " /* ; ' */ ", " -- it's\n", "\t"]
gaps = st.sampled_from(_GAPS)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\x09")


def _unicode(value: str) -> str:
    return "".join(
        character
        if character.isascii() and character not in "'\\"
        else f"\\{ord(character):04x}"
        if ord(character) < 0x10000
        else f"\\+{ord(character):06x}"
        for character in value
    )


def _plain(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _spellings(value: str) -> list[str]:
    """Ways to write a text that is still of unknown type to PostgreSQL."""
    found = [
        _plain(value),
        f"E'{_escaped(value)}'",
        f"e'{value.replace(chr(92), chr(92) * 2).replace(chr(39), chr(39) * 2)}'",
        f"U&'{_unicode(value)}'",
        f"u&'{value.replace('!', '!!').replace(chr(39), chr(39) * 2)}' UESCAPE '!'",
        f"{_plain(value[:2])} -- and\n  {_plain(value[2:])}",
        f"({_plain(value)})",
    ]
    return found + [f"{tag}{value}{tag}" for tag in ("$$", "$q$", "$_1$") if "$" not in value]


def _texts(value: str) -> list[str]:
    """Ways to write a value of type text."""
    return [
        f"{_plain(value)}::text",
        f"CAST ( {_plain(value)} AS text )",
        f"text {_plain(value)}",
        f"({_plain(value[:3])} || {_plain(value[3:])})",
        f"(E'{_escaped(value[:1])}' || {_plain(value[1:])}::varchar)",
        f"format('%s', {_plain(value)})",
        f"format({_plain(value[:1].replace('%', '%%'))} || '%2$s%1$s', {_plain(value[3:])}, {_plain(value[1:3])})",
        f"concat({_plain(value[:2])}, NULL, {_plain(value[2:])})",
        f"replace({_plain(value.replace('e', 'E!'))}, 'E!', 'e')",
        f"repeat({_plain(value)}, 1)",
        f"pg_catalog.concat({_plain(value)})",
    ]


def written(value: str) -> st.SearchStrategy[str]:
    """One of the spellings of this text."""
    return st.sampled_from(_spellings(value) + _texts(value))


literals = st.sampled_from(VALUES).flatmap(written)
names = st.sampled_from(["n", "N_1", "_x"]).flatmap(written) | st.sampled_from(["'1n'", "''", "'a-b'", "NULL", "5"])
integers = st.sampled_from(
    ["5", "'5'", "0x1F", "1_000", "2 * 3 - 1", "(60)::int", "- -5", "+7", "60::bigint", "' 8 '", "CAST('9' AS integer)"]
) | st.sampled_from(
    ["0", "-1", "1.5", "'soon'", "NULL", "2147483648", "1e3", "TRUE", "10 / 4", "-10 / 4", "7 % -4", "1 / 0"]
)
crons = st.sampled_from(
    [
        "*/5 * * * *",
        "0 6 * * MON-fri",
        "0,30 0-23/2 1 jan 7",
        "* * * *",
        "60 * * * *",
        "* * * * 8",
        "a b c d e",
        "",
        "*/0 * * * *",
    ]
).flatmap(written)
urls = st.sampled_from(["https://x.y/z", "HTTP://x", "{base}/x", "ftp://x", "x", "https://x/$n"]).flatmap(written)
methods = st.sampled_from(["'get'", "'POST'", "$$Delete$$", "'HEAD'", "NULL", "'patch'::text"])
_OBJECTS = [{}, {"b": "it's", "aa": 1.50, "a": [None, True, {"x": 'é\\"'}]}, {"timeout_seconds": 5}]
objects = st.sampled_from(_OBJECTS).flatmap(
    lambda value: st.sampled_from(
        [
            _plain(json.dumps(value)),
            _plain(json.dumps(value)) + "::jsonb",
            f"jsonb {_plain(json.dumps(value, indent=1))}",
            f"$j${json.dumps(value, ensure_ascii=False)}$j$",
        ]
    )
)
headers = objects | st.sampled_from(
    [
        "NULL",
        "jsonb_build_object('k', 1, 'z', NULL, 'l', 2.50)",
        "'[1, 2.0]'",
        "'{'",
        "'{}'::text",
        "'1e2'",
        '\'{"a":1,"a":2}\'',
    ]
)
parts = st.sampled_from(
    [
        """'[{"name":"f","data_b64":"QQ=="}]'""",
        "jsonb_build_array(jsonb_build_object('name', 'f'))",
        "'[]'",
        "'[1]'",
        "'[{}, []]'",
        "'{}'",
        "NULL",
    ]
)
options = st.sampled_from(
    [
        "NULL", "'{}'", """'{"timeout_seconds": 30}'""", "jsonb_build_object('timeout_seconds', 5, 'on_failure', 'return')",
        """'{"database": "postgres", "on_cancel": "cancel"}'::jsonb""", "'[]'", """'{"timeout": 5}'""",
        """'{"timeout_seconds": 0}'""", """'{"timeout_seconds": "30"}'""", """'{"on_failure": "ignore"}'""", "'null'",
    ]
)  # fmt: skip
# Those that are good are written as the df functions write them, since these carry a graph along as it is.
_SQL = '{"node_type":"SQL","query":"SELECT 1"}'
_NODES = [
    _SQL, '{"node_type":"SLEEP","query":"5"}', '{"node_type":"FOO"}', "{}",
    f'{{"node_type":"THEN","left_node":{_SQL},"right_node":{_SQL},"result_name":"n"}}', '{"node_type":5}', "[1]",
    '{"node_type":"SQL","query":"a","query":"b"}', '{"node_type":"SQL","query":5}', '{"node_type":"THEN","left_node":"x"}',
    '{"_partial_if":true,"condition":"a","then_branch":"b"}', "null", '{"node_type":"SQL","query":"a"',
]  # fmt: skip
nodes = st.sampled_from(_NODES).flatmap(lambda value: st.sampled_from(_spellings(value)))


def call(name: str, *params: tuple[str, st.SearchStrategy[str], bool]) -> st.SearchStrategy[str]:
    """A call of df.name. params: name, strategy, is it optional; some are named, some left out."""

    @st.composite  # in here, so that its representation does not hold those of all strategies below, again and again
    def spelt(draw: st.DrawFn) -> str:
        positional = draw(st.integers(0, len(params)))
        given = [draw(strategy) for _, strategy, _ in params[:positional]]
        for param, strategy, optional in draw(st.permutations(params[positional:])):
            if not optional or draw(st.booleans()):
                given.append(f"{param}{draw(gaps)}{draw(st.sampled_from(['=>', ':=']))} {draw(strategy)}")
        schema = draw(st.sampled_from(["df.", "df.", "DF . ", '"df".']))
        word = draw(st.sampled_from([name, name.upper(), f'"{name}"']))
        return f"{schema}{word}{draw(gaps)}({draw(gaps)}{f'{draw(gaps)},'.join(given)}{draw(gaps)})"

    return spelt()


def _calls(step: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        call("seq", ("a", step, False), ("b", step, False)),
        call("as", ("fut", step, False), ("name", names, False)),
        call("loop", ("body", step, False), ("condition", step | st.just("NULL"), True)),
        call("if", ("condition", step, False), ("then_branch", step, False), ("else_branch", step, False)),
        call("if_rows", ("result_name", names, False), ("then_branch", step, False), ("else_branch", step, False)),
        call("join", ("a", step, False), ("b", step, False)),
        call("join3", ("a", step, False), ("b", step, False), ("c", step, False)),
        call("race", ("a", step, False), ("b", step, False)),
        call(
            "call_child", ("fut", step, False), ("label", literals | st.just("NULL"), True), ("options", options, True)
        ),
    )


leaves = st.one_of(
    literals,
    literals,
    nodes,
    call("sql", ("query", literals | nodes, False)),
    call("sleep", ("seconds", integers, False)),
    call("wait_for_schedule", ("cron_expr", crons, False)),
    call("break", ("value", literals | st.just("NULL"), True)),
    call("wait_for_signal", ("name", literals, False), ("timeout_seconds", integers, True)),
    call("await_instance", ("instance_id", literals, False), ("timeout_seconds", integers, True)),
    call(
        "http",
        ("url", urls, False),
        ("method", methods, True),
        ("body", literals | st.just("NULL"), True),
        ("headers", headers, True),
        ("timeout_seconds", integers, True),
    ),
    call(
        "http_multipart",
        ("url", urls, False),
        ("method", methods, True),
        ("parts", parts, True),
        ("headers", headers, True),
    ),
)


def _combined(step: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def spelt(draw: st.DrawFn) -> str:
        operator = draw(
            st.sampled_from(["~>", "~>", "&", "|", "|=>", "if", "@>", "OPERATOR(public.~>)", "()", "::text", "!>"])
        )
        first = draw(step)
        match operator:
            case "@>":
                return f"@> {draw(gaps)}{first}"
            case "()":
                return f"({draw(gaps)}{first}{draw(gaps)})"
            case "::text":
                return f"({first})::text"
            case "|=>":
                return f"{first}{draw(gaps)}|=>{draw(gaps)}{draw(names)}"
            case "if":
                return f"{first} ?>{draw(gaps)}{draw(step)}{draw(gaps)} !> {draw(step)}"
            case _:
                return f"{first}{draw(gaps)}{operator} {draw(step)}"

    return spelt()


programs = st.recursive(leaves, lambda step: st.one_of(_calls(step), _combined(step), _combined(step)), max_leaves=8)
