"""Values into what an HTTP step sends: a URL, a JSON body, any other text, base64.

In: the text as it was written, the named results (JSON text each) and the variables. Out: the text to send. As in SQL,
where a reference stands decides how its value is written, so that data stays data: it cannot add a parameter to a URL
or a member to an object. `{name}` is raw text, as everywhere; what was inserted is not looked at again.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import TYPE_CHECKING
from urllib.parse import quote

from pgweave.grammar.template import scan_raw
from pgweave.runtime.worker.substitution import (
    ValueProblem,
    dump,
    insert_variables,
    json_value,
    splice,
    text_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgweave.grammar.template import Placeholder

MAX_TEXT = 16_000_000  # characters of one rendered text; a short template can name a large value many times

# One string, or the rest of the text if it is never closed. Whatever lies between two of them is outside.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_JSON_TYPE = re.compile(r"\s*(application/json|[^;,\s]+\+json)\s*(;|,|\Z)", re.IGNORECASE)


def render_text(template: str, names: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """Put values into a text that nobody parses, as they are. ValueProblem when one lacks."""
    text, places = insert_variables(template, variables)
    return _fill(text, places, names, lambda place: text_value(place, names))


def render_url(template: str, names: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """Put values into a URL, percent-encoded; a reference that is the whole URL is taken as it is."""
    text, places = insert_variables(template.strip(), variables)
    if len(places) == 1 and len(places[0].span) == len(text):
        return _fill(text, places, names, lambda place: text_value(place, names)).strip()
    return _fill(text, places, names, lambda place: _percent(place, text_value(place, names)))


def _percent(place: Placeholder, value: str) -> str:
    # Dots are never encoded, and these two climb in the path whatever they are encoded as.
    if value in {".", ".."}:
        raise ValueProblem(f"${place.name} is “{value}”, which would lead to another part of the URL")
    return quote(value, safe="", errors="strict")


def render_body(template: str, names: Mapping[str, str], variables: Mapping[str, str], content_type: str | None) -> str:
    """Put values into a body. JSON, by its type or else by its looks: escaped in strings, JSON values elsewhere."""
    text, places = insert_variables(template, variables)
    quoted = _quoted(text, places)
    if not (_looks_like_json(text, places, quoted) if content_type is None else _JSON_TYPE.match(content_type)):
        return _fill(text, places, names, lambda place: text_value(place, names))

    def write(place: Placeholder) -> str:
        if place in quoted:
            return json.dumps(text_value(place, names), ensure_ascii=False)[1:-1]
        return dump(json_value(place, names))

    return _fill(text, places, names, write)


def _quoted(text: str, places: list[Placeholder]) -> set[Placeholder]:
    """Which of the references stand inside a JSON string."""
    strings = [found.span() for found in _STRING.finditer(text)] if places else []
    starts = [start for start, _ in strings]
    return {
        place
        for place in places
        if (before := bisect_left(starts, place.span.start)) and place.span.start < strings[before - 1][1]
    }


def _looks_like_json(text: str, places: list[Placeholder], quoted: set[Placeholder]) -> bool:
    """Whether the text is an object or an array once every reference has some value."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(splice(text, ((place.span, "" if place in quoted else "null") for place in places)))
    except (ValueError, RecursionError):
        return False
    return True


def render_base64(template: str, part: str, names: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """The base64 text of a part: as written, or the whole of one value. part: its name, for messages."""
    text = template.strip()
    whole = [place for place in scan_raw(text) if len(place.span) == len(text) and not place.star]
    if not whole and re.search(r"[${]", text):
        raise ValueProblem(
            f"data_b64 for part '{part}' mixes a variable reference with other text."
            " Only a whole-value reference is supported"
        )
    return render_text(text, names, variables)


def _fill(text: str, places: list[Placeholder], names: Mapping[str, str], write: Callable[[Placeholder], str]) -> str:
    """Replace the references that have a value; any other text with a `$` means just what it says."""
    size = len(text)
    found = []
    for place in places:
        if place.name in names:
            written = write(place)
            size += len(written)
            if size > MAX_TEXT:
                raise ValueProblem(f"${place.name} makes a text of more than {MAX_TEXT} characters")
            found.append((place.span, written))
    return splice(text, found)
