"""Recall in the trainer: groups without a right answer take in a completion that the memory keeps."""

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM
from trl import GRPOTrainer

import meds_rl.engines.trl.trainer as trainer_module
from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.batch import Batch
from meds_rl.engines.trl.checkpoint import save_memory
from meds_rl.memory import GroupVisit, RightCompletion
from meds_rl.shaping import maxrl_advantages

from .conftest import assert_same_bits, chats, even_length, rollouts_of, third_token

KEPT = [9, 9, 4, 9, 5, 1]
"""What the memory keeps of a prompt, with its <eos>; a random model will not sample it."""

LONG = [9, 9, 4, 9, 5, 9, 9, 9, 9, 9, 9, 1]
"""As long as a completion may be."""


def never(completion_ids, **_):
    """Right only for what the memory keeps."""
    return [float(list(ids) in (KEPT, LONG)) for ids in completion_ids]


def memory_of(*prompts: str, token_ids=KEPT, reward: float = 1.0) -> ErrorMemory:
    memory = ErrorMemory()
    one = RightCompletion(np.array(token_ids), reward)
    memory.recall_batch([GroupVisit(prompt, 4, 1, (one,)) for prompt in prompts], most=1)
    return memory


EVERY = [f"p{i}" for i in range(8)]


class Watched(MEDSTrainer):
    """Keeps a copy of what each generation batch hands to TRL."""

    outputs: list

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.outputs = [*getattr(self, "outputs", []), {k: v.clone() for k, v in output.items()}]
        return output


class Forged(Watched):
    """As if the first completion of each group of these prompts had been sampled as the kept one."""

    forged: dict

    def _generate(self, prompts):
        generated = super()._generate(prompts)
        ids, texts = generated[1], generated[3]
        for row in range(0, len(prompts), 4):
            if prompts[row] in self.forged:
                ids[row] = self.forged[prompts[row]]
                texts[row] = self._tokenizer.decode(ids[row], skip_special_tokens=True)
        return generated


@pytest.fixture
def fields():
    """A memory that only watches, as method "trl" has it; answers as texts need no forward."""
    return {
        "method": "trl", "meds_alpha": 0.0, "meds_recall": 2, "fingerprint": "answer_string",
        "per_device_train_batch_size": 8, "max_steps": 1,
    }  # fmt: skip


def trained(model_path, dataset, args, *, kind=Watched, reward=never, **arguments) -> Watched:
    trainer = kind(model_path, reward, args, dataset, answer_finder=third_token, **arguments)
    trainer.train()
    return trainer


# ---- One batch, by hand.


def batch_of(rewards, *, is_correct=None, penalties=0.0) -> Batch:
    n = len(rewards)
    batch = Batch(
        prompt_ids=["x"] * 4 + ["y"] * (n - 4), prompts=[""] * n, completions=[""] * n, answers=[None] * n,
        num_tokens=[1] * n, strategies=[None] * n, rewards=np.array(rewards, dtype=float),
        is_correct=np.zeros(n, dtype=bool) if is_correct is None else np.array(is_correct, dtype=bool),
        is_graded=np.ones(n, dtype=bool), group_size=4,
    )  # fmt: skip
    batch.shaped_rewards = batch.rewards - penalties
    return batch


@pytest.mark.parametrize(
    ("scale", "function", "expected"),
    [
        # The group is 1, 0, 0, 0: mean 1/4, deviation 1/2. The recalled row's .75 gets the weight .5.
        ("none", None, [0.375, -0.25, -0.25, -0.25]),
        ("group", None, [0.375 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001]),
        # The batch is six 0 and two 1: mean 1/4, variance (6/16 + 18/16) / 7 = 3/14.
        ("batch", None, np.array([0.375, -0.25, -0.25, -0.25]) / ((3 / 14) ** 0.5 + 1e-4)),
        # (r - mean) / (1/4): 3, -1, -1, -1.
        ("group", maxrl_advantages, [1.5, -1.0, -1.0, -1.0]),
    ],
)
def test_advantages_of_a_group_that_took_one_in(scale, function, expected):
    batch = batch_of([0.0] * 7 + [1.0], is_correct=[0] * 7 + [1])
    before = batch.advantages(function, scale)
    batch.recalled = {0: RightCompletion(np.array(KEPT), 1.0)}
    after = batch.advantages(function, scale)
    np.testing.assert_allclose(after[:4], expected, rtol=1e-12)
    np.testing.assert_array_equal(after[4:], before[4:])  # the other group's are as before
    batch.recalled = {}
    np.testing.assert_array_equal(batch.advantages(function, scale), before)


