"""Killed at 200 random points, then resumed or started again: the end equals that of what was not interrupted."""

import json
import random
import shutil
from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from meds_rl import ErrorMemory, RepeatedErrorPenalty, RewardShaper
from meds_rl.cli.main import main
from meds_rl.files import write_atomically
from meds_rl.memory import equal_vectors
from meds_rl.rollouts import RunFolder

from ..evaluation.annotator.server import said, serving
from .killing import LONGEST, Act, attempt, kill_often

pytestmark = pytest.mark.hostile

BOUND = f"{LONGEST:g} s"

ROOT = Path(__file__).parents[2]
# Two updates a generation batch: checkpoint 3 falls between them, checkpoint 6 does not.
FIELDS = {
    "save_steps": 3,
    "max_steps": 6,
    "num_generations": 4,
    "per_device_train_batch_size": 8,
    "generation_batch_size": 16,
    "max_completion_length": 64,
    "meds_all_wrong": "shape",
    "meds_capacity": 4,
    "meds_half_life": 2.0,
    "learning_rate": 3e-3,
    "save_total_limit": 1,
    "disable_tqdm": True,
}


def mishandled(
    act: Act, kills: int, content: Callable[[Path], dict[str, object]], place: Path, seed: int = 0
) -> list[str]:
    """Run `act` whole, then kill it `kills` times; `content(folder)` is what must be equal at the end."""
    compile_kernels()
    place.mkdir(exist_ok=True)
    whole = attempt(act, place / "whole")
    assert whole.code == 0, whole.error
    expected = content(place / "whole")

    def differs(folder: Path) -> str | None:
        found = content(folder)
        wrong = [name for name in expected | found if expected.get(name) != found.get(name)]
        # A trainer that starts again begins run-2, and leaves the first run as it is.
        newest = max(folder.rglob("run-[0-9]*"), default=folder)
        left = [str(path) for path in newest.rglob("*.tmp")]
        return f"differs: {wrong}; left behind: {left}" if wrong or left else None

    return kill_often(act, whole, place, kills, random.Random(seed), differs)


@cache
def compile_kernels() -> None:
    """In this process, as a process that is killed early never stores them."""
    features = np.random.default_rng(0).normal(size=(40, 4))
    RewardShaper().shape(np.zeros(40), prompt_ids=["p"] * 40, features=features, is_correct=np.zeros(40, dtype=bool))


def without(value, names):
    """JSON without times."""
    if isinstance(value, dict):
        return {name: without(one, names) for name, one in value.items() if name not in names}
    return [without(one, names) for one in value] if isinstance(value, list) else value


# ---- Training ----


def by_command(folder: Path) -> None:
    """`meds train`, which resumes where there is a checkpoint. A folder without one must be removed by hand."""
    from meds_rl.train.recipe import load_recipe
    from meds_rl.train.run import train

    resume = any(RunFolder(folder).checkpoints())
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    fields = {
        **FIELDS,
        "task_options": '{"train_hard": 6, "train_easy": 2}',
        "eval_samples": 2,
        "eval_k": 2,
        "eval_every": 3,
        "resume_from_checkpoint": resume,
        "output_dir": folder,
    }
    tokens = [token for name, value in fields.items() for token in (f"--{name}", str(value))]
    train(load_recipe(ROOT / "recipes" / "pocket.yaml", tokens))


def by_script(folder: Path) -> None:
    """A script that resumes where there is a checkpoint; without one it gets a new run in the same folder."""
    from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
    from meds_rl.tasks import load_task
    from meds_rl.tasks.grading import AccuracyReward
    from meds_rl.tasks.models import model_location

    task = load_task("pocket", train_hard=6, train_easy=2)
    options = {"use_cpu": True, "report_to": "none", "logging_steps": 1, "save_strategy": "steps", "bf16": False}
    options |= {"fingerprint_layers": -1, "overlong_buffer": 16, "gradient_checkpointing": False}
    args = MEDSConfig(output_dir=str(folder), max_generation_batches=1, **options, **FIELDS)
    trainer = MEDSTrainer(str(model_location("pocket")), AccuracyReward(task), args, task.train)
    first = RunFolder(folder)
    resume = any(run.checkpoints() for run in (first, *first.numbered_runs().values()))
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model(str(folder / "model"))


