"""Models that can be hooked, and sentences for those that cannot."""

from __future__ import annotations

import pytest
import torch
import transformers

from meds_rl.fingerprint import find_backbone


@pytest.mark.parametrize(
    ("name", "path"), [("llama", "model.layers"), ("gpt2", "transformer.h"), ("opt", "model.decoder.layers")]
)
def test_layers_are_found(name, path, tiny_model):
    model = tiny_model(name)
    backbone = find_backbone(torch.nn.Sequential(model))
    assert backbone.model is model
    assert backbone.body is model.base_model
    assert list(backbone.layers) == list(model.get_submodule(path))
    assert backbone.num_layers == 5
    assert backbone.hidden_size == 16


def test_not_a_transformers_model():
    with pytest.raises(ValueError, match="no transformers PreTrainedModel found in Linear"):
        find_backbone(torch.nn.Linear(2, 2))


def test_no_head(tiny_model):
    with pytest.raises(ValueError, match="Qwen2Model has no unembedding on top"):
        find_backbone(tiny_model("qwen2").model)


def test_layers_of_another_name(tiny_model):
    model = tiny_model("llama")
    model.model.stages = model.model.layers
    del model.model.layers
    with pytest.raises(ValueError, match=r"no decoder layers that can be hooked: .* layers, h, blocks.* = 5 .*none"):
        find_backbone(model)


def test_layers_of_another_number(tiny_model):
    model = tiny_model("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(ValueError, match=r"num_hidden_layers = 7 entries, found layers \(5\)"):
        find_backbone(model)


def test_encoder_decoder():
    config = transformers.T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    with pytest.raises(ValueError, match="encoder-decoder"):
        find_backbone(transformers.T5ForConditionalGeneration(config))
