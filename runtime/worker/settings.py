"""How one worker behaves. Nothing here touches the database; `service` and `drive` both read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pgweave.runtime.http.ssrf import Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """How one worker behaves. Durations in seconds.

    concurrency: instances of one role at once. reserve: slots beyond these, for roles with few instances in hand: a role
    gets its n-th slot while n of them are free; None: half as many as concurrency. lease_seconds: how long the instances
    of a worker whose link has gone silent stay untouched (one whose session the server has lost is noticed at once); a live
    worker renews three times within it. poll_seconds: how soon work is found whose notification was lost. max_attempts:
    leases without progress after which an instance is given up. max_result_bytes: of one step. step_seconds: how long one
    statement may take; 0 for ever. loop_seconds: the least time from turn to turn of an endless loop, unless the
    turn has taken a signal. http: what HTTP steps may reach.
    """

    concurrency: int = 8
    reserve: int | None = None
    lease_seconds: float = 15.0
    poll_seconds: float = 1.0
    max_attempts: int = 10
    max_result_bytes: int = 1_000_000
    step_seconds: float = 0.0
    loop_seconds: float = 1.0
    http: Policy = field(default_factory=Policy.of_environment)

    @property
    def reserved(self) -> int:
        """Slots of the reserve. No more than concurrency: a role that is alone must not take of them."""
        return min(self.concurrency, (self.concurrency + 1) // 2 if self.reserve is None else self.reserve)

    @property
    def slots(self) -> int:
        """Instances at once, of all roles."""
        return self.concurrency + self.reserved

    @property
    def branches(self) -> int:
        """Steps of one instance at once."""
        return 2 * self.concurrency

    @property
    def sessions(self) -> int:
        """Sessions of one role at once: half of the shared step threads, and one for each of its instances."""
        return self.branches + self.concurrency
