"""Data that JSON in UTF-8 can hold."""

import json

from hypothesis import given
from hypothesis import strategies as st

from meds_rl.files import encodable
from meds_rl.report.text import plain

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


def test_what_json_cannot_hold_is_none():
    assert plain({"a": [float("nan"), 1.0, (float("inf"),)]}) == {"a": [None, 1.0, [None]]}


def test_half_characters_are_spelled_out():
    assert plain({"b\udcff": ["\ud800", "é🙂"]}) == {"b\\udcff": ["\\ud800", "é🙂"]}


@given(ANYTHING)
def test_anything_can_be_written(value):
    json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode("utf-8")


@given(st.text())
def test_whole_texts_stay(text):
    assert encodable(text) == text
