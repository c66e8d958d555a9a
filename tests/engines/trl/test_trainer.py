"""The TRL adapter on a real, tiny training loop."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.fingerprint import Projected, WorkingStates
from meds_rl.rollouts import RunFolder

from .conftest import assert_same_bits, even_length, length, mostly_wrong, parameters, third_token, train


def test_grpo_equals_trls_own_trainer_to_the_last_bit(model_path, dataset, make_config, tmp_path):
    ours = train(model_path, dataset, make_config(method="grpo"))
    fields = make_config(method="grpo").to_dict()
    shared = {
        name: fields[name] for name in ("per_device_train_batch_size", "num_generations", "max_completion_length")
    }
    theirs = GRPOTrainer(
        model_path,
        even_length,
        GRPOConfig(
            str(tmp_path / "trl"),
            **shared,
            loss_type="grpo",
            beta=0.001,
            epsilon=0.2,
            epsilon_high=0.2,
            learning_rate=1e-2,
            max_steps=3,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
            seed=7,
        ),
        dataset,
    )
    theirs.train()
    assert_same_bits(ours, theirs)


@pytest.mark.parametrize("dynamic_sampling", [True, False])
def test_alpha_0_equals_dapo_to_the_last_bit(model_path, dataset, make_config, dynamic_sampling):
    fields = {"dynamic_sampling": dynamic_sampling, "overlong_buffer": 4}
    dapo = train(model_path, dataset, make_config(method="dapo", **fields))
    meds = train(model_path, dataset, make_config(method="meds", meds_alpha=0.0, **fields))
    assert_same_bits(meds, dapo)
    assert len(meds.memory) > 0, "the control is empty if nothing was remembered"


def test_a_prompt_that_comes_twice_in_a_batch_has_two_groups(model_path, make_config):
    # All prompts are the same: groups of 4 are told apart by their place, not by their prompt.
    twins = Dataset.from_dict({"prompt": ["abc"] * 4, "prompt_id": ["p"] * 4})
    args = make_config(method="meds", meds_all_wrong="center", dynamic_sampling=False, max_steps=4)
    train(model_path, twins, args, reward=mostly_wrong)
    rows = pd.concat(pd.read_parquet(path) for path in sorted(RunFolder(args.output_dir).rollouts_path.iterdir()))
    groups = [rows.iloc[start : start + 4] for start in range(0, len(rows), 4)]
    assert {bool(group["is_correct"].any()) for group in groups} == {True, False}, "both kinds are there"
    for group in groups:
        centred = group["shaped_reward"] - group["shaped_reward"].mean()
        if not group["is_correct"].any():
            assert group["advantage"].to_numpy() == pytest.approx(centred.to_numpy(), abs=1e-5)
        elif not group["is_correct"].all():
            scaled = centred / (group["shaped_reward"].std() + 1e-4)
            assert group["advantage"].to_numpy() == pytest.approx(scaled.to_numpy(), abs=1e-4)


def test_a_penalty_changes_the_parameters(model_path, dataset, make_config):
    # The control of the test above: without it, a memory that is never asked would pass.
    dapo = train(model_path, dataset, make_config(method="dapo", max_steps=6))
    meds = train(model_path, dataset, make_config(method="meds", max_steps=6))
    assert any(not torch.equal(parameters(meds)[name], value) for name, value in parameters(dapo).items())


def test_rollouts_tell_what_the_memory_did(model_path, dataset, make_config):
    args = make_config(max_steps=6)
    trainer = train(model_path, dataset, args)
    rollouts = RunFolder(args.output_dir).rollouts()
    assert len(rollouts) == 6 * 16
    penalised = rollouts[rollouts["penalty"] > 0]
    assert len(penalised)
    expected = np.minimum(0.1 * np.log(penalised["cluster_size"] + 1), 0.2)
    np.testing.assert_allclose(penalised["penalty"], expected)
    np.testing.assert_allclose(rollouts["shaped_reward"], rollouts["reward"] - rollouts["penalty"])
    assert not penalised["is_correct"].any()
    remembered = rollouts[rollouts["memory_id"] >= 0]
    assert len(remembered) == len(trainer.memory)
    assert remembered["memory_id"].is_unique


def test_the_first_visit_costs_nothing_and_later_ones_do(model_path, dataset, make_config):
    args = make_config(max_steps=6, dynamic_sampling=False)
    train(model_path, dataset, args)
    rollouts = RunFolder(args.output_dir).rollouts()
    remembered_before: dict[str, int] = {}
    for _, batch in rollouts.groupby("generation"):
        for name, group in batch.groupby("prompt_id"):
            if name not in remembered_before:
                assert (group["penalty"] == 0).all()
        for name, count in batch[batch["memory_id"] >= 0].groupby("prompt_id").size().items():
            remembered_before[name] = remembered_before.get(name, 0) + count
    assert (rollouts["penalty"] > 0).any()


def test_an_annealed_alpha_falls_with_the_steps_of_training(model_path, dataset, make_config):
    args = make_config(max_steps=6, dynamic_sampling=False, meds_alpha=0.3, meds_beta=9.0, meds_anneal=[0.25, 0.75])
    trainer = train(model_path, dataset, args)
    alphas = [row["meds/alpha"] for row in trainer.state.log_history if "meds/alpha" in row]
    np.testing.assert_allclose(alphas, [0.3, 0.3, 0.25, 0.15, 0.05, 0.0], rtol=1e-12)
    rollouts = RunFolder(args.output_dir).rollouts()
    generations = sorted(rollouts["generation"].unique())
    for alpha, generation in zip(alphas, generations, strict=True):
        scored = rollouts[(rollouts["generation"] == generation) & (rollouts["memory_id"] >= 0)]
        np.testing.assert_allclose(scored["penalty"], alpha * np.log(scored["cluster_size"] + 1))
    assert len(trainer.memory) == (rollouts["memory_id"] >= 0).sum()


def test_metrics_reach_the_log(model_path, dataset, make_config):
    trainer = train(model_path, dataset, make_config(max_steps=4))
    logged = {name for row in trainer.state.log_history for name in row}
    for name in (
        "meds/share_penalised",
        "meds/mean_penalty",
        "meds/memory_size",
        "meds/share_wrong_seen",
        "meds/noise_share",
        "meds/no_answer_share",
        "meds/fingerprint_ms",
        "meds/memory_ms",
        "rewards/meds_penalty/mean",
        "rewards/even_length/mean",
        "dynamic_sampling/generation_batches",
        "pass/pass@1",
        "pass/pass@4",
        "diversity/answer_entropy",
        "diversity/distinct_wrong",
        "diversity/repeated_in_batch",
        "diversity/top1_eigenvalue_ratio",
    ):
        assert name in logged, name


def test_a_state_is_logged_as_it_is_after_the_last_batch(model_path, dataset, make_config):
    args = make_config(method="trl", max_steps=4, logging_steps=2)
    trainer = train(model_path, dataset, args)
    rows = [row for row in trainer.state.log_history if "meds/memory_size" in row]
    rollouts = RunFolder(args.output_dir).rollouts()
    kept = [int(((rollouts["step"] < step) & (rollouts["memory_id"] >= 0)).sum()) for step in (2, 4)]
    assert [row["meds/memory_size"] for row in rows] == kept
    # .1 falls to 0 between .333 and .666 of training: .1 before step 1, (.666 - .75) < 0 before step 3.
    assert [row["meds/alpha"] for row in rows] == [0.1, 0.0]


def test_without_right_answers_no_figure_of_wrong_ones_is_logged(model_path, dataset, make_config, capsys):
    trainer = train(model_path, dataset, make_config(method="trl", max_steps=1), length)
    logged = {name for row in trainer.state.log_history for name in row}
    assert "fingerprint 'working_states') only watches, until" in capsys.readouterr().out
    assert {name for name in logged if name.startswith("meds/")} == {
        "meds/memory_size",
        "meds/alpha",
        "meds/memory_ms",
        "meds/fingerprint_ms",
        "meds/fingerprint_age",
    }
    assert "diversity/top1_eigenvalue_ratio" not in logged


@pytest.mark.parametrize("method", ["grpo", "grpo-entropy", "dapo"])
def test_every_method_logs_what_its_batches_show(model_path, dataset, make_config, method):
    rows = train(model_path, dataset, make_config(method=method, beta=0.0)).state.log_history[:3]
    for row in rows:
        assert 0 <= row["pass/pass@1"] <= row["pass/pass@4"] <= 1
        assert 0 < row["diversity/distinct_wrong"] <= 4
        assert "diversity/top1_eigenvalue_ratio" not in row, "no fingerprints are taken"
    if method == "dapo":  # groups that dynamic sampling threw away are counted
        assert [row["pass/pass@1"] for row in rows] == pytest.approx(
            [row["dynamic_sampling/raw_accuracy"] for row in rows]
        )


def test_remembered_fingerprints_grow_old(model_path, dataset, make_config):
    # Four of eight prompts a step: each prompt comes every second one.
    trainer = train(model_path, dataset, make_config(max_steps=6, dynamic_sampling=False))
    ages = [row["meds/fingerprint_age"] for row in trainer.state.log_history if "loss" in row]
    assert ages[0] == 0.0, "the first batch finds nothing"
    assert max(ages) > 0


def test_half_counted_errors_reach_the_rollouts(model_path, dataset, make_config):
    fields = {"max_steps": 6, "dynamic_sampling": False, "meds_half_life": 1.0}
    trainer = train(model_path, dataset, make_config(**fields))
    rollouts = trainer._run.rollouts()
    assert (rollouts["cluster_size"] % 1 != 0).any()
    expected = np.minimum(0.1 * np.log(rollouts["cluster_size"] + 1), 0.2)
    scored = rollouts["cluster"] != -4
    np.testing.assert_allclose(rollouts["penalty"][scored], expected[scored])


def test_columns_in_trls_completions_table(model_path, dataset, make_config):
    args = make_config(log_completions=True, num_completions_to_print=0, max_steps=4)
    train(model_path, dataset, args)
    files = sorted(Path(args.output_dir).glob("completions/*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in files])
    assert table.columns.tolist() == [
        "step",
        "prompt",
        "completion",
        "even_length",
        "meds_penalty",
        "cluster",
        "advantage",
    ]
    rollouts = RunFolder(args.output_dir).rollouts()
    np.testing.assert_allclose(table["meds_penalty"], -rollouts["penalty"], rtol=1e-6)
    sizes = [float(words.partition("(")[2].rstrip(")") or 0) for words in table["cluster"]]
    np.testing.assert_allclose(sizes, rollouts["cluster_size"])
    np.testing.assert_allclose(table["advantage"], rollouts["advantage"], rtol=1e-6)


def test_columns_that_a_reward_function_logs_are_kept(model_path, dataset, make_config):
    def logs(completion_ids, log_extra, **_):
        log_extra("cluster", ["mine"] * len(completion_ids))
        return even_length(completion_ids)

    args = make_config(log_completions=True, num_completions_to_print=0, max_steps=1, dynamic_sampling=False)
    train(model_path, dataset, args, logs)
    (file,) = Path(args.output_dir).glob("completions/*.parquet")
    table = pd.read_parquet(file)
    assert table["cluster"].tolist() == ["mine"] * 16
    assert set(table["meds_cluster"]) <= {"", "new", "no answer (0)"}, "the first batch finds nothing"


def test_evaluation_never_touches_the_memory(model_path, dataset, make_config):
    args = make_config(max_steps=2, per_device_eval_batch_size=16)
    trainer = MEDSTrainer(model_path, even_length, args, dataset, answer_finder=third_token, eval_dataset=dataset)
    trainer.train()
    size, step = len(trainer.memory), trainer.memory.step
    trainer.evaluate()
    assert (len(trainer.memory), trainer.memory.step) == (size, step)


def test_fingerprints_recorded_in_trls_forward_equal_our_own(model_path, dataset, make_config):
    # steps_per_generation above gradient_accumulation_steps makes TRL compute old log-probabilities.
    shared = {"max_steps": 4, "dynamic_sampling": False, "learning_rate": 1e-3}
    recorded = train(
        model_path, dataset, make_config(**shared, per_device_train_batch_size=8, generation_batch_size=16)
    )
    assert recorded._source._recorded is not None
    own = MEDSTrainer(
        model_path,
        even_length,
        make_config(**shared, per_device_train_batch_size=8, generation_batch_size=16),
        dataset,
        answer_finder=third_token,
    )
    own._source._can_record = False
    own.train()
    assert own._source._recorded is None
    assert_same_bits(recorded, own)
    assert recorded.memory.prompt_ids == own.memory.prompt_ids
    for name in recorded.memory.prompt_ids:
        # The memory orders a batch's vectors by their bits; rounding lets the last bits differ.
        ours, theirs = (np.round(t.memory.entry(name).vectors, 5) + 0.0 for t in (recorded, own))
        ours, theirs = (rows[np.lexsort(rows.T)] for rows in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, atol=3e-5)


def test_reference_fingerprints_do_not_move_with_the_policy(model_path, dataset, make_config):
    args = make_config(fingerprint_from="reference", max_steps=4, learning_rate=0.1)
    trainer = train(model_path, dataset, args)
    rollouts = RunFolder(args.output_dir).rollouts()
    assert len(trainer.memory) > 0
    # The same text under the same prompt has the same vector at every step of training.
    for name in trainer.memory.prompt_ids:
        entry = trainer.memory.entry(name)
        texts = rollouts.set_index("memory_id").loc[entry.ids, "completion"].tolist()
        for text in set(texts):
            same = entry.vectors[[i for i, other in enumerate(texts) if other == text]]
            np.testing.assert_allclose(same, np.broadcast_to(same[0], same.shape), rtol=1e-4, atol=1e-5)


def test_center_subtracts_the_mean_and_does_not_divide(model_path, dataset, make_config):
    args = make_config(meds_all_wrong="center", max_steps=8)
    train(model_path, dataset, args, reward=mostly_wrong)
    rollouts = RunFolder(args.output_dir).rollouts()
    seen = 0
    for _, group in rollouts.groupby(["generation", "prompt_id"]):
        if group["is_correct"].any():
            continue
        seen += bool((group["penalty"] > 0).any())
        centered = group["shaped_reward"] - group["shaped_reward"].mean()
        np.testing.assert_allclose(group["advantage"], centered, atol=1e-6)
    assert seen, "no all-wrong group was penalised: the test shows nothing"


def test_shape_divides_all_wrong_groups_by_their_deviation(model_path, dataset, make_config):
    args = make_config(meds_all_wrong="shape", max_steps=8)
    train(model_path, dataset, args, reward=mostly_wrong)
    rollouts = RunFolder(args.output_dir).rollouts()
    seen = 0
    for _, group in rollouts.groupby(["generation", "prompt_id"]):
        if group["is_correct"].any() or group["penalty"].nunique() < 2:
            continue
        seen += 1
        shaped = group["shaped_reward"]
        np.testing.assert_allclose(group["advantage"], (shaped - shaped.mean()) / (shaped.std() + 1e-4), atol=1e-4)
    assert seen


def test_the_recommended_preset_divides_no_group_and_its_penalties_end(model_path, dataset, make_config):
    args = make_config(preset="recommended", fingerprint="layer_logits", meds_max_distance=2.0, max_steps=9)
    train(model_path, dataset, args, reward=mostly_wrong)
    rollouts = RunFolder(args.output_dir).rollouts()
    kinds = set()
    for _, group in rollouts.groupby(["generation", "prompt_id"]):
        centered = group["shaped_reward"] - group["shaped_reward"].mean()
        np.testing.assert_allclose(group["advantage"], centered, atol=1e-6)
        kinds.add((bool(group["is_correct"].any()), bool((group["penalty"] > 0).any())))
    assert {(True, True), (False, True)} <= kinds, "both kinds of groups were penalised"
    penalised = rollouts.loc[rollouts["penalty"] > 0, "step"]
    assert 0 < penalised.max() < 0.666 * 9 <= rollouts["step"].max()


def test_lora(model_path, dataset, make_config):
    from peft import LoraConfig

    peft_config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    for source in ("policy", "reference"):
        trainer = train(model_path, dataset, make_config(max_steps=3, fingerprint_from=source), peft_config=peft_config)
        assert len(trainer.memory) > 0


@pytest.mark.parametrize(
    "fingerprint",
    ["layer_logits", "layer_logits_diff", "pooled_logits", "answer_states", "working_states"],
)
def test_every_fingerprint_trains(model_path, dataset, make_config, fingerprint):
    trainer = train(model_path, dataset, make_config(fingerprint=fingerprint))
    # 4 layers, 16 hidden units
    widths = {"layer_logits": 2, "layer_logits_diff": 1, "answer_states": 32}
    assert trainer.memory.n_features == widths.get(fingerprint, 16)


@pytest.mark.parametrize("num_iterations", [1, 2], ids=["a forward of our own", "TRL's forward"])
def test_a_width_below_the_models(model_path, dataset, make_config, num_iterations):
    """The memory has the same fingerprints as without a width, projected; of a user's fingerprint, too."""
    shared = {"max_steps": 1, "num_iterations": num_iterations}
    named = shared | {"fingerprint": "working_states"}
    wide = train(model_path, dataset, make_config(**named)).memory
    narrow = train(model_path, dataset, make_config(**named, fingerprint_width=8)).memory
    own = train(model_path, dataset, make_config(**shared, fingerprint_width=8), fingerprint=WorkingStates()).memory
    matrix = projection(torch.eye(16), 8)
    assert wide.prompt_ids == narrow.prompt_ids == own.prompt_ids
    for prompt_id in wide.prompt_ids:
        expected = wide.entry(prompt_id).vectors @ matrix.numpy()
        for memory in (narrow, own):
            vectors = memory.entry(prompt_id).vectors
            order = [np.lexsort(rows.round(4).T) for rows in (expected, vectors)]
            np.testing.assert_allclose(vectors[order[1]], expected[order[0]], atol=1e-5)


