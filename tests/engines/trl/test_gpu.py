"""On a CUDA device: fingerprints, training in bfloat16, going on from a checkpoint. `make test-gpu` runs them."""

import numpy as np
import pytest
import torch

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.fingerprint import NAMES, extract, make_fingerprint
from meds_rl.tasks.pocket import load_pocket_model

from .conftest import even_length, third_token, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ON_GPU = {"use_cpu": False, "max_steps": 4, "save_strategy": "steps", "save_steps": 2}


@pytest.mark.parametrize("name", NAMES)
def test_fingerprints_are_those_of_the_cpu(name):
    model, tokenizer = load_pocket_model()
    generator = torch.Generator().manual_seed(0)
    prompts = [tokenizer("12 * 8 - 35")["input_ids"]] * 12
    completions = [torch.randint(3, len(tokenizer), (20 + row,), generator=generator).tolist() for row in range(12)]
    answers = [third_token(ids, tokenizer) for ids in completions]
    fingerprint = make_fingerprint(name)
    there = extract(model.cuda(), fingerprint, prompts, completions, answers, batch_size=5)
    here = extract(model.cpu(), fingerprint, prompts, completions, answers, batch_size=5)
    assert there.shape == here.shape
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("fields", [{"preset": "paper"}, {"preset": "recommended"}], ids=["paper", "recommended"])
def test_training_fills_the_memory_and_goes_on(model_path, dataset, make_config, tmp_path, fields, bf16):
    def config(name):
        return make_config(output_dir=str(tmp_path / name), bf16=bf16, **ON_GPU, **fields)

    whole = train(model_path, dataset, config("whole"))
    assert whole.model.device.type == "cuda"
    entries = [whole.memory.entry(prompt) for prompt in whole.memory.prompt_ids]
    assert entries
    assert all(np.isfinite(entry.vectors).all() for entry in entries)
    resumed = MEDSTrainer(model_path, even_length, config("resumed"), dataset, answer_finder=third_token)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert resumed.state.global_step == 4
    assert resumed.memory.step == whole.memory.step
