"""Random and mutated texts: an answer for each, in bounded time and memory, and never an exception.

`PGWEAVE_FUZZ=100000 pytest tests/grammar/test_fuzz.py` is the full run; without the variable it is a short one.
A failure names its seed, and `story(seed)` gives the text again.
"""

from __future__ import annotations

import os
import resource
from functools import cache
from pathlib import Path
from random import Random
from time import process_time

import pytest

from pgweave.grammar.parser import parse_as
from pgweave.grammar.reading.extraction import Form
from pgweave.grammar.reading.lexer import lex
from pgweave.grammar.render import as_json, render
from pgweave.grammar.span import Source
from pgweave.grammar.template import scan_raw, scan_sql, statement_count
from pgweave.grammar.writing.formatter import format_source

COUNT = int(os.environ.get("PGWEAVE_FUZZ", "3000"))
CHUNKS = 10
ROOT = Path(__file__).parents[2]

SUFFIXES = {Form.PROGRAM: ".df", Form.SQL: ".sql", Form.MARKDOWN: ".md"}
FORMATTED = 3000  # characters; what is longer would take most of the time
WORDS = [
    "'a'", "'SELECT 1'", "df.sleep(", "df.call_child(", "df.if(", "df.start(", "df.explain('", "df.setvar(", ")", "(", ",",
    "~>", "|=>", "&", "|", "?>", "!>", "@>", "||", "'x'", "::jsonb", "=>", ":=", "label", "5", "NULL", ";", "SELECT", " AS ",
    "CASE", "END", "ARRAY[", "]", "'{}'", "$$", "$q$", "E'\\", "--", "\n", "/*", "*/", "CAST(", ":x", ":'y'", "NOT ", "BETWEEN ",
    "AND ", "IS ", "IN (", "ANY (", "format('%s', ", "repeat('x', 1000000)", "replace(", '\'{"node_type":', '"THEN"}\'', "\\",
    "\u2019", "\0", ".", "x", "[", "U&'", "1e", "1e99999", "df", "OPERATOR(", "OVER", "-", "%", "EXISTS(", "interval", "\ufeff",
    "```sql\n", "```", "> ", "- ", "DO $$", "CREATE FUNCTION f() AS $$", "COPY t FROM stdin;", "\\.", "\\set ", "\\gset", "$name",
    "$n.c?", "$n.*", "{v}", "\U0001f418", "\ud800", "\x85", "\u2028", "\r", "\t", "&@>", "&&&", "'1'::int8", "2147483648", "0x",
    "'{\"a\":\"\\ud800\"}'::jsonb", "'0 6 * * *'", "a1b2c3d4", "df.wait_for_schedule(", "df.http('https://x', headers => ",
]  # fmt: skip


@cache
def corpus() -> tuple[str, ...]:
    """Programs as people write them: examples, broken ones, and the pages of the codes."""
    files = [
        *ROOT.glob("examples/*.df"),
        *ROOT.glob("examples/*.sql"),
        *ROOT.glob("tests/golden/**/*.df"),
        *ROOT.glob("tests/golden/diagnostics/*.txt"),
        *ROOT.glob("grammar/codes/*.md"),
    ]
    texts = [file.read_text(encoding="utf-8")[:4000] for file in sorted(files)]
    assert len(texts) > 50
    return tuple(texts)


def story(seed: int) -> str:
    """The text of this seed."""
    random = Random(seed)
    if random.random() < 0.3:
        return "".join(random.choices(WORDS, k=random.randrange(40)))
    if random.random() < 0.1:
        return "".join(chr(random.choice([random.randrange(128), random.randrange(0x110000)])) for _ in range(60))
    text = random.choice(corpus())
    for _ in range(random.randrange(1, 6)):
        text = mutated(text, random)
    return text


def mutated(text: str, random: Random) -> str:
    at, end = sorted((random.randint(0, len(text)), random.randint(0, len(text))))
    near = min(end, at + random.randrange(1, 12))
    match random.randrange(8):
        case 0:
            return text[:at] + text[near:]
        case 1:
            return text[:at] + random.choice(WORDS) + text[at:]
        case 2:
            return text[:at] + random.choice(WORDS) + text[near:]
        case 3:
            return text[:at]
        case 4:
            return text[:end] + text[at:]
        case 5:
            return text[:at] + text[at:near] * random.choice([2, 3, 300]) + text[near:]
        case 6:
            other = random.choice(corpus())
            return text[:at] + other[random.randint(0, len(other)) :]
        case _:
            return text[:at] + text[at:near][::-1] + text[near:]


def read(text: str) -> None:
    """Everything that may be asked of a text before it is known to be good."""
    for form in Form:
        source = Source("fuzz", text)
        parsed = parse_as(source, form)
        for found in parsed.diagnostics[:10]:
            assert 0 <= found.span.start <= found.span.end <= len(text), found
            assert render(found, source)
            assert as_json(found, source)
            for edit in found.fix.edits if found.fix else ():
                assert 0 <= edit.span.start <= edit.span.end <= len(text), found
        if form is Form.PROGRAM and any(token.value != ";" for token in lex(text).tokens):
            # df.explain of an instance's id is the one statement that declares nothing and is right all the same
            assert parsed.diagnostics or parsed.module.definitions or parsed.module.variables or "explain" in text
        if parsed.ok and len(text) < FORMATTED:
            format_source(Source(f"fuzz{SUFFIXES[form]}", text))  # which proves itself
        for definition in parsed.module.definitions:
            assert 0 <= definition.span.start < definition.span.end <= len(text)
    for placeholder in (*scan_sql(text), *scan_raw(text)):
        assert 0 <= placeholder.span.start < placeholder.span.end <= len(text)
    statement_count(text)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_text_gets_an_answer_in_bounded_time_and_memory(chunk: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = COUNT // CHUNKS
    for seed in range(chunk * size, (chunk + 1) * size):
        text = story(seed)
        started = process_time()
        try:
            read(text)
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}\n{text!r}")
        assert process_time() - started < 5, f"seed {seed} took {process_time() - started:.1f} s"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes
