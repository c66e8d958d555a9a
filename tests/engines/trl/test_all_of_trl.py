"""What GRPOTrainer can do, MEDSTrainer can: the same bits with method "trl", and every kind of input."""

import copy
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from accelerate import PartialState
from datasets import Dataset
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3ForSequenceClassification,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint import extract
from meds_rl.rollouts import RunFolder
from meds_rl.train.recipe import load_recipe

from .conftest import assert_same_bits, even_length, parameters, third_token, train

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


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    PartialState(cpu=True)


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


# ---- method "trl": the same bits ----

TWO = [even_length, length]
SETTINGS = {
    "defaults": {},
    "several updates of a batch": {"num_iterations": 2, "max_steps": 4},
    "gradient accumulation": {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4},
    "recorded": {"per_device_train_batch_size": 8, "generation_batch_size": 16},
    "rewards with weights": {"reward_weights": [0.7, 0.3]},
    "each reward normalised": {"multi_objective_aggregation": "normalize_then_sum"},
    "batch": {"scale_rewards": "batch", "beta": 0.04},
    "dropout": {"model_init_kwargs": {"attention_dropout": 0.4}},
    "truncated": {"mask_truncated_completions": True, "epsilon_high": 0.28, "delta": 2.0},
}


@pytest.mark.long
@pytest.mark.parametrize("name", SETTINGS)
def test_method_trl_equals_grpo_trainer_to_the_last_bit(model_path, dataset, tmp_path, name):
    reward = TWO if "reward" in name else even_length
    arguments = {"correctness": "even_length"} if "reward" in name else {}
    theirs = by_trl(model_path, reward, tmp_path / "trl", dataset, **SETTINGS[name])
    ours = by_us(model_path, reward, tmp_path / "meds", dataset, arguments=arguments, **SETTINGS[name])
    assert_same_bits(ours, theirs)
    assert len(ours.memory) > 0, "the control is empty if nothing was remembered"
    theirs, ours = ([row.get("reward") for row in t.state.log_history] for t in (theirs, ours))
    assert theirs == ours


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default")
def test_completions_without_a_limit_train_as_in_trl(model_path, dataset, tmp_path):
    theirs = by_trl(model_path, even_length, tmp_path / "trl", dataset, max_completion_length=None)
    ours = by_us(model_path, even_length, tmp_path / "meds", dataset, max_completion_length=None)
    assert_same_bits(ours, theirs)


def test_a_grpo_config_is_taken_as_it_is(model_path, dataset, tmp_path):
    free = {"penalty": lambda sizes, _groups: 0.0 * sizes}
    theirs = by_trl(model_path, even_length, tmp_path / "trl", dataset)
    ours = by_us(model_path, even_length, tmp_path / "meds", dataset, config=GRPOConfig, arguments=free)
    assert_same_bits(ours, theirs)
    assert ours.args.method == "trl"
    assert len(ours.memory) > 0


@dataclass
class OwnConfig(GRPOConfig):
    judge: str = "none"

    def judged(self) -> bool:
        return self.judge != "none"


def test_a_configuration_of_ones_own_keeps_its_class(model_path, dataset, tmp_path):
    seen = []

    class Callback(TrainerCallback):
        def on_step_end(self, args, *_, **__):
            seen.append(args.judged())

    more = {"judge": "me", "save_strategy": "steps", "save_steps": 1}
    theirs = by_trl(model_path, even_length, tmp_path / "trl", dataset)
    arguments = {"callbacks": [Callback()], "penalty": lambda sizes, _groups: 0.0 * sizes}
    ours = by_us(model_path, even_length, tmp_path / "meds", dataset, config=OwnConfig, arguments=arguments, **more)
    assert_same_bits(ours, theirs)
    assert set(seen) == {True}
    saved = torch.load(tmp_path / "meds" / "checkpoint-1" / "training_args.bin", weights_only=False)
    for args in (ours.args, saved, copy.deepcopy(ours.args)):
        assert isinstance(args, OwnConfig)
        assert isinstance(args, MEDSConfig)
        assert (args.judge, args.method) == ("me", "trl")
        assert args.to_dict()["judge"] == "me"
    assert "judge: me" in (tmp_path / "meds" / "recipe.yaml").read_text()


