"""Stopped and resumed equals uninterrupted, to the last byte; with a stand-in for the model."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from meds_rl.evaluation.folder import Parts, holds_no_parts
from meds_rl.evaluation.problems import problems_of, select
from meds_rl.evaluation.rollout import Rollout
from meds_rl.evaluation.sampling import Completion, SamplingSettings
from meds_rl.rollouts.samples import write_samples
from meds_rl.tasks import Task, prompt_id

from ..tasks.graders import grade, play

SETTINGS = {"samples": 3, "seed": 0}


class Guessing:
    """An engine that guesses a digit; stops like Ctrl-C after so many chunks."""

    def __init__(self, chunks=None):
        self.left = chunks

    def encode(self, prompt):
        return [ord(letter) for letter in prompt]

    def sample(self, prompt_ids, settings, seed):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        digits = np.random.default_rng(seed).integers(0, 10, len(prompt_ids))
        return [
            Completion(f"\\boxed{{{d}}}", [*ids, int(d)], bool(d % 2))
            for d, ids in zip(digits, prompt_ids, strict=True)
        ]


def problems(n=5):
    prompts = ["?" * (1 + i % 3) + str(i) for i in range(n)]
    rows = [{"prompt": p, "prompt_id": prompt_id(p), "answer": str(i)} for i, p in enumerate(prompts)]
    return select(problems_of(Task("guess", Dataset.from_list(rows), None, grade)))


def run(folder, chunks=None, *, resume=False, settings=SETTINGS):
    rollout = Rollout(Guessing(chunks), SamplingSettings(4), num_samples=3, batch_size=4)
    table, _ = rollout.run(problems(), parts=Parts(folder, settings, resume=resume))
    write_samples(folder / "samples.parquet", table)
    return table


def contents(folder: Path):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stops", [[0], [1], [3], [1, 1, 1]])
def test_stopped_and_resumed_equals_uninterrupted_to_the_last_byte(tmp_path, stops):
    run(tmp_path / "whole")
    for number, chunks in enumerate(stops):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", chunks, resume=number > 0)
    run(tmp_path / "stopped", resume=True)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_rows_come_by_problem_and_sample_whatever_was_sampled_first(tmp_path):
    table = run(tmp_path / "run")
    rows = table.to_pylist()
    expected = [(p.row["prompt_id"], s) for p in problems() for s in range(3)]
    assert [(row["problem_id"], row["sample"]) for row in rows] == expected
    assert [row["finished"] for row in rows] == [int(row["answer"]) % 2 == 1 for row in rows]
    assert {row["benchmark"] for row in rows} == {"guess"}
    assert all(row["is_exact"] is None and row["strategy"] is None for row in rows)


def test_other_settings_are_refused_with_what_differs(tmp_path):
    run(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match="cannot be resumed: samples was 3, is 4; top_p was None, is 1"):
        run(tmp_path / "run", resume=True, settings={**SETTINGS, "samples": 4, "top_p": 1})
    with pytest.raises(FileExistsError, match="nothing was changed"):
        run(tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="holds no evaluation to resume"):
        Parts(tmp_path, SETTINGS, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    Parts(tmp_path / "new", SETTINGS, resume=True)  # nothing there yet: begun
    assert json.loads((tmp_path / "new" / "settings.json").read_text()) == SETTINGS


def test_what_was_stopped_before_its_first_part_is_taken_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", 0)
    assert holds_no_parts(tmp_path / "run")
    other = {**SETTINGS, "seed": 1}
    run(tmp_path / "run", settings=other)
    assert json.loads((tmp_path / "run" / "settings.json").read_text()) == other
    assert not holds_no_parts(tmp_path / "run")


@pytest.mark.parametrize("left", [[], [".settings.json.0a1b.tmp"]])
@pytest.mark.parametrize("resume", [False, True])
def test_what_was_killed_while_its_settings_were_written_is_taken_again(tmp_path, left, resume):
    (tmp_path / "run").mkdir()
    for name in left:
        (tmp_path / "run" / name).write_text("{")
    assert holds_no_parts(tmp_path / "run")
    parts = Parts(tmp_path / "run", SETTINGS, resume=resume)
    assert json.loads((tmp_path / "run" / "settings.json").read_text()) == SETTINGS
    parts.discard_if_none()
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_of_what_never_began(tmp_path):
    parts = Parts(tmp_path / "run", SETTINGS, resume=False)
    (tmp_path / "run" / "samples").mkdir()
    parts.discard_if_none()
    assert not (tmp_path / "run").exists()
    run(tmp_path / "run")
    before = contents(tmp_path / "run")
    Parts(tmp_path / "run", SETTINGS, resume=True).discard_if_none()
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff"])
def test_damaged_settings_are_said_with_their_file(tmp_path, damage):
    run(tmp_path / "run")
    (tmp_path / "run" / "settings.json").write_bytes(damage)
    with pytest.raises(ValueError, match=r"settings\.json is damaged"):
        run(tmp_path / "run", resume=True)


def test_a_full_disk_is_said_with_the_file_and_what_to_do(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meds_rl.evaluation.folder.write_samples", full)
    with pytest.raises(OSError, match=r"part-000000.parquet: No space left on device\. .*--resume"):
        run(tmp_path / "run")


def test_the_outcome_of_a_verdict_is_in_the_table():
    rows = [{"prompt": "p", "prompt_id": prompt_id("p"), "answer": "7"}]
    asked = select(problems_of(Task("game", Dataset.from_list(rows), None, play)))
    table, _ = Rollout(Guessing(), SamplingSettings(4), num_samples=2, batch_size=4).run(asked)
    for row in table.to_pylist():
        assert row["is_correct"] is False
        assert row["outcome"] == f"lost by {row['completion']}"
