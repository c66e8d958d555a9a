"""What a user can replace in MEDSTrainer: each seam with a small function, in a real, tiny training loop."""

from collections import Counter

import numpy as np
import pytest

from meds_rl import ErrorMemory
from meds_rl.engines.settings import make_advantage
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.fingerprints import TextFingerprints, make_source
from meds_rl.fingerprint import AnswerPosition, PooledLogits
from meds_rl.fingerprint.text import text_fingerprints
from meds_rl.memory import HDBSCANClustering
from meds_rl.rollouts import RunFolder
from meds_rl.shaping import group_advantages

from .conftest import assert_same_bits, even_length, mostly_wrong, parameters, third_token, train

pytestmark = pytest.mark.long


def every_completion(completion_ids, _tokenizer):
    return AnswerPosition(0, completion_ids[1]) if len(completion_ids) > 1 else None


def exact(unit_vectors):
    return np.unique(unit_vectors, axis=0, return_inverse=True)[1].ravel()


def rollouts_of(args):
    return RunFolder(args.output_dir).rollouts()


# ---- memory= ----


def test_answers_are_counted_exactly_with_a_clustering_of_ones_own(model_path, dataset, make_config):
    answers = []

    def recorded(completion_ids, **_):
        answers.extend(ids[3] if len(ids) > 3 else None for ids in completion_ids)
        return even_length(completion_ids)

    fields = {"fingerprint": "answer_string", "meds_max_distance": 0.0}
    args = make_config(max_steps=8, dynamic_sampling=False, **fields)
    trainer = train(model_path, dataset, args, recorded, memory=ErrorMemory(exact))
    rollouts = rollouts_of(args).assign(token=answers)
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


def test_a_memory_of_another_clustering_keeps_it(model_path, dataset, make_config):
    for clustering in (exact, HDBSCANClustering(min_cluster_size=4)):
        memory = ErrorMemory(clustering)
        trainer = MEDSTrainer(model_path, even_length, make_config(), dataset, memory=memory)
        assert trainer.memory is memory


# ---- fingerprint= ----


def test_a_function_of_the_texts_is_a_fingerprint(model_path, dataset, make_config):
    calls = []

    def length_and_answer(prompts, completions, answers, prompt_id, **columns):
        calls.append((prompts, completions, answers, prompt_id, columns))
        return [
            [np.nan, np.nan] if answer is None else [len(text), ord(answer or "z")]
            for text, answer in zip(completions, answers, strict=True)
        ]

    args = make_config(max_steps=4, dynamic_sampling=False)
    trainer = train(model_path, dataset, args, fingerprint=length_and_answer)
    assert trainer.num_features is None
    assert trainer.memory.n_features == 2
    assert not any("meds/fingerprint_age" in row for row in trainer.state.log_history)
    rollouts = rollouts_of(args)
    assert len(calls) == 4
    for (prompts, completions, answers, prompt_ids, columns), (_, batch) in zip(
        calls, rollouts.groupby("generation"), strict=True
    ):
        assert (prompts, completions) == (batch["prompt"].tolist(), batch["completion"].tolist())
        assert prompt_ids == batch["prompt_id"].tolist()
        assert columns == {}
        for answer, tokens in zip(answers, batch["num_tokens"], strict=True):
            assert (answer is None) == (tokens <= 3), "third_token finds an answer of one letter"
            assert answer is None or len(answer) <= 1
    texts = rollouts.set_index("memory_id")["completion"]
    for name in trainer.memory.prompt_ids:
        entry = trainer.memory.entry(name)
        assert entry.vectors[:, 0].tolist() == [len(texts[one]) for one in entry.ids]


def test_a_function_that_returns_too_little_is_refused(model_path, dataset, make_config):
    def too_few(completions, **_):
        return np.ones((len(completions) - 1, 2))

    with pytest.raises(ValueError, match=r"fingerprint must return an array \(16, D\).*got shape \(15, 2\)"):
        train(model_path, dataset, make_config(dynamic_sampling=False), fingerprint=too_few)


