"""extract(): cheap, and without a trace in the model or the random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from meds_rl.fingerprint import (
    AnswerPosition,
    AnswerStates,
    LayerLogits,
    PooledLogits,
    Where,
    WorkingStates,
    extract,
    find_backbone,
    num_forwards,
    record,
)


@pytest.mark.parametrize("fingerprint", [LayerLogits("all"), PooledLogits(), AnswerStates(), WorkingStates()])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_batches_do_not_matter(batch_size, fingerprint, tiny_model, batch):
    model = tiny_model("qwen3")
    alone = extract(model, fingerprint, *batch, batch_size=1)
    together = extract(model, fingerprint, *batch, batch_size=batch_size, pad_token_id=40)
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)


def forward_shapes(model):
    """The shapes of the inputs that the backbone will see, filled as it runs."""
    shapes = []
    model.base_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return shapes


def test_only_what_is_needed_runs(tiny_model, batch):
    model = tiny_model()
    shapes = forward_shapes(model)
    extract(model, LayerLogits(), *batch, batch_size=2)
    # Row lengths up to p: 4 + 4, 2 + 1, (none), 6 + 1, 3 + 7; the longest first, two at a time.
    assert shapes == [(2, 10), (2, 7)]
    shapes.clear()
    extract(model, AnswerStates(), *batch, batch_size=2)
    # Up to the answer's last token: 4 + 5, 2 + 3, (none), 6 + 2, 3 + 9.
    assert shapes == [(2, 12), (2, 8)]
    shapes.clear()
    extract(model, PooledLogits(), *batch, batch_size=4)
    assert shapes == [(4, 13)]  # whole completions: 4 + 6, 2 + 3, 6 + 2, 3 + 10


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2"])
@pytest.mark.parametrize("fingerprint", [WorkingStates(), PooledLogits(1), LayerLogits("all")])
def test_layers_above_the_last_one_that_is_read_do_not_compute(name, fingerprint, tiny_model, batch):
    model = tiny_model(name)
    prompts, completions, answers = ([rows[4]] for rows in batch)
    ids, start = torch.tensor([prompts[0] + completions[0]]), len(prompts[0])
    where = Where.from_answers(answers, starts=[start], lengths=[10], width=ids.shape[1], prompt_starts=[0])
    with torch.no_grad(), record(model, fingerprint, where) as whole:
        model(input_ids=ids)
    ran = []
    for number, layer in enumerate(find_backbone(model).layers, 1):
        norm = next(module for module in layer.modules() if "Norm" in type(module).__name__)
        norm.register_forward_hook(lambda *_, number=number: ran.append(number))
    np.testing.assert_allclose(extract(model, fingerprint, prompts, completions, answers), whole.features(), rtol=1e-4)
    assert ran == list(range(1, max(fingerprint.layers(5)) + 1))
    model(input_ids=ids)
    assert ran[-5:] == [1, 2, 3, 4, 5]


def test_extra_forwards_keep_ranks_in_step(tiny_model, batch):
    model = tiny_model()
    shapes = forward_shapes(model)
    expected = extract(model, LayerLogits(), *batch)
    shapes.clear()
    np.testing.assert_array_equal(extract(model, LayerLogits(), *batch, min_forwards=3), expected)
    assert shapes == [(4, 10), (1, 1), (1, 1)]
    shapes.clear()
    assert extract(model, LayerLogits(), [], [], [], min_forwards=2).shape == (0, 2)
    assert shapes == [(1, 1), (1, 1)]
    assert num_forwards(batch[2], batch_size=3) == 2
    assert num_forwards([None, None]) == 0


def test_nothing_to_do(tiny_model):
    model = tiny_model()
    shapes = forward_shapes(model)
    nothing = extract(model, LayerLogits(3), [[1], [2]], [[3, 4], []], [None, None])
    assert nothing.shape == (2, 3)
    assert np.isnan(nothing).all()
    assert extract(model, PooledLogits(), [], [], []).shape == (0, 16)
    assert shapes == []


def test_modes_and_random_numbers_are_left_alone(tiny_model, batch):
    model = tiny_model("gpt2")  # has dropout everywhere
    expected = extract(model, LayerLogits("all"), *batch)
    model.train()
    model.transformer.h[1].eval()  # a part that the user has frozen
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    np.testing.assert_array_equal(extract(model, LayerLogits("all"), *batch), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("patched", [False, True])
def test_the_forward_is_put_back(patched, tiny_model, batch):
    model = tiny_model()
    if patched:
        add_fused_lm_head(model)
    before = model.__dict__.get("forward")
    extract(model, LayerLogits(), *batch)
    assert model.__dict__.get("forward") is before
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2, 41)
    model.base_model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError()))
    model.train()
    with pytest.raises(MemoryError):
        extract(model, LayerLogits(), *batch)
    assert model.__dict__.get("forward") is before
    assert model.training


def test_wrappers_are_entered_from_outside(tiny_model, batch):
    class Wrapper(torch.nn.Module):
        """Like DDP or DeepSpeed: its own forward must run, as it makes the weights ready."""

        def __init__(self, module):
            super().__init__()
            self.module = module
            self.calls = 0

        def forward(self, **inputs):
            self.calls += 1
            return self.module(**inputs)

    model = tiny_model()
    expected = extract(model, LayerLogits(), *batch)
    wrapper = Wrapper(model)
    np.testing.assert_array_equal(
        extract(wrapper, LayerLogits(), *batch, batch_size=2),
        extract(model, LayerLogits(), *batch, batch_size=2),
    )
    assert wrapper.calls == 2
    assert expected.shape == (5, 2)


def test_bad_input(tiny_model):
    model = tiny_model()
    with pytest.raises(ValueError, match="2 prompts, 1 completions and 1 answers"):
        extract(model, LayerLogits(), [[1], [2]], [[3, 4]], [None])
    for answer in (AnswerPosition(1, 4), AnswerPosition(-1, 3), AnswerPosition(0, 5)):
        with pytest.raises(ValueError, match=r"row 0 has (position -?1 of 2 tokens|target 5, but the token .* is 4)"):
            extract(model, LayerLogits(), [[1]], [[3, 4]], [answer])
    for end in (0, 2):
        with pytest.raises(ValueError, match=f"row 0 has position 0 and end {end} of 2 tokens; allowed"):
            extract(model, LayerLogits(), [[1]], [[3, 4]], [AnswerPosition(0, 4, end)])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        extract(model, LayerLogits(), [[1]], [[3, 4]], [None], batch_size=0)
