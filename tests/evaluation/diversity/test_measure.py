"""Completions out of runs and samples, all measures at once, parts, agreement: small made-up sets worked by hand."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from meds_rl import ErrorMemory
from meds_rl.evaluation.annotator import read_categories
from meds_rl.evaluation.annotator.questions import label_job, problem_text, score_job
from meds_rl.evaluation.diversity.measure import Limits, agreements, diversity, parts_of
from meds_rl.evaluation.diversity.read import (
    BAD_FINGERPRINTS,
    INCOMPLETE,
    UNGRADED,
    Completions,
    read_completions,
)
from meds_rl.rollouts import ROLLOUT_COLUMNS, RunFolder
from meds_rl.rollouts.samples import samples_table, write_samples


def rng():
    return np.random.default_rng(0)


def write_run(folder, *, with_memory=True, changes=()):
    """Two batches of prompts x and y, three wrong completions and a right one each; x has no answer in the second."""
    run, memory = RunFolder(folder), ErrorMemory()
    vectors = {"x": [[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]], "y": [[0.0, 1.0], [1.0, 0.0], [1.0, 0.01]]}
    for generation in (0, 1):
        columns = {name: [] for name in ROLLOUT_COLUMNS}
        for prompt in "xy":
            answers = ["1", "1", "2"] if (prompt, generation) != ("x", 1) else [None] * 3
            features = vectors[prompt] if answers[0] else [[math.nan] * 2] * 3
            ids = [*memory.remember(prompt, features).tolist(), -1]
            for place, answer in enumerate([*answers, "7"]):
                values = {
                    name: {"int64": 0, "float64": 0.0, "string": "", "bool": True}[kind]
                    for name, (kind, _) in ROLLOUT_COLUMNS.items()
                }
                values |= {"step": 10 * generation, "generation": generation, "prompt_id": prompt}
                values |= {"prompt": f"what is {prompt}?", "completion": f"it is {answer}", "answer": answer}
                values |= {"is_correct": place == 3, "strategy": f"way {answer}" if place < 3 else None}
                values["memory_id"] = ids[place]
                values |= dict(changes).get((generation, prompt, place), {})
                for name, value in values.items():
                    columns[name].append(value)
        run.write_rollouts(generation, columns)
    if with_memory:
        memory.save(run.path / "memory.safetensors")
    return run.path


def test_a_run_with_its_memory(tmp_path):
    found = read_completions(write_run(tmp_path))
    assert len(found) == 16
    assert found.steps.tolist() == [0] * 8 + [10] * 8
    assert found.clustered.tolist() == [place % 4 != 3 for place in range(16)]
    assert (found.vector_rows != -1).tolist() == [place % 4 != 3 and not 8 <= place < 12 for place in range(16)]
    np.testing.assert_allclose(found.features(np.array([2, 3, 4])), [[0, 1], [0, 1]])
    assert found.clusters[8:11].tolist() == [-2] * 3
    assert found.answers[8] is None
    assert found.select([3, 0]).answers == ["7", "1"]


def test_measures_of_a_run_by_hand(tmp_path):
    found = read_completions(write_run(tmp_path))
    one = diversity(found, rng=rng())
    assert (one.num_problems, one.num_completions) == (2, 12)
    values = {name: figure.value for name, figure in one.figures.items()}
    # x: 1 1 2 and three times none: shares 1/3, 1/6, 1/2; y: 1 1 2 1 1 2: shares 2/3, 1/3.
    x = math.log(3) / 3 + math.log(6) / 6 + math.log(2) / 2
    y = 2 / 3 * math.log(1.5) + math.log(3) / 3
    assert values["answer_entropy"] == pytest.approx((x + y) / 2)
    assert values["answer_entropy_normalized"] == pytest.approx((x + y) / 2 / math.log(6))
    assert values["distinct_answers"] == 2.5
    assert values["repeated_share"] == pytest.approx(7 / 12)
    # x: "it is 1" twice, "it is 2", "it is None" three times: 5 different words of 18; y: 4 of 18.
    assert values["distinct_1"] == pytest.approx((5 + 4) / 2 / 18)
    assert values["clusters"] > 0
    assert 1 <= values["vendi_fingerprints"] <= 2
    assert one.to_dict()["figures"]["distinct_answers"] == {"value": 2.5, "num_problems": 2}
    right = diversity(found, of="right", rng=rng())
    assert (right.num_completions, right.figures["answer_entropy"].value) == (4, 0)
    assert math.isnan(right.figures["top1_eigenvalue_ratio"].value)
    assert right.to_dict()["figures"]["top1_eigenvalue_ratio"]["value"] is None


def test_a_measure_whose_package_is_missing_is_left_out_and_says_what_it_needs(tmp_path, monkeypatch):
    found = read_completions(write_run(tmp_path))
    assert diversity(found, rng=rng()).missing == {}
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    one = diversity(found, rng=rng())
    assert "self_bleu" not in one.figures
    assert one.figures["distinct_1"].value == pytest.approx((5 + 4) / 2 / 18)
    how = 'pip install "meds-rl[eval]" (in a clone: pip install -e ".[eval]")'
    assert one.to_dict()["missing"] == {"self_bleu": f"self-BLEU needs sacrebleu: {how}"}


def test_parts_and_agreement_of_a_run(tmp_path):
    found = read_completions(write_run(tmp_path))
    parts = parts_of(found, 3)
    assert [part.name for part in parts] == ["step 0", "step 10"]
    compared = agreements(found, parts, {"answer": list(found.answers), "none": [None] * 16}, rng=rng())
    assert list(compared) == ["answer"]
    # Step 0: x and y; step 10: only y has answers.
    assert {name: (one.found.num_prompts, one.found.num_completions) for name, one in compared["answer"].items()} == {
        "step 0": (2, 6),
        "step 10": (1, 3),
        "all": (2, 9),
    }


def test_ungraded_and_fillers_of_a_run_are_left_out(tmp_path):
    # x of the first batch has a completion that nothing graded; y of the second only fills it up.
    changes = {(0, "x", 0): {"reward": math.nan, "reason": "not_graded"}}
    changes |= {(1, "y", place): {"in_loss": False, "is_correct": False} for place in range(4)}
    found = read_completions(write_run(tmp_path, changes=changes.items()))
    assert (len(found), found.left_out) == (15, {UNGRADED: [0]})
    assert found.population == (3, 0, 1)
    # Left are the answers 1 2 of x, 1 1 2 of y and three times none of x.
    assert diversity(found, rng=rng()).num_completions == 8
    assert found.looked_at("all").sum() == 11
    changes = {(generation, "x", 3): {"is_correct": False} for generation in (0, 1)}
    assert read_completions(write_run(tmp_path / "b", changes=changes.items())).population == (4, 2, 0)


def test_a_run_without_memory_and_one_without_anything(tmp_path):
    found = read_completions(write_run(tmp_path / "run", with_memory=False))
    assert found.clusters is None
    assert "clusters" not in diversity(found, rng=rng()).figures
    assert agreements(found, parts_of(found, 1), {"answer": list(found.answers)}, rng=rng()) == {}
    empty = RunFolder(tmp_path / "empty")
    empty.write_environment({})
    with pytest.raises(ValueError, match="holds no completions"):
        read_completions(empty.path)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_completions(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="no run folder"):
        read_completions(tmp_path / "folder")


def sample(problem, answer, *, right=False, group="test", fingerprint=None):
    return {
        "benchmark": "pocket",
        "group": group,
        "problem_id": problem,
        "sample": 0,
        "completion": f"\\boxed{{{answer}}}",
        "answer": answer,
        "is_correct": right,
        "fingerprint": fingerprint,
    }


def test_samples_with_fingerprints(tmp_path):
    rows = [
        sample("a", "1", fingerprint=[0.0, 1.0]),
        sample("a", None),
        sample("a", "2", fingerprint=[1.0, 1.0]),
        sample("b", "3", group="train"),
    ]
    write_samples(tmp_path / "samples.parquet", samples_table(rows))
    for path in (tmp_path, tmp_path / "samples.parquet"):
        found = read_completions(path)
        assert [part.name for part in parts_of(found, 3)] == ["pocket test", "pocket train"]
        assert found.vector_rows.tolist() == [0, -1, 1, -1]
        one = diversity(found, rng=rng())
        assert one.figures["top1_eigenvalue_ratio"] == (1.0, 1)
        assert one.figures["answer_entropy"] == (pytest.approx(math.log(3) / 2), 2)


def test_samples_without_fingerprints(tmp_path):
    write_samples(tmp_path / "a.parquet", samples_table([sample("a", "1"), sample("a", "2")]))
    assert "top1_eigenvalue_ratio" not in diversity(read_completions(tmp_path / "a.parquet"), rng=rng()).figures


def test_bad_rows_of_samples_are_left_out_and_named(tmp_path):
    rows = [sample("a", str(number), fingerprint=[number, 1.0]) for number in range(10)]
    rows[1]["is_correct"] = None
    rows[3]["completion"] = None
    rows[4]["problem_id"] = None
    rows[5]["fingerprint"] = [math.inf, 1.0]
    rows[6]["fingerprint"] = [1.0]
    rows[7]["fingerprint"] = [math.nan, 1.0]
    rows[8]["fingerprint"] = [math.nan, math.nan]  # no answer: nothing is wrong
    rows[9]["fingerprint"] = [None, 1.0]
    write_samples(tmp_path / "a.parquet", samples_table(rows))
    found = read_completions(tmp_path / "a.parquet")
    assert found.left_out == {INCOMPLETE: [3, 4], UNGRADED: [1], BAD_FINGERPRINTS: [5, 6, 7, 9]}
    assert found.answers == ["0", "2", "5", "6", "7", "8", "9"]
    assert found.vector_rows.tolist() == [0, 1, -1, -1, -1, -1, -1]
    assert found.vectors.tolist() == [[0, 1], [2, 1]]
    assert diversity(found, rng=rng()).num_completions == 7
    write_samples(tmp_path / "b.parquet", samples_table([rows[1]]))
    with pytest.raises(ValueError, match="holds no completions; 1 completions that nothing graded"):
        read_completions(tmp_path / "b.parquet")


def made(problems):
    """Wrong completions, the answers of each problem."""
    flat = [(f"p{number}", answer) for number, answers in enumerate(problems) for answer in answers]
    return Completions(
        problem_ids=[name for name, _ in flat],
        prompts=["q"] * len(flat),
        texts=[f"it is {answer}" for _, answer in flat],
        answers=[answer for _, answer in flat],
        is_correct=np.zeros(len(flat), dtype=bool),
        groups=["g"] * len(flat),
        strategies=[None] * len(flat),
    )


def test_as_many_completions_of_each_problem():
    found = diversity(made([["a"] * 9 + ["b"], ["c", "c"], ["d"]]), per_problem=2, rng=rng())
    assert (found.num_problems, found.num_completions) == (2, 4), "a problem with one completion is left out"


def test_noise_and_no_answer_are_no_clusters():
    completions = replace(
        made([["a"] * 5, ["b"] * 3]),
        clusters=np.array([0, 0, 1, -1, -2, -1, -1, -2]),
        clustered=np.ones(8, dtype=bool),
    )
    for noise in ("group", "alone"):
        found = diversity(completions, rng=rng(), noise=noise)
        assert found.figures["clusters"] == (1.0, 2)  # two and none


def test_eigenvalue_ratios_say_how_many_problems_they_are_of():
    # p0 has a direction, p1 two equal vectors, p2 one vector, p3 none.
    vectors = np.array([[0, 1], [0, 3], [2, 2], [2, 2], [9, 0]], dtype=np.float32)
    completions = replace(
        made([["a", "b"], ["a", "b"], ["a"], ["a"]]),
        vectors=vectors,
        vector_rows=np.array([0, 1, 2, 3, 4, -1]),
    )
    figures = diversity(completions, rng=rng()).figures
    assert figures["top1_eigenvalue_ratio"] == (1.0, 2)
    assert figures["top1_eigenvalue_ratio_by_problem"] == (1.0, 1)
    assert figures["top1_eigenvalue_ratio_pooled"].num_problems == 3


def test_nothing_wrong_is_no_error():
    completions = made([["a", "b"]])
    found = diversity(completions, of="right", rng=rng())
    assert (found.num_problems, found.num_completions) == (0, 0)
    assert all(figure.num_problems == 0 for figure in found.figures.values())


def test_limits_hold_and_draws_are_repeatable():
    completions = made([[str(number % 7) for number in range(40)]] * 12)
    limits = Limits(wording_problems=5, wording_completions=6, bleu_problems=3, bleu_completions=4)
    first, again = (diversity(completions, rng=rng(), limits=limits) for _ in range(2))
    assert first.to_dict() == again.to_dict()
    assert first.figures["distinct_1"].num_problems == 5
    assert first.figures["self_bleu"].num_problems == 3
    assert first.figures["answer_entropy"].num_problems == 12
    with pytest.raises(ValueError, match="bleu_completions must be 2 or more"):
        Limits(bleu_completions=1)


@pytest.mark.parametrize("options", [{"of": "some"}, {"per_problem": 0}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="must be"):
        diversity(made([["a"]]), rng=rng(), **options)


def test_jobs_of_the_annotator():
    completions = made([["a", "b", "c"], ["d"], ["e", "f"], ["g", "h"]])
    wanted = np.ones(len(completions), dtype=bool)
    job = score_job(completions, wanted, max_problems=2, max_completions=2, rng=rng())
    assert len(job.questions) == 2
    assert set(job.problem_ids) <= {"p0", "p2", "p3"}
    assert all("These were 2 solutions." in question.prompt for question in job.questions)
    labels = label_job(completions, wanted, read_categories(), max_completions=5, max_per_problem=2, rng=rng())
    assert len(labels.rows) == len(set(labels.rows)) == 5
    assert all(
        f"it is {completions.answers[row]}\n" in question.prompt
        for row, question in zip(labels.rows, labels.questions, strict=True)
    )
    assert problem_text('[{"role": "user", "content": 3}]') == '[{"role": "user", "content": 3}]'
    assert problem_text("[1]") == "[1]"