def projection(features, width):
    """What `Projected` makes of features that are there."""

    class Given:
        def combine(self, _kept):
            return features

    return Projected(Given(), width).combine([])


def test_a_fingerprint_of_ones_own(model_path, dataset, make_config):
    class LastState:
        """The final state at p, nothing else."""

        name = "last_state"
        reads_completion = False

        def layers(self, num_layers):
            return [num_layers]

        def num_features(self, num_layers, hidden_size):
            return hidden_size

        def read(self, hidden, where, head):
            return hidden[torch.arange(len(hidden)), where.positions]

        def combine(self, kept):
            return kept[0]

    trainer = train(model_path, dataset, make_config(), fingerprint=LastState())
    assert trainer.memory.n_features == 16


def test_entropy_advantage_changes_the_update(model_path, dataset, make_config):
    plain = train(model_path, dataset, make_config(method="grpo"))
    entropy = train(model_path, dataset, make_config(method="grpo-entropy"))
    none = train(model_path, dataset, make_config(method="grpo-entropy", entropy_advantage=0.0))
    assert_same_bits(none, plain)
    assert_same_bits(train(model_path, dataset, make_config(method="grpo", entropy_advantage=0.4)), entropy)
    assert any(not torch.equal(parameters(entropy)[name], value) for name, value in parameters(plain).items())


