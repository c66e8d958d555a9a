"""WorkingStates against the hidden states of a plain full forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meds_rl.fingerprint import AnswerPosition, Where, WorkingStates, extract, num_tokens_read


def plain(model, prompt, completion, answer, layer):
    """(d,) float64 from one row without padding; transformers takes the last of the states after the norm."""
    with torch.no_grad():
        states = model(torch.tensor([prompt + completion]), output_hidden_states=True).hidden_states[layer]
    unit = states[0].double().numpy()
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    start = len(prompt)
    return unit[start : start + answer.position + 1].mean(axis=0) - unit[:start].mean(axis=0)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma2", "gpt2", "opt"])
def test_equals_a_full_forward(name, tiny_model, batch):
    model = tiny_model(name)
    depth = model.config.num_hidden_layers
    for layer in (1, depth):
        features = extract(model, WorkingStates(layer), *batch, batch_size=3)
        assert features.shape == (5, 16)
        assert features.dtype == np.float32
        for row, (prompt, completion, answer) in enumerate(zip(*batch, strict=True)):
            if answer is None:
                assert np.isnan(features[row]).all()
            else:
                expected = plain(model, prompt, completion, answer, layer)
                np.testing.assert_allclose(features[row], expected, rtol=1e-4, atol=1e-5)


def where(**changed):
    """One row: padding, two tokens of prompt, working of two tokens, answer."""
    prompt = torch.tensor([[False, True, True, False, False, False]])
    return Where(
        **{
            "positions": torch.tensor([4]),
            "target_ids": torch.tensor([5]),
            "completion_mask": torch.tensor([[False, False, False, True, True, True]]),
            "has_answer": torch.tensor([True]),
            "ends": torch.tensor([5]),
            "prompt_mask": prompt,
            **changed,
        }
    )


STATES = torch.tensor([[[float("nan"), 1.0], [2.0, 0.0], [0.0, 5.0], [3.0, 4.0], [0.0, -2.0], [9.0, 9.0]]])


def test_by_hand():
    # At length 1: prompt (1, 0) and (0, 1), mean (.5, .5); working (.6, .8) and (0, -1), mean (.3, -.1).
    # The padding's NaN and the answer's (9, 9) are not looked at.
    features = WorkingStates().read(STATES, where(), head=None)
    np.testing.assert_allclose(features, [[-0.2, -0.6]], rtol=1e-6)


def test_a_row_without_prompt_or_with_states_of_zeros():
    nothing = torch.zeros(1, 6, dtype=torch.bool)
    features = WorkingStates().read(STATES, where(prompt_mask=nothing), head=None)
    np.testing.assert_allclose(features, [[0.3, -0.1]], rtol=1e-6)
    zeros = torch.zeros(1, 6, 2, dtype=torch.bfloat16)
    assert WorkingStates().read(zeros, where(), head=None).tolist() == [[0.0, 0.0]]


def test_without_places_of_prompts_it_says_so():
    with pytest.raises(ValueError, match="where prompts are"):
        WorkingStates().read(STATES, where(prompt_mask=None), head=None)
    with pytest.raises(ValueError, match="prompt_mask must be"):
        where(prompt_mask=torch.zeros(1, 5, dtype=torch.bool))


def test_the_answer_and_what_follows_changes_nothing(tiny_model, batch):
    model = tiny_model()
    prompts, completions, answers = batch
    expected = extract(model, WorkingStates(), *batch)
    cut = [c if a is None else c[: a.end + 1] for c, a in zip(completions, answers, strict=True)]
    longer = [[*completion, 7, 8, 9] for completion in completions]
    np.testing.assert_array_equal(extract(model, WorkingStates(), prompts, cut, answers), expected)
    np.testing.assert_array_equal(extract(model, WorkingStates(), prompts, longer, answers), expected)
    assert num_tokens_read(WorkingStates(), AnswerPosition(3, 9, end=5), length=8) == 4


def test_places_of_prompts():
    found = Where.from_answers([None, None], starts=[2, 3], lengths=[1, 1], width=4, prompt_starts=[0, 2])
    assert found.prompt_mask.int().tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]
    assert found.rows(1, 2, torch.device("cpu")).prompt_mask.int().tolist() == [[0, 0, 1, 0]]
    # Where they are not said, padding could be taken for a prompt: so there is none.
    unsaid = Where.from_answers([None, None], starts=[2, 3], lengths=[1, 1], width=4)
    assert unsaid.prompt_mask is None


def test_layers_asked_for():
    assert [WorkingStates().layers(n) for n in (1, 2, 4, 28, 30)] == [[1], [1], [3], [19], [20]]
    assert WorkingStates(7).layers(28) == [7]
    assert repr(WorkingStates(7)) == "WorkingStates(layer=7)"
    with pytest.raises(ValueError, match="at least 1"):
        WorkingStates(0)
    with pytest.raises(TypeError, match="int or None"):
        WorkingStates("middle")
    with pytest.raises(ValueError, match="asks for layer 6"):
        WorkingStates(6).layers(5)
