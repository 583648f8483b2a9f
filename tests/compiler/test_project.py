"""Several files together: workflows that start each other for ever across files, seen by `pgweave check` only."""

from __future__ import annotations

from pgweave.compiler import project
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source


def starts(name: str, other: str, before: str = "") -> str:
    return f"SELECT df.start({before}$$ SELECT df.start('SELECT 1', '{other}') $$, '{name}');\n"


def check(**files: str) -> list[tuple[str, str]]:
    modules = [parse(Source(f"{name}.df", text)).module for name, text in files.items()]
    return [(modules[number].source.name, found.label) for number, found in project.check(modules)]


def test_a_cycle_of_three_files_is_said_once_with_every_member_and_its_place() -> None:
    found = check(a=starts("one", "two"), b="-- b\n" + starts("two", "three"), c=starts("three", "one"))
    assert found == [("a.df", "starts `two` (b.df:2) -> `three` (c.df:1) -> `one`")]


def test_a_cycle_that_waits_somewhere_is_a_way_to_begin_again() -> None:
    assert check(a=starts("one", "two"), b=starts("two", "one", "df.sleep(60) ~> ")) == []


def test_a_cycle_within_one_file_is_left_to_the_check_of_that_file() -> None:
    assert check(a=starts("one", "two") + starts("two", "one"), b=starts("three", "one")) == []


def test_a_label_that_two_files_use_names_neither() -> None:
    assert check(a=starts("one", "two"), b=starts("two", "one"), c=starts("two", "four")) == []


def test_a_cycle_across_files_can_be_allowed_with_a_reason() -> None:
    allowed = "-- pgweave: allow PW605 because each of them ends first\n" + starts("one", "two")
    assert check(a=allowed, b=starts("two", "one")) == []


def test_of_a_long_cycle_the_first_members_are_named() -> None:
    names = [f"w{number}" for number in range(9)]
    files = {name: starts(name, names[(at + 1) % 9]) for at, name in enumerate(names)}
    ((_, label),) = check(**files)
    assert label.count("(w") == 5
    assert label.endswith("-> 3 others -> `w0`")
