"""Tools, and environments with their own rewards and prompts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from meds_rl.engines.trl import MEDSTrainer

from .conftest import chats, rollouts_of

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def chat_path(tmp_path_factory) -> str:
    """A 2-layer Qwen3 with a token for each ASCII character and a chat template with tools."""
    folder = tmp_path_factory.mktemp("chat")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    plain = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
    characters = ["\n", *map(chr, range(32, 127))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *plain, *characters])}, "#"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_tokens([AddedToken(word, special=word in special, normalized=False) for word in [*special, *plain]])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    templates = Path(__import__("trl").__file__).parent / "chat_templates"
    tokenizer.chat_template = (templates / "qwen3.jinja").read_text()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=4096,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def multiply(a: int, b: int) -> str:
    """
    Multiply two numbers.

    Args:
        a: a number.
        b: a number.

    Returns:
        The product, in a box.
    """
    return "\\boxed{" + str(a * b) + "}"


CALL = '<tool_call>\n{"name": "multiply", "arguments": {"a": 3, "b": 4}}\n</tool_call>'


def speak_by_script(trainer, script):
    """Replace the model's generation: ``script(row, prompt)`` is what it writes."""

    def generate(prompt_ids, *_args, **_kwargs):
        tokenizer = trainer.processing_class
        texts = [script(row, tokenizer.decode(ids)) for row, ids in enumerate(prompt_ids)]
        return [tokenizer(text + "<|im_end|>")["input_ids"] for text in texts], None

    trainer._generate_single_turn = generate


@pytest.mark.parametrize("method", ["trl", "dapo", "meds"])
def test_what_only_a_tool_wrote_is_not_the_models_answer(chat_path, make_config, method):
    def said_seven(completions, **_):
        return [float("7" in turns[-1]["content"]) for turns in completions]

    def script(row, prompt):
        if "<tool_response>" not in prompt:
            return CALL
        return "\\boxed{7}" if row % 2 else "I do not know."

    args = make_config(method=method, max_completion_length=400, max_steps=1)
    questions = chats(*(f"3 * {i}?" for i in range(8)))
    trainer = MEDSTrainer(chat_path, said_seven, args, questions, tools=[multiply])
    speak_by_script(trainer, script)
    trainer.train()
    rollouts = rollouts_of(trainer)
    assert len(rollouts) == 16
    assert rollouts["answer"].fillna("").tolist() == ["", "7"] * 8, "12 is the tool's"
    assert rollouts["is_correct"].tolist() == [False, True] * 8
    assert not rollouts["completion"].str.contains("12").any()
    assert trainer.state.log_history[0]["tools/call_frequency"] == 1
    assert trainer.state.log_history[0]["tools/failure_frequency"] == 0
    if trainer.memory is not None:
        vectors = trainer._batch.features
        assert np.isnan(vectors[::2]).all()


class Riddle:
    """An environment that sets the task and grades it."""

    def reset(self, task="?", **_) -> str:
        self.task = task
        return f" Riddle {task}."

    def guess(self, number: int) -> str:
        """
        Guess the number.

        Args:
            number: the guess.

        Returns:
            Whether it is right.
        """
        return "no"

    def get_reward(self) -> float:
        return 5.5


class Binary(Riddle):
    """Right for every second instance."""

    count = 0

    def __init__(self):
        Binary.count += 1
        self.number = Binary.count

    def get_reward(self) -> float:
        return float(self.number % 2)


def environment_trainer(chat_path, args, reward, data, factory, **arguments) -> MEDSTrainer:
    trainer = MEDSTrainer(chat_path, reward, args, data, environment_factory=factory, **arguments)
    speak_by_script(trainer, lambda row, _prompt: f"I say \\boxed{{{row % 3}}}")
    trainer.train()
    return trainer


@pytest.mark.parametrize("method", ["trl", "grpo"])
def test_the_reward_of_an_environment_stays_as_it_is(chat_path, make_config, method):
    args = make_config(
        method=method, overlong_buffer=4 if method == "trl" else 0, max_completion_length=60, max_steps=2
    )
    for reward, total in ((None, 5.5), (lambda completions, **_: [1.0] * len(completions), 6.5)):
        args.output_dir += "x"
        trainer = environment_trainer(chat_path, args, reward, None, Riddle)  # without a data set
        for row in trainer.state.log_history[:2]:
            assert row["rewards/Riddle/mean"] == 5.5
            assert row["reward"] == total
            assert row.get("rewards/meds_penalty/mean", 0.0) == 0.0
        assert trainer.reward_func_names[-1] == "Riddle"
        assert trainer.reward_weights.tolist() == [1.0] * len(trainer.reward_funcs)
        assert (trainer._batch.rewards == total).all(), "rows that only the environment grades count, too"


def test_what_an_environment_has_set_tells_prompts_apart(chat_path, make_config):
    data = chats("Solve it.", "Solve it.", "Solve it.", "Solve it.", task=["a", "b", "a", "b"])
    args = make_config(method="trl", max_completion_length=60, max_steps=3, meds_anneal=[1, 1])
    trainer = environment_trainer(chat_path, args, None, data, Binary)
    rollouts = rollouts_of(trainer)
    assert trainer._correctness.known
    assert rollouts["is_correct"].nunique() == 2
    assert rollouts.groupby("prompt_id")["prompt"].nunique().eq(1).all()
    assert sorted(rollouts["prompt"].str.extract("Riddle (.)")[0].unique()) == ["a", "b"]
    assert len(trainer.memory.prompt_ids) == 2
    assert (rollouts["penalty"] > 0).any()
    rewards = [row["rewards/Binary/mean"] for row in trainer.state.log_history if "loss" in row]
    assert rewards == rollouts.groupby("generation")["is_correct"].mean().tolist()


def test_a_data_set_without_prompts_routes_to_environments(chat_path, make_config):
    data = Dataset.from_dict({"environment": ["riddle", "binary"] * 4})
    fields = {"fingerprint": "answer_string", "max_completion_length": 60}
    args = make_config(method="trl", **fields)
    trainer = environment_trainer(
        chat_path, args, None, data, {"riddle": Riddle, "binary": Binary}, correctness="Binary"
    )
    graded = trainer._batch.is_graded
    assert graded.any()
    assert (trainer._batch.rewards[~graded] == 5.5).all()
    assert len(trainer.memory) > 0


def test_dynamic_sampling_and_missing_rewards_are_refused_with_environments(chat_path, make_config):
    with pytest.raises(
        ValueError, match=r"cannot be used with environment_factory.* Set dynamic_sampling=False, or use"
    ):
        MEDSTrainer(chat_path, None, make_config(method="dapo"), chats("x", "y", "z", "u"), environment_factory=Riddle)

    class NoReward:
        def reset(self, **_) -> None:
            return None

        def look(self) -> str:
            """
            Look around.

            Returns:
                What is there.
            """
            return "nothing"

    with pytest.raises(ValueError, match="No reward source provided"):
        MEDSTrainer(chat_path, None, make_config(method="trl"), None, environment_factory=NoReward)