def test_the_entropy_advantage_goes_together_with_the_memory(model_path, dataset, make_config):
    same = {"method": "meds", "preset": "recommended", "max_steps": 4, "dynamic_sampling": False}
    plain = train(model_path, dataset, make_config(**same, entropy_advantage=0.0))
    both = train(model_path, dataset, make_config(**same))
    assert len(both.memory) > 0
    assert any(not torch.equal(parameters(both)[name], value) for name, value in parameters(plain).items())


def test_ungraded_completions_are_left_alone(model_path, dataset, make_config):
    def sometimes_none(completion_ids, **_):
        return [None if ids[0] % 5 == 0 else float(sum(ids) % 2) for ids in completion_ids]

    args = make_config(max_steps=4, dynamic_sampling=False)
    train(model_path, dataset, args, reward=sometimes_none)
    rollouts = RunFolder(args.output_dir).rollouts()
    ungraded = rollouts[rollouts["reward"].isna()]
    assert len(ungraded)
    assert (ungraded["penalty"] == 0).all()
    assert (ungraded["memory_id"] == -1).all()
    assert (ungraded["advantage"] == 0).all()


def test_the_first_function_that_grades_a_completion_says_right_or_wrong(model_path, dataset, make_config):
    # TRL's way with several tasks: each function grades its own prompts and returns None elsewhere.
    def first_half(prompts, completion_ids, **_):
        return [float(sum(ids) % 2 == 0) if p < "e" else None for p, ids in zip(prompts, completion_ids, strict=True)]

    def second_half(prompts, completion_ids, **_):
        return [None if p < "e" else float(sum(ids) % 2 == 1) for p, ids in zip(prompts, completion_ids, strict=True)]

    args = make_config(max_steps=4, dynamic_sampling=False)
    train(model_path, dataset, args, reward=[first_half, second_half], correctness=[first_half, "second_half"])
    rollouts = RunFolder(args.output_dir).rollouts()
    assert (rollouts["is_correct"] == (rollouts["reward"] == 1.0)).all()
    assert rollouts.groupby(rollouts["prompt"] < "e")["is_correct"].any().all()