def trained(folder: Path) -> dict[str, object]:
    """What training wrote, without times."""
    run = RunFolder(folder).written_last()
    rows = [row for row in run.metrics() if "loss" in row]
    names = ("step", "loss", "grad_norm", "reward", "meds/memory_size", "meds/mean_penalty", "meds/fingerprint_age")
    # As tools read them: a resume from the last step leaves a second copy of the evaluation there.
    evaluations = {
        step: [path.read_bytes(), without(json.loads(path.with_suffix(".json").read_text()), TIMES)]
        for step, path in run.evaluations()
    }
    return {
        "model": (folder / "model" / "model.safetensors").read_bytes(),
        "memory": (run.path / "memory.safetensors").read_bytes(),
        "rollouts": run.rollouts().to_json(),
        "metrics": [[row.get(name) for name in names] for row in rows],
        "evaluations": evaluations,
    }


TIMES = ("seconds", "timestamp")


@pytest.mark.parametrize(("act", "kills"), [(by_command, 30), (by_script, 30)])
def test_training(tmp_path, tally, act, kills):
    act(tmp_path / "here")  # imports all that it needs in this process
    what = "`meds train`" if act is by_command else "a script's `MEDSTrainer`"
    tally(f"{what}, killed", kills, mishandled(act, kills, trained, tmp_path), BOUND)


# ---- Evaluation, report, diversity ----


def run_main(*arguments: object) -> None:
    """A command; an error if it refuses."""
    code = main([str(argument) for argument in arguments])
    if code:
        raise SystemExit(f"exit code {code}")


def evaluation(folder: Path) -> None:
    """`meds eval`, with --resume where there is a folder."""
    resume = ["--resume"] if folder.exists() else []
    small = ["--samples", "6", "--problems", "1", "--by", "difficulty", "--batch-size", "4", "--max-new-tokens", "48"]
    run_main("eval", "pocket", *small, "--output", folder, "--format", "lm-eval", *resume)


def evaluated(folder: Path) -> dict[str, object]:
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: without(json.loads(path.read_text()), TIMES) if path.suffix == ".json" else path.read_bytes()
        for name, path in files.items()
        if not name.startswith("lm-eval")
    }


def test_evaluation(tmp_path, tally):
    evaluation(tmp_path / "here")  # imports all that it needs in this process

    tally("`meds eval`, killed", 50, mishandled(evaluation, 50, evaluated, tmp_path), BOUND)


@pytest.fixture
def a_run(tmp_path):
    """A run with errors that recur."""
    run = tmp_path / "watched"
    penalty = RepeatedErrorPenalty("right", alpha=0, folder=run)
    for step in range(4):
        penalty(**batch(step))
    penalty.close()
    return run


