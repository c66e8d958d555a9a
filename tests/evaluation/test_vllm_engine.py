"""The vLLM engine against a stand-in: what it is called with, and what is made of its answer."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from meds_rl.evaluation.engines import VLLMEngine
from meds_rl.evaluation.sampling import Completion, SamplingSettings


@pytest.fixture
def calls(monkeypatch):
    """A module `vllm` with the part of vLLM's interface that is used; notes its calls."""
    seen = SimpleNamespace(options=None, prompts=None, params=None, rest=None)

    class LLM:
        def __init__(self, **options):
            seen.options = options

        def get_tokenizer(self):
            return lambda text: {"input_ids": [ord(letter) for letter in text]}

        def generate(self, prompts, sampling_params=None, **rest):
            seen.prompts, seen.params, seen.rest = prompts, sampling_params, rest
            ends = ["stop", "length"]
            outputs = [
                SimpleNamespace(text=f"t{i}", token_ids=(i, 9), finish_reason=ends[i % 2]) for i in range(len(prompts))
            ]
            return [SimpleNamespace(outputs=[output]) for output in outputs]

    module = ModuleType("vllm")
    module.LLM = LLM
    module.SamplingParams = lambda **settings: settings
    monkeypatch.setitem(sys.modules, "vllm", module)
    return seen


def test_what_vllm_is_called_with(calls):
    engine = VLLMEngine("some/model", seed=3)
    assert calls.options == {"model": "some/model", "seed": 3}
    ids = engine.encode("ab")
    found = engine.sample([ids, ids], SamplingSettings(5, temperature=0.7, top_p=0.9), seed=11)
    assert calls.prompts == [{"prompt_token_ids": [97, 98]}] * 2
    assert [{**params, "seed": None} for params in calls.params] == [
        {"max_tokens": 5, "temperature": 0.7, "top_p": 0.9, "seed": None}
    ] * 2
    assert calls.params[0]["seed"] != calls.params[1]["seed"], "samples of one problem must differ"
    assert calls.rest == {"use_tqdm": False}
    assert found == [Completion("t0", [0, 9], True), Completion("t1", [1, 9], False)]


def test_without_vllm_the_pip_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ImportError, match="pip install vllm"):
        VLLMEngine("some/model")
