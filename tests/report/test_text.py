"""Prompts in words, and lines that a terminal may be sent."""

import json

import pytest

from meds_rl.report.text import one_line, prompt_words


def chat(*contents):
    return json.dumps([{"role": "user", "content": content} for content in contents])


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("2 + 2?", "2 + 2?"),
        ("[1, 2] is a list of what?", "[1, 2] is a list of what?"),
        (chat("Be brief.", "2 + 2?"), "2 + 2?"),
        (chat([{"type": "text", "text": "What"}, {"type": "text", "text": "is it?"}]), "What\nis it?"),
        (
            chat([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "?"}]),
            "[image_url]\n?",
        ),
        (chat(["a", "b"]), "a\nb"),
        # What is no chat stays as it is.
        (chat([]), chat([])),
        (chat([None, 3, {}]), chat([None, 3, {}])),
        (chat(None), chat(None)),
        ("[]", "[]"),
        ("[1]", "[1]"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_what_a_prompt_asks(prompt, words):
    assert prompt_words(prompt) == words


@pytest.mark.parametrize("width", [None, 3, 80])
def test_a_line_can_be_printed(width):
    line = one_line("b\udcff\ud800 \x1b[2J\u202e\x07\x9b" * 9, width)
    assert line.isprintable()
    line.encode("utf-8")
    assert width is None or len(line) <= width
