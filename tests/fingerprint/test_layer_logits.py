"""LayerLogits against a plain full forward."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from meds_rl.fingerprint import LayerLogits, Where, extract

ARCHITECTURES = ["llama", "qwen2", "qwen3", "gemma2", "granite", "cohere", "gpt2", "opt"]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_layers_equal_a_full_forward(name, tied, tiny_model, batch, plain_layer_logits):
    model = tiny_model(name, tied=tied)
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert (head.data_ptr() == embedding.data_ptr()) is tied
    features = extract(model, LayerLogits("all"), *batch, batch_size=3)
    assert features.shape == (5, 5)
    assert features.dtype == np.float32
    for row, (prompt, completion, answer) in enumerate(zip(*batch, strict=True)):
        if answer is None:
            assert np.isnan(features[row]).all()
        else:
            expected = plain_layer_logits(model, prompt, completion, answer.position)
            np.testing.assert_allclose(features[row], expected, rtol=2e-4, atol=2e-4)
            assert np.ptp(expected) > 0.1  # the layers do differ


# What the model's own logit adds to the bare dot product of the last layer.
HEADS = {
    "llama": lambda f: f,
    "gpt2": lambda f: f,
    "gemma2": lambda f: 3.0 * np.tanh(f / 3.0),
    "granite": lambda f: f / 7.0,
    "cohere": lambda f: f * 0.25,
}


@pytest.mark.parametrize("name", HEADS)
def test_last_layer_is_the_logit_before_softcap_and_scaling(name, tiny_model, batch):
    model = tiny_model(name)
    features = extract(model, LayerLogits(1), *batch)
    for row, (prompt, completion, answer) in enumerate(zip(*batch, strict=True)):
        if answer is not None:
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion])).logits
            logit = float(logits[0, len(prompt) + answer.position, answer.target_id])
            assert HEADS[name](features[row, 0]) == pytest.approx(logit, abs=2e-4)


def test_last_n_layers_and_differences(tiny_model, batch):
    model = tiny_model()
    everything = extract(model, LayerLogits("all"), *batch)
    np.testing.assert_array_equal(extract(model, LayerLogits(), *batch), everything[:, 3:])  # 5 // 2 = 2 layers
    np.testing.assert_array_equal(extract(model, LayerLogits(3), *batch), everything[:, 2:])
    differences = extract(model, LayerLogits(3, differences=True), *batch)
    np.testing.assert_array_equal(differences, np.diff(everything[:, 2:], axis=1))
    assert extract(model, LayerLogits("all", differences=True), *batch).shape == (5, 4)


def test_bfloat16_states_are_multiplied_in_float32(tiny_model, batch):
    model = tiny_model("qwen2").bfloat16()
    features = extract(model, LayerLogits("all"), *batch, batch_size=1)
    prompts, completions, answers = batch
    for row in (0, 1, 3, 4):
        with torch.no_grad():
            output = model(torch.tensor([prompts[row] + completions[row]]), output_hidden_states=True)
        p = len(prompts[row]) + answers[row].position
        W_t = model.lm_head.weight.detach()[answers[row].target_id].float()
        expected = [float(h[0, p].float() @ W_t) for h in output.hidden_states[1:]]
        # The states are bfloat16 (8 bits) and differ between lengths of input; the products add no error.
        np.testing.assert_allclose(features[row], expected, rtol=0.03, atol=0.03)


def test_hand_made_dot_product_is_not_rounded_under_autocast():
    # h(p) = (1, 2^-9), W_t = (1, 1): 1.001953125, which bfloat16 would round to 1.
    hidden = torch.tensor([[[9.0, 9.0], [1.0, 2.0**-9]]], dtype=torch.bfloat16)
    where = Where(
        positions=torch.tensor([1]),
        target_ids=torch.tensor([5]),
        completion_mask=torch.tensor([[False, True]]),
        has_answer=torch.tensor([True]),
        ends=torch.tensor([0]),
    )
    head = SimpleNamespace(rows=lambda ids: torch.ones(len(ids), 2, dtype=torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert LayerLogits().read(hidden, where, head).tolist() == [[1.001953125]]


def test_layers_asked_for():
    assert LayerLogits().layers(28) == list(range(15, 29))  # the paper: 14 of 28
    assert LayerLogits().layers(1) == [1]
    assert LayerLogits(2).layers(5) == [4, 5]
    assert LayerLogits("all").layers(3) == [1, 2, 3]


def test_bounds():
    with pytest.raises(ValueError, match="at least 1"):
        LayerLogits(0)
    with pytest.raises(ValueError, match="at least 2 with differences"):
        LayerLogits(1, differences=True)
    with pytest.raises(TypeError, match='number of layers, None or "all"'):
        LayerLogits("some")
    with pytest.raises(TypeError, match="number of layers"):
        LayerLogits(True)
    with pytest.raises(ValueError, match="asks for 6 layers of a model that has 5"):
        LayerLogits(6).layers(5)
    with pytest.raises(ValueError, match="asks for 1 layers"):
        LayerLogits(differences=True).layers(2)
