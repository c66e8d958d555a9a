"""The method told with numbers that can be checked by hand."""

import numpy as np
import pytest

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.labels import NO_ANSWER, NOISE, NOT_SCORED, UNSEEN
from meds_rl.shaping import Reason, group_advantages

NAN = [np.nan, np.nan]
EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def shape(shaper, features, is_correct, rewards=None, prompt_ids=None, **more):
    is_correct = np.array(is_correct, dtype=bool)
    rewards = is_correct.astype(float) if rewards is None else rewards
    prompt_ids = ["x"] * len(rewards) if prompt_ids is None else prompt_ids
    return shaper.shape(rewards, prompt_ids=prompt_ids, features=features, is_correct=is_correct, **more)


def test_the_call_as_the_issue_writes_it(tmp_path):
    rewards, prompt_ids = np.array([1.0, 0.0]), ["x", "x"]
    features, is_correct = np.array([EAST, NORTH]), np.array([True, False])
    path = tmp_path / "memory.safetensors"
    shaper = RewardShaper(
        alpha=0.1,
        beta=0.2,
        target="wrong",
        noise="cluster",
        all_wrong="skip",
        no_answer="cluster",
        n_neighbors=3,
        memory=ErrorMemory(),
    )
    shaped = shaper.shape(rewards, prompt_ids=prompt_ids, features=features, is_correct=is_correct)
    for array in (shaped.rewards, shaped.penalties, shaped.cluster_sizes, shaped.clusters):
        assert array.shape == (2,)
    shaper.memory.save(path)
    memory = ErrorMemory.load(path)
    assert len(memory) == 1


def test_three_visits_by_hand():
    shaper = RewardShaper()
    # Visit 1: the memory is empty. Two errors (twice each) and a right answer.
    features, graded = [EAST, EAST, NORTH, NORTH, WEST], [False] * 4 + [True]
    first = shape(shaper, features, graded)
    assert first.rewards.tolist() == [0, 0, 0, 0, 1]
    assert first.reasons == ["unseen"] * 4 + ["not_target"]
    assert first.clusters.tolist() == [UNSEEN] * 4 + [NOT_SCORED]
    # Visit 2: memory holds two clusters of 2. The 3 nearest of EAST are its 2 copies and one NORTH: its cluster wins.
    # |C| = 2: 0.1 ln 3 = 0.109861.
    second = shape(shaper, features, graded)
    np.testing.assert_allclose(second.penalties, [0.109861] * 4 + [0.0], atol=5e-7)
    np.testing.assert_allclose(second.rewards, [-0.109861] * 4 + [1.0], atol=5e-7)
    assert second.cluster_sizes.tolist() == [2, 2, 2, 2, 0]
    assert second.clusters[0] == second.clusters[1] != second.clusters[2] == second.clusters[3]
    # Visit 3: two clusters of 4: 0.1 ln 5 = 0.160944.
    third = shape(shaper, features, graded)
    np.testing.assert_allclose(third.rewards, [-0.160944] * 4 + [1.0], atol=5e-7)
    # Visit 4: clusters of 6: 0.1 ln 7 = 0.194591; visit 5: of 8, 0.1 ln 9 = 0.2197, capped at 0.2.
    assert shape(shaper, features, graded).rewards[0] == pytest.approx(-0.194591, abs=5e-7)
    assert shape(shaper, features, graded).rewards[0] == -0.2
    assert (len(shaper.memory), shaper.memory.step) == (20, 5)


def test_a_batch_is_scored_before_it_is_remembered():
    shaped = shape(RewardShaper(), [EAST] * 7 + [NORTH], [False] * 7 + [True])
    assert shaped.cluster_sizes.tolist() == [0] * 8


@pytest.mark.parametrize(("noise", "expected"), [("cluster", -0.160944), ("free", 0.0)])
def test_a_single_tight_group_is_noise_and_still_punished(noise, expected):
    shaper = RewardShaper(noise=noise)
    features, graded = [EAST] * 4 + [NORTH], [False] * 4 + [True]
    shape(shaper, features, graded)
    entry = shaper.memory.entry("x")
    assert entry is not None
    assert entry.labels.tolist() == [NOISE] * 4
    shaped = shape(shaper, features, graded)  # 0.1 ln(4 + 1) = 0.160944
    np.testing.assert_allclose(shaped.rewards, [expected] * 4 + [1.0], atol=5e-7)
    assert shaped.clusters.tolist() == [NOISE] * 4 + [NOT_SCORED]
    assert shaped.cluster_sizes.tolist()[:4] == [4 if noise == "cluster" else 0] * 4
    assert shaped.reasons[0] == ("noise" if noise == "cluster" else "noise_free")


