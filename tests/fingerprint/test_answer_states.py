"""AnswerStates against the hidden states of a plain full forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from meds_rl.fingerprint import (
    AnswerPosition,
    AnswerStates,
    LayerLogits,
    PooledLogits,
    Where,
    extract,
    num_tokens_read,
)


def plain_states(model, prompt, completion, answer):
    """(2 d,) float64 from one row without padding; transformers takes the last of the states after the norm."""
    with torch.no_grad():
        states = model(torch.tensor([prompt + completion]), output_hidden_states=True).hidden_states[1:]
    before = states[-1][0, len(prompt) + answer.position].double().numpy()
    after = states[max(len(states) - 2, 0)][0, len(prompt) + answer.end].double().numpy()
    return np.concatenate([before / np.linalg.norm(before), after / np.linalg.norm(after)])


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma2", "granite", "cohere", "gpt2", "opt"])
def test_equals_a_full_forward(name, tiny_model, batch):
    model = tiny_model(name)
    features = extract(model, AnswerStates(), *batch, batch_size=3)
    assert features.shape == (5, 32)
    assert features.dtype == np.float32
    for row, (prompt, completion, answer) in enumerate(zip(*batch, strict=True)):
        if answer is None:
            assert np.isnan(features[row]).all()
        else:
            expected = plain_states(model, prompt, completion, answer)
            np.testing.assert_allclose(features[row], expected, rtol=1e-4, atol=1e-5)


def test_one_layer_is_read_twice(batch):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=41, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config).eval()
    features = extract(model, AnswerStates(), *batch)
    for row in (0, 1, 3, 4):
        expected = plain_states(model, *(part[row] for part in batch))
        np.testing.assert_allclose(features[row], expected, rtol=1e-4, atol=1e-5)


def where(ends):
    return Where(
        positions=torch.tensor([0]),
        target_ids=torch.tensor([5]),
        completion_mask=torch.ones(1, 3, dtype=torch.bool),
        has_answer=torch.tensor([True]),
        ends=torch.tensor([ends]),
    )


def test_by_hand():
    # Layer L at p: (3, 4) / 5; layer L-1 at the end, column 2: (0, -2) / 2.
    inner = torch.tensor([[[1.0, 1.0], [7.0, 7.0], [0.0, -2.0]]])
    last = torch.tensor([[[3.0, 4.0], [7.0, 7.0], [9.0, 9.0]]])
    fingerprint = AnswerStates()
    kept = [fingerprint.read(states, where(2), head=None) for states in (inner, last)]
    np.testing.assert_allclose(fingerprint.combine(kept), [[0.6, 0.8, 0.0, -1.0]], rtol=1e-7)


def test_zeros_stay_zero_and_the_result_is_float32():
    states = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]]], dtype=torch.bfloat16)
    fingerprint = AnswerStates()
    features = fingerprint.combine([fingerprint.read(states, where(2), head=None)] * 2)
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features, [[0.0, 0.0, 0.6, 0.8]], rtol=1e-7)


def test_what_comes_after_the_answer_changes_nothing(tiny_model, batch):
    model = tiny_model()
    prompts, completions, answers = batch
    cut = [c if a is None else c[: a.end + 1] for c, a in zip(completions, answers, strict=True)]
    longer = [[*completion, 7, 8, 9] for completion in completions]
    expected = extract(model, AnswerStates(), *batch)
    np.testing.assert_array_equal(extract(model, AnswerStates(), prompts, cut, answers), expected)
    np.testing.assert_array_equal(extract(model, AnswerStates(), prompts, longer, answers), expected)


def test_an_end_left_out_is_the_first_token(tiny_model):
    model = tiny_model()
    rows = [[3, 4]], [[5, 6, 7, 8]]
    short, same, long = (
        extract(model, AnswerStates(), *rows, [AnswerPosition(0, 6, *end)]) for end in ((), (1,), (2,))
    )
    np.testing.assert_array_equal(short, same)
    assert np.abs(short[:, 16:] - long[:, 16:]).max() > 0.01
    np.testing.assert_allclose(short[:, :16], long[:, :16], atol=1e-5)


def test_ends_do_not_change_layer_logits(tiny_model, batch):
    model = tiny_model()
    prompts, completions, answers = batch
    without = [answer and AnswerPosition(answer.position, answer.target_id) for answer in answers]
    np.testing.assert_array_equal(
        extract(model, LayerLogits("all"), *batch),
        extract(model, LayerLogits("all"), prompts, completions, without),
    )


def test_how_far_fingerprints_read():
    answer = AnswerPosition(3, 9, end=5)
    assert num_tokens_read(LayerLogits(), answer, length=8) == 4
    assert num_tokens_read(AnswerStates(), answer, length=8) == 6
    assert num_tokens_read(PooledLogits(), answer, length=8) == 8


def test_columns_of_ends():
    answers = [AnswerPosition(1, 7, end=3), None, AnswerPosition(0, 7, end=2)]
    found = Where.from_answers(answers, starts=[2, 0, 1], lengths=[4, 1, 1], width=6)
    assert found.ends.tolist() == [5, 0, 1]  # the last row is cut off at p: its last token
    assert found.rows(1, 3, torch.device("cpu")).ends.tolist() == [0, 1]


def test_layers_asked_for():
    assert [AnswerStates().layers(n) for n in (1, 2, 28)] == [[1], [1, 2], [27, 28]]
    assert AnswerStates().num_features(1, hidden_size=16) == 32
    assert repr(AnswerStates()) == "AnswerStates()"
