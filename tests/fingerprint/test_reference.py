"""A reference stays what it was while the policy moves."""

from __future__ import annotations

import numpy as np
import peft
import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from meds_rl.fingerprint import LayerLogits, ReferencePolicy, extract, reference_model


def move(model):
    """What a training step does, roughly."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_a_copy_does_not_move(fused, tied, tiny_model, batch):
    policy = tiny_model("qwen2", tied=tied)
    if fused:  # TRL's patched forward would call the ORIGINAL model from within the copy
        add_fused_lm_head(policy)
    before = extract(policy, LayerLogits("all"), *batch)
    logits = policy(torch.tensor([[1, 2, 3]])).logits
    reference = ReferencePolicy(policy.train())
    move(policy)
    with reference.use() as model:
        assert model is not policy
        assert not model.training
        assert not any(weight.requires_grad for weight in model.parameters())
        np.testing.assert_array_equal(extract(model, LayerLogits("all"), *batch), before)
        torch.testing.assert_close(model(torch.tensor([[1, 2, 3]])).logits, logits, rtol=0, atol=0)
    assert policy.training
    assert np.nanmax(np.abs(extract(policy, LayerLogits("all"), *batch) - before)) > 0.1


@pytest.mark.parametrize("head", [None, ["lm_head"]])
def test_adapters_are_switched_off_and_on_again(head, tiny_model, batch):
    base = tiny_model("qwen2")
    before = extract(base, LayerLogits("all"), *batch)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], modules_to_save=head)
    policy = peft.get_peft_model(base, config)
    reference = ReferencePolicy(policy)
    move(policy)
    moved = extract(policy, LayerLogits("all"), *batch)
    trainable = [weight.requires_grad for weight in policy.parameters()]
    with reference.use() as model:
        assert model is policy
        np.testing.assert_allclose(extract(model, LayerLogits("all"), *batch), before, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(extract(policy, LayerLogits("all"), *batch), moved)
    assert [weight.requires_grad for weight in policy.parameters()] == trainable
    assert np.nanmax(np.abs(moved - before)) > 0.1


def test_a_head_saved_beside_the_adapter_is_the_one_read(tiny_model, batch):
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    policy = peft.get_peft_model(tiny_model("qwen2"), config).eval()
    move(policy)
    features = extract(policy, LayerLogits("all"), *batch)
    with torch.no_grad():
        prompts, completions, answers = batch
        logits = policy(torch.tensor([prompts[0] + completions[0]])).logits
    p = len(prompts[0]) + answers[0].position
    assert features[0, -1] == pytest.approx(float(logits[0, p, answers[0].target_id]), abs=1e-3)


def test_an_engine_s_own_reference_is_used(tiny_model):
    frozen = tiny_model("llama")
    with ReferencePolicy(tiny_model("llama"), frozen=frozen).use() as model:
        assert model is frozen


def test_sharded_weights_are_refused(tiny_model):
    model = tiny_model("llama")
    model.lm_head.weight.ds_id = 7
    with pytest.raises(ValueError, match="sharded"):
        reference_model(model)
