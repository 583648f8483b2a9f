"""Where results go: standard output, a file, or a comparison with the file that is there."""

from __future__ import annotations

from pathlib import Path

import typer

from pgweave.runtime.errors import PgweaveError


def write(data: bytes, target: Path | None) -> None:
    """Write to standard output, or to `target`. PgweaveError when it cannot be written."""
    if target is None:
        typer.echo(data, nl=False)
        return
    try:
        target.write_bytes(data)
    except FileNotFoundError as error:
        raise PgweaveError(
            f"Cannot write {target}: there is no folder {target.parent}.", f"Make it: mkdir -p {target.parent}"
        ) from error
    except OSError as error:
        raise PgweaveError(
            f"Cannot write {target}: {error.strerror}.", "Choose another place with --output."
        ) from error


def is_stale(data: bytes, target: Path) -> bool:
    """Whether `target` is not there or holds anything else. Line ends of another system make no difference."""
    try:
        found = target.read_bytes()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise PgweaveError(f"Cannot read {target}: {error.strerror}.", "Check the path and its rights.") from error
    # git may have checked the file out with other line ends.
    return found.replace(b"\r\n", b"\n") != data.replace(b"\r\n", b"\n")


def placed(pattern: Path, file: str, name: str) -> Path:
    """The place that an output pattern means: `{dir}` of the program, its `{stem}`, the workflow's `{name}`."""
    program = Path("workflow" if file == "-" else file)
    # A label may contain `/` or `..`, which must not choose another folder.
    safe = "".join(character if character.isalnum() or character in "-_." else "-" for character in name)
    words = {"{dir}": str(program.parent), "{stem}": program.stem, "{name}": safe.strip(".-") or "workflow"}
    text = str(pattern)
    for word, value in words.items():
        text = text.replace(word, value)
    return Path(text)


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, at once: a reader gets the old text or the new one."""
    import os
    from tempfile import NamedTemporaryFile

    target = path.resolve()  # a link stays a link
    temporary: str | None = None
    try:
        # In the same folder: a rename replaces a file at once only within one file system.
        with NamedTemporaryFile(dir=target.parent, prefix=".pgweave-", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(target.stat().st_mode)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise PgweaveError(
            f"Cannot write {path}: {error.strerror}.", "Check the rights of the file and its folder."
        ) from error