def test_one_feature_makes_one_group():
    # FINDINGS: +1 after normalisation whatever the value, so that all errors count as one.
    shaper = RewardShaper()
    graded = [False, False, False, True]
    shape(shaper, [[0.1], [7.0], [300.0], [1.0]], graded)
    shaped = shape(shaper, [[0.2], [5.0], [900.0], [1.0]], graded)
    assert shaped.cluster_sizes.tolist() == [3, 3, 3, 0]


def test_no_answer_counts_like_a_cluster():
    shaper = RewardShaper()
    features, graded = [NAN, NAN, EAST, NORTH], [False, False, False, True]
    first = shape(shaper, features, graded)
    assert first.reasons == ["no_answer", "no_answer", "unseen", "not_target"]
    assert first.penalties.tolist() == [0.0] * 4
    second = shape(shaper, features, graded)  # 0.1 ln 3 for no answer; one remembered EAST, noise: 0.1 ln 2
    np.testing.assert_allclose(second.penalties, [0.109861, 0.109861, 0.069315, 0], atol=5e-7)
    assert second.clusters.tolist() == [NO_ANSWER, NO_ANSWER, NOISE, NOT_SCORED]
    assert second.cluster_sizes.tolist() == [2, 2, 1, 0]


def test_no_answer_free_is_neither_penalised_nor_remembered():
    counted = RewardShaper()
    shape(counted, [NAN, NAN, EAST], [False, False, True])
    # even with a memory that comes from a run that counted
    shaper = RewardShaper(no_answer="free", memory=counted.memory)
    shaped = shape(shaper, [NAN, EAST, NORTH], [False, False, True])
    assert shaped.penalties.tolist() == [0.0] * 3
    assert shaped.reasons == ["no_answer_free", "unseen", "not_target"]
    assert shaped.memory_ids.tolist() == [-1, 2, -1]
    assert len(shaper.memory) == 3


def test_all_right_and_all_wrong_groups_are_skipped_as_released():
    shaper = RewardShaper()
    for _ in range(2):
        shaped = shape(
            shaper,
            features=[EAST] * 6,
            is_correct=[True, True, False, False, True, False],
            prompt_ids=["right", "right", "wrong", "wrong", "mixed", "mixed"],
        )
    assert shaped.reasons == ["all_right", "all_right", "all_wrong", "all_wrong", "not_target", "noise"]
    np.testing.assert_allclose(shaped.rewards, [1, 1, 0, 0, 1, -0.069315], atol=5e-7)
    assert shaper.memory.prompt_ids == ["mixed"]
    assert shaped.normalize_by_std.all()


@pytest.mark.parametrize("all_wrong", ["center", "shape"])
def test_all_wrong_groups_shaped(all_wrong):
    shaper = RewardShaper(all_wrong=all_wrong)
    shape(shaper, [EAST] * 7 + [NORTH], [False] * 8)
    shape(shaper, [EAST] * 7 + [NORTH] * 2, [False] * 9)
    # EAST is a cluster of 14: 0.1 ln 15 = 0.2708, capped at 0.2. NORTH, of 3: 0.1 ln 4 = 0.138629.
    shaped = shape(shaper, [EAST] * 7 + [NORTH], [False] * 8)
    np.testing.assert_allclose(shaped.rewards, [-0.2] * 7 + [-0.138629], atol=5e-7)
    assert shaped.normalize_by_std.tolist() == [all_wrong == "shape"] * 8
    advantages = group_advantages(
        shaped.rewards, prompt_ids=shaped.prompt_ids, normalize_by_std=shaped.normalize_by_std
    )
    # The difference of 0.061371: 7/8 of it, 0.053700, or of any size 2.47 after the division.
    expected = 0.053700 if all_wrong == "center" else 2.4749 * 0.021698 / (0.021698 + 1e-4)
    assert advantages[7] == pytest.approx(expected, abs=5e-5)


def test_center_changes_only_all_wrong_groups():
    shaped = shape(
        RewardShaper(all_wrong="center"),
        features=[EAST] * 6,
        is_correct=[True, False, True, True, False, False],
        prompt_ids=[1, 1, 2, 2, 3, 3],
    )
    assert shaped.normalize_by_std.tolist() == [True] * 4 + [False] * 2