def test_a_reward_without_right_or_wrong_trains_as_in_trl_with_one_warning(model_path, dataset, tmp_path, caplog):
    theirs = by_trl(model_path, length, tmp_path / "trl", dataset)
    ours = by_us(model_path, length, tmp_path / "meds", dataset, meds_alpha=0.1)
    assert_same_bits(ours, theirs)
    (said,) = warnings_of(caplog)
    assert "'length' is to say right or wrong, but it returned 0.25" in said
    assert "and not only 0 and 1. Set correct_above" in said
    assert (rollouts_of(ours)["penalty"] == 0).all()


def test_groups_without_a_penalty_keep_trls_advantages(model_path, dataset, make_config):
    trainer = train(model_path, dataset, make_config(method="trl", max_steps=6, meds_anneal=[1, 1]))
    plain, penalised = 0, 0
    for _, group in rollouts_of(trainer).groupby(["generation", "prompt_id"]):
        if (group["penalty"] > 0).any():
            penalised += 1
            continue
        plain += 1
        reward = torch.tensor(group["reward"].to_numpy(), dtype=torch.float32)
        expected = (reward - reward.mean()) / (reward.std() + 1e-4)
        np.testing.assert_allclose(group["advantage"], expected, atol=1e-6)
    assert plain
    assert penalised


# ---- a model in memory ----


def test_a_model_without_a_name_is_its_own_reference(model_path, dataset, tmp_path, caplog):
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    nameless = Qwen3ForCausalLM.from_pretrained(model_path)
    nameless.config._name_or_path = ""
    arguments = {"processing_class": tokenizer}
    theirs = by_trl(model_path, even_length, tmp_path / "trl", dataset, beta=0.1)
    ours = by_us(nameless, even_length, tmp_path / "meds", dataset, beta=0.1, arguments=arguments)
    assert_same_bits(ours, theirs)
    assert any("The reference model is a copy of the given one" in said for said in warnings_of(caplog))
    reference = Qwen3ForCausalLM.from_pretrained(model_path)
    for name, value in ours.ref_model.named_parameters():
        assert torch.equal(value, reference.get_parameter(name))
        assert not value.requires_grad


def test_a_model_in_memory_that_has_a_name_keeps_trls_reference(model_path, dataset, tmp_path, caplog):
    theirs, ours = (
        run(Qwen3ForCausalLM.from_pretrained(model_path), even_length, tmp_path / run.__name__, dataset, beta=0.1)
        for run in (by_trl, by_us)
    )
    assert_same_bits(ours, theirs)
    assert not any("reference" in said for said in warnings_of(caplog))


# ---- rewards ----


def test_a_reward_model_keeps_its_processing_class(model_path, dataset, make_config):
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    config = Qwen3Config.from_pretrained(model_path)
    config.num_labels = 1
    judge = Qwen3ForSequenceClassification(config)
    for method in ("trl", "meds", "dapo"):
        trainer = train(
            model_path,
            dataset,
            make_config(method=method, max_steps=1, overlong_buffer=4),
            [judge, even_length],
            reward_processing_classes=[tokenizer, None],
            correctness="even_length",
        )
        assert trainer.reward_processing_classes[0] is tokenizer
        assert len(trainer.reward_processing_classes) == len(trainer.reward_funcs) == 2, "ours are no functions"


@pytest.mark.parametrize("method", ["trl", "grpo", "dapo", "meds"])
def test_trl_warns_of_completions_without_a_reward(model_path, dataset, make_config, caplog, method):
    def sometimes_none(completion_ids, **_):
        return [None if ids[0] % 2 else float(sum(ids) % 2) for ids in completion_ids]

    args = make_config(method=method, dynamic_sampling=False, overlong_buffer=4, max_steps=1)
    train(model_path, dataset, args, sometimes_none)
    assert any("All reward functions returned None" in said for said in warnings_of(caplog, "trl"))


def test_a_verdict_does_not_hide_that_a_completion_has_no_reward(model_path, dataset, make_config, caplog):
    def sometimes_none(completion_ids, **_):
        return [None if ids[0] % 2 else 1.0 for ids in completion_ids]

    trainer = train(
        model_path, dataset, make_config(method="trl", max_steps=1), sometimes_none, correctness=even_length
    )
    without = int(np.isnan(trainer._batch.rewards).sum())
    assert 0 < without < 16
    assert f"All reward functions returned None for {without} of 16 completions" in "".join(warnings_of(caplog))