def test_report(tmp_path, tally, a_run, monkeypatch):
    """Each file is whole or absent at any time: a report over one that is cut off would be refused."""
    # The page says when it was made.
    monkeypatch.setattr(
        "meds_rl.report.data.datetime", SimpleNamespace(now=lambda zone: datetime(2026, 1, 1, tzinfo=zone))
    )

    def report(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        outputs = ["--output", folder / "page.html", "--json", folder / "data.json", "--figures", folder / "pictures"]
        run_main("report", a_run, *outputs, "--map-prompts", "1", "--map-points", "50")

    def written(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    tally("`meds report`, killed", 20, mishandled(report, 20, written, tmp_path), BOUND)


def test_diversity_with_an_annotator(tmp_path, tally, a_run, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def answer(body, _):
        return said("Score: 4" if "SOLUTION 1" in body["messages"][0]["content"] else "Category: 2")

    with serving(answer) as server:

        def diversity(folder: Path) -> None:
            folder.mkdir(exist_ok=True)
            endpoint = ["--annotate", "--endpoint", server.url, "--model", "tiny", "--cache", folder / "cache"]
            run_main("diversity", a_run, *endpoint, "--json", folder / "out.json")

        tally("`meds diversity`, killed", 20, mishandled(diversity, 20, annotated, tmp_path), BOUND)


def annotated(folder: Path) -> dict[str, object]:
    cache = {path.name: path.read_bytes() for path in (folder / "cache").rglob("*.json")}
    counts = ("cached", "requests_sent")
    return {"out": without(json.loads((folder / "out.json").read_text()), counts), **cache}


# ---- The penalty of any loop ----

NUM_BATCHES = 12


def batch(step: int) -> dict[str, list]:
    """Three groups; which answers are given depends on the step only."""
    rng = random.Random(step)
    prompts = [prompt for prompt in "abc" for _ in range(4)]
    answers = [rng.choice(["42", "13", "7", "8", None]) for _ in prompts]
    texts = ["no idea" if answer is None else f"it is \\boxed{{{answer}}}" for answer in answers]
    return {"prompts": prompts, "completions": texts, "right": [answer == "42" for answer in answers]}


def lengths(completions, **_):
    """A fingerprint of one's own, whose batches cannot be remembered again from the rollouts."""
    return [[1.0, float(sum(map(ord, text)) % 7)] for text in completions]


def in_a_folder(folder: Path, options: dict, every: int | None = None) -> None:
    """A loop that goes on after its last batch, or a trainer that has a checkpoint after `every` so many steps."""
    mark, done = folder / "checkpoint", sum(1 for _ in RunFolder(folder / "run").rollout_files())
    if every is not None:
        done = int(mark.read_text()) if mark.exists() else 0
    penalty = make_penalty(folder / "run", options)
    for step in range(done, NUM_BATCHES):
        state = {} if every is None else {"trainer_state": SimpleNamespace(global_step=step, max_steps=NUM_BATCHES)}
        penalty(**batch(step), **state)
        if every is not None and (step + 1) % every == 0:
            write_atomically(mark, str(step + 1).encode())
    penalty.close()


def make_penalty(folder: Path | None, options: dict) -> RepeatedErrorPenalty:
    capacity = options.get("capacity")
    memory = None if capacity is None else ErrorMemory(equal_vectors, capacity=capacity)
    fingerprint = options.get("fingerprint", "answer")
    return RepeatedErrorPenalty("right", all_wrong="shape", folder=folder, memory=memory, fingerprint=fingerprint)


def penalised(folder: Path, options: dict) -> dict[str, object]:
    """All that the loop has after one more batch, whose penalties depend on what is remembered."""
    penalty = make_penalty(folder / "run", options)
    penalties = penalty(**batch(NUM_BATCHES))
    penalty.close()
    run = RunFolder(folder / "run").written_last()
    files = [*run.path.glob("rollouts/*.parquet"), *run.path.glob("*.safetensors")]
    steps = [row["step"] for row in run.metrics()]
    return {"penalties": penalties, "steps": steps, **{path.name: path.read_bytes() for path in files}}


def remembered_as(options: dict, every: int | None, tmp_path: Path, kills: int) -> list[str]:
    name = getattr(options.get("fingerprint"), "__name__", options)
    place = tmp_path / f"{name} {every}"
    act = partial(in_a_folder, options=options, every=every)
    return mishandled(act, kills, partial(penalised, options=options), place)


@pytest.mark.parametrize("is_large", [False, True])
def test_penalty(tmp_path, tally, monkeypatch, is_large):
    if is_large:  # the memory is not written after every batch
        monkeypatch.setattr("meds_rl.engines.reward_folder.CHEAP_SECONDS", 0.0)
        monkeypatch.setattr("meds_rl.engines.reward_folder.TIMES_ITS_COST", 3.0)
    wrong = []
    for options in ({}, {"fingerprint": lengths}, {"fingerprint": "steps"}):
        for every in (None, 3):
            wrong += remembered_as(options, every, tmp_path, 3)
    # What a bounded memory dropped does not come back for a trainer that goes back to a checkpoint: it is warned.
    wrong += remembered_as({"capacity": 4}, None, tmp_path, 3)
    tally(f"`RepeatedErrorPenalty`, {'large' if is_large else 'small'} memory, killed", 21, wrong, BOUND)


def saved_and_loaded(folder: Path) -> None:
    """A loop without a folder, which saves the memory itself after every second batch."""
    file = folder / "memory.safetensors"
    penalty = RepeatedErrorPenalty("right", all_wrong="shape")
    if file.exists():
        penalty.load(file)
    folder.mkdir(exist_ok=True)
    for step in range(penalty.memory.step, NUM_BATCHES):
        penalty(**batch(step))
        if step % 2:
            penalty.save(file)


def test_penalty_that_is_saved_and_loaded(tmp_path, tally):
    def loaded(folder: Path) -> dict[str, object]:
        penalty = RepeatedErrorPenalty("right", all_wrong="shape")
        penalty.load(folder / "memory.safetensors")
        return {"memory": (folder / "memory.safetensors").read_bytes(), "penalties": penalty(**batch(NUM_BATCHES))}

    tally("`RepeatedErrorPenalty.save`, killed", 8, mishandled(saved_and_loaded, 8, loaded, tmp_path), BOUND)
