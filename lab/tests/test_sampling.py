"""Samples from a loaded model, here a pocket model."""

import pytest

from meds_lab.sampling import sample_completions
from meds_lab.tasks import load_pocket_model

PROMPTS = ["2 + 3 * 4 - 1", "1 + 1"]


@pytest.fixture(scope="module")
def pocket():
    return load_pocket_model(0, "stuck")


def test_so_many_of_each_prompt_and_the_same_again(pocket):
    arguments = {"num_samples": 3, "max_new_tokens": 5, "batch_size": 4}
    samples = sample_completions(*pocket, PROMPTS, seed=1, **arguments)
    assert [len(of_prompt) for of_prompt in samples] == [3, 3]
    assert samples == sample_completions(*pocket, PROMPTS, seed=1, **arguments)
    assert samples != sample_completions(*pocket, PROMPTS, seed=2, **arguments)


@pytest.mark.parametrize("wrong", [{"num_samples": 0}, {"batch_size": 0}, {"top_p": 1.5}])
def test_bad_settings(pocket, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sample_completions(*pocket, PROMPTS, **{"num_samples": 1, "max_new_tokens": 1, **wrong})
