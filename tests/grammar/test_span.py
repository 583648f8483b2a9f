"""Offsets, spans, lines and columns agree with each other, whatever the text contains."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgweave.grammar.span import Location, Source, Span

# What offsets are most easily wrong about: line ends of all kinds, tabs, wide and combining characters, half of which
# are two code units elsewhere (astral).
texts = st.text(
    st.sampled_from("ab\t\n\r\u00e9\u0301\u4e2d\U0001f600\u2028'") | st.characters(codec="utf-8"), max_size=40
)
lines = st.lists(st.text(st.sampled_from("a\t\u4e2d\U0001f600 "), max_size=8), min_size=1, max_size=6)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = draw(st.integers(0, 60))
    return Span(start, draw(st.integers(start, 60)))


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, Span]:
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    return text, Span(start, draw(st.integers(start, len(text))))


@st.composite
def texts_with_offsets(draw: st.DrawFn) -> tuple[str, int]:
    text = draw(texts)
    return text, draw(st.integers(0, len(text)))


@settings(deadline=None)
@given(spans(), spans())
def test_a_union_contains_both_spans(first: Span, second: Span) -> None:
    union = first | second
    assert first in union
    assert second in union


@settings(deadline=None)
@given(spans(), spans(), spans())
def test_a_union_is_the_smallest_span_that_contains_both(first: Span, second: Span, other: Span) -> None:
    if first in other and second in other:
        assert first | second in other


@settings(deadline=None)
@given(spans(), spans(), spans())
def test_unions_may_be_made_in_any_order(first: Span, second: Span, third: Span) -> None:
    assert first | second == second | first
    assert (first | second) | third == first | (second | third)
    assert first | first == first


@settings(deadline=None)
@given(spans(), spans(), spans())
def test_containment_is_an_order(first: Span, second: Span, third: Span) -> None:
    assert Span(first.start, first.end) in first
    if first in second and second in first:
        assert first == second
    if first in second and second in third:
        assert first in third


@settings(deadline=None)
@given(spans(), spans())
def test_a_contained_span_is_no_longer_than_its_container(inner: Span, outer: Span) -> None:
    if inner in outer:
        assert len(inner) <= len(outer)


@settings(deadline=None)
@given(texts_with_spans())
def test_a_span_cuts_out_as_many_characters_as_it_is_long(case: tuple[str, Span]) -> None:
    text, span = case
    assert len(span.of(text)) == len(span)
    assert text[: span.start] + span.of(text) + text[span.end :] == text


@settings(deadline=None)
@given(texts_with_spans(), st.data())
def test_what_a_contained_span_cuts_out_is_in_what_its_container_cuts_out(
    case: tuple[str, Span], data: st.DataObject
) -> None:
    text, outer = case
    start = data.draw(st.integers(outer.start, outer.end))
    inner = Span(start, data.draw(st.integers(start, outer.end)))
    assert inner in outer
    assert outer.of(text)[inner.start - outer.start :].startswith(inner.of(text))


@settings(deadline=None)
@given(texts_with_offsets())
def test_a_location_leads_back_to_its_offset(case: tuple[str, int]) -> None:
    text, offset = case
    source = Source("x.df", text)
    where = source.location(offset)
    assert where.line >= 1
    assert where.column >= 1
    assert source.line_starts[where.line - 1] + where.column - 1 == offset


@settings(deadline=None)
@given(texts_with_offsets())
def test_a_line_is_one_more_than_the_line_feeds_before_it(case: tuple[str, int]) -> None:
    """Only a line feed ends a line: a lone carriage return or a Unicode line separator does not, as in every editor."""
    text, offset = case
    assert Source("x.df", text).location(offset).line == text[:offset].count("\n") + 1


@settings(deadline=None)
@given(texts_with_offsets())
def test_locations_are_ordered_as_offsets_are(case: tuple[str, int]) -> None:
    text, offset = case
    source = Source("x.df", text)
    assert all(source.location(before) < source.location(offset) for before in range(offset))


@settings(deadline=None)
@given(lines, st.sampled_from(["\n", "\r\n"]))
def test_a_line_is_given_without_its_line_end(written: list[str], newline: str) -> None:
    source = Source("x.df", newline.join(written))
    assert source.line_count == len(written)
    assert [source.line(number) for number in range(1, source.line_count + 1)] == written


@settings(deadline=None)
@given(lines, st.sampled_from(["\n", "\r\n"]))
def test_every_character_of_a_line_is_found_at_its_column(written: list[str], newline: str) -> None:
    """A tab, a wide character and one beyond the basic plane are one column each."""
    source = Source("x.df", newline.join(written))
    for offset, character in enumerate(source.text):
        where = source.location(offset)
        if character not in "\r\n":
            assert source.line(where.line)[where.column - 1] == character


@settings(deadline=None)
@given(texts)
def test_the_end_of_a_text_has_a_location_in_its_last_line(text: str) -> None:
    source = Source("x.df", text)
    assert source.location(len(text)).line == source.line_count


@settings(deadline=None)
@given(spans(), spans())
def test_spans_are_sorted_by_where_they_begin_and_then_by_where_they_end(first: Span, second: Span) -> None:
    assert (first < second) == ((first.start, first.end) < (second.start, second.end))


@pytest.mark.parametrize(
    ("text", "offset", "line", "column"),
    [
        ("", 0, 1, 1),
        ("a\n", 2, 2, 1),
        ("a\r\nb", 3, 2, 1),
        ("\tb", 1, 1, 2),
        ("\U0001f600b", 1, 1, 2),
        ("a\rb", 2, 1, 3),
    ],
)
def test_a_location_counts_characters_from_one(text: str, offset: int, line: int, column: int) -> None:
    assert Source("x.df", text).location(offset) == Location(line, column)


def test_an_empty_span_is_false_and_cuts_out_nothing() -> None:
    assert not Span(3, 3)
    assert Span(3, 3).of("abcdef") == ""
