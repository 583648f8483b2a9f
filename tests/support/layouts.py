"""Programs as people lay them out: the same tokens with any white space and any comments between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.reading.lexer import lex

if TYPE_CHECKING:
    from random import Random

# Pieces of programs in spellings that the printer would not choose.
PIECES = (
    "'a'", "$$b$$", "E'c\\n'", "'it''s'", "'d'::text", "df.sleep(5)", "df.sleep(:x)", "(SELECT 1)", "'x' || 'y'",
    "('q' || 'r')", "df.http('https://a.b', headers := jsonb_build_object('a', 1, 'b', ARRAY['x','y']))",
    "df.loop('a', condition => 'b')", "df.wait_for_signal('go', timeout_seconds => 5)",
    """df.call_child('a' ~> 'b', 'l', '{"timeout_seconds": 3}'::jsonb)""", "df.break()", "df.if_rows('x', 'a', 'b')",
    "CAST('a' AS text)", "'p'\n  'q'", "df.sleep(- -5)", "df.sleep(2*(3+4))", "@> 'l'", "@> @> 'l'",
    "concat('a', format('%s', 'b'))", "df.as('a', 'n')", "df.sql('x')", "text 'abc'", "df.join3('a','b','c')",
    "'c' ?> 't' !> 'e'", "('c' ?> ('t' & 'u') !> @> 'e')",
)  # fmt: skip
COMMENTS = ("/* b */", "-- line\n", "/* two\n lines */", "/* nested /* x */ y */", "--\n", "/**/")
BLANKS = (" ", " ", "\n", "\n\n", "   ", "\t")


def expression(random: Random, depth: int) -> str:
    if depth == 0 or random.random() < 0.2:
        return random.choice(PIECES)
    deeper = depth - 1
    match random.randrange(7):
        case 0:
            return f"({expression(random, deeper)})"
        case 1:
            return f"@> ({expression(random, deeper)})"
        case 2:
            return f"({expression(random, deeper)}) |=> 'n{depth}'"
        case 3:
            return f"df.seq({expression(random, deeper)}, {expression(random, deeper)})"
        case _:
            operator = random.choice(("~>", "~>", "~>", "&", "|"))
            return f"{expression(random, deeper)} {operator} {expression(random, deeper)}"


def statement(random: Random) -> str:
    step = expression(random, random.randrange(4))
    return random.choice(
        (
            step,
            f"SELECT {step}",
            f"SELECT df.start({step})",
            f"SELECT df.start({step}, 'label') AS id",
            f"SELECT * FROM df.start({step}, 'label') AS id",
            f"df.start({step}, database => 'other')",
            "df.setvar('k', 'v')",
            "SELECT df.setvar('k', now()::text)",
        )
    )


def scattered(text: str, random: Random) -> str:
    """The same tokens with other white space and with comments between them."""
    density = random.choice((0, 0.05, 0.3, 0.8))
    out = [random.choice(("", "-- head\n\n", "\ufeff"))]
    for token in lex(text).tokens:
        out.extend((text[token.start : token.end], random.choice(BLANKS)))
        while random.random() < density:
            out.extend((random.choice(COMMENTS), random.choice(("", " ", "\n", "\n\n", "  \n  "))))
    text = "".join(out)
    return text.replace("\n", "\r\n") if random.random() < 0.1 else text
