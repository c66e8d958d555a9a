"""Figures of one batch after another, worked out by hand."""

import math

import pandas as pd
import pytest

from meds_rl.report.course import BatchFigures


def batch(rows, **columns):
    """Rows of prompt, answer, right."""
    prompts, answers, right = zip(*rows, strict=True)
    n = len(rows)
    frame = {"step": [0] * n, "generation": [0] * n, "prompt_id": prompts, "answer": answers}
    frame |= {
        "is_correct": right,
        "reward": [float(r) for r in right],
        "shaped_reward": [float(r) for r in right],
    }
    frame |= {"num_tokens": [10] * n, "penalty": [0.0] * n, "memory_id": [-1] * n}
    return pd.DataFrame(frame | columns)


def test_one_batch_by_hand():
    rows = [("p", "1", True), ("p", "2", False), ("p", "2", False), ("p", None, False)]
    rows += [("q", "5", False), ("q", "5", False), ("q", "5", False), ("q", "5", False)]
    figures = BatchFigures().add(
        batch(
            rows,
            penalty=[0, 0.1, 0.1, 0.1, 0, 0, 0, 0.05],
            num_tokens=[8, 1, 2, 3, 4, 5, 6, 7],
            memory_id=[-1, *range(7)],
        )
    )
    assert figures["reward", "raw"] == 1 / 8
    assert figures["pass", "pass@1"] == 1 / 8
    assert figures["pass", "pass@G"] == 1 / 2  # p has a right one, q has none
    # p: wrong 2, 2 and none: 2/3 ln(3/2) + 1/3 ln 3 = .6365; q: one answer, 0.
    entropy_p = 2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3)
    assert figures["entropy", "entropy"] == pytest.approx(entropy_p / 2)
    assert figures["distinct", "distinct"] == (2 + 1) / 2
    assert ("repeated", "answer") not in figures  # nothing came before
    assert figures["penalty", "mean"] == pytest.approx(0.35 / 7)
    assert figures["memory", "size"] == 7
    assert (figures["length", "right"], figures["length", "wrong"]) == (8, 4)


def test_a_repeated_error_is_the_same_answer_to_the_same_prompt_in_an_earlier_batch():
    figures = BatchFigures()
    figures.add(batch([("p", "2", False), ("p", None, False)]))
    # Of p's four wrong ones 2, twice, and none are known; 3 is new. q did not come before.
    rows = [("p", "2", False), ("p", "2", False), ("p", None, False), ("q", "2", False), ("p", "3", False)]
    assert figures.add(batch([*rows, ("p", "2", True)]))["repeated", "answer"] == 3 / 4


def test_what_says_nothing_is_left_out():
    figures = BatchFigures().add(batch([("p", "1", True)]))
    assert ("entropy", "entropy") not in figures
    assert ("repeated", "answer") not in figures
    assert ("penalty", "mean") not in figures
    assert figures["distinct", "distinct"] == 0


def test_a_reward_is_known_where_nothing_says_what_is_right():
    # Read from the rollouts, such a row has only its shaped reward; a penalty is added back. Length -1 is unknown.
    unknown = {"reward": [math.nan] * 2, "shaped_reward": [0.3, 0.5], "penalty": [0.1, 0.0], "num_tokens": [-1, -1]}
    figures = BatchFigures().add(batch([("p", "1", False), ("p", "2", False)], **unknown))
    assert figures == {("reward", "raw"): pytest.approx(0.45), ("memory", "size"): 0.0}
    figures = BatchFigures().add(batch([("p", "1", False)], num_tokens=[-1]))
    assert ("length", "wrong") not in figures


def test_what_was_not_graded_is_neither_wrong_nor_right():
    rows = [("p", "1", True), ("p", "2", False), ("p", "3", False), ("q", "4", False)]
    reward = [1.0, 0.0, math.nan, math.nan]
    figures = BatchFigures().add(batch(rows, reward=reward, shaped_reward=reward))
    assert (figures["reward", "raw"], figures["pass", "pass@1"], figures["pass", "pass@G"]) == (0.5, 0.5, 1.0)
    assert figures["distinct", "distinct"] == 1
    assert BatchFigures().add(batch(rows[2:], reward=reward[2:], shaped_reward=reward[2:])) == {("memory", "size"): 0.0}
