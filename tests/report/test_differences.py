"""What is compared with what, from the evaluations after training."""

import json

import pytest

from meds_rl.report.data import report_data
from meds_rl.rollouts.collect import ReadOptions
from meds_rl.rollouts.dumps import find_sources
from meds_rl.rollouts.reading import opened
from meds_rl.rollouts.samples import samples_table, write_samples

from .runs import RIGHT, write_evaluation, write_run

# Of 4 samples so many are right, by problem.
ANSWERS = {0: ["a", "a", "b", None], 1: ["r", "a", "a", "b"], 2: ["r", "r", "a", "b"], 4: ["r"] * 4}


def trained(path, seed, rights, method="dapo", **fields):
    """A run whose evaluation has so many right answers to problems x, y, ..."""
    run = write_run(
        path,
        [[("p", "1", RIGHT)]],
        memory=method == "meds",
        fields={"method": method, "seed": seed, "eval_k": 2, "eval_samples": 4, **fields},
        given=["method", "seed", *fields],
    )
    problems = {("test", name): ANSWERS[right] for name, right in zip("xyz", rights, strict=False)}
    write_evaluation(run, "before", dict.fromkeys(problems, ANSWERS[0]))
    write_evaluation(run, "after", problems)
    return path


def rows_of(data, metric):
    return [row for row in data["differences"]["rows"] if row["metric"] == metric]


def test_variants_are_paired_by_seed(tmp_path):
    runs = [trained(tmp_path / f"dapo-{seed}", seed, rights) for seed, rights in ((0, [1, 2]), (1, [2, 2]))]
    runs += [trained(tmp_path / f"meds-{seed}", seed, rights, "meds") for seed, rights in ((1, [4, 2]), (0, [1, 1]))]
    data = report_data(runs)
    assert data["differences"]["baseline"] == "dapo"
    assert data["differences"]["metrics"] == ["pass@1", "pass@2", "distinct", "repeated", "no_answer"]
    (row,) = rows_of(data, "pass@1")
    # Seed 0: (1/4 + 1/4) - (1/4 + 1/2) over 2 problems = -.125; seed 1: (1 + 1/2)/2 - 1/2 = .25.
    assert row["by_seed"] == [[0, -0.125], [1, 0.25]]
    assert row["difference"] == 0.0625
    assert (row["num_seeds"], row["num_agree"], row["num_problems"]) == (2, 1, 2)
    assert row["low"] <= row["difference"] <= row["high"]
    (row,) = rows_of(data, "pass@2")
    # pass@2 of 4 with 1, 2, 4 right: 1/2, 5/6, 1. Seed 0: -(5/6 - 1/2)/2; seed 1: (1 - 5/6)/2.
    assert [value for _, value in row["by_seed"]] == [pytest.approx(-1 / 6), pytest.approx(1 / 12)]
    (row,) = rows_of(data, "repeated")
    # Wrong a a b: one of three repeats; a b: none. Seed 0: 2/6 - 1/5; seed 1: 0 of 2 less 0 of 4.
    assert [value for _, value in row["by_seed"]] == [pytest.approx(2 / 6 - 1 / 5), 0.0]
    assert any("too narrow" in note for note in data["differences"]["notes"])
    assert {panel["title"] for panel in data["evaluations"]["panels"]} >= {"pass@1", "pass@2"}
    values = data["evaluations"]["values"]
    assert sorted(set(zip(values["run"], values["step"], strict=True)))[:2] == [(0, 0), (0, 1)]


def test_what_has_no_partner_is_named(tmp_path):
    runs = [trained(tmp_path / "dapo-0", 0, [1]), trained(tmp_path / "dapo-1", 1, [1])]
    runs += [
        trained(tmp_path / "meds-0", 0, [2], "meds"),
        trained(tmp_path / "again", 0, [2], "meds", output_dir="x"),
    ]
    data = report_data(runs)
    (row,) = rows_of(data, "pass@1")
    assert row["by_seed"] == [[0, 0.25]]
    assert "one seed" in row["method"]
    assert data["differences"]["notes"] == [
        "meds has seed 0 twice; again is left out.",
        "Without a partner of the same seed, model and task for meds against dapo: dapo-1 (dapo).",
    ]


