"""Recording from forwards that the engine runs: TRL's fused one, chunks, padding, adapters, checkpointing."""

from __future__ import annotations

import numpy as np
import peft
import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from meds_rl.fingerprint import (
    AnswerStates,
    LayerLogits,
    PooledLogits,
    Where,
    WorkingStates,
    extract,
    record,
)


def padded(batch, side):
    """Input ids, attention mask and places, padded on the left, on the right, or as TRL does (both)."""
    prompts, completions, answers = batch
    P, C = max(map(len, prompts)), max(map(len, completions))
    rows, starts, prompt_starts = [], [], []
    for prompt, completion in zip(prompts, completions, strict=True):
        gap = [0] * (P - len(prompt)), [0] * (C - len(completion))
        if side == "left":
            rows.append(gap[0] + gap[1] + prompt + completion)
        elif side == "right":
            rows.append(prompt + completion + gap[0] + gap[1])
        else:
            rows.append(gap[0] + prompt + completion + gap[1])
        starts.append({"left": P + C - len(completion), "right": len(prompt), "both": P}[side])
        prompt_starts.append(starts[-1] - len(prompt))
    ids = torch.tensor(rows)
    lengths = [len(c) for c in completions]
    where = Where.from_answers(answers, starts=starts, lengths=lengths, width=P + C, prompt_starts=prompt_starts)
    return ids, (ids != 0).long(), where  # 0 is used for padding only