def test_ungraded_completions_do_not_upset_center(model_path, dataset, make_config):
    def sometimes_none(completion_ids, **_):
        return [None if ids[0] % 5 == 0 else float(sum(ids) % 8 == 0) for ids in completion_ids]

    args = make_config(max_steps=6, dynamic_sampling=False, meds_all_wrong="center")
    train(model_path, dataset, args, reward=sometimes_none)
    rollouts = RunFolder(args.output_dir).rollouts()
    ungraded = rollouts["reward"].isna()
    assert ungraded.any()
    assert (rollouts[ungraded]["advantage"] == 0).all()
    assert (rollouts[ungraded]["reason"] == "not_graded").all()
    assert rollouts["advantage"].notna().all()


def test_all_wrong_groups_carry_no_signal_where_only_right_answers_are_shaped(make_config):
    assert make_config(meds_all_wrong="shape").shapes_all_wrong
    assert not make_config(meds_all_wrong="shape", meds_target="right").shapes_all_wrong
    assert not make_config(meds_all_wrong="skip").shapes_all_wrong
    assert not make_config(method="dapo", meds_all_wrong="shape").shapes_all_wrong


# ---- dynamic sampling in the loop ----


def test_dynamic_sampling_trains_on_informative_groups_only(model_path, dataset, make_config):
    args = make_config(method="dapo", max_steps=6)
    trainer = train(model_path, dataset, args, reward=mostly_wrong)
    rollouts = RunFolder(args.output_dir).rollouts()
    used = rollouts[rollouts["in_loss"]]
    accuracy = used.groupby(["generation", "prompt_id"])["is_correct"].mean()
    assert ((accuracy > 0) & (accuracy < 1)).all()
    assert (rollouts[~rollouts["in_loss"]]["advantage"] == 0).all()
    history = pd.DataFrame(trainer.state.log_history)
    assert history["dynamic_sampling/generation_batches"].max() > 1