def test_models_are_paired_with_themselves(tmp_path):
    runs = [
        trained(tmp_path / f"{method}-{model}", 0, [right], method, model_name_or_path=model)
        for model, rights in (("small", (0, 1)), ("large", (2, 4)))
        for method, right in zip(("dapo", "meds"), rights, strict=True)
    ]
    (row,) = rows_of(report_data(runs), "pass@1")
    assert row["by_seed"] == [[0, 0.25], [0, 0.5]]


def test_tasks_are_never_mixed(tmp_path):
    runs = [
        trained(tmp_path / f"{method}-{task}", 0, [1], method, task=task)
        for task in ("sums", "words")
        for method in ("dapo", "meds")
    ]
    assert [row["group"] for row in rows_of(report_data(runs), "pass@1")] == ["sums: test", "words: test"]


def test_another_baseline(tmp_path):
    runs = [trained(tmp_path / "meds", 0, [2], "meds"), trained(tmp_path / "dapo", 0, [1])]
    (row,) = rows_of(report_data(runs, baseline="meds"), "pass@1")
    assert (row["variant"], row["difference"]) == ("dapo", -0.25)
    with pytest.raises(ValueError, match=r"must be one of: meds; dapo\. Got 'grpo'"):
        report_data(runs, baseline="grpo")


def test_where_all_have_a_memory_the_one_that_only_watches_is_the_baseline(tmp_path):
    def run(alpha, name):
        return trained(tmp_path / name, 0, [1 if alpha else 2], "meds", meds_alpha=alpha)

    runs = [run(0.1, "a-penalty"), run(0, "b-watch")]
    (row,) = rows_of(report_data(runs), "pass@1")
    assert (row["variant"], row["difference"]) == ("meds, alpha 0.1", -0.25)  # 1/4 - 2/4
    data = report_data([*runs, trained(tmp_path / "c-dapo", 0, [4])])
    assert data["differences"]["baseline"] == "dapo"


def test_without_evaluations_too_the_run_that_only_watches_is_the_baseline(tmp_path):
    batch = [(prompt, answer, answer == "1") for prompt in "pq" for answer in "12"]
    for name, alpha in {"a": 0.1, "b": 0}.items():
        fields = {"method": "trl", "meds_alpha": alpha}
        write_run(tmp_path / name, [batch] * 3, fields=fields, given=["meds_alpha"])
    data = report_data([tmp_path / "a", tmp_path / "b"])
    (sentence,) = data["verdicts"]
    assert sentence.startswith("pass@1 in the last third of training (mean over prompts), trl, alpha 0.1 against trl, ")
    assert data["differences"] is None  # no note calls these runs uncompared
    # "Errors repeat" or "stuck" advises to train without a penalty; here the report shows it.
    sentences = [each["sentence"] for each in data["outlooks"]]
    assert [sentence.endswith(": see the comparison with and without a penalty.") for sentence in sentences] == [
        True
    ] * 2
    (alone,) = report_data([tmp_path / "a"])["outlooks"]
    assert alone["sentence"].endswith("(meds_alpha=0) to see whether it helps.")


def test_nothing_to_compare(tmp_path):
    one = trained(tmp_path / "a", 0, [1])
    assert report_data([one])["differences"] is None
    meds = [trained(tmp_path / f"m{a}", 0, [1], "meds", meds_alpha=a) for a in (0.1, 0.2)]
    assert report_data(meds)["differences"] is None  # no method without a memory among them
    bare = write_run(tmp_path / "bare", [[("p", "1", RIGHT)]]).path
    data = report_data([one, bare])
    assert data["differences"]["rows"] == []
    assert data["differences"]["notes"] == ["bare has no evaluation in or after training: it is in no comparison."]


