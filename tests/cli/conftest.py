"""`pgweave` as people run it: a process of its own, in a folder of its own, on no database but the one it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Done:
    """What a command came to. out: what scripts read; err: what is said to people."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """Runs `pgweave` in `folder`. No command may ever show a traceback, so that is looked for in each."""

    folder: Path

    def __call__(self, *arguments: object, stdin: bytes = b"", **variables: str) -> Done:
        process = subprocess.run(
            [sys.executable, "-m", "pgweave", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=self.environment(**variables),
            timeout=60,
            check=False,
        )
        done = Done(process.returncode, process.stdout.decode(), process.stderr.decode())
        assert "Traceback" not in done.err, done.err
        return done

    def environment(self, **variables: str) -> dict[str, str]:
        """Ours without anything that names a database: an embedded server would be a slip."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST", "COLUMNS"))}
        return {**clean, "PGWEAVE_DATA": str(self.folder / "none" / "here"), "LC_ALL": "C.UTF-8", **variables}

    def write(self, name: str, text: str | bytes) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


@pytest.fixture
def pgweave(tmp_path: Path) -> Command:
    """The command line, in a folder with one clean and one broken program."""
    command = Command(tmp_path)
    command.write("clean.df", "'SELECT 1 AS one' |=> 'first' ~> 'SELECT $first + 1 AS two'\n")
    command.write("broken.df", "'SELECT 1'\n~> ~> 'SELECT 2'\n")
    command.write("two.df", "df.start('SELECT 1', 'left');\ndf.start('SELECT 2', 'right');\n")
    command.write("latin.df", b"'SELECT \xe9'")
    return command
