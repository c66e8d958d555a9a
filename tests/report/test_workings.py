"""Errors without labels: ways over all prompts by steps, errors of a prompt by wording, and when neither is shown."""

import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from meds_rl.fingerprint.steps import read_steps
from meds_rl.report import workings
from meds_rl.report.data import report_data
from meds_rl.report.errors import find_errors
from meds_rl.report.source import read_run
from meds_rl.report.ways import ways
from meds_rl.report.workings import RIGHT_STEPS, STOPS_EARLY, answers_name_errors, by_steps, by_wording, read_workings
from meds_rl.rollouts import ROLLOUT_COLUMNS, RunFolder
from meds_rl.tasks.pocket.strategies import WRONG, plans

PROBLEMS = [((7, 3, 4, 2), "+*-"), ((9, 5, 8, 6), "-*+"), ((3, 8, 5, 4), "*+*"), ((6, 7, 2, 9), "+*+")]


def prompt_of(problem: int) -> str:
    terms, ops = PROBLEMS[problem]
    return f"what is {terms[0]} {ops[0]} {terms[1]} {ops[1]} {terms[2]} {ops[2]} {terms[3]}?"


def working(strategy: str, problem: int, form: str = "{} {} {} = {}\n") -> str:
    terms, ops = PROBLEMS[problem]
    return "".join(
        form.format(step.left, step.op, step.right, step.result) for step in plans(strategy, tuple(ops))[0].steps(terms)
    )


def write(path, rows, *, is_correct=False):
    """A run of one batch; rows are prompt, completion, answer; `is_correct` of all rows, or a list."""
    n = len(rows)
    columns = {name: [None] * n for name in ROLLOUT_COLUMNS}
    columns |= {name: [0] * n for name in ("step", "generation", "num_tokens")}
    columns |= {name: [0.0] * n for name in ("reward", "shaped_reward", "advantage", "cluster_size", "penalty")}
    columns |= {"cluster": [-4] * n, "memory_id": [-1] * n, "reason": ["no_memory"] * n, "in_loss": [True] * n}
    prompts, completions, answers = zip(*rows, strict=True)
    columns |= {"prompt_id": list(prompts), "prompt": list(prompts), "completion": list(completions)}
    columns |= {"answer": list(answers), "is_correct": is_correct if isinstance(is_correct, list) else [is_correct] * n}
    RunFolder(path).write_rollouts(0, columns)
    return read_run(path)


def test_ways_over_all_prompts_are_the_planted_strategies(tmp_path):
    """Six completions from left to right in four prompts, three of the last number dropped in three, and one more."""
    rows = [(prompt_of(p), working("left_to_right", p, form), str(p)) for p in range(3) for form in FORMS]
    rows += [(prompt_of(p), working("drop_last", p), "d") for p in range(3)]
    rows += [(prompt_of(3), "no idea", None)]
    run = write(tmp_path, rows)
    found = read_workings(run)
    assert found.by == "steps"
    assert found.over_prompts
    assert found.note == "Steps were read in 90 % of 10 wrong completions."
    listed = [way.to_dict() for way in ways(run, found)]
    assert [(way["name"], way["count"], way["prompts"]) for way in listed] == [
        ("a∘b=x, x∘c=y, y∘d=z", 6, 3),
        ("a∘b=x, x∘c=y", 3, 3),
    ]
    assert listed[1]["meaning"] == "d is not used"
    assert listed[0]["share"] == 0.6
    way = ways(run, found)[0]
    # The newest completion from left to right, row 5: 3 * 8 = 24, 24 + 5 = 29, 29 * 4 = 116.
    assert way.example == (5, "3 * 8 = 24, 24 + 5 = 29, 29 * 4 = 116")
    assert (way.to_dict()["written"], way.to_dict()["written_to"]) == (way.example[1], prompt_of(2))
    assert way.examples()[0] == 5
    assert len(way.examples()) == 3
    assert [prompt for prompt, _ in way.prompts] == [prompt_of(p) for p in range(3)]


FORMS = ("{} {} {} = {}\n", "so {} {} {} gives {}; ")


def test_a_way_that_is_right_elsewhere_says_so(tmp_path):
    """From left to right is wrong in two problems, in which it gives 38, and right in another."""
    rows = [(prompt_of(p), working("left_to_right", p), "38") for p in (0, 1)]
    rows += [("what is 8 * 3 + 4 - 9?", "8 * 3 = 24, 24 + 4 = 28, 28 - 9 = 19", "19")] * 3
    run = write(tmp_path, rows, is_correct=[False, False, True, True, True])
    (way,) = ways(run, read_workings(run))
    assert way.to_dict()["meaning"] == "right in 3 other completions"
    run.rollouts.loc[2:3, "reward"] = np.nan
    (way,) = ways(run, read_workings(run))
    assert way.to_dict()["meaning"] == "right in 1 other completion"