def unfinished(path, seed, method, **rights):
    """A run of 40 steps that was evaluated in training: step-10=[...], after=[...]."""
    run = write_run(
        path,
        [[("p", "1", RIGHT)]],
        memory=method == "meds",
        fields={"method": method, "seed": seed, "eval_k": 2, "eval_samples": 4, "max_steps": 40},
        given=["method", "seed"],
    )
    for step, number in rights.items():
        name = "after" if step == "after" else f"step-{int(step[1:]):06d}"
        write_evaluation(run, name, {("test", "x"): ANSWERS[number]})
    return path


def test_a_run_in_training_is_not_compared_with_one_that_has_ended(tmp_path):
    runs = [
        unfinished(tmp_path / "dapo", 0, "dapo", s10=1, s20=2, s30=2, after=4),
        unfinished(tmp_path / "meds", 0, "meds", s10=2),
    ]
    data = report_data(runs)
    (row,) = rows_of(data, "pass@1")
    assert (row["group"], row["difference"]) == ("test, at step 10", 0.25)  # not 2/4 - 4/4
    assert data["differences"]["notes"] == [
        "Compared at step 10, as not both have an evaluation after training: dapo and meds."
    ]


def test_a_pair_that_has_not_ended_is_left_out_beside_one_that_has(tmp_path):
    runs = [unfinished(tmp_path / f"{name}-0", 0, name, s10=1, after=2) for name in ("dapo", "meds")]
    runs += [
        unfinished(tmp_path / "dapo-1", 1, "dapo", s10=1, after=1),
        unfinished(tmp_path / "meds-1", 1, "meds", s10=4),
    ]
    data = report_data(runs)
    (row,) = rows_of(data, "pass@1")
    assert (row["group"], row["by_seed"]) == ("test", [[0, 0.0]])
    assert data["differences"]["notes"] == [
        "dapo-1 and meds-1 are in no comparison: meds-1 has no evaluation after training."
    ]


def test_pairs_that_have_not_ended_are_compared_at_the_step_that_most_share(tmp_path):
    runs = [
        unfinished(tmp_path / f"{name}-{seed}", seed, name, **steps)
        for name in ("dapo", "meds")
        for seed, steps in enumerate(({"s10": 1, "s20": 1}, {"s10": 2, "s20": 2}, {"s10": 2}))
    ]
    runs += [
        unfinished(tmp_path / "dapo-9", 9, "dapo", s5=1),
        unfinished(tmp_path / "meds-9", 9, "meds", s6=1),
    ]
    data = report_data(runs)
    (row,) = rows_of(data, "pass@1")
    assert (row["group"], row["num_seeds"]) == ("test, at step 10", 3)
    assert data["differences"]["notes"][0] == (
        "dapo-9 and meds-9 are in no comparison: not both were evaluated at step 10, as the other seeds were."
    )


def test_the_last_step_of_the_recipe_is_the_end(tmp_path):
    runs = [
        unfinished(tmp_path / "dapo", 0, "dapo", s10=1, s40=4),
        unfinished(tmp_path / "meds", 0, "meds", s10=2, after=2),
    ]
    (row,) = rows_of(report_data(runs), "pass@1")
    assert (row["group"], row["difference"]) == ("test", -0.5)


def test_a_damaged_evaluation_is_left_out_and_named(tmp_path):
    one = trained(tmp_path / "a", 0, [1])
    (one / "evaluation" / "after.parquet").write_bytes(b"PAR1 half")
    data = report_data([one])
    assert any("An evaluation is left out" in note for note in data["runs"][0]["notes"])
    assert set(data["evaluations"]["values"]["step"]) == {0}


