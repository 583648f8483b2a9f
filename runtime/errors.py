"""What goes wrong between us and a database, in words for people.

Every error says what happened (`str(error)`) and one thing to do (`error.advice`). The command line prints both and
exits with 2; a traceback for any of these is a bug.
"""

from __future__ import annotations


class PgweaveError(Exception):
    """Base of everything we raise on purpose. `advice` is one sentence about what to do."""

    def __init__(self, message: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice
        if advice:
            self.add_note(advice)  # plain Python shows it below the message

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of the way through our code."""
        return [f"{type(self).__name__}: {self}", *([f"  {self.advice}"] if self.advice else [])]


class ConnectionFailed(PgweaveError):
    """The database cannot be reached, or refuses us."""


class SchemaMissing(PgweaveError):
    """The database has no df schema."""


class SchemaTooNew(PgweaveError):
    """A newer pgweave has upgraded the df schema."""


class SchemaTooOld(PgweaveError):
    """The df schema lacks migrations that this version needs."""


class SchemaForeign(PgweaveError):
    """There is a schema df that pgweave did not make."""


class StartRefused(PgweaveError):
    """The database refused to start a workflow."""


class InstanceNotFound(PgweaveError):
    """No such instance, or none that this role may see."""


class LeaseLost(PgweaveError):
    """Another worker has taken the instance over; the database refuses what this one was about to write."""


class InstanceEnded(PgweaveError):
    """The instance has ended; nothing reaches it any more."""


class WorkerRefused(PgweaveError):
    """A worker cannot work here: its role may not, or the database refuses it for a reason that does not pass."""


class InstanceCancelled(PgweaveError):
    """The instance is to be cancelled; no further step may begin."""


class Deferred(PgweaveError):
    """The work cannot be done now; the instance goes back to the queue and is claimed again a little later.

    suspect: this instance may be what has ended several sessions, so it is to be worked on alone.
    """

    def __init__(self, message: str, *, suspect: bool = False) -> None:
        super().__init__(message)
        self.suspect = suspect


class StepInterrupted(PgweaveError):
    """The step is not wanted any more: its race is lost, or its instance is to be cancelled."""
