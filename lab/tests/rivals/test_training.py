"""Rivals and ablations: each trains, and does what its formula says."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from meds_lab.rivals import rival_names, text_embedding, trainer_of
from meds_lab.rivals.agglomerative import Agglomerative
from meds_lab.rivals.dbscan import DBSCAN
from meds_lab.rivals.edas import error_diversity
from meds_lab.rivals.kmeans import KMeans
from meds_lab.rivals.random_labels import RandomLabels
from meds_lab.rivals.rep_exp import elliptical_bonus, sparse_projection
from meds_lab.rivals.single import one_cluster
from meds_rl import ErrorMemory
from meds_rl.engines.trl.checkpoint import save_memory
from meds_rl.memory import GroupVisit, HDBSCANClustering, RightCompletion, equal_vectors
from meds_rl.memory.clustering import incremental
from meds_rl.rollouts import RunFolder

from .conftest import even_length, mostly_wrong, third_token

TRL_FIELDS = {field.name for field in fields(GRPOConfig)}
COUNTING = {"fingerprint": "answer_string", "meds_max_distance": 0.0}
OUTCOME = {**COUNTING, "meds_target": "both", "meds_all_wrong": "center"}
REFERENCE = {"fingerprint_from": "reference"}
SURPRISAL = {"preset": "recommended", "fingerprint": "answer_string"}
EDAS = {"fingerprint": "answer_string", "meds_alpha": 0.0}
TRAINED = [
    ("count", COUNTING),
    ("single", {}),
    ("kmeans", {}),
    ("dbscan", {}),
    ("agglomerative", {}),
    ("random_labels", {}),
    ("global_memory", {}),
    ("batch_memory", {}),
    ("remember", {"meds_all_wrong": "center"}),
    ("replay", {"meds_all_wrong": "center", "meds_recall": 2}),
    ("outcome", OUTCOME),
    ("outcome_batch", OUTCOME),
    ("nsr", {"method": "dapo"}),
    ("w_reinforce", {"method": "dapo"}),
    ("rep_exp", REFERENCE),
    ("surprisal", SURPRISAL),
    ("edas", EDAS),
    ("no_all_wrong_entropy", {"preset": "recommended", **COUNTING}),
]


def make(model_path, dataset, args, reward=even_length, rival=None, options=None, **kwargs):
    """The trainer of a rival."""
    if rival != "rep_exp":  # it finds an answer in every completion
        kwargs["answer_finder"] = third_token
    return trainer_of(rival, options)(model_path, reward, args, dataset, **kwargs)


def train(*args, **kwargs):
    """The same, trained."""
    trainer = make(*args, **kwargs)
    trainer.train()
    return trainer


def parameters(trainer) -> list[np.ndarray]:
    return [value.detach().numpy() for value in trainer.model.parameters()]


def test_every_rival_is_trained_in_a_test():
    assert set(rival_names()) == {name for name, _ in TRAINED} | {"named", "text_embedding"}


def test_answers_are_counted_exactly(model_path, dataset, make_config):
    answers = []

    def recorded(completion_ids, **_):
        answers.extend(ids[3] if len(ids) > 3 else None for ids in completion_ids)
        return even_length(completion_ids)

    args = make_config(max_steps=8, dynamic_sampling=False, **COUNTING)
    trainer = train(model_path, dataset, args, recorded, rival="count")
    rollouts = RunFolder(args.output_dir).rollouts().assign(token=answers)
    seen: Counter = Counter()
    for _, batch in rollouts.groupby("generation", sort=True):
        new = []
        for row in batch.itertuples():
            # Special tokens and a space leave no text: an answer like any other, and all of them one.
            token = None if np.isnan(row.token) else max(row.token, 3)
            if row.reason in ("all_right", "all_wrong", "not_target"):
                assert row.penalty == 0
                continue
            assert row.cluster_size == seen[row.prompt_id, token]
            assert row.penalty == pytest.approx(min(0.1 * np.log1p(row.cluster_size), 0.2))
            new.append((row.prompt_id, token))
        seen.update(new)
    assert (rollouts["penalty"] > 0).sum() > 5
    assert (rollouts["reason"] == "unseen").any()
    assert len(trainer.memory) == sum(seen.values())


def test_named_strategies_are_counted_exactly(model_path, dataset, make_config):
    def by_length(text, _row):
        return None if len(text) % 5 == 0 else f"length {len(text) % 3}"

    args = make_config(max_steps=8, dynamic_sampling=False, meds_max_distance=0.0)
    trainer = train(model_path, dataset, args, rival="named", strategy=by_length)
    seen: Counter = Counter()
    for _, batch in RunFolder(args.output_dir).rollouts().groupby("generation", sort=True):
        scored = batch[~batch.reason.isin(("all_right", "all_wrong", "not_target"))]
        # Completions whose strategy has no name count as one, as those without an answer do.
        names = list(zip(scored.prompt_id, scored.strategy.fillna("none"), strict=True))
        assert scored.cluster_size.tolist() == [seen[name] for name in names]
        seen.update(names)
    assert len(trainer.memory) == sum(seen.values()) > 20
    assert len(seen) > 8


def test_replay_recalls_in_place_of_the_first_and_penalises_nothing(model_path, dataset, make_config):
    kept = RightCompletion(np.array([9, 9, 4, 9, 1]), 1.0)
    memory = ErrorMemory()
    memory.recall_batch([GroupVisit(f"p{i}", 4, 1, (kept,)) for i in range(8)], most=1)
    args = make_config(max_steps=4, dynamic_sampling=False, meds_all_wrong="shape", meds_recall=1)
    trainer = train(model_path, dataset, args, mostly_wrong, rival="replay", memory=memory)
    rollouts = RunFolder(args.output_dir).rollouts()
    groups = rollouts.groupby(["generation", "prompt_id"], sort=False)
    took_in = [group for _, group in groups if group["replaced"].any()]
    assert len(took_in) > 3
    for group in took_in:
        assert not group["is_correct"].any()
        assert group["replaced"].tolist() == [True, False, False, False]
    assert (rollouts["penalty"] == 0).all()
    assert len(trainer.memory) == len(rollouts.query("not is_correct"))


def test_replay_needs_recall(model_path, dataset, make_config):
    with pytest.raises(ValueError, match="needs meds_recall of at least 1"):
        make(model_path, dataset, make_config(), rival="replay")


def test_named_strategies_are_counted_within_the_batch(model_path, dataset, make_config):
    def by_length(text, _row):
        return f"length {len(text) % 3}"

    args = make_config(dynamic_sampling=False, preset="recommended", meds_alpha=0.16, meds_anneal=[1.0, 1.0])
    options = {"batch_only": True}
    trainer = train(model_path, dataset, args, mostly_wrong, rival="named", options=options, strategy=by_length)
    rollouts = RunFolder(args.output_dir).rollouts()
    wrong = rollouts[rollouts.reason == "cluster"]
    n_k = wrong.groupby(["generation", "prompt_id", "strategy"])["strategy"].transform("size")
    np.testing.assert_allclose(wrong.penalty, 0.16 * np.log(n_k), atol=1e-9)
    assert n_k.max() > 1
    assert len(trainer.memory) == 0


def test_strategies_without_names_cannot_be_counted(model_path, dataset, make_config):
    with pytest.raises(ValueError, match="give the trainer a strategy="):
        make(model_path, dataset, make_config(), rival="named")


@pytest.mark.parametrize(
    ("rival", "options", "fields", "expected"),
    [
        (None, {}, {}, HDBSCANClustering()),
        (None, {}, {"preset": "recommended"}, HDBSCANClustering(cluster_selection_epsilon=0.2)),
        ("count", {}, COUNTING, equal_vectors),
        ("single", {}, {}, one_cluster),
        ("kmeans", {"num_clusters": 3}, {}, KMeans(3)),
        ("dbscan", {"distance": 0.1, "min_samples": 4}, {}, DBSCAN(0.1, 4)),
        ("agglomerative", {}, {}, Agglomerative(0.3)),
        ("random_labels", {}, {}, RandomLabels(HDBSCANClustering())),
        (
            "random_labels",
            {},
            {"preset": "recommended"},
            RandomLabels(HDBSCANClustering(cluster_selection_epsilon=0.2)),
        ),
        ("random_labels", {"clustering": "count"}, COUNTING, RandomLabels(incremental(equal_vectors))),
        ("outcome", {}, OUTCOME, equal_vectors),
        ("batch_memory", {"clustering": "count"}, COUNTING, equal_vectors),
    ],
)
def test_clusterings_by_name(model_path, dataset, make_config, rival, options, fields, expected):
    half_life = None if rival == "batch_memory" else 8  # nothing gets old
    args = make_config(meds_half_life=half_life, **fields)
    made = make(model_path, dataset, args, rival=rival, options=options)
    assert made.memory.clustering == expected
    assert made.memory.half_life == half_life


@pytest.mark.parametrize(
    ("rival", "fields"),
    [
        *TRAINED,
        pytest.param(
            None,
            {"method": "dapo", "entropy_coef": 0.1},
            marks=pytest.mark.skipif("entropy_coef" not in TRL_FIELDS, reason="this TRL has no entropy bonus"),
        ),
    ],
)
def test_each_trains_and_differs_from_dapo(model_path, dataset, make_config, rival, fields):
    dapo = train(model_path, dataset, make_config(method="dapo", max_steps=4), mostly_wrong)
    args = make_config(max_steps=4, **fields)
    trainer = train(model_path, dataset, args, mostly_wrong, rival=rival)
    pairs = list(zip(parameters(trainer), parameters(dapo), strict=True))
    assert all(np.isfinite(ours).all() for ours, _ in pairs)
    assert any((ours != theirs).any() for ours, theirs in pairs)


@pytest.mark.parametrize(("rival", "fields"), [("global_memory", {}), ("outcome", OUTCOME), ("rep_exp", REFERENCE)])
def test_a_resumed_run_equals_one_that_was_not_interrupted(model_path, dataset, make_config, tmp_path, rival, fields):
    def args(name, **more):
        return make_config(output_dir=str(tmp_path / name), lr_scheduler_type="constant", **fields, **more)

    whole = train(model_path, dataset, args("whole", max_steps=4), rival=rival)
    train(model_path, dataset, args("part", max_steps=2, save_strategy="steps", save_steps=2), rival=rival)
    resumed = make(model_path, dataset, args("part", max_steps=4), rival=rival)
    resumed.train(resume_from_checkpoint=str(tmp_path / "part" / "checkpoint-2"))
    for ours, theirs in zip(parameters(resumed), parameters(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if whole.memory is not None:
        for trainer, name in ((whole, "a"), (resumed, "b")):
            (tmp_path / name).mkdir()
            save_memory(trainer, tmp_path / name)
        files = [(tmp_path / name / "memory.safetensors").read_bytes() for name in "ab"]
        assert files[0] == files[1]


def test_surprisal_of_texts_worked_out_apart(model_path, dataset, make_config):
    """alpha (ln pi(y) - the group's least), log-probabilities computed here, at the sampling temperature."""
    sampled = []

    def never_right(prompts, completion_ids, **_):
        sampled.extend(zip(prompts, completion_ids, strict=True))
        return [0.0] * len(prompts)

    args = make_config(max_steps=1, temperature=2.0, **SURPRISAL)
    trainer = train(model_path, dataset, args, never_right, rival="surprisal")
    rollouts = RunFolder(args.output_dir).rollouts()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_path), AutoTokenizer.from_pretrained(model_path)
    logps = []
    for prompt, ids in sampled[: len(rollouts)]:
        start = tokenizer(prompt).input_ids
        with torch.no_grad():
            logits = model(torch.tensor([start + list(ids)])).logits[0, len(start) - 1 : -1] / 2.0
        logps.append(logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(list(ids))].sum().item())
    rollouts["logp"] = logps
    groups = rollouts.groupby("prompt_id")["logp"]
    np.testing.assert_allclose(rollouts.penalty, 0.1 * (rollouts.logp - groups.transform("min")), atol=1e-5)
    # The advantage: alpha (-ln pi less the mean); none is divided.
    expected = 0.1 * (groups.transform("mean") - rollouts.logp)
    np.testing.assert_allclose(rollouts.advantage, expected, atol=1e-5)
    assert rollouts.penalty.max() > 0.1
    assert len(trainer.memory) == 0