def test_dynamic_sampling_says_when_it_gives_up(model_path, dataset, make_config):
    def never(completion_ids, **_):
        return [0.0] * len(completion_ids)

    args = make_config(method="dapo", max_steps=2, max_generation_batches=2)
    trainer = train(model_path, dataset, args, reward=never)
    history = pd.DataFrame(trainer.state.log_history).dropna(subset=["dynamic_sampling/groups_without_signal"])
    assert (history["dynamic_sampling/groups_without_signal"] == 4).all()
    assert (history["loss"] == 0).all()
    assert not RunFolder(args.output_dir).rollouts()["in_loss"].any()


def test_reward_functions_extra_columns_follow_the_kept_rows(model_path, dataset, make_config):
    def logging_reward(completion_ids, log_extra, **_):
        log_extra("checksum", [sum(ids) for ids in completion_ids])
        return mostly_wrong(completion_ids)

    args = make_config(method="dapo", log_completions=True, num_completions_to_print=0, max_steps=4)
    train(model_path, dataset, args, reward=logging_reward)
    files = sorted(Path(args.output_dir).glob("completions/*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in files])
    right = table["logging_reward"] == 1.0
    assert ((table["checksum"] % 8 == 0) == right).all()


# ---- bad input ----


def test_a_memory_of_another_width_is_refused(model_path, dataset, make_config):
    memory = ErrorMemory()
    memory.remember("p0", np.ones((2, 5)))
    with pytest.raises(ValueError, match="5 features"):
        MEDSTrainer(model_path, even_length, make_config(), dataset, memory=memory)


def test_bad_arguments(model_path, dataset, make_config, tmp_path):
    with pytest.raises(TypeError, match="MEDSConfig"):
        MEDSTrainer(model_path, even_length, {"output_dir": str(tmp_path)}, dataset)
    with pytest.raises(ValueError, match="at least one reward function"):
        MEDSTrainer(model_path, [], make_config(), dataset)
    with pytest.raises(ValueError, match="prompt"):
        MEDSTrainer(model_path, even_length, make_config(), dataset.remove_columns(["prompt"]))
    with pytest.raises(ValueError, match="empty"):
        MEDSTrainer(model_path, even_length, make_config(), dataset.select([]))
    with pytest.raises(ValueError, match="one generation batch needs 4"):
        MEDSTrainer(model_path, even_length, make_config(), dataset.select(range(3)))
    with pytest.raises(ValueError, match="needs a train_dataset"):
        MEDSTrainer(model_path, even_length, make_config())
    with pytest.raises(ValueError, match="reward_weights"):
        MEDSTrainer(model_path, even_length, make_config(reward_weights=[1.0, 2.0]), dataset)
    with pytest.raises(ValueError, match="sum_then_normalize"):
        MEDSTrainer(model_path, even_length, make_config(multi_objective_aggregation="normalize_then_sum"), dataset)
    fields = {"method": "trl", "advantage": "maxrl", "multi_objective_aggregation": "normalize_then_sum"}
    with pytest.raises(ValueError, match="'maxrl' is made from the sum of all rewards"):
        MEDSTrainer(model_path, even_length, make_config(**fields), dataset)
    with pytest.raises(ValueError, match="map-style"):
        MEDSTrainer(model_path, even_length, make_config(), dataset.to_iterable_dataset())
    with pytest.raises(TypeError, match=r"ErrorMemory \(ErrorMemory\.load reads a file\); got 'run/memory"):
        MEDSTrainer(model_path, even_length, make_config(), dataset, memory="run/memory.safetensors")
    with pytest.raises(ValueError, match=r"answer marker must be one of .* got 'box'"):
        MEDSTrainer(model_path, even_length, make_config(method="trl"), dataset, answer_finder="box")
    for ids, kind in (([0.5] * 8, "float64"), ([True] * 8, "bool"), ([["a"]] * 8, "list"), (["a", None] * 4, "None")):
        data = Dataset.from_dict({"prompt": dataset["prompt"], "prompt_id": ids})
        with pytest.raises(ValueError, match=f"The column prompt_id of the training data names prompts .*{kind}"):
            MEDSTrainer(model_path, even_length, make_config(), data)
        MEDSTrainer(model_path, even_length, make_config(method="grpo"), data)
    some = Dataset.from_dict({"prompt": dataset["prompt"], "prompt_id": ["a", None, *"bcdefg"]})
    MEDSTrainer(model_path, even_length, make_config(), some.select([0, *range(2, 8)]))


def test_a_strategy_is_a_name(model_path, dataset, make_config):
    with pytest.raises(TypeError, match="strategy must return a name or None; got 3"):
        train(model_path, dataset, make_config(max_steps=1), strategy=lambda _text, _row: 3)


def test_run_metadata_is_json(model_path, dataset, make_config):
    args = make_config()
    train(model_path, dataset, args)
    json.dumps(args.to_dict())