def test_steps_that_right_completions_have_too_are_no_error(tmp_path):
    """The derivative of (4x + 2)^6 needs 6 * 4 = 24. One in three is right, and most wrong ones keep the power."""
    rows, is_correct = [], []
    for a, n in ((4, 6), (5, 7), (9, 3)):
        prompt, step = f"Differentiate $({a}x + 2)^{n}$.", f"Chain rule: ${n} \\cdot {a} = {n * a}$"
        rows += [(prompt, step, f"{n * a}({a}x + 2)^{n - 1}")] * 2 + [(prompt, step, f"{n * a}({a}x + 2)^{n}")] * 3
        rows += [(prompt, f"${n} \\cdot {a} = {n * a + 1}$", f"{n * a + 1}({a}x + 2)^{n - 1}")]
        is_correct += [True] * 2 + [False] * 4
    # In this problem no completion is right; in the other two equations are not read, so nothing is known of it.
    rows += [("Differentiate $(8x + 3)^4$.", "$4 \\cdot 8 = 32$", "32(8x + 3)^4")] * 3
    rows += [(f"{a} and {a + 1}, so?", f"{a} + {a + 1} = {2 * a + 1}, $2x + 3 = 9$", "no number") for a in (7, 9)]
    data = report_data([write(tmp_path, rows, is_correct=is_correct + [False] * 5).folder])
    assert [(way["name"], way["count"], way["is_error"]) for way in data["ways"]] == [
        ("a*c≠x", 3, True),
        (RIGHT_STEPS, 12, False),
        ("no steps that could be read", 2, False),
    ]
    assert data["headlines"][0]["text"].endswith(
        " In 71 % of the wrong completions the steps that could be read are right: see these by answer."
    )


def test_right_steps_that_stop_early_are_named_so(tmp_path):
    """Half of 4 * 9 is forgotten. The same steps with half of it, and another answer, are right steps."""
    rows, is_correct = [], []
    for a, b in ((4, 9), (6, 5), (3, 8)):
        prompt, whole = f"A triangle has base {a} and height {b}. Its area?", f"{a} * {b} = {a * b}"
        full = f"{whole}, {a * b} / 2 = {a * b // 2}"
        rows += [(prompt, full, f"{a * b / 2:g} cm"), (prompt, full, str(a * b)), (prompt, whole, str(a * b))]
        rows += [(prompt, whole, str(a * b)), (prompt, whole, None)]
        is_correct += [True, *[False] * 4]
    data = report_data([write(tmp_path, rows, is_correct=is_correct).folder])
    assert [(way["name"], way["count"], way["meaning"]) for way in data["ways"]] == [
        ("a*b=x", 6, STOPS_EARLY),
        (RIGHT_STEPS, 6, ""),
    ]
    assert ": 3 * 8 = 24, which is right so far, but steps are missing (in the" in data["headlines"][0]["text"]


TEMPLATE = "user\nSolve it step by step. Answer with Answer: $Answer.\n\n{}\n\nRemember the Answer.\nassistant\n"


def planted(n: int, k: int) -> dict[str, tuple[str, str]]:
    """Kind -> working and answer: "in how many ways can k of n be chosen" by LaTeX in several styles."""
    falling, chosen = math.perm(n, k), math.comb(n, k)
    return {
        "permutation": (f"\\[\n\\frac{{{n}!}}{{({n}-{k})!}} = {falling}\n\\]", str(falling)),
        "slip": (f"\\( \\binom{{{n}}}{{{k}}} = \\frac{{{n}!}}{{{k}!({n}-{k})!}} = {chosen + 1} \\)", str(chosen + 1)),
        "power": (f"So we have\n$ {n}^{{{k}}} = {n**k} $.", str(n**k)),
        "unread": ("Let us guess from the 20 names of the Answer.", "20"),
        "right": (f"$\\binom{{{n}}}{{{k}}} = {chosen}$", str(chosen)),
    }


