import pytest

from meds_lab.tasks.figures import Figures

ROW = {"prompt": "what is 7 + 3 * 4 - 2?", "answer": "17"}


def test_counts():
    figures = Figures()
    figures.add(
        ROW,
        [
            "3 * 4 = 12, 7 + 12 = 19, 19 - 2 = 17. \\boxed{17}",
            "7 + 3 = 10, 10 * 4 = 40, 40 - 2 = 38. \\boxed{17}",  # a lucky box
            "7 + 3 = 11, 11 * 4 = 44, 44 - 2 = 42. \\boxed{42}",  # one slip
            "hmm",
        ],
    )
    figures.add(ROW, ["7 + 3 = 10, 10 * 4 = 40. \\boxed{40}"])
    assert figures.right == [2, 0]
    assert figures.sampled == [4, 1]
    assert figures.completions == 5
    assert dict(figures.strategies) == {
        "precedence": 1,
        "left_to_right": 1,
        "arithmetic slip": 1,
        "other": 1,
        "drop_last": 1,
    }
    assert figures.no_answer_share == pytest.approx(1 / 5)
    assert figures.slip_rate == pytest.approx(1 / 11)  # 3 + 3 + 3 + 2 steps
    assert figures.lucky_share == pytest.approx(1 / 2)
    assert figures.share("drop_last") == pytest.approx(1 / 5)
