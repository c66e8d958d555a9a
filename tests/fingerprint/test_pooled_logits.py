"""PooledLogits against the V-dimensional vectors it stands for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from meds_rl.fingerprint import Head, PooledLogits, Where, extract

ANSWERED = [0, 1, 3, 4]


def vocabulary_vectors(model, prompts, completions, layer):
    """(B, V) float64: the logits of one layer, averaged over the completion, never pooled before the head."""
    W = model.get_output_embeddings().weight.detach().double()
    pooled = []
    for prompt, completion in zip(prompts, completions, strict=True):
        with torch.no_grad():
            states = model(torch.tensor([prompt + completion]), output_hidden_states=True).hidden_states[layer]
        pooled.append((states[0, len(prompt) :].double() @ W.T).mean(dim=0))
    return torch.stack(pooled).numpy()


@pytest.mark.parametrize(("layer", "read"), [(None, 2), (1, 1), (5, 5)])
@pytest.mark.parametrize("name", ["qwen3", "gemma2", "gpt2"])
def test_distances_norms_and_cosines_are_those_of_the_vocabulary(name, layer, read, tiny_model, batch):
    model = tiny_model(name)
    prompts, completions, _ = batch
    small = extract(model, PooledLogits(layer), *batch, batch_size=2)
    assert small.shape == (5, 16)
    assert np.isnan(small[2]).all()
    small = small[ANSWERED]
    large = vocabulary_vectors(model, prompts, completions, read)[ANSWERED]
    assert large.shape == (4, 41)
    np.testing.assert_allclose(pdist(small), pdist(large), rtol=1e-4)
    np.testing.assert_allclose(pdist(small, "cosine"), pdist(large, "cosine"), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(small, axis=1), np.linalg.norm(large, axis=1), rtol=1e-4)


def read_one(fingerprint, states, weight):
    """Features of the mean of `states` (T, d) under the unembedding `weight` (V, d)."""
    T = len(states)
    where = Where(
        positions=torch.tensor([0]),
        target_ids=torch.tensor([0]),
        completion_mask=torch.ones(1, T, dtype=torch.bool),
        has_answer=torch.tensor([True]),
        ends=torch.tensor([0]),
    )
    model = SimpleNamespace(get_output_embeddings=lambda: SimpleNamespace(weight=weight))
    return fingerprint.read(states[None], where, Head(model, torch.tensor([0])))[0]


def test_hand_made():
    # W^T W = diag(9 + 16, 4) = diag(25, 4), R = diag(5, 2); the states' mean is (2, 1); R m = (10, 2).
    W = torch.tensor([[3.0, 0.0], [4.0, 0.0], [0.0, 2.0]])
    states = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    assert read_one(PooledLogits(), states, W).tolist() == [10.0, 2.0]


@pytest.mark.parametrize("rows", [3, 12])
def test_a_singular_unembedding_keeps_norms(rows):
    torch.manual_seed(0)
    # Fewer words than dimensions, or dependent columns: W^T W has no Cholesky factor.
    W = torch.randn(rows, 3) @ torch.randn(3, 8)
    states = torch.randn(4, 8)
    vector = read_one(PooledLogits(), states, W)
    assert vector.norm().item() == pytest.approx((W @ states.mean(dim=0)).norm().item(), rel=1e-4)


def test_an_unembedding_of_zeros_gives_zeros():
    assert read_one(PooledLogits(), torch.ones(2, 3), torch.zeros(5, 3)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("change", ["in place", "behind autograd's back", "new tensor"])
def test_the_factor_follows_the_weight(change):
    fingerprint = PooledLogits()
    states = torch.tensor([[1.0, 1.0]])
    weight = torch.nn.Parameter(torch.eye(2))
    assert read_one(fingerprint, states, weight).tolist() == [1.0, 1.0]
    if change == "in place":
        with torch.no_grad():
            weight[0, 0] = 3.0
    elif change == "behind autograd's back":  # leaves weight._version as it was
        weight.data[0, 0] = 3.0
    else:
        weight = torch.nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    assert read_one(fingerprint, states, weight).tolist() == [3.0, 1.0]


def test_the_factor_is_computed_once_while_the_weight_stays(monkeypatch, tiny_model, batch):
    calls = []
    factorise = torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda gram: calls.append(1) or factorise(gram))
    model, fingerprint = tiny_model(), PooledLogits()
    extract(model, fingerprint, *batch, batch_size=1)
    extract(model, fingerprint, *batch, batch_size=1)
    assert len(calls) == 1


def test_padding_may_hold_anything():
    where = Where(
        positions=torch.tensor([0]),
        target_ids=torch.tensor([0]),
        completion_mask=torch.tensor([[True, True, False]]),
        has_answer=torch.tensor([True]),
        ends=torch.tensor([0]),
    )
    model = SimpleNamespace(get_output_embeddings=lambda: SimpleNamespace(weight=torch.eye(1)))
    hidden = torch.tensor([[[1.0], [3.0], [torch.nan]]])
    assert PooledLogits().read(hidden, where, Head(model, torch.tensor([0]))).tolist() == [[2.0]]


def test_bounds():
    with pytest.raises(ValueError, match="at least 1"):
        PooledLogits(0)
    with pytest.raises(TypeError, match="int or None"):
        PooledLogits("middle")
    with pytest.raises(ValueError, match="layer 6 of a model that has 5"):
        PooledLogits(6).layers(5)
    assert PooledLogits().layers(1) == [1]