def test_runs_without_evaluations_are_compared_in_training_on_common_prompts(tmp_path):
    # In the last third (batch 3 of 3) p has 1 of 4 right and q 2 of 4 in "a"; 3 and 4 of 4 in "b", which also has z.
    def last(p, q):
        rights = (("p", p), ("q", q))
        return [(name, "1", RIGHT) for name, right in rights for _ in range(right)] + [
            (name, "2", False) for name, right in rights for _ in range(4 - right)
        ]

    early = [("p", "2", False)] * 4 + [("r", "2", False)] * 4
    for name, batch in {"a": last(1, 2), "b": [*last(3, 4), *[("z", "2", False)] * 4]}.items():
        write_run(tmp_path / name, [early, early, batch], memory=False, fields={"method": name}, given=["method"])
    (sentence,) = report_data([tmp_path / "a", tmp_path / "b"])["verdicts"]
    # (3/4 + 1)/2 = 88 %, (1/4 + 1/2)/2 = 38 %; both prompts differ by 1/2.
    assert sentence == (
        "pass@1 in the last third of training (mean over prompts), b against a: better on the 2 prompts that both had "
        "(88 % against 38 %, +50.0 points, 95 % interval +50.0 to +50.0). This is one seed; others may differ."
    )
    # A run whose groups are all mixed was filtered: its pass@1 is that of the groups that were kept.
    mixed = [[("p", "2", False), ("p", "1", RIGHT)]] * 20
    write_run(tmp_path / "c", mixed, memory=False, fields={"method": "c"}, given=["method"])
    assert report_data([tmp_path / "a", tmp_path / "c"])["verdicts"] == []


def sampled(folder, rights, group="test", problems="xy"):
    """What `meds eval` writes, without answers: of 4 samples of each problem so many are right."""
    rows = [
        {
            "benchmark": "mine",
            "group": group,
            "problem_id": problem,
            "prompt": f"question {problem}",
            "sample": sample,
            "completion": f"Answer: {'r' if sample < right else 'w'}",
            "is_correct": sample < right,
        }
        for problem, right in zip(problems, rights, strict=True)
        for sample in range(4)
    ]
    folder.mkdir()
    write_samples(folder / "samples.parquet", samples_table(rows))
    return str(folder)


def test_two_evaluations_are_compared_on_the_problems_of_both(tmp_path):
    # Right of 4: of "a" 1 and 2, and 4 of a problem that "b" does not have; of "b" 3 and 4.
    folders = [sampled(tmp_path / "a", [1, 2, 4], problems="xyz"), sampled(tmp_path / "b", [3, 4])]
    with opened(find_sources(folders), ReadOptions()) as runs:
        data = report_data(runs)
    a, b = (f"{tmp_path.name}/{name}" for name in "ab")
    assert data["verdicts"] == [
        f"pass@1, {b} against {a}: better on test, 2 problems (88 % against 38 %, +50.0 points, 95 % interval +50.0 to "
        "+50.0). The intervals are over problems; another training may differ."
    ]
    # The answers are those that were found in the completions: "w" each time; 3 + 2 of 8 against 1 of 8 are wrong.
    (row,) = rows_of(data, "no_answer")
    assert (row["baseline_value"], row["value"]) == (0.0, 0.0)
    (row,) = rows_of(data, "repeated")
    assert (row["baseline_value"], row["value"]) == (3 / 5, 0.0)
    with opened(find_sources(folders), ReadOptions()) as runs:
        (row,) = rows_of(report_data(runs, baseline=b), "pass@1")
    assert (row["variant"], row["difference"]) == (a, -0.5)


def test_evaluations_whose_only_groups_have_different_names_are_compared(tmp_path):
    folders = [sampled(tmp_path / "a", [1, 2], "before"), sampled(tmp_path / "b", [3, 4], "after")]
    with opened(find_sources(folders), ReadOptions()) as runs:
        (row,) = rows_of(report_data(runs), "pass@1")
    assert (row["group"], row["difference"]) == ("what both have, 2 problems", 0.5)


