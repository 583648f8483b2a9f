"""The documentation of the reference that does not do what it says: each sample is caught, with the reason.

Samples are retold, not copied; the numbers are those of the list they come from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgweave.compiler import passes
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.compiler.subject import Target

ROOT = Path(__file__).parents[2]

SAMPLES: dict[str, tuple[str, Target, set[str]]] = {
    "1: an approval that always rejects": (
        (
            "df.wait_for_signal('decision') |=> 'decision'"
            " ~> ($$SELECT $decision::jsonb->>'approved' = 'true'$$ ?> 'SELECT pay()' !> 'SELECT reject()')"
        ),
        "pgweave",
        {"PW402"},
    ),
    "2: a break with the name of a result": (
        (
            "@> (('SELECT step() AS done, text() AS summary' |=> 'r')"
            " ~> ('SELECT $r.done' ?> df.break('$r.summary') !> df.sleep(3600)))"
        ),
        "pg_durable",
        {"PW305"},
    ),
    "3: a column as a condition, and one that is not there": (
        "'SELECT process_batch()' |=> 'batch' ~> ('$batch.done' ?> 'SELECT stop()' !> 'SELECT go_on()')",
        "pgweave",
        {"PW203", "PW306"},
    ),
    "4: a comparison as a condition": (
        (
            "(df.wait_for_signal('paid') | df.wait_for_signal('cancelled')) |=> 'payment'"
            " ~> ('$payment.signal_name = ''paid''' ?> 'SELECT ship()' !> 'SELECT close()')"
        ),
        "pgweave",
        {"PW306"},
    ),
    "5: weekdays from Monday to Friday": (
        "@> (df.wait_for_schedule('0 9 * * 1-5') ~> 'SELECT report()')",
        "pg_durable",
        {"PW403"},
    ),
    "5: a Monday": ("@> (df.wait_for_schedule('0 0 * * 1') ~> 'SELECT report()')", "pg_durable", {"PW403"}),
    "6: a request whose failure is left to retries": (
        "df.http('https://api.example.com/orders', 'PUT', '1') ~> 'SELECT mark_as_sent()'",
        "pgweave",
        {"PW406"},
    ),
    "7: a chain of branches is not flat": (
        "('SELECT 1 AS a' & 'SELECT 2 AS b' & 'SELECT 3 AS c') |=> 'all' ~> 'SELECT $all::jsonb->2'",
        "pgweave",
        {"PW216"},
    ),
    "8: a variable as if it were a result": (
        "df.setvar('region', 'eu'); 'SELECT * FROM shops WHERE region = $region'",
        "pgweave",
        {"PW213"},
    ),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_that_does_not_work_is_caught(sample: str) -> None:
    text, target, codes = SAMPLES[sample]
    parsed = parse(Source("sample.df", text))
    assert parsed.ok
    assert {one.code for one in passes.check(parsed.module, target=target)} == codes


# What is written (letters stand for steps, n for a name), and what is said; measured on PostgreSQL 15.
GROUPING = {
    "a ~> b & c": {"PW101"},
    "a ~> b | c": {"PW101", "PW308"},
    "a | b & c": {"PW101", "PW308"},
    "a & b |=> n": {"PW101"},
    "a ~> b |=> n ~> c": {"PW211"},  # both readings name the same value
    "@> a ~> b": {"PW102"},
    "c ?> t !> d ?> u !> e": {"PW103"},
    "a & c ?> t !> e": {"PW105"},
    "c ?> t ~> u !> e": {"PW104"},
    "c ?> t |=> n !> e": {"PW104"},
    "a | s ~> t": {"PW309"},
    "a ~> b || c": {"PW106"},
    "a & b ~> c": set(),
    "c ?> t !> e": set(),
    "c ?> t !> e ~> z": {"PW101"},
}


@pytest.mark.parametrize("written", GROUPING)
def test_every_row_of_the_measured_table_of_groupings_is_spoken_of(written: str) -> None:
    steps = {letter: f"'SELECT {letter}()'" for letter in "abcdetuz"} | {"n": "'n'", "s": "df.sleep(5)"}
    text = "".join(steps.get(character, character) for character in written).replace(
        "@> 'SELECT a()'", "@> df.sleep(5)"
    )
    parsed = parse(Source("table.df", text))
    found = {one.code for one in (*parsed.diagnostics, *passes.check(parsed.module))}
    assert found == GROUPING[written]


def test_a_join_before_a_step_is_called_ambiguous_there_and_is_not() -> None:
    parsed = parse(Source("sample.df", "'SELECT a()' & 'SELECT b()' ~> 'SELECT c()'"))
    assert passes.check(parsed.module) == ()


def test_a_sleep_of_a_variable_is_refused_by_its_type() -> None:
    parsed = parse(Source("sample.df", "df.sleep('{seconds}')"))
    assert [one.code for one in parsed.diagnostics] == ["PW019"]


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/**/*.df")), ids=lambda file: file.stem)
def test_every_example_is_clean(file: Path) -> None:
    """Remarks may stand; an example with a warning teaches the mistake."""
    parsed = parse(Source(file.name, file.read_text("utf-8")))
    found = [*parsed.diagnostics, *passes.check(parsed.module)]
    assert [one.code for one in found if one.severity is not Severity.INFO] == []


def test_what_is_said_is_the_same_in_every_process() -> None:
    """Sets of steps have an order that differs from run to run; what people read must not."""
    import subprocess
    import sys

    program = (
        "import sys; from pathlib import Path\n"
        "from pgweave.compiler import passes; from pgweave.grammar.parser import parse\n"
        "from pgweave.grammar.render import render_all; from pgweave.grammar.span import Source\n"
        "junk = [object() for _ in range(int(sys.argv[1]))]\n"
        "for file in sorted(Path(sys.argv[2]).glob('*.df')):\n"
        "    for text in file.read_text('utf-8').split('----')[1:]:\n"
        "        module = parse(Source(file.name, text.partition(chr(10))[2])).module\n"
        "        for target in ('pgweave', 'pg_durable'):\n"
        "            print(render_all(passes.check(module, target=target), module.source))\n"
    )
    folder = ROOT / "tests" / "golden" / "checks"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, seed, str(folder)],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "7", "4242")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000