def test_surprisal_leaves_groups_with_a_right_answer_alone_and_is_annealed(model_path, dataset, make_config):
    args = make_config(max_steps=4, dynamic_sampling=False, **SURPRISAL)
    train(model_path, dataset, args, mostly_wrong, rival="surprisal")
    rollouts = RunFolder(args.output_dir).rollouts()
    right = rollouts.groupby(["generation", "prompt_id"])["is_correct"].transform("any")
    assert right.any()
    assert (rollouts.penalty[right] == 0).all()
    largest = rollouts.groupby("step")["penalty"].max()
    assert largest[0] > 0
    assert largest[3] == 0  # 3/4 of training is after 0.666


def test_surprisal_needs_groups_without_a_right_answer(model_path, dataset, make_config):
    with pytest.raises(ValueError, match="surprisal needs meds_all_wrong='center', got 'skip'"):
        make(model_path, dataset, make_config(), rival="surprisal")


@pytest.mark.parametrize("scale", ["group", "none"])
def test_edas_shapes_wrong_answers_of_mixed_groups(model_path, dataset, make_config, scale):
    args = make_config(max_steps=4, dynamic_sampling=False, scale_rewards=scale, **EDAS)
    train(model_path, dataset, args, mostly_wrong, rival="edas", options={"alpha": 0.3})
    moved = 0
    for _, group in RunFolder(args.output_dir).rollouts().groupby(["generation", "prompt_id"]):
        rewards, wrong = group.reward.to_numpy(), ~group.is_correct.to_numpy()
        plain = rewards - rewards.mean()
        plain /= (rewards.std(ddof=1) + 1e-4) if scale == "group" else 1
        errors = group.answer.fillna("none").to_numpy()[wrong]
        expected = plain.copy()
        expected[wrong] = error_diversity(plain[wrong], errors, alpha=0.3)
        np.testing.assert_allclose(group.advantage, expected, atol=1e-5)
        if wrong.all():
            assert (group.advantage == 0).all()
        moved += (expected != plain).any()
    assert moved > 1


