"""Starting costs little: libraries are loaded by the commands that need them. Checked by name, not by the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer.main

from pgweave.cli.app import MODULES, build

if TYPE_CHECKING:
    from pathlib import Path

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


def test_what_is_printed_arrives_although_the_process_ends_at_once(tmp_path: Path) -> None:
    """Nothing is taken apart at the end of a check; what is still in a buffer must not be lost with it."""
    broken = tmp_path / "broken.df"
    broken.write_text("'SELECT 1' ~>\n" * 200, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pgweave", "check", "--output-format", "json", str(broken)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)


def test_a_worker_needs_no_parser_and_no_graph_library() -> None:
    """A row may be a year old when it wakes: what runs it knows rows, not programs."""
    assert loaded("import pgweave.runtime.worker") == set()
    assert loaded("import pgweave.compiler.rows") == set()