@pytest.mark.parametrize("value", [float("inf"), -float("inf")])
def test_an_infinite_reward_trains_as_in_trl(model_path, dataset, tmp_path, value):
    def sometimes_infinite(completion_ids, **_):
        return [value if sum(ids) % 5 == 0 else float(sum(ids) % 2) for ids in completion_ids]

    theirs = by_trl(model_path, sometimes_infinite, tmp_path / "trl", dataset)
    if any(value.isnan().any() for value in parameters(theirs).values()):
        pytest.skip("this TRL trains to NaN")
    arguments = {"correctness": even_length}
    ours = by_us(model_path, sometimes_infinite, tmp_path / "meds", dataset, arguments=arguments)
    assert_same_bits(ours, theirs)
    rollouts = rollouts_of(ours)
    infinite = rollouts["reward"].isna()  # as it is read back
    assert infinite.any()
    assert (rollouts.loc[infinite, "reason"] == "not_graded").all()
    assert (rollouts.loc[infinite, "advantage"] == 0).all()
    assert all(row["rewards/meds_penalty/mean"] == 0 for row in ours.state.log_history if "loss" in row)


def test_a_verdict_is_logged_under_a_name_of_its_own(model_path, dataset, make_config):
    verdicts = [lambda completion_ids, **_: even_length(completion_ids), lambda **_: [0.0] * 16]
    args = make_config(method="trl", max_steps=1, correct_above=0.5)
    rewards = [lambda completion_ids, **_: [0.25] * len(completion_ids)]
    trainer = train(model_path, dataset, args, rewards, correctness=["<lambda>", *verdicts])
    logged = trainer.state.log_history[0]
    assert logged["rewards/<lambda>/mean"] == 0.25
    assert logged["rewards/<lambda>_3/mean"] == 0
    assert 0 < logged["rewards/<lambda>_2/mean"] < 1


def test_evaluation_sees_raw_rewards_and_arguments_have_trls_positions(model_path, dataset, make_config):
    class Counts(TrainerCallback):
        ends = 0

        def on_train_end(self, *_args, **_kwargs):
            self.ends += 1

    counts, tokenizer = Counts(), AutoTokenizer.from_pretrained(model_path)
    args = make_config(method="dapo", overlong_buffer=11, max_steps=1, per_device_eval_batch_size=16)
    trainer = MEDSTrainer(
        model_path, length, args, dataset, dataset, tokenizer, None, [counts], correctness=even_length
    )
    trainer.train()
    assert counts.ends == 1
    figures = trainer.evaluate()
    assert figures["eval_reward"] == pytest.approx(figures["eval_rewards/length/mean"])
    assert not any("overlong" in name for name in figures)
    logged = [row for row in trainer.state.log_history if "loss" in row]
    assert logged[0]["rewards/soft_overlong_punishment_reward/mean"] < 0, "it acts in training"


# ---- settings ----


@pytest.mark.parametrize("method", ["dapo", "meds"])
def test_none_can_be_chosen_for_epsilon_high_and_delta(model_path, dataset, make_config, tmp_path, method):
    args = make_config(method=method, epsilon_high=None, delta=None, max_steps=1)
    assert (args.epsilon_high, args.delta) == (None, None)
    assert train(model_path, dataset, args).epsilon_high == args.epsilon
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"model_name_or_path: m\ntask: pocket\noutput_dir: {tmp_path}/run\nmethod: {method}\nuse_cpu: true\n"
        "bf16: false\nreport_to: none\nepsilon_high: null\ndelta: null\n"
    )
    training = load_recipe(recipe).training
    assert (training.epsilon_high, training.delta) == (None, None)
    training = load_recipe(recipe, ["--epsilon_high", "0.3"]).training
    assert (training.epsilon_high, training.delta) == (0.3, None)


# ---- an answer finder of the text ----


@pytest.mark.parametrize("fingerprint", ["answer_states", "answer_string"])
def test_a_function_of_the_text_fills_the_answer_column(model_path, dataset, make_config, fingerprint):
    def last_two(text):
        return text[-2:] if len(text) > 3 else None

    args = make_config(method="trl", fingerprint=fingerprint, max_steps=1)
    trainer = MEDSTrainer(model_path, even_length, args, dataset, answer_finder=last_two)
    trainer.train()
    batch = trainer._batch
    assert batch.answers == [(text[-2:].strip() or None) if len(text) > 3 else None for text in batch.completions]
    assert sum(answer is not None for answer in batch.answers) > 8
    if fingerprint == "answer_states":
        source = trainer._source
        for ids, place, answer in zip(source._completion_ids, source._answers, batch.answers, strict=True):
            assert (place is None) == (answer is None)
            if place is not None:
                span = ids[place.position + 1 : place.end + 1]
                assert answer in trainer.processing_class.decode(span, skip_special_tokens=True)