def test_planted_errors_are_found_with_the_largest_first(tmp_path):
    """Of each prompt's 20: 7 permutations, 3 slips, 2 powers, 3 without steps, 2 right ones cut off, 3 right."""
    rows, is_correct = [], []
    for n, k in ((9, 4), (10, 3), (12, 5), (14, 6)):
        prompt = TEMPLATE.format(f"In how many ways can Ann choose {k} of {n} people?")
        for kind, times in (("permutation", 7), ("slip", 3), ("power", 2), ("unread", 3)):
            rows += [(prompt, *planted(n, k)[kind])] * times
        rows += [(prompt, planted(n, k)["right"][0], None)] * 2 + [(prompt, *planted(n, k)["right"])] * 3
        is_correct += [False] * 17 + [True] * 3
    data = report_data([write(tmp_path, rows, is_correct=is_correct).folder])
    assert [(way["name"], way["count"], way["is_error"]) for way in data["ways"]] == [
        ("b!/(b-a)!=x", 28, True),
        ("C(b,a)≠x", 12, True),
        ("b^a=x", 8, True),
        ("right steps, wrong or no answer", 8, False),
        ("no steps that could be read", 12, False),
    ]
    # 56 of 68 were read; the newest permutation is of 14 and 6: 14! / 8! = 2162160.
    (most, *_) = [headline["text"] for headline in data["headlines"]]
    assert most.startswith(
        "Of the 82 % of the wrong completions whose steps could be read, the most repeated error is one way of "
        "working: 28 of 68 wrong completions (41 %), in 4 of 4 prompts, as in "
    )
    assert most.endswith(": 14! / (14 - 6)! = 2162160 (in the table: b!/(b-a)!=x).")


def test_without_an_answer_steps_that_are_mostly_right_are_no_error(tmp_path):
    """With an answer they are one, "right in 3 other completions", as above. Two drop the last number."""
    rows = [(prompt_of(p), working("left_to_right", p), None) for p in (0, 1)]
    rows += [("what is 8 * 3 + 4 - 9?", "8 * 3 = 24, 24 + 4 = 28, 28 - 9 = 19", "19")] * 3
    rows += [(prompt_of(p), working("drop_last", p), "d") for p in (0, 1)]
    run = write(tmp_path, rows, is_correct=[False, False, True, True, True, False, False])
    found = read_workings(run)
    assert [way.name for way in ways(run, found)] == ["a∘b=x, x∘c=y", RIGHT_STEPS]
    errors, _ = find_errors(run, 10, [found])
    assert sorted(error.kind for error in errors if error.by == "working") == ["right_steps"] * 2 + ["working"] * 2


def test_without_an_answer_steps_that_lead_to_a_wrong_one_on_the_prompt_are_the_error(tmp_path):
    """As many completions are right by them elsewhere."""
    rows = [(prompt_of(p), working("left_to_right", p), answer) for p in (0, 1) for answer in ("38", None)]
    rows += [("what is 8 * 3 + 4 - 9?", "8 * 3 = 24, 24 + 4 = 28, 28 - 9 = 19", "19")] * 4
    run = write(tmp_path, rows, is_correct=[False] * 4 + [True] * 4)
    (way,) = ways(run, read_workings(run))
    assert (way.name, len(way.rows)) == ("a∘b=x, x∘c=y, y∘d=z", 4)


def test_a_number_that_differs_is_no_part_of_a_name(tmp_path):
    """The 5 of one working and the 6 of the other are from nowhere; both divide by 2."""
    texts = [f"9 * {number} = {9 * number}, {9 * number} / 2 = {9 * number / 2}" for number in (5, 6)]
    run = write(tmp_path, [(f"what is {prompt}?", text, "1") for prompt in ("9 + 8", "9 - 8") for text in texts])
    assert [way.name for way in ways(run, read_workings(run))] == ["a*N=x, x/2=y"]


@pytest.mark.parametrize(("with_third", "meaning"), [(1, ""), (18, ""), (19, "c is not used"), (20, "c is not used")])
def test_a_number_is_not_used_only_if_nearly_all_completions_lack_it(tmp_path, with_third, meaning):
    """Twenty prompts with two numbers or three; all completions add the first two."""
    rows = []
    for n in range(20):
        third = f" and {n + 70}" if n < with_third else ""
        rows.append((f"{n + 2} and {n + 40}{third}", f"{n + 2} + {n + 40} = {2 * n + 42}", "0"))
    run = write(tmp_path, rows)
    (way,) = ways(run, read_workings(run))
    assert (way.name, way.meaning) == ("a+b=x", meaning)


def test_errors_of_a_prompt_by_what_the_working_did(tmp_path):
    """Two answers to one problem, from one way of working, are one error; a working without steps is no error."""
    left, right = working("left_to_right", 0), working("right_to_left", 0)
    texts = [(left, "38"), (left, "39"), (right, "4"), ("7 + 3 = 10", "10"), ("well", None)]
    run = write(tmp_path, [(prompt_of(0), *text) for text in texts])
    errors, left_out = find_errors(run, 10, [read_workings(run)])
    listed = [(error.kind, error.name, len(error.rows)) for error in errors if error.by == "working"]
    assert listed[0] == ("working", "a+b=x, x*c=y, y-d=z", 2)
    assert listed[-1] == ("unread", "no steps that could be read", 1)
    assert [error.life.state for error in errors if error.kind == "unread"] == [None]
    assert left_out == {"answer": 0, "working": 0}