def test_a_batch_without_a_right_answer_has_a_deviation():
    # Seven 0 and the recalled 1: variance (7/64 + 49/64) / 7 = 1/8. As sampled it would be 0, and 1e-4 would divide.
    batch = batch_of([0.0] * 8)
    batch.recalled = {0: RightCompletion(np.array(KEPT), 1.0)}
    expected = np.array([0.375, -0.25, -0.25, -0.25]) / (0.125**0.5 + 1e-4)
    np.testing.assert_allclose(batch.advantages(None, "batch")[:4], expected, rtol=1e-12)


def test_penalties_of_the_others_count():
    # Shaped -.2, -.1, 0, -.1; the first is replaced: 1, -.1, 0, -.1 with mean .2.
    batch = batch_of([0.0] * 4, penalties=np.array([0.2, 0.1, 0.0, 0.1]))
    batch.recalled = {0: RightCompletion(np.array(KEPT), 1.0)}
    np.testing.assert_allclose(batch.advantages(None, "none"), [0.4, -0.3, -0.2, -0.3], rtol=1e-12)


def test_a_row_without_a_reward_is_left_out():
    batch = batch_of([0.0, np.nan, 0.0, 0.0])
    batch.recalled = {0: RightCompletion(np.array(KEPT), 1.0)}
    np.testing.assert_allclose(batch.advantages(None, "none"), [1 / 3, np.nan, -1 / 3, -1 / 3], rtol=1e-12)


# ---- In TRL's batch.


