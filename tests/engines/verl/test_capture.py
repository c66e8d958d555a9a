"""Hooks around an engine's forward, on a double of the engine: what is added, and that nothing stays behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("verl")

import transformers
from capture_rows import ROWS, Row, ids, save_model, tensors
from tensordict import NonTensorData, TensorDict

from meds_rl.engines.verl.fingerprints import FingerprintSource, features_from
from meds_rl.fingerprint import Fingerprint, LayerLogits, answer_finder, extract
from meds_rl.tasks.pocket.model import load_pocket_tokenizer

pytestmark = pytest.mark.verl


class Engine:
    """As much of verl's engine as the capture asks for: one micro-batch, padded on the right."""

    ulysses_parallel_group = None
    ulysses_sequence_parallel_size = 1
    pad_to_length = False
    pad_to_length_bucket = 1024

    def __init__(self, module: Any) -> None:
        self.module = module
        self.fails = False

    def forward_step(self, micro_batch: Any, loss_function: Any, forward_only: bool) -> Any:
        if self.fails:
            raise RuntimeError("out of memory")
        padded = torch.nested.to_padded_tensor(micro_batch["input_ids"], 0.0)
        lengths = micro_batch["input_ids"].offsets().diff()
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        with torch.no_grad():
            output = self.module(input_ids=padded, attention_mask=mask)
        return 0.0, {"model_output": {"log_probs": output.logits}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_model(tmp_path_factory.mktemp("model"), tied=False)
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def _data(rows: list[Row]) -> TensorDict:
    return TensorDict({**tensors(rows), "use_remove_padding": NonTensorData(False)}, batch_size=len(rows))


def _capture(engine: Engine, fingerprint: Fingerprint | None = None) -> FingerprintSource:
    return FingerprintSource(engine, fingerprint or LayerLogits("all"), answer_finder("boxed"), load_pocket_tokenizer())


def _num_hooks(model: Any) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_adds_one_key_to_the_output_and_leaves_the_rest(model: Any) -> None:
    rows = [row for row in ROWS if not row.written]
    data, engine = _data(rows), Engine(model)
    _, plain = engine.forward_step(data, None, forward_only=True)
    with _capture(engine).recording(data):
        _, output = engine.forward_step(data, None, forward_only=True)
    assert torch.equal(output["model_output"]["log_probs"], plain["model_output"]["log_probs"])
    find, tokenizer = answer_finder("boxed"), load_pocket_tokenizer()
    completions = [ids(row.completion) for row in rows]
    expected = extract(
        model,
        LayerLogits("all"),
        [ids(row.prompt) for row in rows],
        completions,
        [find(completion, tokenizer) for completion in completions],
    )
    np.testing.assert_allclose(features_from(output["model_output"]), expected, rtol=1e-4, atol=1e-4)
    has_answer = [row.answer is not None for row in rows]
    assert (~np.isnan(features_from(output["model_output"])).any(axis=1)).tolist() == has_answer


def test_nothing_is_added_outside_of_the_context(model: Any) -> None:
    data, engine = _data(ROWS), Engine(model)
    keys = set(data.keys())
    with _capture(engine).recording(data):
        pass
    _, output = engine.forward_step(data, None, forward_only=True)
    assert set(output["model_output"]) == {"log_probs"}
    assert set(data.keys()) == keys
    assert _num_hooks(model) == 0


def test_nothing_stays_behind_after_an_error(model: Any) -> None:
    data, engine = _data(ROWS), Engine(model)
    keys = set(data.keys())
    engine.fails = True
    with pytest.raises(RuntimeError, match="out of memory"), _capture(engine).recording(data):
        engine.forward_step(data, None, forward_only=True)
    assert "forward_step" not in vars(engine)
    assert set(data.keys()) == keys
    assert _num_hooks(model) == 0


def test_a_batch_without_answers_gives_nothing_but_nan(model: Any) -> None:
    data, engine = _data([Row("7", "12"), Row("7", "")]), Engine(model)
    with _capture(engine).recording(data):
        _, output = engine.forward_step(data, None, forward_only=True)
    features = features_from(output["model_output"])
    assert features.shape == (2, 4)
    assert np.isnan(features).all()


def test_check_asks_for_layers_that_are_there(model: Any) -> None:
    _capture(Engine(model)).check()
    with pytest.raises(ValueError, match="asks for 5 layers of a model that has 4"):
        _capture(Engine(model), LayerLogits(5)).check()
    with pytest.raises(ValueError, match="no transformers PreTrainedModel"):
        _capture(Engine(torch.nn.Linear(2, 2))).check()


def test_check_refuses_models_that_read_images() -> None:
    text = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 16}
    text |= {"num_key_value_heads": 1, "vocab_size": 40, "head_dim": 8}
    config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision)
    with torch.device("meta"):
        model = transformers.Qwen3VLForConditionalGeneration(config)
    with pytest.raises(ValueError, match="text-only"):
        _capture(Engine(model)).check()


@pytest.mark.parametrize("num_features", [1, 3])
@pytest.mark.parametrize("layout", ["dense", "jagged", "jagged with one more axis"])
def test_features_come_back_as_they_went(num_features: int, layout: str) -> None:
    features = torch.arange(4.0 * num_features).reshape(4, num_features)
    features[2] = torch.nan
    tensor = features
    if layout == "jagged":
        tensor = torch.nested.as_nested_tensor(list(features), layout=torch.jagged)
    elif layout == "jagged with one more axis":
        tensor = torch.nested.as_nested_tensor([row[:, None] for row in features], layout=torch.jagged)
    found = features_from({"meds_features": tensor})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, features.numpy())


def test_features_of_two_lengths_are_refused() -> None:
    tensor = torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    with pytest.raises(ValueError, match=r"one length, got \[2, 3\]"):
        features_from({"meds_features": tensor})
