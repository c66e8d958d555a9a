"""Open writing: short rhymes, scored by a judge between 0 and 1. No gold answer, and no final answer in the text.

The judge stands in for a model that scores texts. Its score is the share of five checks that a text passes. It is a TRL
reward function. A text is right if its score is above `correct_above`.

>>> judge(["The sea is deep and blue,\\nso wide, and always true."], topic=["the sea"])
[1.0]
>>> judge(["The sea, the sea, the sea."], topic=["the sea"])
[0.4]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from meds_rl.tasks import Task, prompt_id
from meds_rl.tasks.grading import FunctionGrader

TOPICS = (
    *("the sea", "a cat", "the moon", "rain", "a train", "winter", "bread", "a clock"),
    *("the wind", "a tree", "a road", "the night", "summer", "a river", "a bird", "snow"),
)
FORBIDDEN = ("very", "nice", "beautiful", "amazing")
MOST_WORDS = 30
NUM_CHECKS = 5
RIGHT_ABOVE = 0.7
"""Four checks of five."""

EXAMPLES = (
    ("the rain", "The rain came down on every street,\nand danced around our tired feet."),
    ("a dog", "My dog will bark at every car,\nand chase the wheels, but never far."),
)


def faults(text: str, topic: str) -> list[str]:
    """The checks that a text fails, at most `NUM_CHECKS`; an empty text fails all.

    >>> faults("One line about rain.", "the rain")
    ['not two lines', 'no rhyme']
    """
    lines = [re.findall(r"[a-z]+", line.lower()) for line in text.strip().splitlines() if line.strip()]
    words = [word for line in lines for word in line]
    ends = [line[-1] for line in lines if line]
    found = {
        "off the topic": topic.split()[-1] not in words,
        "not two lines": len(lines) != 2,
        "no rhyme": len(ends) != 2 or ends[0] == ends[1] or ends[0][-2:] != ends[1][-2:],
        "too long, or a forbidden word": not 0 < len(words) <= MOST_WORDS or bool(set(words) & set(FORBIDDEN)),
        "repeats its words": len(set(words)) < 0.7 * len(words) or not words,
    }
    return [name for name, is_found in found.items() if is_found]


def judge(completions: Sequence[Any], topic: Sequence[str], **_: Any) -> list[float]:
    """The score of each text: the share of the checks that it passes."""
    found = [faults(_text(one), about) for one, about in zip(completions, topic, strict=True)]
    return [(NUM_CHECKS - len(one)) / NUM_CHECKS for one in found]


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def first_fault(completion: str, row: Mapping[str, Any]) -> str:
    """The name of a text's error: its first fault, or "none"."""
    return next(iter(faults(completion, row["topic"])), "none")


def writing_task(train_size: int = 12) -> Task:
    """Two rhyming lines about a topic: up to 12 topics to train on, four others to test."""
    from datasets import Dataset

    rows = [_row(topic) for topic in TOPICS]
    return Task(
        name="writing",
        train=Dataset.from_list(rows[:12][:train_size]),
        test=Dataset.from_list(rows[12:]),
        grade=FunctionGrader([judge], RIGHT_ABOVE),
        strategy=first_fault,
        correct_strategies=("none",),
    )


def _row(topic: str) -> dict[str, Any]:
    prompt = [message for asked, given in EXAMPLES for message in _turn(asked, given)] + _turn(topic)
    return {"prompt": prompt, "prompt_id": prompt_id(prompt), "answer": "(judged)", "topic": topic}


def _turn(topic: str, given: str | None = None) -> list[dict[str, str]]:
    asked = {"role": "user", "content": f"Write two short lines about {topic} that rhyme."}
    return [asked] if given is None else [asked, {"role": "assistant", "content": given}]