@pytest.mark.parametrize("token_ids", [KEPT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("more", [{}, {"num_iterations": 2, "beta": 0.1}], ids=["aligned", "old and reference"])
def test_the_update_is_that_of_the_same_text_sampled(model_path, dataset, make_config, fields, more, token_ids):
    fields |= more | {"scale_rewards": "none", "max_completion_length": 12, "mask_truncated_completions": True}
    ids = {"abc": "p0", "cde": "p2", "fgh": "p5", "hij": "p7"}
    recalling = trained(
        model_path, dataset, make_config(**fields), memory=memory_of(*ids.values(), token_ids=token_ids)
    )

    def forged(*args, **kwargs):
        trainer = Forged(*args, **kwargs)
        trainer.forged = dict.fromkeys(ids, token_ids)
        return trainer

    args = make_config(**{**fields, "meds_recall": 0})
    sampled = trained(model_path, dataset, args, kind=forged)
    ours, theirs = recalling.outputs[0], sampled.outputs[0]
    recalled = ours.pop("recalled")
    assert 0 < recalled.sum() < 3
    theirs["advantages"][recalled] *= 0.5
    mask = theirs["completion_mask"].bool()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        mine = ours[name]
        if value.dim() == 2 and name != "prompt_ids" and name != "prompt_mask":
            # Ours may be wider, as what was replaced was longer.
            assert not ours["completion_mask"][:, mask.size(1) :].any()
            mine = mine[:, : mask.size(1)]
        if name in ("old_per_token_logps", "ref_per_token_logps"):
            mine, value = mine[mask], value[mask]
        torch.testing.assert_close(mine, value, rtol=1e-5, atol=1e-6, msg=name)


def test_the_reference_of_an_adapter_is_the_model_without_it(model_path, dataset, make_config, fields):
    from peft import LoraConfig

    args = make_config(**{**fields, "max_steps": 2, "beta": 0.1})
    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = trained(model_path, dataset, args, memory=memory_of(*EVERY), peft_config=adapter)
    output = trainer.outputs[1]  # the adapter has been trained once
    start = Qwen3ForCausalLM.from_pretrained(model_path).eval()
    for row in torch.nonzero(output["recalled"]).ravel().tolist():
        prompt = output["prompt_ids"][row][output["prompt_mask"][row].bool()]
        text = torch.cat([prompt, torch.tensor(KEPT)])
        with torch.no_grad():
            logps = start(text.unsqueeze(0)).logits[0, :-1].log_softmax(-1)
        expected = logps.gather(1, text[1:].unsqueeze(1)).ravel()[-len(KEPT) :]
        got = output["ref_per_token_logps"][row][: len(KEPT)]
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert output["recalled"].sum() == 2


def test_the_ratios_of_vllm_begin_at_one(model_path, dataset, make_config, fields, monkeypatch):
    generate = GRPOTrainer._generate_and_score_completions

    def as_with_vllm(self, inputs):
        output = generate(self, inputs)
        output["sampling_per_token_logps"] = output["old_per_token_logps"] - 1.0
        output["importance_sampling_ratio"] = torch.full_like(output["old_per_token_logps"], 0.3)
        return output

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", as_with_vllm)
    args = make_config(**fields, num_iterations=2)
    output = trained(model_path, dataset, args, memory=memory_of(*EVERY, token_ids=LONG)).outputs[0]
    recalled, ratio = output["recalled"], output["importance_sampling_ratio"]
    assert recalled.sum() == 2
    assert (ratio[recalled] == 1).all()
    assert (ratio[~recalled][:, 0] == torch.tensor(0.3)).all()
    old, sampling = output["old_per_token_logps"], output["sampling_per_token_logps"]
    assert torch.equal(old[recalled], sampling[recalled])
    assert torch.equal(old[~recalled][:, 0] - 1, sampling[~recalled][:, 0])


def test_a_recalled_row_gets_no_entropy_advantage(model_path, dataset, make_config, fields, monkeypatch):
    seen = []

    def record(plain, entropies, _coef):
        seen.append((plain, entropies.clone()))
        return plain.unsqueeze(1) + 0 * entropies

    monkeypatch.setattr(trainer_module, "entropy_advantage", record)
    args = make_config(**fields, entropy_advantage=0.4, scale_rewards="none")
    trained(model_path, dataset, args, memory=memory_of(*EVERY))
    ((plain, entropies),) = seen
    # Of each group of four the recalled row has .375 and the others -.25.
    recalled = plain > 0
    assert recalled.sum() == 2
    assert (entropies[recalled] == 0).all()
    assert (entropies[~recalled][:, 0] > 0).all()


# ---- What the memory keeps.


def one_in_a_batch(completion_ids, **_):
    """The first of a batch's shortest completions is right."""
    shortest = min(range(len(completion_ids)), key=lambda row: len(completion_ids[row]))
    return [float(row == shortest) for row in range(len(completion_ids))]


def one_cut_off(completion_ids, **_):
    longest = max(range(len(completion_ids)), key=lambda row: len(completion_ids[row]))
    return [float(row == longest) for row in range(len(completion_ids))]


def test_a_right_completion_is_kept_as_it_was_sampled(model_path, dataset, make_config, fields):
    trainer = trained(model_path, dataset, make_config(**fields), reward=one_in_a_batch)
    ((prompt_id, kept),) = trainer.memory.kept.items()
    found = rollouts_of(trainer).query("is_correct").iloc[0]
    (one,) = kept.completions
    assert (prompt_id, len(one.token_ids), one.reward) == (found["prompt_id"], found["num_tokens"], 1.0)
    assert trainer._tokenizer.decode(one.token_ids, skip_special_tokens=True) == found["completion"]
    assert one.token_ids[-1] == 1


def test_a_cut_off_one_is_never_kept(model_path, dataset, make_config, fields):
    trainer = trained(model_path, dataset, make_config(**fields), reward=one_cut_off)
    found = rollouts_of(trainer).query("is_correct").iloc[0]
    assert found["num_tokens"] == 12
    assert not trainer.memory.kept


def test_its_reward_is_the_raw_one(model_path, dataset, make_config, fields):
    def not_short(completion_ids, **_):
        first = next(row for row, ids in enumerate(completion_ids) if 1 < len(ids) < 12 and ids[-1] == 1)
        return [float(row == first) for row in range(len(completion_ids))]

    # Overlong are lengths above 12 - 11 = 1, by (length - 1) / 11.
    trainer = trained(model_path, dataset, make_config(**fields, overlong_buffer=11), reward=not_short)
    (one,) = next(iter(trainer.memory.kept.values())).completions
    assert one.reward == pytest.approx(1 - (len(one.token_ids) - 1) / 11, abs=1e-6)


# ---- What is logged and written describes what was sampled.


def test_the_table_and_the_log(model_path, dataset, make_config, fields):
    args = make_config(**{**fields, "max_steps": 4, "scale_rewards": "none"})
    trainer = trained(model_path, dataset, args, memory=memory_of(*EVERY))
    rows = rollouts_of(trainer)
    assert not rows["is_correct"].any()
    assert rows["replaced"].sum() == 8  # two groups in each of four batches: each of eight prompts once
    assert rows.groupby(["generation", "prompt_id"])["replaced"].sum().eq(1).all()
    assert (rows["reward"] == 0).all()
    np.testing.assert_allclose(rows["advantage"], np.where(rows["replaced"], 0.375, -0.25))
    logged = [row for row in trainer.state.log_history if "recall/groups" in row]
    assert [(row["recall/groups"], row["recall/prompts"], row["reward"]) for row in logged] == [(2, 8, 0)] * 4
    assert [kept.recalls for kept in trainer.memory.kept.values()] == [1] * 8
    assert len(trainer.memory) == 32  # what was replaced is counted


def test_the_most_repeated_error_is_replaced_at_most_n_times(model_path, dataset, make_config, fields):
    args = make_config(**{**fields, "max_steps": 12, "meds_all_wrong": "shape", "meds_noise": "cluster"})
    trainer = trained(model_path, dataset, args, memory=memory_of(*EVERY))
    rows = rollouts_of(trainer)
    assert rows.groupby("prompt_id")["replaced"].sum().eq(2).all()  # of three visits
    groups = rows.groupby(["generation", "prompt_id"])
    for _, group in groups:
        if group["replaced"].any():
            assert group.loc[group["replaced"], "cluster_size"].item() == group["cluster_size"].max()
    assert rows.loc[rows["replaced"], "cluster_size"].max() > 1


def test_off_is_as_without(model_path, dataset, make_config, fields):
    fields |= {"max_steps": 3, "meds_alpha": 0.1}
    plain = trained(model_path, dataset, make_config(**{**fields, "meds_recall": 0}), reward=even_length)
    other = make_config(**{**fields, "meds_recall": 0})
    assert_same_bits(plain, trained(model_path, dataset, other, reward=even_length, memory=memory_of(*EVERY)))
    assert "recalled" not in plain.outputs[0]
    assert rollouts_of(plain)["replaced"].isna().all()
    assert not any("recall/groups" in row for row in plain.state.log_history)


def test_the_same_is_sampled_until_the_policies_differ(model_path, dataset, make_config, fields):
    fields["max_steps"] = 2
    with_it = trained(model_path, dataset, make_config(**fields), memory=memory_of(*EVERY))
    without = trained(model_path, dataset, make_config(**{**fields, "meds_recall": 0}))
    ours, theirs = (rollouts_of(trainer).query("generation == 0") for trainer in (with_it, without))
    assert ours["completion"].tolist() == theirs["completion"].tolist()
    assert ours["replaced"].sum() == 2


# ---- With dynamic sampling.


def test_a_group_that_takes_one_in_is_not_replaced(model_path, dataset, make_config, fields):
    fields |= {"dynamic_sampling": True, "meds_all_wrong": "skip", "max_generation_batches": 3, "meds_recall": 1}
    args = make_config(**{**fields, "max_steps": 2, "max_completion_length": 12})
    trainer = trained(model_path, dataset, args, memory=memory_of("p1", "p6"))
    rows = rollouts_of(trainer)
    # Nothing is ever right: only a group of these two has signal, once each; what fills the batches takes none in.
    assert sorted(rows.loc[rows["in_loss"], "prompt_id"].unique()) == ["p1", "p6"]
    assert rows.groupby("prompt_id")["replaced"].sum().loc[["p1", "p6"]].tolist() == [1, 1]
    assert rows["replaced"].sum() == 2
    assert (rows.loc[~rows["in_loss"], "advantage"] == 0).all()


# ---- Resume.


@pytest.mark.long
@pytest.mark.parametrize("more", [{}, {"per_device_train_batch_size": 4, "generation_batch_size": 8}])
def test_resume_equals_no_interruption(model_path, dataset, make_config, fields, tmp_path, more):
    fields |= {"max_steps": 8, "save_strategy": "steps", "save_steps": 3, "lr_scheduler_type": "constant", **more}
    runs = {}
    for name, checkpoint in (("whole", None), ("resumed", tmp_path / "whole" / "checkpoint-3")):
        args = make_config(**fields, output_dir=str(tmp_path / name))
        memory = memory_of("p0", "p3", "p4", "p6")
        trainer = Watched(model_path, one_in_a_batch, args, dataset, answer_finder=third_token, memory=memory)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        save_memory(trainer, tmp_path / name)
        runs[name] = trainer
    assert sum(len(kept.completions) for kept in runs["whole"].memory.kept.values()) > 4
    assert sum(row.get("recall/groups", 0) for row in runs["whole"].state.log_history) > 1
    assert_same_bits(runs["whole"], runs["resumed"])
    files = [tmp_path / name / "memory.safetensors" for name in runs]
    assert files[0].read_bytes() == files[1].read_bytes()


# ---- What is refused.


def test_refused_at_the_start(model_path, dataset, make_config, fields):
    def tool(text: str) -> str:
        """Nothing.

        Args:
            text: Nothing.
        """
        return text

    for arguments, more, message in (
        ({"tools": [tool]}, {}, "meds_recall cannot be used with tools"),
        ({"environment_factory": object}, {}, "meds_recall cannot be used with environment_factory"),
        ({}, {"multi_objective_aggregation": "normalize_then_sum"}, "meds_recall needs multi_objective_aggregation="),
    ):
        with pytest.raises(ValueError, match=message):
            MEDSTrainer(model_path, never, make_config(**fields, **more), dataset, **arguments)
    with_images = chats("abc", "bcd", "cde", "def", images=[[b""]] * 4)
    with pytest.raises(ValueError, match="meds_recall cannot be used with images"):
        MEDSTrainer(model_path, never, make_config(**fields), with_images)
    with pytest.raises(ValueError, match="meds_recall must be a whole number of at least 0"):
        make_config(**{**fields, "meds_recall": -1})


@pytest.mark.parametrize("token_ids", [[3, 4, 5], [3, 24, 1]], ids=["another end", "an unknown token"])
def test_a_memory_of_another_tokenizer_is_refused(model_path, dataset, make_config, fields, token_ids):
    memory = memory_of("p0", token_ids=token_ids)
    with pytest.raises(ValueError, match=r"has 24 tokens, and \[1\] end a completion.*the same tokenizer"):
        MEDSTrainer(model_path, never, make_config(**fields), dataset, memory=memory)
    MEDSTrainer(model_path, never, make_config(**{**fields, "meds_recall": 0}), dataset, memory=memory)


def test_it_needs_to_know_what_is_right(model_path, dataset, make_config, fields):
    def length(completion_ids, **_):
        return [len(ids) / 4 for ids in completion_ids]

    with pytest.raises(ValueError, match="correctness"):
        trained(model_path, dataset, make_config(**fields), reward=length)


def test_a_batch_with_tokens_of_others_is_refused(model_path, dataset, make_config, fields, monkeypatch):
    generate = GRPOTrainer._generate_and_score_completions

    def with_mask(self, inputs):
        output = generate(self, inputs)
        return output | {"tool_mask": output["completion_mask"]}

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", with_mask)
    with pytest.raises(ValueError, match=r"this batch has tool_mask\. Set meds_recall=0"):
        trained(model_path, dataset, make_config(**fields))
