"""The sentences that a reader can quote."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.report.data import report_data
from meds_rl.report.differences import verdicts
from meds_rl.report.headlines import _how_often, _legend, _repeated
from meds_rl.report.meanings import POCKET
from meds_rl.report.over_time import first_named
from meds_rl.tasks.pocket.reading import SLIP
from meds_rl.tasks.pocket.strategies import WRONG as POCKET_WRONG

from .runs import RIGHT, WRONG, write_run

BATCH = [("p", "2", WRONG), ("p", "2", WRONG), ("q", "5", WRONG), ("p", "1", RIGHT)]
STRATEGIES = {"2": "sign", "5": "sign"}


def sentences(path):
    return [headline["text"] for headline in report_data([path])["headlines"]]


def test_a_run_with_a_memory(tmp_path):
    write_run(tmp_path, [BATCH] * 9, strategies=STRATEGIES)
    way, largest, repeats, penalty = sentences(tmp_path)
    assert way == "The most repeated error is “sign”: 27 of 27 wrong completions (100 %), in 2 of 2 prompts."
    assert largest == (
        "The largest single error: to “question p” the policy gave the answer “2” 18 times, 100 % of that prompt's "
        "wrong completions, mostly by “sign”; steps 0 to 8. The memory has them in no cluster and counts them with "
        "all others in none."
    )
    assert repeats == (
        "In the last third of training 100 % of the wrong completions of prompts that came again repeated a wrong "
        "answer of an earlier batch, as much as in the middle third (100 %)."
    )
    # p's first two are unseen, and q's group of one is all wrong and skipped: 16 of 27 lose something.
    assert penalty.startswith("The mean penalty of wrong completions was 0.1")
    assert penalty.endswith("59 % of them had a penalty, at most 0.200.")


def test_an_evaluation_has_no_training(tmp_path):
    write_run(tmp_path, [BATCH * 3] * 9, memory=False)
    (tmp_path / "source.json").write_text(json.dumps({"path": "d", "name": "d", "notes": [], "is_evaluation": True}))
    assert sentences(tmp_path)[-1].startswith("In the last third of the batches 100 % of the wrong completions")


def test_an_annealed_penalty_and_one_that_only_watched(tmp_path):
    write_run(tmp_path / "annealed", [BATCH] * 3, fields={"meds_anneal": [0.25, 0.5]})
    assert sentences(tmp_path / "annealed")[-1].endswith("It falls from 25 % of training on and is 0 from 50 % on.")
    data = report_data([tmp_path / "annealed"])
    assert data["runs"][0]["settings"]["meds_anneal"] == "[0.25, 0.5]"
    write_run(tmp_path / "watched", [BATCH], fields={"meds_alpha": 0.0})
    assert sentences(tmp_path / "watched")[-1] == (
        "The penalty was 0 for every wrong completion: the memory only watched (alpha is 0)."
    )


def test_why_a_memory_with_a_strength_took_nothing(tmp_path):
    # p's two are unseen, q's group of one has no right answer. Every prompt came once.
    write_run(tmp_path / "first", [BATCH])
    assert sentences(tmp_path / "first")[-1] == (
        "The penalty was 0 for every wrong completion, although alpha is 0.1: 67 % of them came before anything "
        "like them was remembered; 33 % of them are in groups without a right answer, which are left out (all_wrong: "
        "skip); every prompt came once."
    )
    write_run(tmp_path / "skipped", [[("p", "2", WRONG)]] * 2)
    assert sentences(tmp_path / "skipped")[-1] == (
        "The penalty was 0 for every wrong completion, although alpha is 0.1: 100 % of them are in groups without "
        "a right answer, which are left out (all_wrong: skip)."
    )
    # 1 of 5 wrong completions in a batch is penalised, from the second batch on.
    mostly = [("p", "2", WRONG), ("p", "1", RIGHT), *[("q", "5", WRONG)] * 4]
    write_run(tmp_path / "mostly", [mostly] * 2)
    assert "10 % of them had a penalty" in sentences(tmp_path / "mostly")[-1]
    assert "80 % of them are in groups without a right answer" in sentences(tmp_path / "mostly")[-1]


def test_the_right_way_is_never_the_most_repeated_error(tmp_path):
    # Both prompts follow "rule" and mostly get it right; the answers 2 and 5 are slips. "sign" is wrong once a prompt.
    right = [(prompt, "1", RIGHT) for prompt in "pq"] * 3
    rows = [*right, ("p", "2", WRONG), ("p", "2", WRONG), ("q", "2", WRONG), ("p", "3", WRONG), ("q", "3", WRONG)]
    write_run(
        tmp_path, [rows], memory=False, strategies={"1": "rule", "2": "rule", "3": "sign"}, fields={"task": "pocket"}
    )
    assert sentences(tmp_path)[0].startswith("The most repeated error is “sign”: 2 of 5")
    rule, sign = report_data([tmp_path])["ways"]
    assert (rule["name"], rule["is_right"], rule["meaning"]) == (
        "rule",
        True,
        "the right strategy; here the answer is wrong",
    )
    assert (sign["is_right"], sign["meaning"]) == (False, "")


def test_what_the_pocket_tasks_names_mean(tmp_path):
    names = {"2": "left_to_right", "3": "other"}
    write_run(
        tmp_path, [[("p", "2", WRONG), ("p", "3", WRONG)]], memory=False, strategies=names, fields={"task": "pocket"}
    )
    found = {way["name"]: way["meaning"] for way in report_data([tmp_path])["ways"]}
    assert found["other"] == "follows no strategy that the task knows"
    assert found["left_to_right"].startswith("computes from left to right")
    assert set(POCKET) == {*POCKET_WRONG, SLIP}


def row(group, low, high, num_seeds=1, variant="meds"):
    middle = (low + high) / 2
    return {
        "metric": "pass@1",
        "variant": variant,
        "group": group,
        "baseline_value": 0.5,
        "value": 0.5 + middle,
        "difference": middle,
        "low": low,
        "high": high,
        "num_seeds": num_seeds,
    }


def test_the_verdict_says_better_or_worse_only_where_the_interval_does():
    rows = [row("test easy", -0.125, -0.005), row("test hard", 0.02, 0.08), row("train hard", 0.3, 0.4)]
    assert verdicts({"baseline": "dapo", "rows": rows}) == [
        "pass@1 after training, meds against dapo: worse on test easy (44 % against 50 %, −6.5 points, 95 % interval "
        "−12.5 to −0.5); better on test hard (55 % against 50 %, +5.0 points, 95 % interval +2.0 to +8.0). This is one "
        "seed; others may differ."
    ]
    (unclear,) = verdicts({"baseline": "dapo", "rows": [row("all", -0.01, 0.02, num_seeds=3)]})
    assert "no clear difference on all" in unclear
    assert "seed" not in unclear
    many = verdicts({"baseline": "a", "rows": [row(f"g{n}", 0.1, 0.2) for n in range(6)]})
    assert "; 2 more groups are in the comparison." in many[0]
    assert verdicts(None) == []


def test_errors_that_do_not_come_back(tmp_path):
    # Steps 0 to 2, 3 to 5, 6 to 8: in the middle third the same error, in the last one new ones each time.
    old = [*[("p", "2", WRONG)] * 3, ("p", "1", RIGHT)]
    new = [[*(("p", f"new {n} {m}", WRONG) for m in range(3)), ("p", "1", RIGHT)] for n in range(3)]
    write_run(tmp_path, [old] * 6 + new, memory=False)
    repeats = sentences(tmp_path)[-1]
    assert repeats == (
        "In the last third of training 0 % of the wrong completions of prompts that came again repeated a wrong "
        "answer of an earlier batch, less than in the middle third (100 %)."
    )


def test_no_answer_at_all(tmp_path):
    write_run(tmp_path, [[("p", None, WRONG), ("p", None, WRONG), ("p", "1", RIGHT)]], memory=False)
    assert sentences(tmp_path)[0].startswith(
        "The largest single error: to “question p” the policy wrote words like “so it is None” in 2 of"
    )


def test_few_completions_have_no_shares(tmp_path):
    write_run(tmp_path / "once", [[("p", "2", WRONG), ("p", "1", RIGHT)]], memory=False)
    assert sentences(tmp_path / "once") == ["No prompt was answered wrong twice."]
    write_run(tmp_path / "new", [[("p", "2", WRONG), ("p", "3", WRONG)]], memory=False)
    assert sentences(tmp_path / "new") == ["No prompt got the same error twice."]
    write_run(tmp_path / "few", [[("p", "2", WRONG)] * 3 + [("p", "3", WRONG)]], memory=False)
    # One batch has no course.
    assert sentences(tmp_path / "few") == [
        "The largest single error: to “question p” the policy gave the answer “2” in 3 of that prompt's 4 wrong "
        "completions."
    ]
    # Six batches with one wrong completion each: two in a third are too few to compare.
    write_run(tmp_path / "thirds", [[("p", "2", WRONG), ("p", "1", RIGHT)]] * 6, memory=False)
    assert not any("last third" in sentence for sentence in sentences(tmp_path / "thirds"))


def test_equal_answers_to_different_prompts_are_not_one_error(tmp_path):
    rows = [(prompt, answer, WRONG) for prompt in "pq" for answer in ("23", "23", "Paris")]
    write_run(tmp_path, [rows], memory=False)
    (largest,) = sentences(tmp_path)
    assert largest.startswith(
        "The largest single error: to “question p” the policy gave the answer “23” in 2 of that prompt's 3 wrong"
    )


def test_no_answer_is_told_first_where_it_is_the_most_frequent(tmp_path):
    rows = [(prompt, answer, WRONG) for prompt in "pq" for answer in [None] * 15 + ["5"]]
    rows += [("q", "1", RIGHT)] * 8  # 30 of 40 completions have no answer
    write_run(tmp_path / "answers", [rows], memory=False)
    assert sentences(tmp_path / "answers")[0] == (
        "The most repeated error is no answer at all: 30 of 32 wrong completions (94 %), in 2 of 2 prompts."
    )
    write_run(tmp_path / "ways", [rows], memory=False, strategies={"5": "sign"})
    assert sentences(tmp_path / "ways")[0].endswith("; then the strategy “sign”: 2 (6.2 %).")
    # A more frequent way goes before it: 32 of "5".
    more = [*rows, *[("p", "5", WRONG)] * 30]
    write_run(tmp_path / "more", [more], memory=False, strategies={"5": "sign"})
    assert sentences(tmp_path / "more")[0].startswith("The most repeated error is “sign”: 32 of 62")


def test_unknown_answers_are_no_error(tmp_path):
    steps = {"None": "2 + 3 = 5, 5 * 4 = 20"}
    write_run(tmp_path, [[*[("p", None, WRONG)] * 6, *[("q", None, WRONG)] * 6, ("p", None, RIGHT)]] * 3, memory=False)
    for file in (tmp_path / "rollouts").iterdir():
        table = pq.read_table(file)
        prompts = pa.array(["what is 2 + 3 * 4?" if p == "p" else "what is 7 + 1 * 5?" for p in prompt_ids(table)])
        texts = [steps["None"] if p == "p" else "7 + 1 = 8, 8 * 5 = 40" for p in prompt_ids(table)]
        pq.write_table(replaced(replaced(table, "prompt", prompts), "completion", pa.array(texts)), file)
    data = report_data([tmp_path])
    most, warning, largest = data["headlines"]
    assert most["text"] == (
        "The most repeated error is one way of working: 36 of 36 wrong completions (100 %), in 2 of 2 prompts, as in "
        "“what is 7 + 1 * 5?”: 7 + 1 = 8, 8 * 5 = 40 (in the table: a+b=x, x*c=y)."
    )
    assert most["text"][: most["lead"]].endswith("in 2 of 2 prompts")
    assert (warning["is_warning"], "answer_marker" in warning["text"]) == (True, True)
    assert "the policy gave the working “2 + 3 = 5, 5 * 4 = 20” 18 times" in largest["text"]
    assert {error["by"] for error in data["errors"]} == {"working"}
    assert not {"entropy", "distinct", "repeated"} & set(data["course"]["values"]["panel"])
    assert not data["runs"][0]["answers_known"]


def prompt_ids(table):
    return table.column("prompt_id").to_pylist()


def replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, values)


def test_unknown_answers_without_anything_else(tmp_path):
    write_run(tmp_path, [[(prompt, None, WRONG) for prompt in "pq"]], memory=False, fields={"answer_finder": "boxed"})
    (warning,) = sentences(tmp_path)
    assert warning == (
        "Answers were not found (no completion has one), so nothing is counted by answer: answer_finder of "
        "RepeatedErrorPenalty says how answers are marked."
    )


def batch_of(sign, order, slip, thrice=0):
    """Wrong completions of four strategies, as many of each of two prompts, and four right ones of each prompt."""
    numbers = {"2": sign, "3": order, "4": slip, "5": thrice}
    wrong = [("p", answer, WRONG) for answer, number in numbers.items() for _ in range(number)]
    return [*wrong, *(("q", answer, False) for _, answer, _ in wrong), *[(p, "1", RIGHT) for p in "pq"] * 4]


OF_ANSWERS = {"2": "sign", "3": "order", "4": "slip", "5": "fades"}


def test_ways_that_grow_fade_and_die_out(tmp_path):
    # Per prompt 20 completions of a batch: "sign" 3, then 9; "order" 6, then 0; "slip" 3, then 6; "fades" 4, then 1.
    early, late = batch_of(3, 6, 3, 4), batch_of(9, 0, 6, 1)
    write_run(tmp_path, [early] * 9 + [late] * 5, memory=False, strategies=OF_ANSWERS)
    most, traced, *_ = sentences(tmp_path)
    assert most.startswith("The most repeated error is “sign”: 144 of 448")
    assert traced == (
        "Growing over all prompts (shares of the completions of their prompts): this error, 15 % to 45 %; “slip”, 15 % "
        "to 30 %. Fading: “fades”, 20 % to 5.0 %. Died out: “order”, 30 % before."
    )
    states = {way["name"]: way["state"] for way in report_data([tmp_path])["ways"]}
    assert states == {"sign": "growing", "slip": "growing", "order": "died out", "fades": "fading"}


def test_ways_of_prompts_that_come_once_are_judged_among_all_completions(tmp_path):
    # As above, of new prompts in each batch. "steady" is made in all batches, "new" in the last five only: 3 of 20.
    def batch(number, order, new):
        return [(f"{p}{number}", answer, right) for p, answer, right in batch_of(3, order, new)]

    batches = [batch(n, 6, 0) for n in range(9)] + [batch(n, 0, 3) for n in range(9, 14)]
    names = {"2": "steady", "3": "order", "4": "new"}
    write_run(tmp_path, batches, memory=False, strategies=names)
    data = report_data([tmp_path])
    # Completions of a batch: 26 early, 20 late.
    assert data["headlines"][1]["text"] == (
        "Growing over all prompts (shares of all completions): “new”, 0 % to 30 %. Died out: this error, 46 % before."
    )
    states = {way["name"]: way["state"] for way in data["ways"]}
    assert states == {"steady": "steady", "order": "died out", "new": "growing"}
    assert "by its share of all completions" in data["ways_help"]
    assert "all completions" not in report_data([write_run(tmp_path / "again", [BATCH] * 3).path])["ways_help"]


def test_new_errors_are_named_first_and_then_those_that_changed_most(tmp_path):
    # Completions of a batch, 20 a prompt: "large" 4, then 10; "larger" 1, then 8; "new" 0, then 2.
    def batch(large, larger, new):
        numbers = {"2": large, "3": larger, "4": new, "1": 20 - large - larger - new}
        return [(p, answer, answer == "1") for answer, number in numbers.items() for p in "pq" for _ in range(number)]

    names = {"2": "large", "3": "larger", "4": "new"}
    write_run(tmp_path, [batch(4, 1, 0)] * 9 + [batch(10, 8, 2)] * 5, memory=False, strategies=names)
    assert sentences(tmp_path)[1].endswith(": “new”, 0 % to 10 %; “larger”, 5.0 % to 40 %; 1 more.")


def test_ways_that_differ_in_the_places_of_their_numbers_do_not_take_both_places():
    growths = {"a*c=x": (0.1, 0.7), "b*c=x": (0.1, 0.6), "a+b=x, x/2=y": (0.1, 0.5)}
    ways = [{"by": "steps", "name": name, "growth": growth} for name, growth in growths.items()]
    assert [way["name"] for way in first_named(ways)] == ["a*c=x", "a+b=x, x/2=y", "b*c=x"]
    assert first_named(ways[:2]) == ways[:2]


@pytest.mark.parametrize(
    ("late", "words"), [(3, "steps 0 to 8."), (9, "steps 0 to 8, growing."), (0, "steps 0 to 5, died out.")]
)
def test_the_largest_error_has_a_state_only_where_it_changed(tmp_path, late, words):
    # In the last third 3, 9 or 0 of 12 completions, before 4: 3 or 4 of 12 may be chance.
    batches = [[*[("p", "2", WRONG)] * wrong, *[("p", "1", RIGHT)] * (12 - wrong)] for wrong in [4] * 6 + [late] * 3]
    write_run(tmp_path, batches, memory=False)
    assert words in next(text for text in sentences(tmp_path) if text.startswith("The largest single error"))


def test_too_little_to_say_that_a_way_grows(tmp_path):
    # Few batches, few completions, and shares that differ as much from batch to batch.
    few, rare = [batch_of(3, 6, 3)] * 4 + [batch_of(9, 0, 3)] * 2, [batch_of(9, 0, 0)] * 9 + [batch_of(8, 1, 0)] * 5
    noisy = [batch_of(n, 12 - n, 0) for n in (1, 9, 2, 8, 1, 2, 1, 2, 9, 1, 9, 9)]
    for name, batches in {"few": few, "rare": rare, "noisy": noisy}.items():
        write_run(tmp_path / name, batches, memory=False, strategies=OF_ANSWERS)
        assert not [text for text in sentences(tmp_path / name) if re.search("Growing|Fading|Died out", text)], name


@pytest.mark.parametrize(
    ("last", "middle", "words"),
    [
        (
            0.860,
            0.860,
            "86 % of the wrong completions of prompts that came again repeated a wrong answer of an earlier batch, as "
            "much as",
        ),
        (0.856, 0.854, "about as much as in the middle third (85 %)"),
        (0.849, 0.836, "about as much as in the middle third (84 %)"),
        (0.860, 0.840, "more than in the middle third (84 %)"),
        (0.836, 0.856, "less than in the middle third (86 %)"),
        (
            0.050,
            0.040,
            "5.0 % of the wrong completions of prompts that came again repeated a wrong answer of an earlier batch, "
            "about as much as",
        ),
    ],
)
def test_more_and_less_hold_of_the_figures_as_they_are_written(last, middle, words):
    assert words in _repeated(last, middle)


def test_nothing_is_wrong(tmp_path):
    write_run(tmp_path, [[("p", "1", RIGHT)]])
    assert sentences(tmp_path) == ["The only completion is right."]
    write_run(tmp_path, [[("p", "1", RIGHT)] * 2])
    assert sentences(tmp_path) == ["None of the 2 completions is wrong."]


def test_errors_that_the_task_cannot_name_are_told_of(tmp_path):
    rows = [
        ("p", "2", WRONG),
        ("q", "2", WRONG),
        ("p", "3", WRONG),
        ("q", "3", WRONG),
        ("q", "4", WRONG),
        ("p", "1", RIGHT),
    ]
    write_run(tmp_path, [rows], memory=False, strategies={"2": "sign", "3": "other", "4": "other"})
    assert sentences(tmp_path)[0] == (
        "The most repeated error is “sign”: 2 of 5 wrong completions (40 %), in 2 of 2 prompts; 60 % follow no "
        "strategy that the task knows."
    )


def test_a_run_in_which_nothing_says_what_is_right(tmp_path):
    write_run(tmp_path, [BATCH], memory=False)
    file = next((tmp_path / "rollouts").iterdir())
    table = pq.read_table(file)
    column = table.column_names.index("is_correct")
    pq.write_table(table.set_column(column, "is_correct", pa.nulls(len(table), pa.bool_())), file)
    assert sentences(tmp_path) == ["Nothing says which of the 4 completions are right (correctness): no errors."]


def test_what_the_letters_of_a_way_are():
    def legend(name):
        return _legend({"by": "steps", "name": name, "written": None})

    assert legend("def v1(v2): return v2") == " Here v1, v2, … are the program's names in order."
    assert legend("not b, a") == " Here a, b, … are the prompt's names in order."


def test_of_a_sample_the_prompts_are_the_least():
    way = {"by": "steps", "name": "a+b=x", "count": 40, "share": 1.0, "prompts": 3, "is_sample": True}
    assert _how_often(way, 40, 9) == (
        "about 100 % of 40 wrong completions (by a random sample), in at least 3 of 9 prompts"
    )


def test_answers_that_another_programs_rollouts_lack_are_no_error(tmp_path):
    write_run(tmp_path, [[(prompt, None, WRONG) for prompt in "ppqq"]] * 3, memory=False)
    (tmp_path / "source.json").write_text(json.dumps({"path": "d", "name": "d", "notes": []}))
    warning, largest = sentences(tmp_path)
    assert "--answer-pattern" in warning
    assert largest.startswith("The largest single error")


def lengthen(run, tokens):
    """Give the completions of the first batch these lengths."""
    _, path = next(iter(run.rollout_files()))
    table = pq.read_table(path)
    place = table.column_names.index("num_tokens")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(tokens)), path)


@pytest.mark.parametrize(
    ("tokens", "found"),
    [
        ([64, 64, 40, 30], True),
        ([64, 64, 40, 64], False),  # the right one is as long
        ([12, 12, 10, 9], False),  # too short for a limit
        ([64, 64, 64, 64], False),
    ],
)
def test_wrong_completions_that_were_probably_cut_off(tmp_path, tokens, found):
    lengthen(write_run(tmp_path, [BATCH]), tokens)
    expected = "2 of 3 wrong completions (67 %) have 64 tokens, the most of all: they were probably cut off."
    assert (expected in sentences(tmp_path)) is found