# ---- PEFT ----


def test_prompt_learning_compares_answers_or_is_refused(model_path, dataset, make_config, caplog):
    from peft import PrefixTuningConfig, PromptTuningConfig

    for kind in (PromptTuningConfig, PrefixTuningConfig):
        adapter = kind(task_type="CAUSAL_LM", num_virtual_tokens=2)
        with pytest.raises(ValueError, match=f"{kind.__name__} puts virtual tokens before the prompt.*answer_string"):
            MEDSTrainer(model_path, even_length, make_config(), dataset, peft_config=adapter)
    trainer = train(model_path, dataset, make_config(method="trl", beta=0.1), peft_config=adapter)
    assert any("compares answers as text" in said for said in warnings_of(caplog))
    assert len(trainer.memory) > 0
    args = make_config(fingerprint="answer_string", dynamic_sampling=False)
    assert len(train(model_path, dataset, args, peft_config=adapter).memory) > 0


# ---- a user's own rollouts ----


def own_rollouts(prompts, trainer):
    """A TRL rollout function that grades on its own, in a field that the reward functions get."""
    ids = [[4 + (3 * place + len(trainer.log_ids) + step) % 20 for step in range(6)] for place in range(len(prompts))]
    trainer.log_ids.append(len(prompts))
    return {
        "prompt_ids": [trainer.processing_class(prompt)["input_ids"] for prompt in prompts],
        "completion_ids": ids,
        "logprobs": [[-1.0] * len(row) for row in ids],
        "verdict": [float(sum(row) % 4 < 2) for row in ids],
    }


@pytest.mark.parametrize("method", ["trl", "dapo", "meds"])
def test_fields_of_a_rollout_function_reach_the_rewards(model_path, dataset, make_config, method):
    seen = []

    def verdict_of(completion_ids, verdict, **_):
        assert verdict == [float(sum(ids) % 4 < 2) for ids in completion_ids]
        seen.append(len(verdict))
        return verdict

    args = make_config(method=method)
    trainer = MEDSTrainer(model_path, verdict_of, args, dataset, answer_finder=third_token, rollout_func=own_rollouts)
    trainer.log_ids = []
    trainer.train()
    assert sum(seen) == sum(trainer.log_ids) >= 3 * 16
    assert rollouts_of(trainer)["is_correct"].nunique() == 2


# ---- tools and environments ----


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


def chats(*texts, **columns) -> Dataset:
    return Dataset.from_dict({"prompt": [[{"role": "user", "content": text}] for text in texts], **columns})


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


# ---- images ----


@pytest.fixture(scope="module")
def vlm_path(tmp_path_factory) -> str:
    """A tiny Llava: images of 8 x 8 pixels are four tokens."""
    folder = tmp_path_factory.mktemp("vlm")
    special = ["<pad>", "<eos>", "<unk>", "<image>"]
    letters = [chr(ord("a") + i) for i in range(20)]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, " ", *letters])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        extra_special_tokens={"image_token": "<image>"},
    )
    template = (
        "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}"
        "{% endif %}{% endfor %}{% endif %}{% endfor %}"
    )
    processor = LlavaProcessor(
        transformers.CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}),
        tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=template,
    )
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"vocab_size": 25, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    vision = {"model_type": "clip_vision_model", "image_size": 8, "patch_size": 4, "projection_dim": 16}
    config = LlavaConfig(
        text_config={"model_type": "llama", "num_key_value_heads": 1, "initializer_range": 0.3, **tokens, **size},
        vision_config={**vision, **size},
        image_token_index=3,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


NO_IMAGE_TOKENS = {"generation_kwargs": {"suppress_tokens": [3]}}  # newer TRL does it itself
COLOURS = ["red", "green", "blue", "white", "black", "yellow", "cyan", "magenta"]


def pictures() -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), colour) for colour in COLOURS]


def questions_about_pictures() -> Dataset:
    """The same words eight times, about different images."""
    return chats(*["abc"] * 8, image=pictures())