def test_without_a_finder_the_marker_says_what_the_answer_is(make_config):
    class Characters:
        def decode(self, ids, skip_special_tokens):
            return "".join(map(chr, ids))

    args = make_config(fingerprint="answer_string")
    source = make_source(None, args, None, args.answer_marker, Characters(), None)
    assert isinstance(source, TextFingerprints)
    texts = [r"\boxed{12}", r"so \boxed{ 12 }", r"\boxed{12", "12"]
    source.start_batch([[0]] * 4, [[ord(letter) for letter in text] for text in texts], [None] * 4)
    rows = [{"prompt": "x"}] * 4
    features = source.features(np.array([True, True, True, True]), rows, None, None)
    assert (features[0] == features[1]).all()
    assert np.isnan(features[2:]).all()  # cut off: 12 may have become 125
    assert np.isnan(source.features(np.array([False] * 4), rows, None, None)).all()
    assert source.num_features == features.shape[1]


# ---- penalty= ----


def test_a_penalty_of_ones_own(model_path, dataset, make_config):
    calls = []

    def by_share(cluster_sizes, group_sizes):
        calls.append((cluster_sizes, group_sizes))
        return 0.3 * cluster_sizes / group_sizes

    args = make_config(max_steps=6, dynamic_sampling=False)
    train(model_path, dataset, args, penalty=by_share)
    rollouts = rollouts_of(args)
    scored = rollouts[rollouts["memory_id"] >= 0]
    np.testing.assert_allclose(scored["penalty"], 0.3 * scored["cluster_size"] / 4)
    assert (scored["penalty"] > 0.2).any(), "the paper's cap does not act"
    assert (rollouts.loc[rollouts["memory_id"] < 0, "penalty"] == 0).all()
    assert all((sizes == 4).all() for _, sizes in calls)


# ---- advantage= ----


def test_an_advantage_of_ones_own_gets_the_shaped_rewards(model_path, dataset, make_config):
    def undivided(rewards, group_ids, is_correct):
        assert rewards.shape == group_ids.shape == is_correct.shape == (16,)
        return group_advantages(rewards, prompt_ids=group_ids.tolist(), normalize_by_std=False)

    args = make_config(max_steps=6, dynamic_sampling=False)  # else it is asked about a group of wrong answers, too
    ours = train(model_path, dataset, args, advantage=undivided)
    rollouts = rollouts_of(args)
    for _, group in rollouts.groupby(["generation", "prompt_id"]):
        centered = group["shaped_reward"] - group["shaped_reward"].mean()
        np.testing.assert_allclose(group["advantage"], centered, atol=1e-6)
    assert (rollouts["shaped_reward"] < rollouts["reward"]).any()
    theirs = train(model_path, dataset, make_config(max_steps=6, dynamic_sampling=False, scale_rewards="none"))
    for name, value in parameters(ours).items():
        np.testing.assert_allclose(value, parameters(theirs)[name], atol=1e-5)


@pytest.mark.parametrize(("method", "weight"), [("dapo", 0.0), ("dapo", 0.1), ("meds", 0.5)])
def test_an_advantage_that_teaches_from_wrong_answers_alone(model_path, dataset, make_config, method, weight):
    """Negative-sample reinforcement: dynamic sampling keeps groups without a right answer, as they get -1."""

    def reinforcement(_rewards, _group_ids, is_correct):
        return np.where(is_correct, weight, -1.0)

    args = make_config(method=method, max_steps=3)
    train(model_path, dataset, args, mostly_wrong, advantage=reinforcement)
    rollouts = rollouts_of(args)
    used = rollouts[rollouts["in_loss"]]
    np.testing.assert_allclose(used["advantage"], np.where(used["is_correct"], weight, -1.0), rtol=1e-6)
    accuracy = used.groupby(["generation", "prompt_id"])["is_correct"].mean()
    assert (accuracy == 0).any()
    assert not (accuracy == 1).any()


def test_an_advantage_that_gives_equal_rewards_nothing_keeps_no_all_wrong_groups(model_path, dataset, make_config):
    def centred(rewards, group_ids, _is_correct):
        return rewards - (np.bincount(group_ids, rewards) / np.bincount(group_ids))[group_ids]

    args = make_config(method="dapo", max_steps=3)
    train(model_path, dataset, args, mostly_wrong, advantage=centred)
    used = rollouts_of(args).query("in_loss")
    assert used.groupby(["generation", "prompt_id"])["is_correct"].any().all()


