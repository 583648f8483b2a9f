"""Values into URLs, bodies and base64: where a reference stands decides how its value is written."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgweave.runtime.http.http_values import MAX_TEXT, render_base64, render_body, render_text, render_url
from pgweave.runtime.worker.substitution import ValueProblem


def rowset(**columns: object) -> str:
    return json.dumps({"rows": [columns], "row_count": 1}, ensure_ascii=False)


NAMES = {
    "id": rowset(id=7),
    "who": rowset(name='O\'Hara & "Söhne"/?#'),
    "url": rowset(url="https://example.com/a?b=c"),
    "rows": '{"rows":[{"a":1.50},{"a":null}],"row_count":2}',
    "resp": '{"status":200,"body":"{\\"k\\": [1]}","ok":true}',
    "flag": rowset(flag=True),
    "null": rowset(v=None),
    "text": '"a \\"quoted\\" text"',
    "object": rowset(o={"k": [1, "x"]}),
}
VARIABLES = {"base": "https://api.example.com/v1", "trap": "$id", "raw": '"x"'}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("https://e.com/$id", "https://e.com/7"),
        ("https://e.com/?q=$who", "https://e.com/?q=O%27Hara%20%26%20%22S%C3%B6hne%22%2F%3F%23"),
        ("https://e.com/$id/items/$id.id", "https://e.com/7/items/7"),
        ("$url", "https://example.com/a?b=c"),
        (" $url.url ", "https://example.com/a?b=c"),
        ("{base}/items/$id", "https://api.example.com/v1/items/7"),
        ("{base}/{trap}", "https://api.example.com/v1/$id"),
        ("https://e.com/$unknown/{unknown}?a=$1", "https://e.com/$unknown/{unknown}?a=$1"),
        ("https://e.com/?a=$null?", "https://e.com/?a="),
        ("https://e.com/?a=$rows.*", "https://e.com/?a=%5B%7B%22a%22%3A1.50%7D%2C%7B%22a%22%3Anull%7D%5D"),
    ],
)
def test_a_value_in_a_url_is_percent_encoded_unless_it_is_the_whole_url(template: str, expected: str) -> None:
    assert render_url(template, NAMES, VARIABLES) == expected


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_cannot_climb_in_the_path_of_a_url(value: str) -> None:
    with pytest.raises(ValueProblem, match="another part of the URL"):
        render_url("https://e.com/files/$x/y", {"x": rowset(v=value)}, {})


@given(value=st.text(st.characters(codec="utf-8"), max_size=30).filter(lambda value: value not in {".", ".."}))
def test_no_value_leaves_its_place_in_a_url(value: str) -> None:
    rendered = urlsplit(render_url("https://e.com/a/$x/b?p=$x&q=1#f", {"x": rowset(v=value)}, {}))
    assert (rendered.scheme, rendered.netloc, rendered.fragment) == ("https", "e.com", "f")
    assert [unquote(segment) for segment in rendered.path.split("/")] == ["", "a", value, "b"]
    assert parse_qs(rendered.query, keep_blank_values=True) == {"p": [value], "q": ["1"]}


@pytest.mark.parametrize(
    ("template", "content_type", "expected"),
    [
        ('{"who": "$who"}', None, '{"who": "O\'Hara & \\"Söhne\\"/?#"}'),
        ('{"who": $who}', None, '{"who": "O\'Hara & \\"Söhne\\"/?#"}'),
        ('{"id": $id, "text": "no $id"}', None, '{"id": 7, "text": "no 7"}'),
        ('{"all": $rows.*}', None, '{"all": [{"a":1.50},{"a":null}]}'),
        ('{"all": $resp}', None, '{"all": {"status":200,"body":"{\\"k\\": [1]}","ok":true}}'),
        ('{"body": "$resp.body"}', None, '{"body": "{\\"k\\": [1]}"}'),
        ('{"f": $flag, "n": $null?, "t": $text}', None, '{"f": true, "n": null, "t": "a \\"quoted\\" text"}'),
        ('["$who", {"o": $object, "s": "$object"}]', "application/json; charset=utf-8",
         '["O\'Hara & \\"Söhne\\"/?#", {"o": {"k":[1,"x"]}, "s": "{\\"k\\":[1,\\"x\\"]}"}]'),
        ('{"a\\"$id": "\\\\$id", "b": $id}', None, '{"a\\"7": "\\\\7", "b": 7}'),
        ("$who", "application/json", '"O\'Hara & \\"Söhne\\"/?#"'),
        ("$who", "application/vnd.api+json", '"O\'Hara & \\"Söhne\\"/?#"'),
        ("$who", None, 'O\'Hara & "Söhne"/?#'),
        ('{"who": "$who"}', "text/plain", '{"who": "O\'Hara & "Söhne"/?#"}'),
        ("who=$who&id=$id", None, 'who=O\'Hara & "Söhne"/?#&id=7'),
        ("{not json: $who}", None, '{not json: O\'Hara & "Söhne"/?#}'),
        ('{"v": {raw}, "id": $id}', None, '{"v": "x", "id": 7}'),
        ('{"v": "{trap}", "$unknown": 1}', None, '{"v": "$id", "$unknown": 1}'),
        ('{"price": "$5"}', None, '{"price": "$5"}'),
        ("", None, ""),
    ],
)  # fmt: skip
def test_a_value_in_a_json_body_is_a_json_value_or_part_of_a_string(
    template: str, content_type: str | None, expected: str
) -> None:
    assert render_body(template, NAMES, VARIABLES, content_type) == expected


@given(value=st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_value_changes_the_shape_of_a_json_body(value: str) -> None:
    rendered = render_body('{"a": "<$x>", "b": $x, "c": [1, "$x"]}', {"x": rowset(v=value)}, {}, None)
    assert json.loads(rendered) == {"a": f"<{value}>", "b": value, "c": [1, value]}


@pytest.mark.parametrize("number", ["0.10", "123456789012345678901234567890", "1e400", "-0.0"])
def test_numbers_keep_their_digits_in_a_body(number: str) -> None:
    assert render_body('{"n": $x}', {"x": f'{{"rows":[{{"n":{number}}}]}}'}, {}, None) == f'{{"n": {number}}}'


def test_a_short_template_cannot_make_an_endless_text() -> None:
    """A megabyte named twenty times would be twenty, and nothing keeps people from naming it a million times."""
    names = {"x": rowset(v="a" * 1_000_000)}
    with pytest.raises(ValueProblem, match=f"more than {MAX_TEXT} characters"):
        render_text("$x" * 20, names, {})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("QUJD", "QUJD"),
        ("$f.body", "QUJD"),
        ("  $f.body  ", "QUJD"),
        ("$f.body?", "QUJD"),
        ("{file}", "QUJD"),
        ("{unknown}", "{unknown}"),
    ],
)
def test_base64_is_written_out_or_the_whole_of_a_value(template: str, expected: str) -> None:
    assert render_base64(template, "p", {"f": '{"body":"QUJD"}'}, {"file": "QUJD"}) == expected


@pytest.mark.parametrize("template", ["A$f.body", "$f.body=", "$f.body$f.body", "$f.*", "{file}A", "a{b"])
def test_base64_that_mixes_a_value_with_other_text_is_refused(template: str) -> None:
    with pytest.raises(ValueProblem, match=r"data_b64 for part 'p' mixes .* Only a whole-value reference"):
        render_base64(template, "p", {"f": '{"body":"QUJD"}'}, {"file": "QUJD"})
