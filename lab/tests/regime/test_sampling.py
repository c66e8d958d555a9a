"""Sampling in rounds: prompts that run once, and runs that are stopped and continued."""

import pytest

from meds_lab.regime.problems import SETS, problems
from meds_lab.regime.sampling import SamplingPlan, SharedPromptEngine, read_rounds, sample
from meds_rl.evaluation.engines import TransformersEngine
from meds_rl.evaluation.problems import problems_of, select
from meds_rl.evaluation.sampling import SamplingSettings
from meds_rl.tasks import load_task
from meds_rl.tasks.models import load_language_model

LENGTH = SamplingSettings(12)


@pytest.fixture(scope="module")
def pocket():
    return load_language_model("pocket", device="cpu")


@pytest.fixture(scope="module")
def plan():
    task = load_task("pocket", train_hard=2, train_easy=1, test_hard=0, test_easy=0)
    return SamplingPlan(select(problems_of(task)), LENGTH, round_size=4, chunk=4)


@pytest.mark.parametrize("copies", [1, 3])
def test_a_prompt_that_runs_once_gives_the_same_completions(pocket, copies):
    prompts = ["what is 7 + 3 * 4 - 2?", "what is 17 + 13 * 4 - 12?"]  # of different lengths
    engine = SharedPromptEngine(*pocket)
    ids = [engine.encode(prompt) for prompt in prompts for _ in range(copies)]
    assert engine.sample(ids, LENGTH, 3) == TransformersEngine(*pocket).sample(ids, LENGTH, 3)


def test_finished_completions_leave_the_batch(pocket):
    # Nearly no temperature: the most likely token, whatever the random numbers are. The two end at different times.
    cold = SamplingSettings(96, temperature=1e-4)
    engine = SharedPromptEngine(*pocket)
    ids = [engine.encode(prompt) for prompt in ("what is 7 + 3 * 4 - 2?", "what is 9 + 5 - 12?") for _ in range(2)]
    found = engine.sample(ids, cold, 0)
    assert found == TransformersEngine(*pocket).sample(ids, cold, 0)
    assert all(one.finished for one in found)
    assert len({len(one.token_ids) for one in found}) == 2


def test_unequal_copies_are_sampled_as_usual(pocket):
    engine = SharedPromptEngine(*pocket)
    a, b = (engine.encode(f"what is {number} + 3 * 4 - 2?") for number in (7, 8))
    for ids in ([a, a, b], [a, b, a, b]):
        assert engine.sample(ids, LENGTH, 3) == TransformersEngine(*pocket).sample(ids, LENGTH, 3)


def test_continuing_equals_not_being_stopped(pocket, plan, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    sample(SharedPromptEngine(*pocket), plan, whole, num_samples=8)

    class Killed(SharedPromptEngine):
        calls = 0

        def sample(self, *args):
            self.calls += 1
            if self.calls == 5:  # in the second round
                raise KeyboardInterrupt
            return super().sample(*args)

    with pytest.raises(KeyboardInterrupt):
        sample(Killed(*pocket), plan, stopped, num_samples=8)
    assert read_rounds(stopped).num_rows == 4 * 4
    sample(SharedPromptEngine(*pocket), plan, stopped, num_samples=8)
    assert read_rounds(stopped) == read_rounds(whole)
    texts = read_rounds(whole)["completion"].to_pylist()
    assert texts[:12] != texts[12:]  # each round has samples of its own


def test_a_folder_of_other_settings_is_refused(pocket, plan, tmp_path):
    sample(SharedPromptEngine(*pocket), plan, tmp_path, num_samples=4)
    other = SamplingPlan(plan.problems, LENGTH, round_size=4, chunk=4, seed=1)
    with pytest.raises(ValueError, match="begun with other settings"):
        sample(SharedPromptEngine(*pocket), other, tmp_path, num_samples=4)


def test_rounds_end_when_they_are_told_to(pocket, plan, tmp_path):
    engine = SharedPromptEngine(*pocket)
    assert sample(engine, plan, tmp_path, num_samples=8, go_on=lambda number: number < 1) == 1
    assert read_rounds(tmp_path).num_rows == 12


def test_samples_that_are_no_whole_rounds_are_refused(pocket, plan, tmp_path):
    with pytest.raises(ValueError, match="multiple of 4, the size of a round; got 6"):
        sample(SharedPromptEngine(*pocket), plan, tmp_path, num_samples=6)


def test_a_folder_without_samples(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the command sample first"):
        read_rounds(tmp_path)


def test_the_problems_and_their_examples():
    found = problems()
    assert len(found) == len({problem.row["prompt_id"] for problem in found}) == 128
    for name, one in SETS.items():
        for step in (step for steps in one.examples.values() for step in steps):
            left, _, right = step.partition(" = ")
            assert eval(left) == int(right), step
        shown = {one.question.format(asked) for asked in one.examples}
        asked = [p.row["prompt"] for p in found if p.source.name == f"reasoning_gym:{name}"]
        assert len(asked) == one.size
        assert all(len(chat) == 9 and chat[-1]["content"] not in shown for chat in asked)