def test_edas_needs_a_kappa_that_keeps_signs(model_path, dataset, make_config):
    with pytest.raises(ValueError, match="kappa must be above 1, got 1"):
        make(model_path, dataset, make_config(**EDAS), rival="edas", options={"kappa": 1})


def test_entropies_add_nothing_where_all_are_wrong(model_path, dataset, make_config):
    def never_right(completion_ids, **_):
        return [0.0] * len(completion_ids)

    def trained(reward, rival, entropy):
        fields = {"preset": "recommended", "meds_anneal": [1.0, 1.0], "entropy_advantage": entropy, **COUNTING}
        args = make_config(max_steps=3, **fields)
        return parameters(train(model_path, dataset, args, reward, rival=rival))

    def differ(one, other):
        return any((a != b).any() for a, b in zip(one, other, strict=True))

    assert differ(trained(never_right, "count", 0.4), trained(never_right, "count", 0.0))
    assert not differ(trained(never_right, "no_all_wrong_entropy", 0.4), trained(never_right, "count", 0.0))
    assert differ(trained(even_length, "no_all_wrong_entropy", 0.4), trained(even_length, "count", 0.0))


@pytest.mark.parametrize(("rival", "weight"), [("nsr", 0.0), ("w_reinforce", 0.1)])
def test_negative_sample_reinforcement(model_path, dataset, make_config, rival, weight):
    args = make_config(method="dapo", max_steps=3)
    train(model_path, dataset, args, mostly_wrong, rival=rival)
    rollouts = RunFolder(args.output_dir).rollouts()
    used = rollouts[rollouts["in_loss"]]
    expected = np.where(used["is_correct"], weight, -1.0)
    np.testing.assert_allclose(used["advantage"], expected, rtol=1e-6)
    groups = used.groupby(["generation", "prompt_id"])["is_correct"].mean()
    assert (groups == 0).any(), "all-wrong groups are what it learns from"
    assert not (groups == 1).any()


