"""How the threads for branches are shared out: between roles, and between the instances of one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

from pgweave.runtime.worker.step_threads import Branches, StepThreads


def threads_taken(threads: StepThreads, role: str, go_on: Event) -> int:
    """Take as many as there are to be had."""

    def work() -> None:
        go_on.wait(60)

    taken = 0
    while threads.begin(role, work, first=False):
        taken += 1
    return taken


def test_a_role_alone_has_half_of_the_threads_and_others_find_some_whatever_it_has() -> None:
    go_on = Event()
    with ThreadPoolExecutor(20) as executor:
        threads = StepThreads(executor, 8)
        try:
            assert [threads_taken(threads, role, go_on) for role in ("ann", "bob", "eve")] == [4, 2, 1]
            assert threads_taken(threads, "ann", go_on) == 0
            assert threads.begin("ann", lambda: None, first=True)
        finally:
            go_on.set()
    with ThreadPoolExecutor(20) as executor:
        threads._executor = executor
        assert threads_taken(threads, "ann", go_on) >= 4, "they are given back"


def test_the_branches_of_an_instance_run_in_turn_and_no_more_at_once_than_it_may() -> None:
    at_once: list[int] = []
    running: list[int] = []

    def step(number: int) -> int:
        running.append(number)
        at_once.append(len(running))
        running.remove(number)
        return number

    with ThreadPoolExecutor(20) as executor:
        branches: Branches[int] = Branches(StepThreads(executor, 8), "ann", 3, lambda: False)
        futures = [branches.submit(lambda number=number: step(number)) for number in range(500)]  # type: ignore[misc]
        while not all(future.done() for future in futures):
            branches.start()
            wait(futures, timeout=0.01)
    assert [future.result() for future in futures] == list(range(500))
    assert max(at_once) <= 3


def test_an_instance_has_a_thread_even_when_its_role_has_no_more() -> None:
    go_on = Event()
    with ThreadPoolExecutor(20) as executor:
        threads = StepThreads(executor, 8)
        try:
            threads_taken(threads, "ann", go_on)
            branches: Branches[int] = Branches(threads, "ann", 3, lambda: False)
            futures = [branches.submit(lambda: 1) for _ in range(50)]
            branches.start()
            assert wait(futures, 60).not_done == set()
        finally:
            go_on.set()


def test_branches_that_are_dropped_never_begin() -> None:
    go_on = Event()
    with ThreadPoolExecutor(20) as executor:
        branches: Branches[bool] = Branches(StepThreads(executor, 8), "ann", 2, lambda: False)
        futures = [branches.submit(lambda: go_on.wait(60)) for _ in range(10)]
        branches.start()
        assert branches.drop() == futures[2:]
        go_on.set()
    assert [future.done() for future in futures] == [True] * 2 + [False] * 8