def test_nothing_in_common_is_said(tmp_path):
    """Each of three prompts goes wrong in a way of its own."""
    rows = [(prompt_of(0), "7 + 3 = 10", "1"), (prompt_of(1), "5 * 8 = 40", "1"), (prompt_of(2), "5 * 4 = 21", "1")]
    run = write(tmp_path, rows)
    found = read_workings(run)
    assert not found.over_prompts
    assert "0 % of them go the same way as one of another prompt, so errors are shown by prompt only" in found.note
    assert ways(run, found) == []


def test_few_steps_and_short_answers_are_no_grouping(tmp_path):
    run = write(tmp_path, [("who?", f"I think {name}", name) for name in ("Ann", "Bob", "Ann")])
    found = read_workings(run)
    assert found.by is None
    assert found.note == ("Steps could be read in 0 % of 3 wrong completions, which is too few to compare them.")
    assert {error.by for error in find_errors(run, 10, [found])[0]} == {"answer"}


def test_long_or_missing_answers_are_grouped_by_wording_within_a_prompt(tmp_path):
    sea, city = "the sea is wide and blue and nobody", "a city of glass towers where trains"
    texts = [f"{start} {end}" for start in (sea, city) for end in ("sleeps", "sings", "waits")]
    rows = [("write of the sea", text, None) for text in texts] + [("write more of it", text, None) for text in texts]
    run = write(tmp_path, rows)
    assert not answers_name_errors(run)
    found = read_workings(run)
    assert found.by == "text"
    assert not found.over_prompts
    # Two groups in each prompt, and none over both.
    assert sorted(np.bincount(found.groups).tolist()) == [3, 3, 3, 3]
    named = [error.name for error in find_errors(run, 10, [found])[0] if error.by == "working"]
    assert f"{sea} waits" in named


def test_one_wording_is_one_error():
    groups = by_wording(np.array(["p"] * 4, dtype=object), ["I do not know what to say"] * 4)
    assert groups.tolist() == [0, 0, 0, 0]


def test_a_sample_stands_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(workings, "MAX_READ", 10)
    rows = [(prompt_of(p), working("left_to_right", p), str(p)) for p in range(4) for _ in range(10)]
    run = write(tmp_path, rows)
    found = read_workings(run)
    assert len(found.rows) == 10
    assert "10 wrong completions (a random sample of 40)" in found.note
    (way,) = ways(run, found)
    assert way.to_dict()["count"] == 40
    assert way.to_dict()["is_sample"]
    assert way.to_dict()["share"] == 1.0
    assert way.to_dict()["course"] == [40]


def test_nothing_wrong(tmp_path):
    run = write(tmp_path, [("p", "7 + 3 = 10", "10")], is_correct=True)
    found = read_workings(run)
    assert (found.by, found.note, len(found.rows)) == (None, "", 0)
    assert ways(run, found) == []


def test_rare_sequences_that_share_steps_are_one_way():
    """Twice three long sequences that differ in their last step, among 1,000 of a common way."""
    prompt = "we have 3, 5, 7, 11, 13, 17, 19 and 23"
    one = "3 + 5 = 8\n8 + 7 = 15\n15 + 11 = 26\n26 + 13 = 39\n39 + 17 = 56\n"
    other = "3 * 5 = 15\n15 * 7 = 105\n105 * 11 = 1155\n1155 - 13 = 1142\n1142 - 17 = 1125\n"
    texts = [f"{one}56 + 19 = 75", f"{one}56 + 23 = 79", f"{one}56 - 19 = 37"]
    texts += [f"{other}1125 + 19 = 1144", f"{other}1125 + 23 = 1148", f"{other}1125 - 19 = 1106"]
    common = read_steps(prompt, "23 - 19 = 4")
    groups = by_steps([*(read_steps(prompt, text) for text in texts), *[common] * 1000, None])
    assert groups[-1] == -1
    assert [len(set(groups[places].tolist())) for places in (slice(3), slice(3, 6), slice(7))] == [1, 1, 3]


@pytest.mark.parametrize("seed", range(3))
def test_agreement_with_the_planted_strategies(seed):
    """Every strategy on 30 problems of all shapes, in words: far above the .65 that was the aim."""
    rng = np.random.default_rng(seed)
    found, planted = [], []
    for _ in range(30):
        terms, ops = [int(n) for n in rng.choice(np.arange(2, 60), 4, replace=False)], tuple(rng.choice(list("+-*"), 3))
        prompt = f"what is {terms[0]} {ops[0]} {terms[1]} {ops[1]} {terms[2]} {ops[2]} {terms[3]}?"
        for strategy in WRONG:
            steps = plans(strategy, ops)[0].steps(terms)
            text = "; ".join(f"so {step.left} {step.op} {step.right} makes {step.result}" for step in steps)
            found.append(read_steps(prompt, text))
            planted.append(strategy)
    assert adjusted_rand_score(planted, by_steps(found)) > 0.5
