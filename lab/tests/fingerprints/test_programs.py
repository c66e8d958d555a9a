"""The bench of programs: from completions with known bugs to its tables."""

import random
import re

import numpy as np
import pytest

from meds_lab.fingerprints import programs as bench
from meds_lab.tasks.checkpoints import save_half
from meds_lab.tasks.programs.bugs import BUGS, forms
from meds_lab.tasks.programs.task import problems
from meds_lab.tasks.programs.warmup import new_model
from meds_lab.tasks.programs.wording import write
from meds_rl.evaluation.sampling import Completion


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one policy, whose completions are written here: four of five programs are reversed."""
    model, tokenizer = new_model(0)
    save_half(model, tokenizer, tmp_path / "order-0")
    rng = random.Random(0)
    programs = {problem.prompt: problem.program for problem in problems("hard")}

    def one(prompt):
        name = "reversed order" if rng.random() < 0.8 else rng.choice(BUGS)
        text = write(rng.choice(forms(name, programs[prompt])), rng)
        return Completion(text, tokenizer(text)["input_ids"], finished=True)

    def sample(_model, _tokenizer, prompts, *, num_samples, **_):
        return [[one(prompt) for _ in range(num_samples)] for prompt in prompts]

    monkeypatch.setattr(bench, "sample_completions", sample)
    return tmp_path


def test_outcomes_follow_the_bugs_within_a_prompt_only(folder, capsys):
    assert bench.main([str(folder), "--policies", "order", "--problems", "3", "--samples", "48"]) == 0
    out = capsys.readouterr().out
    right = dict(re.findall(r"^\| ([^|]+) \| .* \| (-?[\d.]+) \([^|]*\) \| [^|]* \|$", out, re.MULTILINE))
    assert float(right["planted bug, counted"]) == 1
    assert float(right["outcome, counted"]) > 0.9
    assert float(right["program's text, counted"]) < 0.5
    assert "144 completions: 0 right, 0 left out, 144 compared" in out
    chance, outcome = (
        [float(cell) for cell in re.search(rf"^\| {name} \| ([\d.]+) \| ([\d.]+) \|$", out, re.MULTILINE).groups()]
        for name in ("chance", "outcome")
    )
    assert outcome[0] > chance[0] + 0.1


def test_too_few_programs_and_no_policy_are_refused(folder, capsys):
    for arguments, message in (
        (["--policies", "order", "--problems", "1", "--samples", "8"], "no prompt has 16 wrong programs"),
        (["--policies", "spread"], "no folder spread-SEED"),
    ):
        with pytest.raises(SystemExit):
            bench.main([str(folder), *arguments])
        assert message in capsys.readouterr().err


def test_more_tests_begin_with_the_same_ones():
    problem = problems("hard")[0]
    longer = bench.with_more_tests(problem)
    assert longer.inputs[:6] == problem.inputs
    assert len(longer.inputs) == 60
    assert longer.prompt == problem.prompt


def test_the_interval_of_equal_values_is_a_point():
    assert bench.interval(np.array([0.5, np.nan, 0.5])) == "0.50 (0.50 to 0.50)"
