"""The parts of IPython that pgweave uses, typed."""

from __future__ import annotations

import shlex
from typing import Any, Protocol

from IPython.core.error import UsageError


class Shell(Protocol):
    """IPython's InteractiveShell, as far as pgweave uses it."""

    user_ns: dict[str, Any]

    def push(self, variables: dict[str, Any]) -> None:
        """Give the session variables."""

    def var_expand(self, cmd: str) -> str:
        """Replace `{expression}` and `$name` by values of the session."""


def expanded(shell: Shell, word: str) -> Any:  # noqa: ANN401 - whatever the variable holds
    """A word of a magic's line: the value of the variable of that name, or the word with its `{expressions}` replaced.

    IPython would replace them in the whole line, and with them `{` and `$` of JSON and SQL.
    """
    # Names before `{expressions}`: `%pgweave show run` means the variable.
    if word in shell.user_ns:
        return shell.user_ns[word]
    return shell.var_expand(word) if "{" in word or "$" in word else word


def split(line: str) -> list[str]:
    """The words of a line, without the quotes around them. IPython's own way to split leaves the quotes."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{error}: {line}") from None