def test_unknown_rivals_and_options_say_what_there_is():
    with pytest.raises(ValueError, match="there is no rival 'nothing'; there are: agglomerative, batch_memory"):
        trainer_of("nothing")
    with pytest.raises(ValueError, match="'w_reinforce' has no option 'weight'; it has: positive_weight"):
        trainer_of("w_reinforce", {"weight": 1})
    with pytest.raises(ValueError, match="without a rival"):
        trainer_of(None, {"weight": 1})


def test_rep_exp_pays_for_states_unlike_the_others(model_path, dataset, make_config):
    args = make_config(max_steps=3, dynamic_sampling=False, **REFERENCE)
    trainer = train(model_path, dataset, args, mostly_wrong, rival="rep_exp", options={"weight": 0.5})
    rollouts = RunFolder(args.output_dir).rollouts()
    bonus = (rollouts["shaped_reward"] - rollouts["reward"]).to_numpy()
    right = rollouts.groupby(["generation", "prompt_id"])["is_correct"].transform("any").to_numpy()
    assert (bonus[~right] == 0).all(), "off where no completion is right"
    assert (bonus[right] > 0).any()
    assert ((bonus >= 0) & (bonus < 0.5)).all()
    sums = rollouts.assign(bonus=bonus / 0.5).groupby(["generation", "prompt_id"])["bonus"].sum()
    assert (sums <= 3 + 1e-6).all()  # leverages of 4 centred states
    assert len(trainer.memory) == 0


