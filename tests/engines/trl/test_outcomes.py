"""Outcomes: from a reward function's log to the memory, TRL's table of completions and the rollouts."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from meds_rl import ErrorMemory
from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.checkpoint import save_memory
from meds_rl.fingerprint import outcome_text, outcome_vectors
from meds_rl.tasks import Task, Verdict
from meds_rl.tasks.grading import AccuracyReward

from .conftest import mostly_wrong, rollouts_of, train, warnings_of


def outcome_of(text):
    """What a completion's text says about its outcome; None for some."""
    return None if len(text) % 5 == 0 else ("ok", f"got {len(text) % 3}")


def texts_of(column):
    """A column of texts; pandas reads null as NaN or None."""
    return [None if pd.isna(text) else text for text in column]


def played(completion_ids, completions, log_extra, **_):
    log_extra("outcome", [outcome_of(text) for text in completions])
    return mostly_wrong(completion_ids)


def test_the_memory_compares_outcomes(model_path, dataset, make_config, caplog):
    fields = {"log_completions": True, "num_completions_to_print": 0, "max_steps": 4, "meds_all_wrong": "shape"}
    for sampling in (False, True):
        args = make_config(fingerprint="outcome", dynamic_sampling=sampling, meds_max_distance=0.0, **fields)
        trainer = train(model_path, dataset, args, reward=played)
        rollouts = rollouts_of(trainer)
        expected = [outcome_text(outcome_of(text)) for text in rollouts["completion"]]
        assert texts_of(rollouts["outcome"]) == expected
        files = sorted(Path(args.output_dir).glob("completions/*.parquet"))
        logged = pd.concat([pd.read_parquet(path) for path in files])
        assert logged["outcome"].notna().any()
        assert texts_of(logged["outcome"]) == [outcome_text(outcome_of(text)) for text in logged["completion"]]
        remembered = rollouts[rollouts["memory_id"] >= 0]
        vectors = outcome_vectors([outcome_of(text) for text in remembered["completion"]])
        of_id = dict(zip(remembered["memory_id"].tolist(), vectors, strict=True))
        entries = [trainer.memory.entry(prompt) for prompt in trainer.memory.prompt_ids]
        assert sum(len(entry.ids) for entry in entries) > 0
        for entry in entries:
            for number, vector in zip(entry.ids.tolist(), entry.vectors, strict=True):
                np.testing.assert_allclose(vector, of_id[number], atol=1e-6)
        without = rollouts[rollouts["completion"].map(outcome_of).isna() & ~rollouts["is_correct"]]
        assert set(without["cluster"]) <= {-2, -4}  # no answer, or not scored
    assert not [text for text in warnings_of(caplog) if "have an answer" in text]


def test_equal_outcomes_are_counted(model_path, dataset, make_config):
    # With the recommended max_distance: two outcomes, each counted from its first completion on.
    args = make_config(
        method="trl", fingerprint="outcome", max_steps=6, meds_all_wrong="shape", meds_beta=9.0, meds_anneal=[1, 1]
    )
    rollouts = rollouts_of(train(model_path, dataset, args, reward=played))
    seen = Counter()
    for _, batch in rollouts.groupby("generation", sort=True):
        scored = batch[(batch["cluster"] != -4) & batch["outcome"].notna()]
        names = list(zip(scored["prompt_id"], scored["outcome"], strict=True))
        assert scored["cluster_size"].tolist() == [seen[name] for name in names]
        np.testing.assert_allclose(scored["penalty"], [0.1 * np.log1p(seen[name]) for name in names])
        seen.update(names)
    assert max(seen.values()) > 2


def test_a_task_logs_its_verdicts(model_path, make_config):
    dataset = Dataset.from_dict({"prompt": ["abc", "bcd", "cde", "def"], "answer": ["e", "f", "g", "h"]})
    task = Task("game", dataset, None, grade=lambda text, row: Verdict(row["answer"] in text, f"lost by {text[:1]}"))
    args = make_config(method="trl", fingerprint="outcome", max_steps=1)
    rollouts = rollouts_of(train(model_path, dataset, args, reward=AccuracyReward(task)))
    assert rollouts["outcome"].tolist() == [f"lost by {text[:1]}".strip() for text in rollouts["completion"]]


def test_a_fingerprint_of_ones_own_gets_the_outcomes(model_path, dataset, make_config):
    seen = []

    def lengths(outcome, **_):
        seen.extend(outcome)
        return np.ones((len(outcome), 2))

    args = make_config(method="trl", max_steps=1)
    trainer = train(model_path, dataset, args, reward=played, fingerprint=lengths)
    assert seen == texts_of(rollouts_of(trainer)["outcome"])


def test_without_outcomes_there_is_no_such_column(model_path, dataset, make_config):
    rollouts = rollouts_of(train(model_path, dataset, make_config(method="trl", max_steps=1), reward=mostly_wrong))
    assert rollouts["outcome"].isna().all()


@pytest.mark.parametrize(
    ("logged", "error", "message"),
    [
        (
            None,
            ValueError,
            r"needs outcomes, and no reward function logged any .* Call log_extra\(\"outcome\", values\)",
        ),
        (["lost"] * 7, ValueError, "outcome has 7 values for 16 completions: only one function may"),
        ([["lost"]] * 16, TypeError, r"an outcome must be hashable .*got list \['lost'\]"),
    ],
)
@pytest.mark.parametrize("sampling", [False, True])
def test_what_is_no_outcome(model_path, dataset, make_config, logged, error, message, sampling):
    def logs(completion_ids, log_extra, **_):
        if logged is not None:
            log_extra("outcome", logged)
        return mostly_wrong(completion_ids)

    args = make_config(fingerprint="outcome", dynamic_sampling=sampling)
    with pytest.raises(error, match=message):
        train(model_path, dataset, args, reward=logs)


@pytest.mark.parametrize("logged", [[{"a": 1}] * 16, ["a", ["b"]] * 8])
@pytest.mark.parametrize("sampling", [False, True])
def test_something_else_of_that_name_stays_as_the_user_logs_it(model_path, dataset, make_config, logged, sampling):
    def logs(completion_ids, log_extra, **_):
        log_extra("outcome", logged)
        return mostly_wrong(completion_ids)

    trainer = train(model_path, dataset, make_config(dynamic_sampling=sampling, max_steps=1), reward=logs)
    assert rollouts_of(trainer)["outcome"].isna().all()
    assert list(trainer._logs["extra"]["outcome"])[:2] == logged[:2]


@pytest.mark.long
def test_resume_equals_no_interruption(model_path, dataset, make_config, tmp_path):
    fields = {"max_steps": 5, "save_strategy": "steps", "save_steps": 3, "lr_scheduler_type": "constant"}
    files = []
    for name, checkpoint in (("whole", None), ("resumed", str(tmp_path / "whole/checkpoint-3"))):
        args = make_config(output_dir=str(tmp_path / name), fingerprint="outcome", meds_all_wrong="shape", **fields)
        trainer = MEDSTrainer(model_path, played, args, dataset)
        trainer.train(resume_from_checkpoint=checkpoint)
        save_memory(trainer, tmp_path / name)
        files.append(tmp_path / name / "memory.safetensors")
    assert len(ErrorMemory.load(files[0])) > 0
    assert files[0].read_bytes() == files[1].read_bytes()
