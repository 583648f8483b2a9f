"""Which files a command looks at: paths from the command line, folders walked, what is excluded left out."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.runtime.errors import PgweaveError
from pgweave.texts import decode, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pgweave.config import Config
    from pgweave.grammar.span import Source

# Folders of packages, not of workflows. Hidden folders and virtual environments are left out too.
SKIPPED = frozenset({"node_modules", "__pycache__", "__pypackages__"})


def sources(
    paths: Iterable[str],
    config: Config,
    *,
    stdin_name: str | None = None,
    force: bool = False,
    unreadable: list[PgweaveError] | None = None,
) -> list[Source]:
    """Read every file; each once, in the order of the arguments, those of a folder sorted by path.

    stdin_name: what standard input, `-`, is called. force: `exclude` holds for files that were named, too.
    unreadable: takes the errors of files that cannot be read, so that the others are looked at all the same; without it
    the first is raised. PgweaveError too when a folder holds nothing to look at.
    """
    found: dict[str, Source] = {}

    def add(name: str, load: Callable[[], Source]) -> None:
        try:
            found[name] = load()
        except PgweaveError as error:
            if unreadable is None:
                raise
            unreadable.append(error)

    for path in paths:
        if path == "-":
            name = stdin_name or "<stdin>"
            add(name, partial(decode, name, sys.stdin.buffer.read()))
        elif Path(path).is_dir():
            files = list(below(Path(path), config))
            if not files:  # a check that looks at nothing must not pass
                kinds = " or ".join(pattern.removeprefix("*") for pattern in config.include)
                raise PgweaveError(f"There is no {kinds} file in {path}.", "Check the path.")
            for file in files:
                if str(file) not in found:
                    add(str(file), partial(read, file))
        elif path not in found and not (force and excluded(Path(path), config)):
            add(path, partial(read, path))
    return list(found.values())


def below(folder: Path, config: Config) -> Iterator[Path]:
    """Files below a folder that match `include` and not `exclude`. Links to folders are not followed."""
    wanted = [_pattern(pattern) for pattern in config.include]
    for directory, folders, files in os.walk(folder, onerror=_unreadable):
        here = Path(directory)
        folders[:] = sorted(name for name in folders if _entered(here / name, config))
        for name in sorted(files):
            path = here / name
            if any(pattern.search(f"/{path.as_posix()}") for pattern in wanted) and not excluded(path, config):
                yield path


def _entered(folder: Path, config: Config) -> bool:
    if folder.name.startswith(".") or folder.name in SKIPPED or (folder / "pyvenv.cfg").is_file():
        return False
    return not excluded(folder, config, folder=True)


def excluded(path: Path, config: Config, *, folder: bool = False) -> bool:
    """Whether a pattern of `exclude` names the path or a folder above it, as in .gitignore."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    root = Path(os.path.abspath(config.root))  # noqa: PTH100
    inside = absolute.is_relative_to(root)
    parts = absolute.relative_to(root).parts if inside else absolute.parts[1:]
    # /legacy, /legacy/old, /legacy/old/a.df: a pattern that names a folder excludes all below it.
    steps = ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
    if steps and folder:
        steps[-1] += "/"
    names = [step if step.endswith("/") or step is steps[-1] else step + "/" for step in steps]
    return any(_pattern(pattern).search(name) for pattern in config.exclude for name in names)


def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of .gitignore as an expression for `/a/b/c.df` and, for a folder, `/a/b/`.

    Without a slash in it a pattern matches at any depth; `**` stands for any number of folders; a slash at the end
    asks for a folder.
    """
    anchored = "/" in pattern.rstrip("/")
    body = re.escape(pattern.strip("/"))
    for glob, expression in (
        # The longer ones first: `*` would take `**` apart.
        (r"\*\*/", "(?:.*/)?"),
        (r"/\*\*", "/.*"),
        (r"\*\*", ".*"),
        (r"\*", "[^/]*"),
        (r"\?", "[^/]"),
    ):
        body = body.replace(glob, expression)
    end = "/" if pattern.endswith("/") else "/?"
    return re.compile(("^/" if anchored else "/") + body + end + "$")


def _unreadable(error: OSError) -> None:
    raise PgweaveError(f"Cannot read {error.filename}: {error.strerror}.", "Check the path and its rights.") from error
