"""A tiny random model and a data set for the TRL adapter's tests. Nothing is downloaded."""

import itertools
import logging
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate import PartialState
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint import AnswerPosition
from meds_rl.rollouts import RunFolder


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a 4-layer Qwen3 of 16 hidden units and a tokenizer of 24 one-letter words."""
    folder = tmp_path_factory.mktemp("tiny")
    letters = [chr(ord("a") + i) for i in range(20)]
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", " ", *letters])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    config = Qwen3Config(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def dataset() -> Dataset:
    """Eight prompts, each with an id."""
    prompts = ["abc", "bcd", "cde", "def", "efg", "fgh", "ghi", "hij"]
    return Dataset.from_dict({"prompt": prompts, "prompt_id": [f"p{i}" for i in range(8)]})


def even_length(completion_ids, **_):
    """Right where the completion has an even number of tokens: about half of a random model's are."""
    return [float(sum(ids) % 2 == 0) for ids in completion_ids]


def mostly_wrong(completion_ids, **_):
    """Right for about one completion in eight, so that some groups are all wrong."""
    return [float(sum(ids) % 8 == 0) for ids in completion_ids]


def third_token(completion_ids, _tokenizer):
    """An answer's place for a model that writes no ``\\boxed``: short completions have no answer."""
    return AnswerPosition(2, completion_ids[3]) if len(completion_ids) > 3 else None


def train(model_path, dataset, args, reward=even_length, **kwargs) -> MEDSTrainer:
    """A trainer that has trained."""
    trainer = MEDSTrainer(model_path, reward, args, dataset, answer_finder=third_token, **kwargs)
    trainer.train()
    return trainer


def parameters(trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def assert_same_bits(ours, theirs) -> None:
    ours, theirs = parameters(ours), parameters(theirs)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@pytest.fixture
def make_config(tmp_path: Path):
    """Small, CPU-only, deterministic training arguments."""

    numbers = itertools.count()

    def make(**fields) -> MEDSConfig:
        defaults = {
            "method": "meds",
            "output_dir": str(tmp_path / f"run-{next(numbers)}"),
            "per_device_train_batch_size": 16,
            "num_generations": 4,
            "max_completion_length": 12,
            "overlong_buffer": 0,
            "learning_rate": 1e-2,
            "max_steps": 3,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "disable_tqdm": True,
            "seed": 7,
        }
        return MEDSConfig(**{**defaults, **fields})

    return make


# ---- TRL's own trainer and ours, with the same arguments. ----

FIELDS = {
    "per_device_train_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 12,
    "learning_rate": 1e-2,
    "max_steps": 3,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "disable_tqdm": True,
    "seed": 7,
}


def length(completion_ids, **_):
    """A reward that knows no right or wrong."""
    return [float(len(ids)) / 4 for ids in completion_ids]


def rollouts_of(trainer) -> pd.DataFrame:
    return RunFolder(trainer.args.output_dir).rollouts()


def warnings_of(caplog, logger="meds_rl") -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith(logger) and r.levelno >= logging.WARNING]


def by_trl(model, reward, folder: Path, dataset, *positional, **fields) -> GRPOTrainer:
    """TRL's own trainer, trained."""
    arguments = fields.pop("arguments", {})
    args = GRPOConfig(str(folder), **{**FIELDS, **fields})
    trainer = GRPOTrainer(model, reward, args, dataset, *positional, **arguments)
    trainer.train()
    return trainer


def by_us(model, reward, folder: Path, dataset, *, config=MEDSConfig, **fields) -> MEDSTrainer:
    """Ours with method "trl", which is the default, and a memory that only watches."""
    arguments = {"answer_finder": third_token, **fields.pop("arguments", {})}
    more = {"meds_alpha": 0.0} if config is MEDSConfig else {}
    args = config(str(folder), **{**FIELDS, **more, **fields})
    trainer = MEDSTrainer(model, reward, args, dataset, **arguments)
    trainer.train()
    return trainer


def chats(*texts, **columns) -> Dataset:
    return Dataset.from_dict({"prompt": [[{"role": "user", "content": text}] for text in texts], **columns})


@pytest.fixture
def quiet(monkeypatch):
    """No word of TRL about experiments; loggers know their process."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    PartialState(cpu=True)
