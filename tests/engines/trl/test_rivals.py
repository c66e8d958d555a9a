"""Rivals and ablations as recipe fields: each trains, and does what its formula says."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from meds_rl import ErrorMemory
from meds_rl.engines.settings import make_clustering
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.arguments import memory_settings, shaper_of
from meds_rl.engines.trl.checkpoint import save_memory
from meds_rl.engines.trl.text_fingerprints import TextFingerprints
from meds_rl.fingerprint import text_embedding
from meds_rl.memory import HDBSCANClustering
from meds_rl.rollouts import RunFolder
from meds_rl.shaping.clusterings import (
    AgglomerativeClusters,
    DBSCANClustering,
    ExactClustering,
    KMeansClustering,
    RandomLabels,
    SingleCluster,
)
from meds_rl.shaping.elliptical import elliptical_bonus, sparse_projection

from .conftest import even_length, mostly_wrong, third_token, train

TRL_FIELDS = {field.name for field in fields(GRPOConfig)}
COUNTING = {"fingerprint": "answer_string", "meds_clustering": "exact", "meds_max_distance": 0.0}


def parameters(trainer) -> list[np.ndarray]:
    return [value.detach().numpy() for value in trainer.model.parameters()]


def test_answers_are_counted_exactly(model_path, dataset, make_config):
    answers = []

    def recorded(completion_ids, **_):
        answers.extend(ids[3] if len(ids) > 3 else None for ids in completion_ids)
        return even_length(completion_ids)

    args = make_config(max_steps=8, dynamic_sampling=False, **COUNTING)
    trainer = train(model_path, dataset, args, recorded)
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

    args = make_config(max_steps=8, dynamic_sampling=False, **{**COUNTING, "fingerprint": "strategy"})
    trainer = train(model_path, dataset, args, strategy=by_length)
    seen: Counter = Counter()
    for _, batch in RunFolder(args.output_dir).rollouts().groupby("generation", sort=True):
        scored = batch[~batch.reason.isin(("all_right", "all_wrong", "not_target"))]
        # Completions whose strategy has no name count as one, as those without an answer do.
        names = list(zip(scored.prompt_id, scored.strategy.fillna("none"), strict=True))
        assert scored.cluster_size.tolist() == [seen[name] for name in names]
        seen.update(names)
    assert len(trainer.memory) == sum(seen.values()) > 20
    assert len(seen) > 8


def test_strategies_that_nobody_names_cannot_be_counted(model_path, dataset, make_config):
    with pytest.raises(ValueError, match="give the trainer a strategy="):
        MEDSTrainer(model_path, even_length, make_config(fingerprint="strategy"), dataset)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, HDBSCANClustering()),
        ({"preset": "recommended"}, HDBSCANClustering(cluster_selection_epsilon=0.2)),
        ({"meds_clustering": "exact"}, ExactClustering()),
        ({"meds_clustering": "single"}, SingleCluster()),
        ({"meds_clustering": "kmeans", "meds_num_clusters": 3}, KMeansClustering(3)),
        (
            {"meds_clustering": "dbscan", "meds_cluster_distance": 0.1, "meds_min_cluster_size": 4},
            DBSCANClustering(0.1, 4),
        ),
        ({"meds_clustering": "agglomerative"}, AgglomerativeClusters(0.3)),
        ({"meds_clustering": "random"}, RandomLabels(HDBSCANClustering())),
        ({"method": "dapo-outcome"}, ExactClustering()),
        ({"method": "dapo-outcome", "meds_clustering": "single"}, SingleCluster()),
    ],
)
def test_clusterings_by_name(make_config, fields, expected):
    args = make_config(**fields)
    assert make_clustering(memory_settings(args)) == expected
    assert shaper_of(args, None).memory.clustering == expected
    assert shaper_of(args, memory := ErrorMemory(expected)).memory is memory


def test_a_memory_of_another_clustering_is_refused(make_config):
    with pytest.raises(ValueError, match=r"meds_clustering is 'exact', but .* has 'hdbscan'"):
        shaper_of(make_config(meds_clustering="exact"), ErrorMemory())
    with pytest.raises(ValueError, match=r"meds_clustering is 'kmeans', but .* of its own"):
        shaper_of(make_config(meds_clustering="kmeans"), ErrorMemory(KMeansClustering(3)))


@pytest.mark.parametrize(
    "fields",
    [
        {"meds_clustering": "single"},
        {"meds_clustering": "kmeans"},
        {"meds_clustering": "random"},
        {"meds_scope": "global"},
        {"meds_scope": "batch"},
        {"method": "dapo-outcome"},
        {"method": "dapo-outcome-batch"},
        {"method": "dapo-nsr"},
        {"method": "dapo-w-reinforce"},
        {"method": "dapo-rep-exp"},
        pytest.param(
            {"method": "dapo", "entropy_coef": 0.1},
            marks=pytest.mark.skipif(
                "entropy_coef" not in TRL_FIELDS, reason="this TRL has no entropy bonus"
            ),
        ),
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_each_trains_and_differs_from_dapo(model_path, dataset, make_config, fields):
    dapo = train(model_path, dataset, make_config(method="dapo", max_steps=4), mostly_wrong)
    args = make_config(max_steps=4, **fields)
    rival = train(model_path, dataset, args, mostly_wrong)
    pairs = list(zip(parameters(rival), parameters(dapo), strict=True))
    assert all(np.isfinite(ours).all() for ours, _ in pairs)
    assert any((ours != theirs).any() for ours, theirs in pairs)


@pytest.mark.parametrize(
    "fields", [{"meds_scope": "global"}, {"method": "dapo-outcome"}, {"method": "dapo-rep-exp"}]
)
def test_a_resumed_run_equals_one_that_was_not_interrupted(
    model_path, dataset, make_config, tmp_path, fields
):
    def args(name, **more):
        return make_config(output_dir=str(tmp_path / name), lr_scheduler_type="constant", **fields, **more)

    whole = train(model_path, dataset, args("whole", max_steps=4))
    train(model_path, dataset, args("part", max_steps=2, save_strategy="steps", save_steps=2))
    resumed = MEDSTrainer(
        model_path, even_length, args("part", max_steps=4), dataset, answer_finder=third_token
    )
    resumed.train(resume_from_checkpoint=str(tmp_path / "part" / "checkpoint-2"))
    for ours, theirs in zip(parameters(resumed), parameters(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if whole.memory is not None:
        for trainer, name in ((whole, "a"), (resumed, "b")):
            (tmp_path / name).mkdir()
            save_memory(trainer, tmp_path / name)
        files = [(tmp_path / name / "memory.safetensors").read_bytes() for name in "ab"]
        assert files[0] == files[1]


@pytest.mark.parametrize(("method", "weight"), [("dapo-nsr", 0.0), ("dapo-w-reinforce", 0.1)])
def test_negative_sample_reinforcement(model_path, dataset, make_config, method, weight):
    args = make_config(method=method, max_steps=3)
    train(model_path, dataset, args, mostly_wrong)
    rollouts = RunFolder(args.output_dir).rollouts()
    used = rollouts[rollouts["in_loss"]]
    expected = np.where(used["is_correct"], weight, -1.0)
    np.testing.assert_allclose(used["advantage"], expected, rtol=1e-6)
    groups = used.groupby(["generation", "prompt_id"])["is_correct"].mean()
    assert (groups == 0).any(), "all-wrong groups are what it learns from"
    assert not (groups == 1).any()


def test_the_weight_of_right_completions_can_be_given(make_config):
    assert make_config(method="dapo-nsr").positive_weight == 0
    assert make_config(method="dapo-w-reinforce").positive_weight == 0.1
    assert make_config(method="dapo-nsr", positive_weight=0.5).positive_weight == 0.5
    assert make_config(method="dapo").positive_weight is None


def test_rep_exp_pays_for_states_unlike_the_others(model_path, dataset, make_config):
    args = make_config(method="dapo-rep-exp", max_steps=3, exploration_weight=0.5, dynamic_sampling=False)
    trainer = train(model_path, dataset, args, mostly_wrong)
    rollouts = RunFolder(args.output_dir).rollouts()
    bonus = (rollouts["shaped_reward"] - rollouts["reward"]).to_numpy()
    right = rollouts.groupby(["generation", "prompt_id"])["is_correct"].transform("any").to_numpy()
    assert (bonus[~right] == 0).all(), "off where no completion is right"
    assert (bonus[right] > 0).any()
    assert ((bonus >= 0) & (bonus < 0.5)).all()
    sums = rollouts.assign(bonus=bonus / 0.5).groupby(["generation", "prompt_id"])["bonus"].sum()
    assert (sums <= 3 + 1e-6).all()  # leverages of 4 centred states
    assert trainer.memory is None
    assert any("exploration/mean_bonus" in row for row in trainer.state.log_history)
    assert any("rewards/exploration_bonus/mean" in row for row in trainer.state.log_history)
    assert trainer.args.fingerprint_from == "reference"


def test_rep_exp_of_states_worked_out_apart(model_path, dataset, make_config):
    """The bonus of the first batch, from states that are computed here."""
    said = []

    def recorded(prompts, completion_ids, **_):
        said.extend(zip(prompts, completion_ids, strict=True))
        return even_length(completion_ids)

    fields = {"exploration_weight": 1.0, "exploration_dim": 8, "dynamic_sampling": False}
    args = make_config(method="dapo-rep-exp", max_steps=1, **fields)
    train(model_path, dataset, args, recorded)
    rollouts = RunFolder(args.output_dir).rollouts()
    model = AutoModelForCausalLM.from_pretrained(model_path)
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    states = []
    for prompt, ids in said:
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
    trainer = train(model_path, dataset, make_config(fingerprint="text_embedding", max_steps=4))
    assert trainer.memory.n_features == 256
    assert len(trainer.memory)
    assert not any("meds/fingerprint_age" in row for row in trainer.state.log_history)


def test_a_missing_package_is_told_before_anything_is_generated(
    model_path, dataset, make_config, monkeypatch
):
    def missing(_texts):
        raise ImportError("pip install wordllama")

    monkeypatch.setattr(text_embedding, "embed_texts", missing)
    with pytest.raises(ImportError, match="pip install"):
        MEDSTrainer(model_path, even_length, make_config(fingerprint="text_embedding"), dataset)


def test_without_a_finder_the_marker_says_what_the_answer_is(make_config):
    class Characters:
        def decode(self, ids, skip_special_tokens):
            return "".join(map(chr, ids))

    source = TextFingerprints(make_config(**COUNTING), None, Characters())
    texts = [r"\boxed{12}", r"so \boxed{ 12 }", r"\boxed{12", "12"]
    source.expect([[0]] * 4, [[ord(letter) for letter in text] for text in texts])
    features = source.features(np.array([True, True, True, True]), None, None)
    assert (features[0] == features[1]).all()
    assert np.isnan(features[2:]).all()  # cut off: 12 may have become 125
    assert np.isnan(source.features(np.array([False] * 4), None, None)).all()
    assert source.spoken(0) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"meds_clustering": "optics"}, "hdbscan, exact, single, kmeans, dbscan, agglomerative, random"),
        ({"meds_scope": "run"}, "prompt, global, batch"),
        ({"meds_penalty_form": "exp"}, "log, inverse_sqrt, share"),
        ({"meds_max_distance": 2.5}, "None or 0 to 2"),
        ({"meds_cluster_distance": 0.0}, "above 0 and at most 2"),
        ({"meds_num_clusters": 0}, "at least 1; got 0"),
        ({"exploration_dim": 1.5}, "whole number"),
        ({"exploration_weight": -1.0}, "at least 0"),
        ({"positive_weight": -0.1}, "positive_weight must be None or a finite number"),
        ({"meds_reencode_tokens": 9, "fingerprint": "answer_string"}, "meds_reencode_tokens"),
        ({"meds_reencode_tokens": 9, "meds_scope": "global"}, "meds_scope='prompt'"),
    ],
)
def test_bad_values_say_what_is_allowed(make_config, fields, said):
    with pytest.raises(ValueError, match=said):
        make_config(**fields)


def test_defaults_are_as_published(make_config):
    args = make_config()
    found = (
        args.meds_target,
        args.meds_all_wrong,
        args.meds_scope,
        args.meds_penalty_form,
        args.meds_clustering,
    )
    assert found == ("wrong", "skip", "prompt", "log", "hdbscan")
    assert (args.fingerprint_from, args.meds_max_distance) == ("policy", None)
    outcome = make_config(method="dapo-outcome", meds_all_wrong="shape")
    assert (outcome.meds_target, outcome.meds_all_wrong, outcome.fingerprint) == (
        "both",
        "shape",
        "answer_string",
    )
