"""Gold answers are not mangled on their way from a file."""

import pytest

from meds_rl.tasks.sources import answer_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" 33 ", "33"),
        (33, "33"),
        (12345678901234567890123, "12345678901234567890123"),
        (0.5, "0.5"),
        (False, "False"),
        (None, None),
        (float("nan"), None),
        ([], None),
        ([None], None),
        ([1, 2], "1, 2"),
        (["(1,2)", "$(3,4)$"], "(1,2), (3,4)"),
        (r"['$\\frac{1}{2}$', '2']", r"\frac{1}{2}, 2"),
        ("['$1$' '2']", "1, 2"),  # as numpy writes it
        ('["a"]', "a"),
        ("[1, 2]", "[1, 2]"),
        ("[0, 1)", "[0, 1)"),
        ("['broken]", "['broken]"),
        ("['a', 1, 'b']", "['a', 1, 'b']"),
        ("", ""),
    ],
)
def test_as_text(value, text):
    assert answer_text(value) == text


def test_what_was_rounded_is_refused():
    with pytest.raises(ValueError, match=r"1\.2345678901234568e\+16 was rounded .* write it as text"):
        answer_text(12345678901234567.0)