def test_rows_that_nobody_graded_get_no_advantage(model_path, dataset, make_config):
    def sometimes_none(completion_ids, **_):
        return [None if ids[0] % 5 == 0 else float(sum(ids) % 2) for ids in completion_ids]

    args = make_config(max_steps=3, dynamic_sampling=False)
    train(model_path, dataset, args, sometimes_none, advantage=lambda rewards, _ids, _right: rewards + 1.0)
    rollouts = rollouts_of(args)
    ungraded = rollouts["reward"].isna()
    assert ungraded.any()
    assert (rollouts.loc[ungraded, "advantage"] == 0).all()
    graded = rollouts[~ungraded]
    np.testing.assert_allclose(graded["advantage"], graded["shaped_reward"] + 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("advantage", "said"),
    [
        (lambda rewards, *_: rewards[1:], r"must return 16 finite numbers.*got shape \(15,\)"),
        (lambda rewards, *_: rewards * np.nan, "some that are not finite"),
    ],
)
def test_an_advantage_of_the_wrong_shape_is_refused(model_path, dataset, make_config, advantage, said):
    with pytest.raises(ValueError, match=said):
        train(model_path, dataset, make_config(dynamic_sampling=False), advantage=advantage)


@pytest.mark.parametrize("name", ["undivided", "maxrl", "pass_at_k", "f_grpo"])
def test_an_advantage_by_name(model_path, dataset, make_config, name):
    fields = {"advantage": name, "advantage_k": 2, "meds_all_wrong": "center", "dynamic_sampling": False}
    args = make_config(max_steps=6, **fields)
    train(model_path, dataset, args, mostly_wrong)
    rollouts = rollouts_of(args)
    groups = rollouts.groupby(["generation", "prompt_id"])
    expected = make_advantage(args.settings)(
        rollouts["shaped_reward"].to_numpy(), groups.ngroup().to_numpy(), rollouts["is_correct"].to_numpy(dtype=bool)
    )
    np.testing.assert_allclose(rollouts["advantage"], expected, atol=1e-5)
    assert groups["is_correct"].mean().between(0, 1, inclusive="neither").any()
    penalised = rollouts[groups["penalty"].transform("max") > groups["penalty"].transform("min")]
    assert (penalised["advantage"] != 0).any()


def test_undivided_by_name_trains_as_trl_without_its_division(model_path, dataset, make_config):
    runs = [
        train(model_path, dataset, make_config(method="grpo", **fields))
        for fields in ({"advantage": "undivided"}, {"scale_rewards": "none"}, {"advantage": "trl"}, {})
    ]
    for name, value in parameters(runs[0]).items():
        np.testing.assert_allclose(value, parameters(runs[1])[name], atol=1e-5)
    assert_same_bits(runs[2], runs[3])


@pytest.mark.parametrize("name", ["maxrl", "pass_at_k", "f_grpo"])
def test_a_named_advantage_keeps_no_all_wrong_groups(model_path, dataset, make_config, name):
    args = make_config(method="dapo", advantage=name, max_steps=2)
    train(model_path, dataset, args, mostly_wrong)
    used = rollouts_of(args).query("in_loss")
    assert used.groupby(["generation", "prompt_id"])["is_correct"].any().all()


@pytest.mark.parametrize("name", ["maxrl", "pass_at_k", "f_grpo"])
def test_an_advantage_by_the_share_of_right_answers_needs_to_know_what_is_right(model_path, dataset, make_config, name):
    def graded(completion_ids, **_):
        return [len(ids) / 12 for ids in completion_ids]

    with pytest.raises(ValueError, match=r"returned .*not only 0 and 1"):
        train(model_path, dataset, make_config(method="trl", advantage=name), graded)


def test_an_infinite_reward_has_no_advantage(model_path, dataset, make_config):
    def sometimes_infinite(completion_ids, **_):
        return [float("inf") if sum(ids) % 5 == 0 else float(sum(ids) % 2) for ids in completion_ids]

    args = make_config(method="trl", advantage="maxrl")
    train(model_path, dataset, args, sometimes_infinite, correctness=even_length)
    rollouts = rollouts_of(args)
    infinite = rollouts["reward"].isna()  # as it is read back
    assert infinite.any()
    assert (rollouts.loc[infinite, "advantage"] == 0).all()
    assert (rollouts["advantage"] != 0).any()


