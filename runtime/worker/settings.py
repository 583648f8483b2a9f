"""How one worker behaves. Nothing here touches the database; `service` and `drive` both read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pgweave.runtime.http.ssrf import Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """How one worker behaves. Durations in seconds.

    concurrency: instances at once. lease_seconds: how long the instances of a worker whose link has gone silent
    stay untouched (one whose session the server has lost is noticed at once); a live worker renews three times within it. poll_seconds: how soon work is found whose notification was lost. max_attempts: leases
    without progress after which an instance is given up. max_result_bytes: of one step. step_seconds: how long one
    statement may take; 0 for ever. loop_seconds: the least time from turn to turn of an endless loop, unless the
    turn has taken a signal. http: what HTTP steps may reach.
    """

    concurrency: int = 8
    lease_seconds: float = 15.0
    poll_seconds: float = 1.0
    max_attempts: int = 10
    max_result_bytes: int = 1_000_000
    step_seconds: float = 0.0
    loop_seconds: float = 1.0
    http: Policy = field(default_factory=Policy.of_environment)