def test_evaluations_of_several_steps_are_compared_at_the_last_that_all_have(tmp_path):
    rights = {"a": {1: 0, 2: 1, 3: 4}, "b": {1: 0, 2: 3}}
    for name, steps in rights.items():
        (tmp_path / name).mkdir()
        for step, right in steps.items():
            rows = [
                {"input": problem, "output": "so", "gts": "1", "score": float(n < right), "reward": 0.0, "step": step}
                for problem in "xy"
                for n in range(4)
            ]
            (tmp_path / name / f"{step}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with opened(find_sources([str(tmp_path / name) for name in rights]), ReadOptions()) as runs:
        data = report_data(runs)
    (row,) = rows_of(data, "pass@1")
    assert row["difference"] == 0.5  # 3/4 - 1/4
    assert data["differences"]["notes"] == ["Compared at step 2, the last that all evaluations have."]


def evaluated(tmp_path, name, right, *, of="", **fields):
    """What `meds eval` writes of a run `runs/NAME`, which is made with these fields; or of the model `of`."""
    if not of:
        given = [field for field in fields if field != "seed"]
        write_run(tmp_path / "runs" / name, [], fields={"method": "trl", **fields}, given=given)
    folder = tmp_path / f"eval-{name}"
    sampled(folder, [right, right])
    (folder / "settings.json").write_text(json.dumps({"model": of or f"runs/{name}"}))
    return str(folder)


def report_of(folders):
    with opened(find_sources(folders), ReadOptions()) as runs:
        return report_data(runs)


def test_evaluations_of_seeds_are_repetitions_of_one_variant(tmp_path):
    # Right of 4, penalty and watch: 3 and 1 with seed 0, 2 and 1 with seed 1.
    rights = {("a", 0.1, 0): 3, ("a", 0.1, 1): 2, ("b", 0, 0): 1, ("b", 0, 1): 1}
    folders = [
        evaluated(tmp_path, f"{name}{seed}", right, meds_alpha=alpha, seed=seed)
        for (name, alpha, seed), right in rights.items()
    ]
    data = report_of(folders)
    (row,) = rows_of(data, "pass@1")
    assert (data["differences"]["baseline"], row["variant"]) == ("trl, alpha 0", "trl, alpha 0.1")
    assert row["by_seed"] == [[0, 0.5], [1, 0.25]]
    assert [run["name"] for run in data["runs"]][::3] == ["trl, alpha 0.1, seed 0", "trl, alpha 0, seed 1"]
    assert "another training" not in data["verdicts"][0]
    assert "training" not in data["ways_help"]
    assert not any("sampled" in note for run in data["runs"] for note in run["notes"])
    # A model that no run trained is compared with both seeds of the baseline: 4/4 - 1/4.
    _, row = rows_of(report_of([*folders, evaluated(tmp_path, "first", 4, of="first/model")]), "pass@1")
    assert (row["variant"], row["by_seed"]) == (f"{tmp_path.name}/eval-first", [[0, 0.75], [1, 0.75]])


def test_checkpoints_of_a_run_are_variants_and_what_is_evaluated_twice_is_not_pooled(tmp_path):
    last = evaluated(tmp_path, "a", 3, meds_alpha=0, seed=0)
    (tmp_path / "runs" / "a" / "checkpoint-8").mkdir()
    early = evaluated(tmp_path, "early", 1, of="runs/a/checkpoint-8")
    (row,) = rows_of(report_of([early, last]), "pass@1")
    assert (row["variant"], row["difference"]) == ("trl, checkpoint last", 0.5)
    data = report_of([early, last, evaluated(tmp_path, "again", 2, of="runs/a")])
    assert [run["variant"] for run in data["runs"]] == [f"{tmp_path.name}/eval-{n}" for n in ("early", "a", "again")]
    assert any("each evaluation is a variant of its own" in note for note in data["notes"])


def test_a_lone_file_of_samples_and_damaged_settings_are_called_by_their_path(tmp_path):
    folders = [evaluated(tmp_path, name, 1, meds_alpha=0, seed=0) for name in "ab"]
    for folder, text in zip(folders, ('{"model": ["x"', json.dumps({"model": "x" * 5000})), strict=True):
        (tmp_path / folder / "settings.json").write_text(text)
    assert [run["variant"] for run in report_of(folders)["runs"]] == [f"{tmp_path.name}/eval-{n}" for n in "ab"]


def test_a_small_difference_shows_in_both_shares(tmp_path):
    # Of 200 problems 4/4 are right on 59 and on 58: 29.5 % and 29 %.
    for name, right in {"a": 58, "b": 59}.items():
        sampled(tmp_path / name, [4] * right + [0] * (200 - right), problems=[f"p{n}" for n in range(200)])
    (sentence,) = report_of([str(tmp_path / name) for name in "ab"])["verdicts"]
    assert "(29.5 % against 29.0 %, +0.5 points" in sentence
