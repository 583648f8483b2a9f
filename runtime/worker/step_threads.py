"""The threads on which branches run side by side, shared out between roles and between instances.

An instance always has one of them, so no role and no join of ten thousand branches keeps another from going on. It gets
another only while at least as many are free as its role has: a role that is alone gets half of them.
"""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

T = TypeVar("T")


class Threads(Protocol):
    """What `Branches` needs of the threads of its worker. `StepThreads` is one."""

    def begin(self, role: str, work: Callable[[], None], *, first: bool) -> bool:
        """Do the work on a thread, if this role may have one more. first: the only one of an instance, which it may."""


class StepThreads:
    """The step threads of one worker. executor: has enough threads for `shared` and one for each instance in hand."""

    def __init__(self, executor: Executor, shared: int) -> None:
        self._executor = executor
        self._shared = shared
        self._in_use: Counter[str] = Counter()  # by role, without the first of each instance
        self._lock = Lock()

    def begin(self, role: str, work: Callable[[], None], *, first: bool) -> bool:
        """See `Threads.begin`."""
        with self._lock:
            if not first:
                if self._in_use[role] >= self._shared - self._in_use.total():
                    return False
                self._in_use[role] += 1
        self._executor.submit(self._run, role, work, first=first)
        return True

    def _run(self, role: str, work: Callable[[], None], *, first: bool) -> None:
        try:
            work()
        finally:
            if not first:
                with self._lock:
                    self._in_use[role] -= 1
                    self._in_use += Counter()  # without the roles that have none


class Branches(Generic[T]):
    """The steps of one instance that run side by side. limit: at once. ending: a thread that is free begins no other."""

    def __init__(self, threads: Threads, role: str, limit: int, ending: Callable[[], bool]) -> None:
        self._begin = threads.begin
        self._role = role
        self._limit = limit
        self._ending = ending
        self._queued: deque[tuple[Future[T], Callable[[], T]]] = deque()
        self._running = 0
        self._lock = Lock()

    def submit(self, step: Callable[[], T]) -> Future[T]:
        """Have a step run when its turn comes, after the next `start`."""
        future: Future[T] = Future()
        with self._lock:
            self._queued.append((future, step))
        return future

    def start(self) -> None:
        """Begin what there are threads for."""
        while True:
            with self._lock:
                if not self._queued or self._running >= self._limit:
                    return
                item = self._queued.popleft()
                first = self._running == 0
                self._running += 1
            if not self._begin(self._role, partial(self._work, *item), first=first):
                with self._lock:
                    self._running -= 1
                    self._queued.appendleft(item)
                    if self._running:
                        return  # else the last thread has ended meanwhile, without this step: the next try is a first one

    def drop(self) -> list[Future[T]]:
        """Forget the steps that have not begun, and say which."""
        with self._lock:
            dropped = [future for future, _ in self._queued]
            self._queued.clear()
        return dropped

    def _work(self, future: Future[T], step: Callable[[], T]) -> None:
        while True:
            try:
                result = step()
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            with self._lock:
                if not self._queued or self._ending():
                    self._running -= 1
                    return
                future, step = self._queued.popleft()
