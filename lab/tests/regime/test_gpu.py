"""The script for one GPU: what it chooses and measures, and that all of it runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from meds_lab.regime.figures import RIGHT, Sampled
from meds_lab.regime.gpu import Text, choose, dry_scale, log_probabilities, run, summary, texts_of
from meds_rl.tasks.models import load_language_model


def of(name: str, right: int) -> Sampled:
    modes = np.where(np.arange(8) < right, RIGHT, 0)
    return Sampled("s", name, {"steps": modes}, np.zeros(8, dtype=bool))


def test_hard_problems_by_turns_and_the_easiest():
    found = [of("none", 0), of("six", 6), of("one", 1), of("seven", 7), of("three", 3), of("two", 2), of("four", 4)]
    # By right answers: one two three four six seven; two kinds of hard problems by turns, and the last two.
    assert choose(found, 2) == (["one", "three"], ["two", "four"], ["six", "seven"])
    assert choose(found, 1) == (["one"], ["two"], ["seven"])
    assert choose(found[1:4], 9) == (["one"], ["six"], ["seven"])
    with pytest.raises(ValueError, match="three problems need a right sample; 1 have one"):
        choose(found[:2], 2)


def row(problem: str, completion: str, answer: int, is_correct: bool, finished: bool = True) -> dict[str, object]:
    return {
        "benchmark": "pocket",
        "problem_id": problem,
        "prompt": "what is 7 + 3 * 4 - 2?",
        "completion": completion,
        "answer": str(answer),
        "is_correct": is_correct,
        "finished": finished,
    }


def test_texts_are_different_finished_and_of_the_right_kind():
    scale = dry_scale()
    _, tokenizer = load_language_model("pocket", device="cpu")
    one, two, three = (problem.row["prompt_id"] for problem in scale.plan.problems[:3])
    habit = [row(one, f"7 + 3 = 10, 10 * 4 = 40, 40 - 2 = {number}", number, False) for number in (38, 38, 38)]
    rest = [row(one, "7 - 3 = 4", 4, False), row(one, "3 * 4 = 12", 17, True), row(one, "4", 17, True, finished=False)]
    others = [row(name, "3 * 4 = 12", 17, True) for name in (two, three)]
    chosen = choose([of(one, 1), of(two, 2), of(three, 3)], 1)
    texts = texts_of([*habit, *rest, *others], chosen, tokenizer, scale)
    assert {kind: [text.problem for text in found] for kind, found in texts.items()} == {
        "right, trained on": [one],
        "right, held out": [two],
        "habit": [one],  # three samples of one text
        "right, easy": [three],
    }
    ids = texts["habit"][0].completion_ids
    assert tokenizer.decode(ids[:-1]) == habit[0]["completion"]
    assert ids[-1] == tokenizer.eos_token_id


def test_log_probabilities_by_hand():
    class Uniform(torch.nn.Module):
        """Gives token 3 twice the odds of each of the other three."""

        device = torch.device("cpu")

        def forward(self, input_ids, attention_mask, logits_to_keep):
            logits = torch.zeros(len(input_ids), logits_to_keep, 4)
            logits[..., 3] = np.log(2)
            return type("Output", (), {"logits": logits})

    texts = [Text("a", [0, 3, 1], [3]), Text("b", [3, 0], [1, 3, 2])]
    # p(3) = 2 / 5, the others 1 / 5; prompts and padding do not count.
    expected = [np.log(2 / 5), np.log(2 / 125)]
    assert log_probabilities(texts, Uniform(), 1.0, 0, 8) == pytest.approx(expected)
    # At temperature 1/2 the odds are squared: 4 / 7 and 1 / 7.
    assert log_probabilities(texts, Uniform(), 0.5, 0, 1) == pytest.approx([np.log(4 / 7), np.log(4 / 343)])


def test_the_summary_compares_methods_after_the_last_update_that_all_have():
    def arm(*changes: float) -> dict[str, object]:
        # Two problems, which change alike from log-probabilities of 0 and -2.
        found = {str(2 * at): {"right": {"a": change, "b": change - 2}} for at, change in enumerate((0.0, *changes))}
        return {"updates": 2 * len(changes), "seconds": 1.0, "found": found}

    arms = {"none": arm(0.5, 0.25), "memory": arm(1.5), "recall": {"error": "ValueError: no", "updates": 0}}
    lines = summary({"samples": 64, "texts": {"right": 2}, "arms": arms}).splitlines()
    assert lines[0] == "recall: ValueError: no"
    assert lines[1] == "After 2 updates; samples of each problem: 64"
    assert lines[5:7] == ["| none | +0.50 [0.50, 0.50] |", "| memory | +1.50 [1.50, 1.50] |"]
    assert lines[8:] == ["Less `none`:", "", "| method | right |", "| --- | --- |", "| memory | +1.00 [1.00, 1.00] |"]
    assert summary({"samples": 64, "texts": {"right": 2}, "arms": {}}) == "No update was finished.\n"


@pytest.mark.slow
def test_the_dry_run_and_going_on(tmp_path, monkeypatch):
    arms = {"none": ("count", {}, {"meds_alpha": 0.0}), "unknown": ("no-such-rival", {}, {})}
    monkeypatch.setattr("meds_lab.regime.gpu.ARMS", {name: _arm(*one) for name, one in arms.items()})
    results = run(tmp_path, dry_scale())
    assert results["samples"] == 64
    assert results["arms"]["none"]["updates"] == 2
    assert "there is no rival 'no-such-rival'" in results["arms"]["unknown"]["error"]
    assert set(results["arms"]["none"]["found"]) == {"0", "2"}
    again = run(tmp_path, replace(dry_scale(), seconds=0.0))  # nothing is sampled or trained twice
    assert again["arms"]["none"] == results["arms"]["none"]
    late = run(tmp_path, replace(dry_scale(), seconds=0.0, updates=3))
    assert late["arms"]["none"]["updates"] == 1  # the time is over after the first update


def _arm(rival, options, fields):
    from meds_lab.regime.gpu import COUNTED, Arm

    return Arm(rival, options, COUNTED | fields)
