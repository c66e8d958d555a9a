"""Would a memory help here: figures worked out by hand, and the rule of the one sentence."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.evaluation.pass_at_k import pass_at_k
from meds_rl.report.data import report_data
from meds_rl.report.outlook import MAX_BLOCKS, _means, outlook
from meds_rl.report.source import read_run
from meds_rl.report.workings import Workings

from .runs import RIGHT, WRONG, write_run
from .test_completions import hostile_run


def rows(prompt, wrong, right=0):
    """A group: its wrong answers, letter by letter ("-" for none), then right ones."""
    return [*((prompt, None if name == "-" else name, WRONG) for name in wrong), *[(prompt, "r", RIGHT)] * right]


def found(path, batches, **options):
    write_run(path, batches, memory=False, **options)
    return outlook(read_run(path))


def test_figures_by_hand(tmp_path):
    # Three batches of p and q, groups of four; s comes once.
    batches = [
        [*rows("p", "aaab"), *rows("q", "c", 3)],
        [*rows("p", "aaa-"), *rows("q", "cd", 2)],
        [*rows("p", "abab"), *rows("q", "", 4), *rows("s", "ab")],
    ]
    of = found(tmp_path, batches)
    # Of 7 groups p's three and s's are all wrong, q's first two are mixed, q's last is all right.
    assert (of.groups.count, of.groups.size, of.group_size) == (7, 4, 4)
    assert (of.groups.all_wrong, of.groups.mixed, of.groups.all_right) == (4 / 7, 2 / 7, 1 / 7)
    # p: "a" 3 + 3 + 2 = 8 of 12; q: "c" 2 of 12; s has two completions, too few.
    assert (of.commonest.prompts, of.commonest.median) == (2, pytest.approx((8 / 12 + 2 / 12) / 2))
    assert (of.commonest.over_half, of.commonest.over_dominant) == (0.5, 0.0)
    # Later visits: p's a a a (seen), none (new), a b a b (seen); q's c (seen), d (new): 8 of 10. p and q came again.
    assert of.seen_before == 8 / 10
    assert of.asked_again == pytest.approx(2 / 3)
    # The last third is the last batch: p has a, b equally often, exp(ln 2) = 2; s has too few.
    assert of.live_errors == pytest.approx(2.0)
    # p and s have no right one, q has 9. None in 12 and in 2 completions: median 7, too few for a rate.
    assert (of.right.none, of.right.few, of.right.many) == (pytest.approx(2 / 3), 0.0, pytest.approx(1 / 3))
    assert (of.right.none_completions, of.right.none_rate_at_most) == (7, None)
    # Of p and q: first batch 0 and 3 of 4, last 0 and 4 of 4.
    assert [row.k for row in of.pass_at_k] == [1, 2, 4]
    assert (of.same_prompts, of.num_prompts) == (True, (2, 2))
    for row in of.pass_at_k:
        assert row.first.value == pytest.approx(pass_at_k(4, 3, row.k) / 2)
        assert row.last.value == 0.5
        assert row.difference.value == pytest.approx(0.5 - pass_at_k(4, 3, row.k) / 2)
        assert row.difference.low <= row.difference.value <= row.difference.high


MIXED = rows("p", "ab", 2)
REGIMES = {
    "no answers": ([rows("p", "---")] * 3, "No final answer was found in 100 % of the wrong completions"),
    "one batch": (
        [[*rows("p", "aaaaa"), *rows("q", "abcde")]],
        "There is one batch only, so whether errors come back cannot be seen; on 50 % of the prompts, over 80 % of the "
        "completions make the same error.",
    ),
    "asked once": (
        [rows("p", "aaaa"), rows("q", "aaaa")],
        "Every prompt came once: a memory across visits has nothing",
    ),
    "new errors": (
        [rows("p", "ab"), rows("p", "cd"), rows("p", "ef")],
        "hardly help: over the whole run, 0 % of the errors on prompts that came again were made before (by answer).",
    ),
    "solved": (
        [*[rows("p", "", 4)] * 4, rows("p", "a", 3)],
        "Little is left to learn: 80 % of the groups are all right.",
    ),
    # One in three of the errors came before.
    "mixed": (
        [rows("p", names, 2) for names in ("ab", "ac", "ad", "ef")],
        "Nothing to learn for a penalty: 100 % of the groups are mixed, so right and wrong already differ",
    ),
    "stuck": (
        [[*rows("p", "aaaaa"), *rows("q", "abcde")]] * 3,
        "Stuck: on 50 % of the prompts, over 80 % of the completions make the same error: train with and without a "
        "penalty (meds_alpha=0) to see whether it helps.",
    ),
    # Groups of two, one at a time; in the last third (four of twelve batches) p has four errors, equally often.
    "many": (
        [rows("p", "ab"), rows("p", "cd")] * 6,
        "Many errors at a time: the median prompt has 4.0 different errors, more than a group",
    ),
    "repeats": (
        [rows("p", "aabb")] * 3,
        "Errors repeat: over the whole run, 100 % of the errors on prompts that came again were made before (by "
        "answer), and 100 % of the groups are all wrong: train with and without",
    ),
}


@pytest.mark.parametrize("regime", list(REGIMES))
def test_the_sentence_names_the_regime(tmp_path, regime):
    batches, words = REGIMES[regime]
    of = found(tmp_path, batches)
    assert of.regime == regime
    assert words in of.sentence
    json.dumps(of.to_dict(), allow_nan=False)


def test_prompts_that_nearly_all_came_once(tmp_path):
    batches = [[row for number in range(19) for row in rows(f"p{number}", "ab")], rows("p0", "ab")]
    of = found(tmp_path, batches)
    assert of.sentence == "95 % of the prompts came once: a memory across visits has nothing to remember."
    assert of.pass_at_k is None  # two batches have no thirds


def test_of_prompts_that_come_once_the_thirds_are_of_different_prompts(tmp_path):
    of = found(tmp_path, [rows("p", "ab", 2), rows("q", "abc", 1), rows("s", "a", 3)])
    assert (of.same_prompts, of.num_prompts) == (False, (1, 1))
    assert (of.pass_at_k[0].first.value, of.pass_at_k[0].last.value) == (0.5, 0.75)
    assert of.pass_at_k[0].difference is None
    assert of.seen_before is None


def test_nothing_is_said_of_a_run_without_wrong_or_without_graded_completions(tmp_path):
    assert found(tmp_path / "right", [rows("p", "", 2)]) is None
    write_run(tmp_path / "unknown", [MIXED], memory=False)
    (path,) = (tmp_path / "unknown" / "rollouts").iterdir()
    replace_column(path, "is_correct", [None] * 4)
    assert outlook(read_run(tmp_path / "unknown")) is None


def test_dropped_groups_are_not_taken_for_the_policys(tmp_path):
    # Dynamic sampling keeps mixed groups only: that all are mixed says nothing.
    of = found(tmp_path, [MIXED] * 3, fields={"dynamic_sampling": True})
    assert of.regime == "repeats"
    assert of.notes[0].startswith("Dynamic sampling drops groups")


def replace_column(path, name, values):
    table = pq.read_table(path)
    place = table.column_names.index(name)
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)


def test_groups_by_name_where_the_rollouts_have_one(tmp_path):
    # Two groups of one prompt in one batch, of which one is all wrong and one all right; without names one mixed group.
    write_run(tmp_path, [rows("p", "ab", 2)] * 3, memory=False)
    run = read_run(tmp_path)
    assert outlook(run).groups.mixed == 1.0  # files without the column
    run.rollouts["group_id"] = ["x", "x", "y", "y", *[None] * 8]
    of = outlook(run)
    assert (of.groups.count, of.groups.all_wrong, of.groups.mixed, of.groups.all_right) == (4, 0.25, 0.5, 0.25)


def test_errors_by_what_the_working_did(tmp_path):
    # Three answers, one way of working: the error is the same one each time, and no answer is no obstacle.
    batches = [rows("p", "abc-"), rows("p", "def-"), rows("p", "ghi-")]
    write_run(tmp_path, batches, memory=False)
    run = read_run(tmp_path)
    assert outlook(run).commonest.over_dominant == 0.0
    steps = Workings("steps", run.wrong, np.zeros(12, dtype=np.int64), ["a+b=x"], [""], 12, True, "")
    of = outlook(run, workings=steps)
    assert (of.seen_before, of.commonest.over_dominant, of.live_errors) == (1.0, 1.0, pytest.approx(1.0))
    assert (of.errors_by, outlook(run).errors_by) == ("working", "answer")
    # Of a sample nobody knows what came before: by answer again.
    sample = replace(steps, rows=run.wrong[::2], groups=steps.groups[::2])
    assert outlook(run, workings=sample).seen_before == outlook(run).seen_before == 2 / 8  # the two "-"
    for place in range(12):
        run.rollouts.loc[place, "answer"] = None
    assert outlook(run).regime == "no answers"
    assert outlook(run, workings=steps).regime == "stuck"


def test_mixed_groups_whose_errors_repeat_or_grow(tmp_path):
    of = found(tmp_path, [*[MIXED] * 4, rows("p", "aabb")])
    assert of.sentence == (
        "80 % of the groups are mixed, so right and wrong already differ in reward there. But 100 % of the errors on "
        "prompts that came again were made before (by answer): train with and without a penalty (meds_alpha=0) to see "
        "whether it helps."
    )
    words = "made before (by answer) and one way of going wrong grows from 31 % to 59 % of its prompts'"
    assert words in outlook(read_run(tmp_path), growth=(0.31, 0.59)).sentence


def test_rollouts_of_mixed_groups_only_were_probably_filtered(tmp_path):
    # 20 mixed groups and nothing else, with errors that do not come back: without the note this is "mixed".
    batches = [rows("p", letter, 1) for letter in "abcdefghijklmnopqrst"]
    of = found(tmp_path, batches)
    assert (of.regime, of.pass_at_k) == ("new errors", None)
    assert of.notes == [
        "All 20 groups are mixed, so others were probably dropped before they were saved (dynamic sampling, "
        "filter_groups): figures of groups describe only those that were kept, and pass@k is not given."
    ]
    assert found(tmp_path / "few", batches[1:]).notes == []
    assert found(tmp_path / "one", [*batches, rows("p", "ab")]).notes == []  # a group that is all wrong


def test_none_of_many_completions_excludes_a_rate(tmp_path):
    of = found(tmp_path, [rows("p", "abcdefgh")])
    assert (of.right.none_completions, of.right.none_rate_at_most) == (8, 3 / 8)


def test_unknown_answers_are_no_errors(tmp_path):
    # 18 of 20 completions have no answer, right ones included, and no steps: nothing distinguishes errors.
    batch = [("p", None, RIGHT), *rows("p", "----")]
    of = found(tmp_path, [[*batch, *batch[:4]], [*batch, *batch[:4]], rows("p", "a", 1)])
    assert (of.regime, of.errors_known) == ("no answers", False)
    assert (of.commonest, of.seen_before, of.live_errors) == (None, None, None)
    # With steps, these distinguish the errors; a completion without steps is no error.
    run = read_run(tmp_path)
    groups = np.array([0] * 10 + [-1] * (len(run.wrong) - 10))
    steps = Workings("steps", run.wrong, groups, ["a+b=x"], [""], len(run.wrong), True, "")
    assert outlook(run, workings=steps).seen_before == 1.0


def test_many_prompts_are_resampled_in_blocks():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(4 * MAX_BLOCKS + 1, 1))
    (of,) = _means(values, rng)
    assert of.value == pytest.approx(values.mean())
    # Standard error sqrt(1 / 12 / n); the interval is 1.96 of them to each side.
    assert (of.high - of.low) / 2 == pytest.approx(1.96 * np.sqrt(1 / 12 / len(values)), rel=0.15)


def test_hostile_answers_and_the_report(tmp_path):
    hostile_run(tmp_path, memory=False)
    data = report_data([tmp_path])
    assert data["outlooks"][0]["seen_before"] == 1.0
    assert data["outlook_help"]
    json.dumps(data, allow_nan=False)
