"""`[tool.pgweave]` of pyproject.toml: a team's settings, so that they need not be typed.

    [tool.pgweave]
    select = ["PW1", "PW2"]           # codes or beginnings of codes; default: everything
    ignore = ["PW601"]
    target = "pg_durable"             # the programs must run there too; default: "pgweave"
    include = ["*.df", "*.sql"]       # what is looked at below a folder; default: ["*.df"]
    exclude = ["legacy", "build/**"]  # what is left out, as in .gitignore
    output-format = "text"
    strict = true                     # warnings fail a check too

The nearest pyproject.toml with such a table counts, from the working directory upwards. Words on the command line go
before it. Read here, applied in `pgweave.cli`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from pgweave.compiler.reports.checked import FORMATS
from pgweave.compiler.subject import Target
from pgweave.grammar.diagnostics import CATALOGUE
from pgweave.runtime.errors import PgweaveError

TARGETS: tuple[Target, ...] = get_args(Target)


@dataclass(frozen=True, slots=True)
class Config:
    """The table, checked. root: the folder that `exclude` is relative to."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    target: Target = "pgweave"
    include: tuple[str, ...] = ("*.df",)
    exclude: tuple[str, ...] = ()
    output_format: str = "text"
    strict: bool = False
    root: Path = field(default_factory=Path)

    def selects(self, code: str) -> bool:
        """Whether findings of this code are wanted. The longer beginning wins; of equal ones, `ignore`.

        Why a text cannot be read is always wanted: a filter must not let it pass.
        """
        from pgweave.compiler.passes import is_unreadable  # lazy: start-up, only `check` asks

        if is_unreadable(code):
            return True
        chosen = max((len(start) for start in self.select or ("",) if code.startswith(start)), default=-1)
        # select = ["PW2"], ignore = ["PW201"]: the longer one says it more exactly. Equal lengths drop.
        dropped = max((len(start) for start in self.ignore if code.startswith(start)), default=-1)
        return chosen > dropped


def load(path: Path | None = None, *, start: Path | None = None) -> Config:
    """Read `path`, or the nearest pyproject.toml that has the table, from `start` or the working directory upwards.

    PgweaveError when it cannot be used.
    """
    if path is not None:
        return _config(path, _table(path) or {})
    here = (start or Path()).absolute()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        table = _table(file) if file.is_file() else None
        if table is not None:
            return _config(file, table)
    return Config()


def _table(file: Path) -> dict[str, object] | None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PgweaveError(f"Cannot read {file}: {error.strerror}.", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PgweaveError(f"{file} is not TOML: {error}.", "Fix it; pgweave reads its [tool.pgweave].") from error
    table = document.get("tool", {}).get("pgweave")
    if table is not None and not isinstance(table, dict):
        raise PgweaveError(f"{file}: tool.pgweave is not a table.", "Write [tool.pgweave] and its keys below it.")
    return table


_KEYS = {one.name.replace("_", "-"): one.name for one in fields(Config) if one.name != "root"}


def _config(file: Path, table: dict[str, object]) -> Config:
    values = {_KEYS[key]: _value(file, key, value) for key, value in table.items() if _known(file, key)}
    config = Config(root=file.parent, **values)  # type: ignore[arg-type]
    _one_of(file, "target", config.target, TARGETS)
    _one_of(file, "output-format", config.output_format, FORMATS)
    codes_exist(file.name, (*config.select, *config.ignore))
    return config


def _known(file: Path, key: str) -> bool:
    if key not in _KEYS:
        near = get_close_matches(key, _KEYS, n=1)
        raise PgweaveError(
            f"{file}: [tool.pgweave] has no key {key!r}.",
            f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(_KEYS)}.",
        )
    return True


def _value(file: Path, key: str, value: object) -> object:
    """A value of the same type as the default; lists of strings become tuples."""
    default = getattr(Config(), _KEYS[key])
    if isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise PgweaveError(f"{file}: {key} is not a list of strings.", f'Write {key} = ["..", ".."].')
    if type(value) is type(default):
        return value
    wanted = "true or false" if isinstance(default, bool) else "a string"
    raise PgweaveError(f"{file}: {key} is not {wanted}.", f"Write {wanted}.")


def _one_of(file: Path, key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise PgweaveError(f"{file}: {key} is {value!r}.", f"It may be {' or '.join(map(repr, choices))}.")


def codes_exist(where: str, codes: tuple[str, ...]) -> None:
    """PgweaveError when one of `codes` is the beginning of no code: a misspelt filter must not pass in silence."""
    for code in codes:
        if not any(known.startswith(code) for known in CATALOGUE):
            near = get_close_matches(code, CATALOGUE, n=1)
            raise PgweaveError(
                f"{where}: no diagnostic begins with {code!r}.",
                f"Did you mean {near[0]}?" if near else "Codes look like PW201; PW2 stands for all that begin so.",
            )
