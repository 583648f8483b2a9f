"""Starting costs little: libraries are loaded by the commands that need them. Checked by name, not by the clock."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

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
from pgweave.__main__ import main
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


def test_checking_a_program_needs_neither_a_database_driver_nor_a_graph_library(tmp_path: Path) -> None:
    program = tmp_path / "small.df"
    program.write_text("'SELECT 1' |=> 'one' ~> 'SELECT $one'", encoding="utf-8")
    assert loaded(command("check", str(program))) <= {"lark"}


def test_a_worker_needs_no_parser_and_no_graph_library() -> None:
    """A row may be a year old when it wakes: what runs it knows rows, not programs."""
    assert loaded("import pgweave.runtime.worker") == set()
    assert loaded("import pgweave.compiler.rows") == set()
