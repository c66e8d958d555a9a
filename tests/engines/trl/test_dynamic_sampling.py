"""Dynamic sampling without a model: groups are graded by a table."""

import torch

from meds_rl.engines.trl.dynamic_sampling import (
    DynamicSampler,
    PromptStream,
    Rollout,
    join_generated,
    split_generated,
)

ROWS = [{"prompt": name} for name in "abcdefgh"]


def sampler(right: dict[str, int], *, max_batches=10, keep_all_wrong=False, processes=1, calls=None) -> DynamicSampler:
    """Groups of 4; of prompt x the first ``right[x]`` completions are right."""

    def generate(rows):
        if calls is not None:
            calls.append([row["prompt"] for row in rows[::4]])
        return [
            Rollout(row, (), torch.tensor([float(i % 4 < right.get(row["prompt"], 0))]), {})
            for i, row in enumerate(rows)
        ]

    return DynamicSampler(
        generate=generate,
        is_correct=lambda rollout: bool(rollout.rewards[0] > 0.5),
        prompt_id=lambda row: row["prompt"],
        stream=PromptStream(ROWS, seed=0),
        group_size=4,
        num_processes=processes,
        max_batches=max_batches,
        keep_all_wrong=keep_all_wrong,
    )


def batch(*names):
    return [{"prompt": name} for name in names for _ in range(4)]


def prompts(refilled):
    return [rollout.inputs["prompt"] for rollout in refilled.rollouts[::4]]


def test_a_batch_full_of_signal_needs_one_round():
    refilled = sampler({"a": 1, "b": 3}).fill(batch("a", "b"))
    assert prompts(refilled) == ["a", "b"]
    assert (refilled.num_batches, refilled.num_filler_groups, refilled.num_groups) == (1, 0, 2)
    assert refilled.accuracy == 4 / 8


def test_all_right_and_all_wrong_groups_are_replaced_by_new_prompts():
    calls = []
    refilled = sampler({"a": 4, "b": 1, "c": 2, "d": 2, "e": 2, "f": 2, "g": 2, "h": 2}, calls=calls).fill(
        batch("a", "b")
    )
    assert prompts(refilled)[0] == "b"
    assert prompts(refilled)[1] not in "ab"
    assert refilled.num_filler_groups == 0
    assert [len(call) for call in calls] == [2, 1], "only the missing group is generated"


def test_a_prompt_is_tried_once_per_batch():
    calls = []
    sampler({}, calls=calls).fill(batch("a", "b"))
    tried = [name for call in calls for name in call]
    assert sorted(tried) == sorted(set(tried))
    assert set(tried) == set("abcdefgh"), "when all prompts were tried there is nothing left to do"


def test_at_the_limit_the_batch_is_filled_with_groups_without_signal():
    refilled = sampler({"b": 1}, max_batches=1).fill(batch("a", "b", "c"))
    assert prompts(refilled) == ["b", "a", "c"], "groups with signal come first"
    assert refilled.num_filler_groups == 2


def test_all_wrong_groups_are_kept_where_they_carry_signal():
    refilled = sampler({"a": 4}, keep_all_wrong=True, max_batches=1).fill(batch("a", "b"))
    assert prompts(refilled) == ["b", "a"]
    assert refilled.num_filler_groups == 1


def test_every_process_gets_the_same_number_of_rows():
    # 3 processes, groups of 4: rows must come in multiples of 12, groups in multiples of 3.
    calls = []
    sampler({"a": 1, "b": 1}, processes=3, calls=calls).fill(batch("a", "b", "c"))
    assert all(len(call) % 3 == 0 for call in calls)


def test_the_stream_passes_over_all_rows_before_it_repeats_one_and_resumes():
    stream = PromptStream(ROWS, seed=3)
    drawn = [row["prompt"] for row in stream.draw(8, skip=lambda _: False)]
    assert sorted(drawn) == list("abcdefgh")
    state = stream.state_dict()
    rest = stream.draw(5, skip=lambda _: False)
    again = PromptStream(ROWS, seed=3)
    again.load_state_dict(state)
    assert again.draw(5, skip=lambda _: False) == rest


def test_generated_fields_are_cut_into_rows_and_joined_again():
    generated = ([[1], [2]], [[3], [4]], None, ["x", "y"], None, {"shared": 1, "own": [5, 6]}, None, [])
    rows = split_generated(generated, 2)
    assert rows[1][:4] == ([2], [4], None, "y")
    assert rows[1][5] == {"shared": 1, "own": 6}
    joined = join_generated(generated, 2, rows[::-1])
    assert joined == ([[2], [1]], [[4], [3]], None, ["y", "x"], None, {"shared": 1, "own": [6, 5]}, None, [])