@pytest.mark.parametrize("settings", [{}, {"per_device_train_batch_size": 8, "generation_batch_size": 16}])
def test_images_are_read_by_trls_forward(vlm_path, tmp_path, settings):
    data = questions_about_pictures()
    settings = settings | NO_IMAGE_TOKENS
    theirs = by_trl(vlm_path, even_length, tmp_path / "trl", data, **settings)
    ours = by_us(vlm_path, even_length, tmp_path / "meds", data, **settings)
    assert_same_bits(ours, theirs)
    rollouts = rollouts_of(ours)
    assert rollouts["prompt_id"].nunique() == 8, "the same words about other images"
    assert rollouts["prompt"].unique().tolist() == [
        '[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "abc"}]}]'
    ]
    assert len(ours.memory) > 0


def test_fingerprints_see_the_image(vlm_path, tmp_path):
    fields = {"learning_rate": 0.0, "max_steps": 1, "mask_truncated_completions": True, **NO_IMAGE_TOKENS}

    def trained(name, data):
        trainer = by_us(vlm_path, even_length, tmp_path / name, data, **fields)
        source = trainer._source
        given = source._prompt_ids, source._completion_ids, source._answers
        return trainer._batch.features, extract(trainer.model, source._fingerprint, *given)

    seen, blind = trained("images", questions_about_pictures())
    answered = ~np.isnan(blind).any(axis=1)
    assert answered.sum() > 8
    assert (np.isnan(seen).any(axis=1) == ~answered).all()
    assert not np.isclose(seen[answered], blind[answered], atol=1e-3).all(axis=1).any(), "a forward without its images"
    seen, own = trained("text", chats("abc", "bcd", "cde", "def"))
    graded = ~np.isnan(seen).any(axis=1)
    assert graded.any()
    np.testing.assert_allclose(seen[graded], own[graded], atol=1e-5)


def test_images_in_the_messages_count(vlm_path, make_config, tmp_path):
    paths = [str(tmp_path / f"{colour}.png") for colour in COLOURS]
    for path, image in zip(paths, pictures(), strict=True):
        image.save(path)
    data = [
        {"prompt": [{"role": "user", "content": [{"type": "image", "image": path}, {"type": "text", "text": "abc"}]}]}
        for path in paths
    ]
    data = Dataset.from_list(data)
    text, image = data[0]["prompt"][0]["content"][::-1]
    assert text["image"] is None, "Arrow adds the key"
    assert image["text"] is None
    with pytest.raises(ValueError, match=r"cannot be used with images.* Set dynamic_sampling=False"):
        MEDSTrainer(vlm_path, even_length, make_config(method="meds"), data)
    with pytest.raises(ValueError, match="fingerprint_from='reference' cannot be used with images"):
        MEDSTrainer(vlm_path, even_length, make_config(method="trl", fingerprint_from="reference"), data)
    trainer = train(vlm_path, data, make_config(method="meds", dynamic_sampling=False, **NO_IMAGE_TOKENS))
    assert len(trainer.memory) > 0


# ---- refused at the start ----


def test_what_dynamic_sampling_cannot_do_names_the_way_out(model_path, vlm_path, dataset, make_config):
    way_out = "Set dynamic_sampling=False, or use method='trl' or 'grpo'"
    args = make_config(method="dapo")
    for path, data in ((vlm_path, questions_about_pictures()), (model_path, dataset.to_iterable_dataset())):
        with pytest.raises(ValueError, match=way_out):
            MEDSTrainer(path, even_length, args, data)


def test_an_iterable_data_set_trains_without_dynamic_sampling(model_path, dataset, make_config):
    for method in ("trl", "grpo"):
        trainer = train(model_path, dataset.to_iterable_dataset(), make_config(method=method))
        assert len(rollouts_of(trainer)) == 3 * 16


def test_a_checkpoint_of_another_method_is_refused(model_path, dataset, make_config):
    saved = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1}
    with_memory, without = make_config(method="trl", **saved), make_config(method="dapo", **saved)
    for args, other, said in (
        (with_memory, "dapo", "which method 'dapo' would not use.*Start a new run from its model, or resume it with"),
        (without, "trl", "Start a new run from its model, or resume it with the trainer and method that saved it"),
    ):
        train(model_path, dataset, args)
        trainer = MEDSTrainer(model_path, even_length, make_config(method=other), dataset)
        before = parameters(trainer)
        with pytest.raises(ValueError, match=said):
            trainer.train(resume_from_checkpoint=f"{args.output_dir}/checkpoint-1")
        assert before.keys() == parameters(trainer).keys()
