"""How a magic ends a cell that has failed: with a sentence, and with an exception so that "run all" stops there."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgweave.compiler.pictures.draw import DrawError
from pgweave.observe.display import findings
from pgweave.observe.live import show
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import ProgramError
from pgweave.workflow import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopped(Exception):
    """The cell has failed, and has said why. advice: one thing to do."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the sentence, without a traceback."""
        return [f"pgweave: {self}", *([f"  {self.advice}"] if self.advice else [])]


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of programs and databases into words. Any other exception is a bug and passes through."""
    try:
        yield
    except ProgramError as error:
        show(findings(error.findings, error.source))
        count = len(error.findings)
        raise Stopped(f"{count} error{'s' * (count != 1)}; nothing was started.") from None
    except RunFailed:
        raise  # it shows itself
    except PgweaveError as error:
        raise Stopped(str(error), error.advice) from error
    except DrawError as error:
        raise Stopped(str(error)) from error
    except Exception as error:
        # Not imported here: %load_ext must not take the time that loading it takes.
        psycopg = sys.modules.get("psycopg")  # not loaded: then it was not the database
        if psycopg is None or not isinstance(error, psycopg.Error):
            raise
        said = error.diag.message_primary or str(error).strip()
        raise Stopped(f"PostgreSQL refused: {said}", error.diag.message_hint or "") from error