def test_rep_exp_of_states_worked_out_apart(model_path, dataset, make_config):
    """The bonus of the first batch, from states that are computed here."""
    sampled = []

    def recorded(prompts, completion_ids, **_):
        sampled.extend(zip(prompts, completion_ids, strict=True))
        return even_length(completion_ids)

    args = make_config(max_steps=1, dynamic_sampling=False, **REFERENCE)
    train(model_path, dataset, args, recorded, rival="rep_exp", options={"weight": 1.0, "dim": 8})
    rollouts = RunFolder(args.output_dir).rollouts()
    model = AutoModelForCausalLM.from_pretrained(model_path)
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    states = []
    for prompt, ids in sampled:
        start = tokenizer(prompt).input_ids
        with torch.no_grad():
            hidden = model.model(torch.tensor([start + list(ids)])).last_hidden_state[0, len(start) :]
        states.append(hidden.mean(dim=0).numpy())
    projected = np.array(states) @ sparse_projection(16, 8, args.seed)
    checked = 0
    for rows in rollouts.groupby("prompt_id").indices.values():
        group = rollouts.iloc[rows]
        bonus = (group["shaped_reward"] - group["reward"]).to_numpy()
        rows = rows[(group["num_tokens"] > 1).to_numpy()]  # of a single token no state is taken
        assert (bonus[group["num_tokens"] == 1] == 0).all()
        if group["is_correct"].any():
            expected = elliptical_bonus(projected[rows])
            np.testing.assert_allclose(bonus[group["num_tokens"] > 1], expected, atol=1e-4)
            checked += 1
    assert checked > 1


def test_a_text_embedding_reads_the_whole_text(model_path, dataset, make_config, monkeypatch):
    def counts(texts):
        vectors = np.zeros((len(texts), text_embedding.NUM_FEATURES), dtype=np.float32)
        for row, text in enumerate(texts):
            for letter in text:
                vectors[row, ord(letter) % 256] += 1
        return vectors

    monkeypatch.setattr(text_embedding, "embed_texts", counts)
    trainer = train(model_path, dataset, make_config(max_steps=4), rival="text_embedding")
    assert trainer.memory.n_features == 256
    assert len(trainer.memory)
    assert not any("meds/fingerprint_age" in row for row in trainer.state.log_history)


def test_a_missing_package_is_reported_before_anything_is_generated(model_path, dataset, make_config, monkeypatch):
    def missing(_texts):
        raise ImportError("pip install wordllama")

    monkeypatch.setattr(text_embedding, "embed_texts", missing)
    with pytest.raises(ImportError, match="pip install"):
        make(model_path, dataset, make_config(), rival="text_embedding")
