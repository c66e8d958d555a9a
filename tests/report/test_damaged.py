"""Damaged runs: the report and `meds watch` open what can be opened; the report names what it left out."""

import io
import json
import os
import re
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from meds_rl.report.data import report_data
from meds_rl.report.live.follow import Follower
from meds_rl.report.live.terminal import screen, status_line
from meds_rl.rollouts import RunFolderError

from .runs import RIGHT, WRONG, write_evaluation, write_run

pytestmark = pytest.mark.long

BATCH = [*[("p", "2", WRONG)] * 3, *[("p", "3", WRONG)] * 3, ("p", "1", RIGHT), ("p", None, WRONG)]
NAN, HUGE = float("nan"), 10**400


def generation(run, number):
    return run.rollouts_path / f"generation-{number:06d}.parquet"


def changed(path, **columns):
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        if values is None:
            table = table.remove_column(place)
        else:
            table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    pq.write_table(table, path)


def log(run, *lines):
    with run.metrics_path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


def torn(path):
    path.write_bytes(path.read_bytes()[:-30])


DAMAGES = {
    "metrics": (
        lambda run: log(run, b'{"reward": 1}', b'{"step": 1, "re', b"[1]"),
        r"Lines of .*metrics.jsonl left out.*: 3\.",
    ),
    "step as text": (lambda run: log(run, b'{"step": "4"}'), r"Lines of .*metrics.jsonl left out.*: 1\."),
    "infinite step": (lambda run: log(run, b'{"step": 1e999}'), r"Lines of .*metrics.jsonl left out.*: 1\."),
    "torn rollouts": (lambda run: torn(generation(run, 1)), "1 of 3 files of rollouts.*000001"),
    "empty rollouts": (lambda run: generation(run, 0).write_bytes(b""), "1 of 3 files of rollouts.*000000"),
    "no answers": (
        lambda run: changed(generation(run, 2), answer=None),
        "000002.parquet has no column answer",
    ),
    "no texts": (
        lambda run: changed(generation(run, 1), completion=None),
        "Texts are left out: .*completion",
    ),
    "no prompts": (lambda run: changed(generation(run, 0), prompt=None), "Texts are left out: .*prompt"),
    "memory": (lambda run: torn(run.path / "memory.safetensors"), "memory is left out: .*memory.safetensors"),
    "recipe in latin-1": (
        lambda run: (run.path / "recipe.yaml").write_bytes(b"method: m\xe9ds\n"),
        "recipe is unknown: .*recipe.yaml",
    ),
    "no YAML": (
        lambda run: (run.path / "recipe.yaml").write_text("method: [meds"),
        "recipe is unknown: .*recipe.yaml",
    ),
    "evaluation": (
        lambda run: torn(run.evaluation_path / "after.parquet"),
        "evaluation is left out: .*after",
    ),
    "empty evaluation": (
        lambda run: pq.write_table(
            pq.read_table(run.evaluation_path / "after.parquet").slice(0, 0),
            run.evaluation_path / "after.parquet",
        ),
        "evaluation is left out: .*after.parquet is empty",
    ),
}
"""What is done to a run, and what its notes say."""

HARMLESS = {
    "odd names": lambda run: (run.rollouts_path / "generation-²³.parquet").write_bytes(b""),
    "NaN and infinity": lambda run: log(
        run,
        b'{"step": 4, "reward": NaN, "step_time": Infinity, "epoch": NaN, "pass/pass@1": -Infinity}',
        b'{"step": 4, "train_runtime": NaN}',
    ),
    "huge": lambda run: log(
        run,
        json.dumps({"step": 4, "reward": HUGE, "step_time": 1e308, "epoch": 1e-300}).encode(),
        b'{"step": 4, "reward": 1e308, "meds/memory_size": -1e308, "step_time": 1e-300, "meds/memory_ms": 1e99}',
        b'{"step": 4, "train_runtime": 1e308}',
    ),
    "figures as text": lambda run: log(
        run,
        b'{"step": 4, "reward": 0.5, "rewards/meds_penalty/mean": "x", "pass/pass@8": [], "step_time": {}}',
    ),
    "huge rollouts": lambda run: changed(
        generation(run, 1),
        reward=[1e308, -1e308, NAN, float("inf")] + [0.0] * 4,
        penalty=[NAN, 1e308, -1.0, None] + [0.1] * 4,
        cluster_size=[NAN, -1.0, 1e308, None] + [0.0] * 4,
    ),
    "unknown reasons": lambda run: changed(generation(run, 1), reason=["new", None] + ["cluster"] * 6),
    "half characters": lambda run: (run.path / "recipe.yaml").write_text('method: "m\\ud800"\n'),
    "strange recipe": lambda run: (run.path / "recipe.yaml").write_text(
        "method: [1]\nseed: .inf\nmax_steps: -.inf\nnum_train_epochs: .nan\nmeds_alpha: -1\nmeds_beta: x\n"
        "eval_k: -1\neval_samples: 2.5\nnum_generations: {a: b}\n"
    ),
    "an empty batch": lambda run: pq.write_table(pq.read_table(generation(run, 1)).slice(0, 0), generation(run, 1)),
}
"""What is done to a run and needs no note."""