# ---- a subclass ----


class NoveltyBonus(MEDSTrainer):
    """No memory: pays for states of the model that are far from the group's mean."""

    def shape(self, batch, features):
        states = features(np.ones(len(batch), dtype=bool))
        for group in np.unique(batch.group_ids):
            rows = np.flatnonzero((batch.group_ids == group) & ~np.isnan(states).any(axis=1))
            distances = np.linalg.norm(states[rows] - states[rows].mean(axis=0), axis=1)
            batch.shaped_rewards[rows] += 0.01 * distances


def test_a_subclass_makes_a_reward_of_the_states(model_path, dataset, make_config):
    args = make_config(max_steps=3, dynamic_sampling=False, fingerprint_from="reference")
    trainer = NoveltyBonus(
        model_path, even_length, args, dataset, fingerprint=PooledLogits(), answer_finder=every_completion
    )
    trainer.train()
    rollouts = rollouts_of(args)
    bonus = (rollouts["shaped_reward"] - rollouts["reward"]).to_numpy()
    assert (bonus[rollouts["num_tokens"] > 1] > 0).all()
    assert (bonus[rollouts["num_tokens"] == 1] == 0).all()  # no state is read of a single token
    assert (rollouts["reason"] == "no_memory").all()
    assert len(trainer.memory) == 0
    logged = [row["rewards/meds_penalty/mean"] for row in trainer.state.log_history if "loss" in row]
    means = rollouts.assign(bonus=bonus).groupby("generation")["bonus"].mean()
    np.testing.assert_allclose(logged, means, rtol=1e-4)


class OnlyThisBatch(MEDSTrainer):
    """Compares a wrong completion with the others of its group in the batch, and with nothing before."""

    def shape(self, batch, features):
        answers = features(~batch.is_correct)
        for row in np.flatnonzero(~batch.is_correct).tolist():
            others = (batch.group_ids == batch.group_ids[row]) & ~batch.is_correct
            alike = (answers[others] == answers[row]).all(axis=1).sum() - 1
            batch.shaped_rewards[row] -= 0.1 * max(alike, 0)


def test_a_subclass_compares_within_the_batch(model_path, dataset, make_config):
    args = make_config(max_steps=3, dynamic_sampling=False, fingerprint="answer_string")
    trainer = OnlyThisBatch(model_path, mostly_wrong, args, dataset, answer_finder=third_token)
    trainer.train()
    assert trainer.memory.step == 0
    taken = rollouts_of(args).eval("reward - shaped_reward")
    np.testing.assert_allclose(taken, np.round(taken, 1), atol=1e-9)
    assert (taken > 0).any()


def test_columns_of_the_data_set_do_not_hide_what_a_fingerprint_gets(model_path, dataset, make_config):
    data = dataset.add_column("answers", ["gold"] * 8)
    args = make_config(method="trl", max_steps=1, fingerprint="answer_string")
    trainer = train(model_path, data, args)
    assert len(trainer.memory) > 0


@pytest.mark.parametrize("fingerprint", ["steps", "text"])
def test_fingerprints_of_the_text_are_those_of_the_completions(model_path, dataset, make_config, fingerprint):
    """The memory has the vectors of the rollouts' texts; where no step can be read, of the answers."""
    args = make_config(method="trl", max_steps=2, fingerprint=fingerprint)
    trainer = MEDSTrainer(model_path, mostly_wrong, args, dataset, answer_finder=third_token)
    trainer.train()
    rollouts = rollouts_of(args)
    remembered = rollouts[rollouts["memory_id"] >= 0]
    assert len(remembered) > 0
    vectors = text_fingerprints(
        fingerprint,
        prompts=remembered["prompt"].tolist(),
        completions=remembered["completion"].tolist(),
        answers=[answer if isinstance(answer, str) else None for answer in remembered["answer"]],
    )
    expected = dict(zip(remembered["memory_id"].tolist(), vectors, strict=True))
    for prompt in trainer.memory.prompt_ids:
        entry = trainer.memory.entry(prompt)
        assert entry.vectors.shape[1] == 128
        for number, vector in zip(entry.ids.tolist(), entry.vectors, strict=True):
            np.testing.assert_allclose(vector, expected[number], atol=1e-6)
