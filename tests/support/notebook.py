"""A notebook without a kernel: IPython's shell in this process, with what each cell shows."""

from __future__ import annotations

import atexit
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Output:
    """What one cell came to. shown: a mime bundle for each display. printed: standard output and error, without colours."""

    success: bool
    shown: list[dict[str, Any]]
    printed: str
    error: BaseException | None

    @property
    def text(self) -> str:
        """Everything a person reads where there is only plain text."""
        return "\n".join([*(str(bundle.get("text/plain", "")) for bundle in self.shown), self.printed])

    def bundles(self, kind: str) -> list[str]:
        """What was shown in one form."""
        return [bundle[kind] for bundle in self.shown if kind in bundle]


class Notebook:
    """One session. `shell` is IPython's; variables are in `shell.user_ns`."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    def run(self, cell: str) -> Output:
        """Run a cell as a person would."""
        with capture_output() as captured:
            result = self.shell.run_cell(cell, store_history=False)  # type: ignore[no-untyped-call]
        printed = _COLOURS.sub("", captured.stdout + captured.stderr)
        shown = [output.data for output in captured.outputs]
        return Output(bool(result.success), shown, printed, result.error_in_exec or result.error_before_exec)

    def push(self, **variables: object) -> None:
        """Give the session variables."""
        self.shell.user_ns.update(variables)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever the variable holds
        """A variable of the session."""
        return self.shell.user_ns[name]


@contextmanager
def ipython(folder: Path) -> Iterator[InteractiveShell]:
    """The one shell of this process. folder: for IPython's own files."""
    config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"ipython_dir": str(folder)}})
    shell = InteractiveShell.instance(config=config)
    try:
        yield shell
    finally:
        atexit.unregister(shell.atexit_operations)
        shell.atexit_operations()  # type: ignore[no-untyped-call]
        InteractiveShell.clear_instance()


def notebook(shell: InteractiveShell) -> Notebook:
    """A session that has nothing but `%load_ext pgweave`."""
    shell.reset(new_session=False)  # type: ignore[no-untyped-call]
    opened = Notebook(shell)
    assert opened.run("%reload_ext pgweave").success
    return opened