def count_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("fingerprint", [LayerLogits("all"), PooledLogits(), AnswerStates(), WorkingStates()])
@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma2"])
def test_padding_on_either_side(name, side, fingerprint, tiny_model, batch):
    model = tiny_model(name)
    expected = extract(model, fingerprint, *batch, batch_size=1)
    ids, mask, where = padded(batch, side)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    with torch.no_grad(), record(model, fingerprint, where) as recorder:
        model(input_ids=ids, attention_mask=mask, position_ids=positions)
    np.testing.assert_allclose(recorder.features(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fingerprint", [LayerLogits("all"), AnswerStates(), WorkingStates()])
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_trl_fused_forward_in_chunks(chunk, fingerprint, tiny_model, batch):
    model = tiny_model("qwen3")
    expected = extract(model, fingerprint, *batch)
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    ids, mask, where = padded(batch, "both")
    labels = ids.masked_fill(mask == 0, -100)
    silent = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    model.train()
    with record(model, fingerprint, where) as recorder:
        outputs = [
            model(
                input_ids=ids[i : i + chunk],
                attention_mask=mask[i : i + chunk],
                labels=labels[i : i + chunk],
                fused_lm_head=True,
            )
            for i in range(0, 5, chunk)
        ]
    np.testing.assert_allclose(recorder.features(), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(torch.cat([o.log_probs for o in outputs]), silent.log_probs)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_and_gradients(reentrant, tiny_model, batch):
    ids, mask, where = padded(batch, "both")

    def gradients(listen):
        model = tiny_model("llama")
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
        model.train()
        if not listen:
            model(input_ids=ids, attention_mask=mask, use_cache=False).logits.square().mean().backward()
            return model, None
        with record(model, LayerLogits("all"), where) as recorder:
            loss = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.square().mean()
            loss.backward()  # runs the layers again, inside the context
        return model, recorder.features()

    plain, _ = gradients(listen=False)
    heard, features = gradients(listen=True)
    np.testing.assert_allclose(features, extract(plain, LayerLogits("all"), *batch), rtol=1e-3, atol=1e-3)
    for a, b in zip(plain.parameters(), heard.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)


def with_lora(model, **options):
    """A LoRA model whose adapter does something (a fresh one multiplies by zero)."""
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"], **options)
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    return adapted.eval()


@pytest.mark.parametrize("fused", [False, True])
def test_lora_is_heard(fused, tiny_model, batch, plain_layer_logits):
    base = tiny_model("qwen2")
    without = extract(base, LayerLogits("all"), *batch)
    if fused:
        add_fused_lm_head(base)
    model = with_lora(base)
    ids, mask, where = padded(batch, "both")
    extra = {"labels": ids, "fused_lm_head": True} if fused else {}
    with torch.no_grad(), record(model, LayerLogits("all"), where) as recorder:
        model(input_ids=ids, attention_mask=mask, **extra)
    features = recorder.features()
    np.testing.assert_allclose(extract(model, LayerLogits("all"), *batch), features, rtol=1e-3, atol=1e-3)
    for row, (prompt, completion, answer) in enumerate(zip(*batch, strict=True)):
        if answer is not None:
            expected = plain_layer_logits(model, prompt, completion, answer.position)
            np.testing.assert_allclose(features[row], expected, rtol=1e-3, atol=1e-3)
            assert np.abs(features[row] - without[row]).max() > 0.01


def test_autocast_reaches_the_states_but_not_the_products(tiny_model, batch):
    model = tiny_model("llama")
    ids, mask, where = padded(batch, "both")
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        with record(model, LayerLogits("all"), where) as recorder:
            model(input_ids=ids, attention_mask=mask)
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    rows = torch.arange(5)
    W_t = model.lm_head.weight.detach()[where.target_ids]
    expected = torch.stack([(h[rows, where.positions].float() * W_t).sum(dim=1) for h in states[1:]], dim=1)
    expected[2] = torch.nan
    np.testing.assert_allclose(recorder.features(), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_a_fingerprint_is_read_without_autocast_and_gradient(tiny_model, batch):
    class Projected(Broken):
        """A matrix product, which autocast would round to bfloat16."""

        def read(self, hidden, where, head):
            product = hidden[:, 0].float() @ torch.ones(16, 2)
            assert product.dtype == torch.float32
            assert not product.requires_grad
            return product

    model = tiny_model("llama")
    ids, mask, where = padded(batch, "both")
    with torch.autocast("cpu", dtype=torch.bfloat16), record(model, Projected(), where) as recorder:
        model(input_ids=ids, attention_mask=mask)
    assert recorder.features().shape == (5, 2)


def test_no_hidden_states_and_no_logits_are_asked_for(tiny_model, batch):
    model = tiny_model("llama")
    model.lm_head.register_forward_pre_hook(lambda *_: pytest.fail("the head ran over the vocabulary"))
    assert extract(model, LayerLogits(), *batch).shape == (5, 2)


class Broken:
    """A fingerprint that announces two numbers and makes one."""

    name = "broken"
    reads_completion = False

    def layers(self, num_layers):
        return [1]

    def num_features(self, num_layers, hidden_size):
        return 2

    def read(self, hidden, where, head):
        return hidden[:, 0, :1]

    def combine(self, kept):
        return kept[0]


def test_errors_are_clear_and_leave_no_hooks(tiny_model, batch):
    model = tiny_model("llama")
    ids, mask, where = padded(batch, "both")
    before = count_hooks(model)

    with record(model, LayerLogits(), where):
        model(input_ids=ids, attention_mask=mask)
        with pytest.raises(ValueError, match="10 rows so far, only 5 announced"):
            model(input_ids=ids, attention_mask=mask)
    assert count_hooks(model) == before

    with (
        pytest.raises(ValueError, match="rows announced have 16 columns"),
        record(model, LayerLogits(), where),
    ):
        model(input_ids=ids[:, 1:], attention_mask=mask[:, 1:])
    assert count_hooks(model) == before

    with pytest.raises(ValueError, match=r"'broken' made features of shape \(4, 1\), announced \(4, 2\)"):
        extract(model, Broken(), *batch)
    assert count_hooks(model) == before

    with pytest.raises(KeyError, match="engine"), record(model, LayerLogits(), where):
        raise KeyError("engine")
    assert count_hooks(model) == before

    with pytest.raises(ValueError, match="asks for 9 layers"), record(model, LayerLogits(9), where):
        pass
    assert count_hooks(model) == before

    with record(model, LayerLogits(), where) as recorder:
        model(input_ids=ids[:3], attention_mask=mask[:3])
    with pytest.raises(ValueError, match="5 rows were announced, 3 went through"):
        recorder.features()
    with record(model, LayerLogits(), where) as recorder:  # works again after all this
        model(input_ids=ids, attention_mask=mask)
    assert recorder.features().shape == (5, 2)
    assert count_hooks(model) == before


def test_an_interrupted_forward_does_not_confuse_the_next(tiny_model, batch):
    model = tiny_model("llama")
    ids, mask, where = padded(batch, "both")
    expected = extract(model, LayerLogits("all"), *batch)
    with record(model, LayerLogits("all"), where) as recorder, torch.no_grad():
        handle = model.model.layers[3].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            model(input_ids=ids, attention_mask=mask)
        handle.remove()
        model(input_ids=ids, attention_mask=mask)  # the engine tries again, say with less in memory
    np.testing.assert_allclose(recorder.features(), expected, rtol=1e-3, atol=1e-3)


def test_no_rows(tiny_model):
    where = Where.from_answers([], starts=[], lengths=[], width=4)
    with record(tiny_model(), LayerLogits(3), where) as recorder:
        pass
    assert recorder.features().shape == (0, 3)


def test_where_is_checked():
    ones = torch.ones(2, dtype=torch.int64)
    mask = torch.ones(2, 3, dtype=torch.bool)
    good = {
        "positions": ones,
        "target_ids": ones,
        "completion_mask": mask,
        "has_answer": ones.bool(),
        "ends": ones,
    }
    assert len(Where(**good)) == 2
    with pytest.raises(ValueError, match="completion_mask must be"):
        Where(**good | {"completion_mask": mask[0]})
    with pytest.raises(ValueError, match=r"target_ids must be \(2,\)"):
        Where(**good | {"target_ids": ones[:1]})
    with pytest.raises(ValueError, match=r"ends must be \(2,\)"):
        Where(**good | {"ends": ones[:1]})
    with pytest.raises(ValueError, match="positions must be 0 to 2"):
        Where(**good | {"positions": 3 * ones})
    with pytest.raises(ValueError, match="ends must be 0 to 2"):
        Where(**good | {"ends": -ones})
