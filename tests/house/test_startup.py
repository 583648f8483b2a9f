"""Starting costs little: libraries are loaded by the commands that need them. Checked by name, not by the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from pgweave.cli.app import MODULES, build

HEAVY = (
    "psycopg",
    "psycopg_pool",
    "networkx",
    "lark",
    "rich",
    "graphviz",
    "pygraphviz",
    "wasmtime",
    "cronsim",
    "httpx2",
    "postgast",
    "google.protobuf",
    "pydantic",
    "asyncio",
)


def loaded(code: str) -> set[str]:
    """Which heavy libraries a fresh Python has loaded after this code."""
    report = f"import sys; print('loaded', *(set(sys.modules) & {set(HEAVY)}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def command(*arguments: str) -> str:
    return f"""
import sys
from pgweave.cli.app import main
sys.argv = {["pgweave", *arguments]!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def test_importing_pgweave_loads_no_library() -> None:
    assert loaded("import pgweave") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["explain", "PW201"]])
def test_asking_for_help_loads_no_library(arguments: list[str]) -> None:
    assert loaded(command(*arguments)) == set()


@pytest.fixture
def program(tmp_path: Path) -> str:
    file = tmp_path / "small.df"
    file.write_text("'SELECT 1' |=> 'one'\n~> 'SELECT $one';\n", encoding="utf-8")
    return str(file)


def test_checking_a_program_needs_neither_a_database_driver_nor_a_graph_library(program: str) -> None:
    assert loaded(command("check", program)) == {"lark", "postgast", "google.protobuf"}


def test_laying_out_a_program_needs_no_parser_of_sql(program: str) -> None:
    assert loaded(command("fmt", "--check", program)) == {"lark"}


@pytest.mark.parametrize(("name", "module"), [(name, module) for module, names in MODULES.items() for name in names])
def test_a_command_loads_no_other_command(name: str, module: str) -> None:
    registered = typer.main.get_command(build([name, "--help"])).commands  # type: ignore[attr-defined]
    assert set(registered) == set(MODULES[module])


def test_every_command_is_in_the_table_of_commands() -> None:
    names = {name for names in MODULES.values() for name in names}
    assert set(typer.main.get_command(build()).commands) == names  # type: ignore[attr-defined]


@pytest.fixture
def broken(tmp_path: Path) -> str:
    file = tmp_path / "broken.df"
    file.write_text("'SELECT 1' ~>;\n" * 200, encoding="utf-8")
    return str(file)


def shell(line: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and messages of a line of bash, in which "$@" is pgweave and its arguments."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, "bash", sys.executable, "-m", "pgweave", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_what_is_printed_arrives_although_the_process_ends_at_once(broken: str) -> None:
    """Nothing is taken apart at the end of a check; what is still in a buffer must not be lost with it."""
    code, out, _ = shell('"$@"', "check", "--output-format", "json", broken)
    assert code == 1
    assert len(json.loads(out)) == 200


@pytest.mark.parametrize("line", ['"$@" >&-', '"$@" 2>&-', '"$@" | head -1'])
def test_an_output_that_nobody_reads_is_no_traceback(broken: str, line: str) -> None:
    assert shell(line, "check", broken)[0] in {1, 2}  # 2 where the pipe was closed before all was written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_an_output_that_cannot_be_written_is_said_in_a_sentence(broken: str) -> None:
    code, _, err = shell('"$@" >/dev/full', "check", broken)
    assert code == 2
    assert "Cannot write the output: No space left on device." in err


def test_a_worker_needs_no_parser_and_no_graph_library() -> None:
    """A row may be a year old when it wakes: what runs it knows rows, not programs."""
    assert loaded("import pgweave.runtime.worker.service") == set()
    assert loaded("import pgweave.compiler.rows") == set()
