"""Prompts in words, and lines that a terminal may be sent."""

import json

import pytest

from meds_rl.report.text import Template, one_line, prompt_words, template_of


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


QUESTIONS = ("How many pens has Tom? He had 3.", "What is 2 + 2?", "2 + 3 = 6.\nWhy not?")
CHATML = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n"
LLAMA = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)


@pytest.mark.parametrize(
    "template",
    [
        "system\nPlease reason step by step.\nuser\n{}\nassistant\n",  # Qwen's, decoded without special tokens
        "system\n\nBe brief.user\n\n{}assistant\n\n",  # Llama's
        CHATML,
        LLAMA,
        "<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
        "<s>[INST] {} [/INST]",
        "user\nSolve the problem. The last line is the answer.\n\n{}\n\nRemember the last line.\nassistant\n",
        "Question: {}\nAnswer:",
        "{} Please reason step by step.",
    ],
)
def test_the_question_is_what_prompts_do_not_share(template):
    prompts = [template.format(question) for question in QUESTIONS]
    shared = template_of(prompts)
    assert [shared.question(prompt_words(prompt)) for prompt in prompts] == list(QUESTIONS)


def test_a_prompt_keeps_what_no_other_has():
    assert template_of(["Think. 1?", "Think. ", "Think. 2?"]) == Template()
    assert template_of(["Think.\n1?\nGo.", "Think.\n2?\nGo.", "Think.\nGo."]) == Template("Think.\n")
    assert prompt_words("user friendly design") == "user friendly design"
    assert prompt_words("<|im_start|>") == "<|im_start|>"


TRAINS = [f"A train goes {speed} km/h for {hours} h." for speed, hours in ((60, 3), (71, 2), (85, 4))]
BY_STEP = ' Let\'s think step by step and output the answer after "####".'


@pytest.mark.parametrize(
    ("end", "template"),
    [
        (" How far is that?", ""),
        (" How far is that?" + BY_STEP, BY_STEP),
        ("\nHow far is that?\n\nPut it in a box.", "\n\nPut it in a box."),
        (" Find the distance.", ""),
        (" Find the distance.\n\nPut it in a box.", "\n\nPut it in a box."),
        ("\nPut it in a box.", "\nPut it in a box."),
    ],
)
def test_a_question_that_all_prompts_ask_is_no_template(end, template):
    assert template_of([train + end for train in TRAINS]) == Template("", template)
    # If something before it asks, all that is shared is the template.
    assert template_of([train + " How far?" + end for train in TRAINS[:1]] + ["2 + 2?" + end]) == Template("", end)