def test_right_answers_as_target_keep_their_sign():
    shaper = RewardShaper(target="right")
    features, graded = [EAST, EAST, EAST, NORTH], [True, True, True, False]
    rewards = [1.0, 0.0, -0.5, 0.0]
    shape(shaper, features, graded, rewards)
    shaped = shape(shaper, features, graded, rewards)
    # three remembered, all noise: p = 0.1 ln 4 = 0.138629. 1 / 1.138629 = 0.878249; 0; -0.5 * 1.138629 = -0.569315.
    np.testing.assert_allclose(shaped.rewards, [0.878249, 0.0, -0.569315, 0.0], atol=5e-7)
    assert shaped.penalties[1] == pytest.approx(0.138629, abs=5e-7)
    assert shaped.reasons == ["noise", "noise", "noise", "not_target"]
    assert shaper.memory.entry("x") is None
    right = shaper.memory.entry("x", is_correct=True)
    assert right is not None
    assert len(right) == 6


def test_both_targets_do_not_count_each_other():
    shaper = RewardShaper(target="both")
    for _ in range(2):
        shaped = shape(shaper, [EAST, EAST, EAST], [True, False, False])
    assert shaped.cluster_sizes.tolist() == [1, 2, 2]


def test_alpha_0_changes_no_reward_and_still_remembers():
    shaper = RewardShaper(alpha=0.0, target="both", all_wrong="shape")
    rewards = np.random.default_rng(0).normal(size=6)
    for _ in range(3):
        shaped = shape(shaper, [EAST, NORTH] * 3, [True, True, False, False, True, False], rewards)
    assert shaped.rewards.tobytes() == rewards.tobytes()
    assert shaped.cluster_sizes.min() > 0
    assert len(shaper.memory) == 18


def test_int_and_str_ids_are_different_prompts():
    shaper = RewardShaper()
    shape(shaper, [EAST, NORTH], [False, True], prompt_ids=[1, 1])
    shaped = shape(shaper, [EAST, NORTH] * 2, [False, True] * 2, prompt_ids=["1", "1", 1, 1])
    assert shaped.cluster_sizes.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("ids", [np.array([5, 5]), np.array(["q", "q"]), (5, np.int16(5)), iter(["q", "q"])])
def test_ids_may_come_in_any_sequence(ids):
    shaped = shape(RewardShaper(), [EAST, NORTH], [False, True], prompt_ids=ids)
    assert shaped.memory_ids.tolist() == [0, -1]


def test_an_empty_batch():
    shaper = RewardShaper()
    for features in ([], np.zeros((0, 14))):
        shaped = shaper.shape([], prompt_ids=[], features=features, is_correct=[])
        assert len(shaped) == 0
        assert set(shaped.metrics().values()) == {0.0}
    assert (len(shaper.memory), shaper.memory.step) == (0, 2)
    shape(shaper, [EAST, NORTH], [False, True])
    assert len(shaper.shape([], prompt_ids=[], features=[], is_correct=[])) == 0


def test_an_empty_memory_that_is_passed_is_used():
    memory = ErrorMemory()  # falsy, having length 0
    assert RewardShaper(memory=memory).memory is memory
    assert RewardShaper().memory is not RewardShaper().memory


@pytest.mark.parametrize("target", ["wrong", "right", "both"])
@pytest.mark.parametrize("all_wrong", ["skip", "shape"])
def test_scored_rows_are_those_that_shape_scores(target, all_wrong):
    shaper = RewardShaper(target=target, all_wrong=all_wrong)
    ids, graded = ["r", "r", "w", "w", "m", "m"], [True, True, False, False, True, False]
    rows = shaper.scored_rows(prompt_ids=ids, is_correct=graded)
    shaped = shape(shaper, [EAST] * 6, graded, prompt_ids=ids)
    assert rows.tolist() == (shaped.clusters != NOT_SCORED).tolist()
    assert rows.tolist() == (shaped.memory_ids >= 0).tolist()


