"""A text as it is, or as it was: `flows/a.df`, `-`, or `REV:flows/a.df` from git, which is needed for that alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.runtime.errors import PgweaveError
from pgweave.texts import decode
from pgweave.texts import read as read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.span import Source

GIT_SECONDS = 60


def split(argument: str) -> tuple[str | None, str]:
    """Revision and path of an argument; None: no revision. A file whose name has a colon is a file."""
    revision, colon, path = argument.partition(":")
    # C:flows/a.df on Windows is a path, and so is any file with a colon in its name.
    if argument == "-" or not colon or not path or Path(argument).exists():
        return None, argument
    return revision, path


def read(argument: str) -> Source:
    """Read what an argument means. PgweaveError, with what to do, when it cannot be read."""
    revision, path = split(argument)
    if revision is None:
        return _stdin() if argument == "-" else read_file(path)
    if revision.startswith("-"):  # git would take it for an option
        raise PgweaveError(f"{revision!r} is no revision.", "Write a branch, a tag or a commit, such as HEAD~1:a.df.")
    return decode(argument, shown(revision, path))


def shown(revision: str, path: str) -> bytes:
    """A file of a revision. path: from the working directory, or, as git would have it, from the top of the repository."""
    try:
        # `./` makes git count from the working directory; without it paths count from the top of the
        # repository.
        return git("show", f"{revision}:./{path}")
    except PgweaveError:
        return git("show", f"{revision}:{path}")


def changed(revision: str, paths: Sequence[str], kinds: str) -> list[str]:
    """Paths below `paths` that differ from a revision. kinds: git's letters, A added, D deleted, M modified."""
    names = git("diff", "--name-only", "-z", "--relative", f"--diff-filter={kinds}", revision, "--", *paths)
    return [name for name in names.decode(errors="surrogateescape").split("\0") if name]


def git(*arguments: str) -> bytes:
    """Run git in the working directory. PgweaveError when it is missing or refuses."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, timeout=GIT_SECONDS, check=False)  # noqa: S603, S607
    except FileNotFoundError as error:
        raise PgweaveError(
            "Reading a revision needs git, and there is no git on PATH.",
            "Install git, or write the older text to a file and compare the files.",
        ) from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise PgweaveError(f"git {arguments[0]} did not answer: {error}.", "Try the same with git itself.") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        # git prints warnings first, and what is wrong behind `fatal:`.
        said = next((line for line in lines if line.startswith("fatal:")), lines[0]).removeprefix("fatal: ").rstrip(".")
        raise PgweaveError(f"git {arguments[0]}: {said}.", "Check the revision and the path: REV:path/to/file.df.")
    return done.stdout


def _stdin() -> Source:
    return decode("<stdin>", sys.stdin.buffer.read())
