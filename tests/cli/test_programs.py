"""The commands that need no database: check, compile, render, explain, and what every command does with bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Command

FULL = Path("/dev/full")

# Exit codes: 0 clean, 1 findings, 2 usage, files, connections.
# A command, its exit code, what it has to say.
REFUSALS: dict[str, tuple[str, int, list[str]]] = {
    "a syntax error": ("compile broken.df", 1, ["error[PW001]", "broken.df:2:4", "1 error; nothing was done."]),
    "a syntax error in a drawing": ("render broken.df", 1, ["error[PW001]"]),
    "a syntax error in a run": ("run broken.df", 1, ["error[PW001]"]),
    "an undefined name": ("compile undefined.df", 1, ["error[PW201]", "`$x`"]),
    "no command": ("chekc", 2, ["No such command 'chekc'"]),
    "no file named": ("check", 2, ["Missing argument"]),
    "an unknown option": ("compile clean.df --emmit rows", 2, ["No such option: --emmit", "--emit"]),
    "an unknown form": ("compile clean.df --emit yaml", 2, ["'yaml'", "tree, rows"]),
    "an unknown picture": ("render clean.df -o clean.bmp", 2, [".bmp", ".svg, .png"]),
    "an unknown report": ("check clean.df --output-format xml", 2, ["'xml'", "json"]),
    "a missing file": ("check missing.df", 2, ["Cannot read missing.df: No such file", "Check the path."]),
    "a missing file to run": ("run missing.df", 2, ["Cannot read missing.df"]),
    "a folder to compile": ("compile .", 2, ["Cannot read .: Is a directory"]),
    "a folder without programs": ("check empty", 2, ["There is no .df file in empty"]),
    "a file that is not UTF-8": ("check latin.df", 2, ["latin.df is not UTF-8: byte 8 is 0xe9", "UTF-8."]),
    "nothing in the file": ("compile nothing.df", 2, ["nothing.df holds no workflow", "df.start("]),
    "several in the file": ("compile two.df", 2, ["two.df holds 2 workflows: left, right", "--only NAME"]),
    "no such workflow": ("compile two.df --only middle", 2, ["'middle'", "left, right"]),
    "no place to write": ("render clean.df -o no/such/place.svg", 2, ["Cannot write no/such/place.svg"]),
    "a folder to write to": ("compile clean.df -o empty", 2, ["Cannot write empty: Is a directory"]),
    "a variable without a value": ("run clean.df --var name", 2, ["'name' is not NAME=VALUE"]),
    "no such code": ("explain PW2001", 2, ["There is no diagnostic PW2001", "Did you mean PW201?"]),
    "a signal that is no JSON": ("signal 0123abcd go {", 2, ["not JSON"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_done_is_said_in_a_few_lines(pgweave: Command, case: str) -> None:
    """Each a message on one screen with what to do, and the exit code that scripts rely on."""
    command, code, fragments = REFUSALS[case]
    pgweave.write("undefined.df", "'SELECT 1' ~> 'SELECT $x'")
    pgweave.write("nothing.df", "-- nothing yet\n")
    (pgweave.folder / "empty").mkdir()
    done = pgweave(*command.split())
    assert (done.code, done.out) == (code, "")
    assert len(done.err.splitlines()) < 24
    for fragment in fragments:
        assert fragment in done.err


def test_help_lists_every_command(pgweave: Command) -> None:
    done = pgweave("--help")
    assert done.code == 0
    listed = {line.split()[0] for line in done.out.partition("Commands:\n")[2].splitlines()}
    assert set("run check compile render explain worker ps show result signal cancel wait db".split()) <= listed  # noqa: SIM905


def test_version(pgweave: Command) -> None:
    from pgweave import __version__

    assert pgweave("--version").out == f"pgweave {__version__}\n"


def test_a_clean_program_passes(pgweave: Command) -> None:
    done = pgweave("check", "clean.df")
    assert (done.code, done.out, done.err) == (0, "", "No findings.\n")


def test_a_program_may_come_from_standard_input(pgweave: Command) -> None:
    program = (pgweave.folder / "clean.df").read_bytes()
    assert pgweave("compile", "-", "--emit", "ascii", stdin=program).out.startswith("SQL: SELECT 1 AS one")
    assert "<stdin>:1:" in pgweave("check", "-", stdin=b"'SELECT 1' ~>").out
    assert "<stdin> is not UTF-8: byte 0" in pgweave("check", "-", stdin=b"\xff").err


def test_findings_go_to_standard_output_with_a_caret_and_end_in_exit_code_1(pgweave: Command) -> None:
    done = pgweave("check", "broken.df", "clean.df")
    assert (done.code, done.err) == (1, "1 error.\n")
    assert " 2 | ~> ~> 'SELECT 2'\n   |    ^^ found `~>`" in done.out


def test_findings_as_json(pgweave: Command) -> None:
    done = pgweave("check", "broken.df", "--output-format", "json")
    (finding,) = json.loads(done.out)
    assert (done.code, finding["code"], finding["severity"]) == (1, "PW001", "error")
    assert pgweave("check", "clean.df", "--output-format", "json").out == "[]\n"


def test_every_program_below_a_folder_is_checked(pgweave: Command) -> None:
    pgweave.write("below/deeper/one.df", "'SELECT 1' ~> 'SELECT $nobody'")
    pgweave.write("below/two.df", "df.break()")
    done = pgweave("check", "below")
    assert done.code == 1
    assert "below/deeper/one.df:1:" in done.out
    assert "below/two.df:1:" in done.out


def test_remarks_do_not_fail_a_check_and_warnings_only_with_strict(pgweave: Command) -> None:
    pgweave.write("remark.df", "df.call_child('SELECT 1', 'child')")
    done = pgweave("check", "--strict", "remark.df")
    assert (done.code, done.err) == (0, "1 info.\n")
    assert "info[PW601]" in done.out


@pytest.mark.parametrize(
    ("emit", "start"),
    [("tree", "{"), ("rows", "["), ("graph", "{"), ("dot", "digraph"), ("mermaid", "flowchart"), ("ascii", "SQL")],
)
def test_a_program_compiles_to_every_form(pgweave: Command, emit: str, start: str) -> None:
    done = pgweave("compile", "clean.df", "--emit", emit)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(start)
    assert done.out.endswith("\n")
    if start in {"{", "["}:
        assert json.loads(done.out)


def test_what_is_compiled_is_written_where_it_is_wanted(pgweave: Command) -> None:
    done = pgweave("compile", "two.df", "--only", "right", "--emit", "tree", "-o", "out.json")
    assert (done.code, done.out) == (0, "")
    assert json.loads((pgweave.folder / "out.json").read_bytes()) == {"node_type": "SQL", "query": "SELECT 2"}


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("SVG", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph"), ("mmd", b"flowchart")],
)
def test_a_picture_is_drawn_in_the_format_of_its_name(pgweave: Command, suffix: str, start: bytes) -> None:
    """With nothing on PATH but Python: no `dot` program."""
    done = pgweave("render", "clean.df", "-o", f"out.{suffix}", PATH=str(Path(sys.executable).parent))
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"out.{suffix}: clean, ")
    assert (pgweave.folder / f"out.{suffix}").read_bytes().startswith(start)


def test_a_program_with_errors_is_drawn_and_says_what_is_wrong(pgweave: Command) -> None:
    """The picture of a loop that takes too little shows it better than words."""
    pgweave.write("swallowed.df", "@> df.sleep(60) ~> 'SELECT poll()'")
    done = pgweave("render", "swallowed.df", "-o", "out.dot")
    assert done.code == 0
    assert "error[PW102]" in done.err
    assert "pw_unreachable" in (pgweave.folder / "out.dot").read_text(encoding="utf-8")


def test_a_picture_without_a_name_is_called_after_its_program(pgweave: Command) -> None:
    pgweave("render", "two.df", "--only", "right")
    assert (pgweave.folder / "two.svg").is_file()


def test_explain_shows_the_page_of_a_code_in_any_case(pgweave: Command) -> None:
    done = pgweave("explain", "pw201")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("# PW201 undefined-name\n")


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_a_full_disk_is_no_traceback(pgweave: Command) -> None:
    for arguments in (["compile", "clean.df"], ["check", "broken.df"], ["explain", "PW201"]):
        with FULL.open("wb") as full:
            process = subprocess.run(
                [sys.executable, "-m", "pgweave", *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                cwd=pgweave.folder,
                env=pgweave.environment(),
                timeout=60,
                check=False,
            )
        assert process.returncode == 2
        assert process.stderr.decode() == "pgweave: Cannot write the output: No space left on device.\n"


def test_a_reader_that_has_had_enough_is_no_traceback(pgweave: Command) -> None:
    process = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m pgweave explain PW201 | true', sys.executable],
        capture_output=True,
        cwd=pgweave.folder,
        env=pgweave.environment(),
        timeout=60,
        check=False,
    )
    assert process.stderr == b""


def test_a_terminal_that_is_not_utf_8_gets_escapes(pgweave: Command) -> None:
    pgweave.write("letters.df", "'SELECT 1' ~> 'SELECT $žluťoučký' ~> ~>")
    assert pgweave("check", "letters.df", PYTHONIOENCODING="ascii").code == 1