def test_an_annealed_penalty_falls_to_nothing_and_everything_is_remembered():
    shaper = RewardShaper(alpha=0.2, beta=9.0, all_wrong="center", anneal=(0.25, 0.75))
    penalties = [shape(shaper, [EAST], [False], progress=done).penalties[0] for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(penalties, [0.0, 0.2 * np.log(2), 0.1 * np.log(3), 0.0, 0.0], rtol=1e-14)
    assert len(shaper.memory) == 5
    assert [shaper.alpha_at(done) for done in (0.0, 0.5, 1.0)] == [0.2, 0.1, 0.0]


def test_an_annealed_penalty_must_know_how_far_training_is():
    shaper = RewardShaper(anneal=[0.25, 0.75])
    with pytest.raises(ValueError, match="shape needs progress, the share of training that is done"):
        shape(shaper, [EAST, WEST], [False, True])
    assert not len(shaper.memory)
    assert RewardShaper().alpha_at(None) == 0.1


def test_two_groups_of_one_prompt_are_judged_apart_and_share_its_memory():
    # Group a has a right completion, group b has none: by itself it is skipped, or not divided by its deviation.
    features, graded, groups = [EAST, WEST, EAST, NORTH], [False, True, False, False], ["a", "a", "b", "b"]
    skipping = RewardShaper()
    shaped = shape(skipping, features, graded, group_ids=groups)
    assert shaped.reasons == ["unseen", "not_target", "all_wrong", "all_wrong"]
    assert len(skipping.memory) == 1
    rows = skipping.scored_rows(prompt_ids=["x"] * 4, is_correct=graded, group_ids=groups)
    assert rows.tolist() == [True, False, False, False]

    centring = RewardShaper(all_wrong="center")
    shaped = shape(centring, features, graded, group_ids=groups)
    assert shaped.normalize_by_std.tolist() == [True, True, False, False]
    assert len(centring.memory.entry("x").vectors) == 3
    again = shape(centring, [EAST, EAST], [False, False], group_ids=["c", "d"])
    assert again.cluster_sizes.tolist() == [3, 3], "one memory, and neither sees the other's completion"
    assert again.normalize_by_std.tolist() == [False, False]


def test_without_group_ids_a_prompt_is_one_group():
    features, graded, ids = [EAST, WEST, EAST, NORTH], [False, True, False, False], ["x", "x", "y", "y"]
    one, other = (
        shape(RewardShaper(all_wrong="center"), features, graded, prompt_ids=ids, group_ids=groups)
        for groups in (None, [7, 7, "7", "7"])
    )
    assert one.reasons == other.reasons
    assert one.normalize_by_std.tolist() == other.normalize_by_std.tolist()
    assert one.memory_ids.tolist() == other.memory_ids.tolist()


def test_a_group_of_two_prompts_is_refused():
    with pytest.raises(ValueError, match="group 'a' has completions of 'x' and 'y'"):
        shape(RewardShaper(), [EAST, WEST], [False, True], prompt_ids=["x", "y"], group_ids=["a", "a"])
    with pytest.raises(ValueError, match="group_ids"):
        shape(RewardShaper(), [EAST, WEST], [False, True], group_ids=["a"])


def test_every_reason_has_an_explanation():
    shaper = RewardShaper(target="both", noise="free", no_answer="free")
    shaped = shape(
        shaper, [EAST, EAST, NAN, NORTH, WEST], [False, True, False, True, False], prompt_ids=[1, 1, 1, 2, 3]
    )
    assert [Reason(reason) for reason in shaped.reasons] == [
        Reason.UNSEEN,
        Reason.UNSEEN,
        Reason.NO_ANSWER_FREE,
        Reason.ALL_RIGHT,
        Reason.ALL_WRONG,
    ]
    for row in range(5):
        assert str(shaped.prompt_ids[row]) in shaped.explain(row)


def test_a_result_explains_itself():
    shaper = RewardShaper()
    features, graded = [EAST, EAST, NORTH, NORTH, NAN, WEST], [False] * 5 + [True]
    shape(shaper, features, graded)
    shaped = shape(shaper, features, graded)
    assert shaped.explain(0) == (
        "Completion 0 of prompt 'x' is wrong: its nearest remembered completions are of cluster "
        f"{shaped.clusters[0]}, which had 2 members. Penalty 0.1099, reward 0.0000 -> -0.1099."
    )
    assert "it gives no answer, as 1 remembered completions did before. Penalty 0.0693" in shaped.explain(4)
    assert "no target of the penalty. Penalty 0.0000, reward 1.0000 -> 1.0000" in shaped.explain(5)
    assert all(type(reason) is str for reason in shaped.reasons)


def test_metrics_by_hand():
    shaper = RewardShaper()
    shape(shaper, [EAST] * 3 + [NAN, WEST], [False] * 4 + [True])
    shaped = shape(
        shaper,
        features=[EAST, NAN, EAST, NORTH, NAN, NAN, EAST, EAST],
        is_correct=[False, False, True, False, False, True, False, False],
        prompt_ids=["x", "x", "x", "y", "y", "y", "all wrong", "all wrong"],
    )
    # Scored: two of x (3 noise: 0.1 ln 4 = 0.138629; 1 no answer: 0.069315) and two of y (nothing remembered).
    assert shaped.metrics() == {
        "share_penalised": 2 / 8,
        "mean_penalty": pytest.approx((0.138629 + 0.069315) / 4, abs=1e-6),
        "share_wrong_seen": 2 / 4,
        "noise_share": 1 / 4,
        "no_answer_share": 2 / 4,
    }
    assert all(type(value) is float for value in shaped.metrics().values())