EVERY = {**{name: damage for name, (damage, _) in DAMAGES.items()}, **HARMLESS}


@pytest.fixture
def run(tmp_path):
    folder = write_run(tmp_path / "run", [BATCH] * 3, spread=0.02)
    for name in ("before", "after"):
        write_evaluation(folder, name, {("test", "x"): ["r", "a", "a", None]})
    return folder


@pytest.mark.parametrize("name", EVERY)
def test_the_report_opens_it(run, name):
    EVERY[name](run)
    data = report_data([run])
    json.dumps(data, allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert data["errors"]


@pytest.mark.parametrize("name", DAMAGES)
def test_the_report_names_what_it_left_out(run, name):
    damage, words = DAMAGES[name]
    damage(run)
    notes = report_data([run])["runs"][0]["notes"]
    assert any(re.search(words, note) for note in notes), notes


@pytest.mark.parametrize("name", EVERY)
def test_watch_shows_it(run, name):
    EVERY[name](run)
    follower = Follower(run.path)
    follower.poll()
    console = Console(file=io.StringIO(), width=100)
    console.print(screen(follower, 100, None))
    console.print(status_line(follower))
    assert follower.num_completions
    for error in follower.largest_errors(9):
        assert follower.prompt_text(error)


def test_all_rollouts_are_damaged(run):
    for number in range(3):
        torn(generation(run, number))
    data = report_data([run])
    assert data["errors"] == []
    (note,) = [note for note in data["runs"][0]["notes"] if "3 of 3 files of rollouts" in note]
    assert all(str(generation(run, number)) in note for number in range(3))


def test_texts_belong_to_their_completions_where_an_earlier_file_is_left_out(tmp_path):
    batches = [[("p", f"{number}", WRONG), ("p", "1", RIGHT)] for number in range(3)]
    folder = write_run(tmp_path, batches, memory=False)
    torn(generation(folder, 1))
    table = report_data([folder])["completions"]
    assert sorted(zip(table["answer"], table["text"], strict=True)) == [
        ("0", "so it is 0"),
        ("2", "so it is 2"),
    ]


def test_a_damaged_last_file_does_not_keep_an_ended_run_from_ending(run):
    changed(generation(run, 2), answer=None)
    follower = Follower(run.path)
    follower.poll()
    assert (follower.unread, follower.damaged) == (1, 0)  # it may still be on its way
    log(run, b'{"step": 3, "train_runtime": 5.0}')
    follower.poll()
    assert (follower.unread, follower.damaged, follower.has_ended) == (0, 1, True)


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_a_folder_whose_name_is_no_utf8(tmp_path):
    try:
        folder = write_run(tmp_path / os.fsdecode(b"b\xff"), [BATCH] * 2)
    except OSError:
        pytest.skip("this file system takes no such names")
    other = write_run(tmp_path / "b", [BATCH] * 2)
    data = report_data([folder, other])
    json.dumps(data, ensure_ascii=False).encode("utf-8")
    assert data["runs"][0]["name"] == "meds, seed 0 (b\\udcff)"
    assert np.all([run["path"].isprintable() for run in data["runs"]])
    assert data["runs"][0]["notes"] == []
    assert data["runs"][0]["memory_size"] == 14


@pytest.mark.skipif(os.name == "nt", reason="no FIFOs there")
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "recipe.yaml", "environment.json", "rollouts/generation-000001.parquet"]
)
def test_a_fifo_in_a_run_does_not_wait_for_ever(run, name):
    run.write_environment({"output_dir": "."})
    (run.path / name).unlink()
    os.mkfifo(run.path / name)
    assert report_data([run])["errors"]
    follower = Follower(run.path)
    follower.poll()
    assert follower.num_completions
    with pytest.raises(RunFolderError, match="no regular file") if "rollouts" in name else nullcontext():
        run.rollouts()
