"""What GRPOTrainer can do, MEDSTrainer can: the same bits with method "trl", and every kind of argument."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3ForSequenceClassification,
    TrainerCallback,
)
from trl import GRPOConfig

from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.train.recipe import load_recipe

from .conftest import (
    assert_same_bits,
    by_trl,
    by_us,
    even_length,
    length,
    parameters,
    rollouts_of,
    third_token,
    train,
    warnings_of,
)

pytestmark = pytest.mark.usefixtures("quiet")


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
