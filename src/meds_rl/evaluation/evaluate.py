"""One evaluation, as `meds eval` runs it: load, sample or resume sampling, compute metrics, write."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from meds_rl.evaluation.engines import check_context, make_engine, notes
from meds_rl.evaluation.figures import GroupFigures, group_figures
from meds_rl.evaluation.folder import Parts, hint_at_resume, is_finished, read_object, refuse_parts, write_results
from meds_rl.evaluation.problems import (
    POCKET_MAX_NEW_TOKENS,
    Problem,
    ProblemSet,
    Subject,
    check_names,
    find_subject,
    load_benchmark,
    own_problems,
    problems_of,
    select,
)
from meds_rl.evaluation.sampling import SamplingEngine, SamplingSettings
from meds_rl.files import remove_unfinished
from meds_rl.rollouts.samples import read_samples, write_samples
from meds_rl.tasks import load_task
from meds_rl.tasks.base import import_function
from meds_rl.tasks.grading import RIGHT_ABOVE, FunctionGrader

ENGINES = ("auto", "transformers", "vllm")
SAMPLING = ("max_new_tokens", "temperature", "top_p")


@dataclass(frozen=True)
class EvaluationSettings:
    """What to evaluate, and how. A field that is None comes from the run's recipe, else it has the default given here.

    `batch_size` and `seed` together determine the samples. `engine` is "transformers", "vllm", or "auto": vLLM if it is
    installed, there is a GPU, and no fingerprint is set.
    """

    model: str  # a hub name, a folder, "pocket", "smollm2", or a run folder
    task: str | None = None  # name of a task (`meds_rl.tasks.load_task`); "pocket" for the pocket model
    task_options: Mapping[str, Any] | None = None  # none
    benchmarks: Sequence[str] = ()  # names of benchmarks (`problems.BENCHMARKS`), instead of a task
    data: str | None = None  # a local copy of the benchmark or benchmarks; without one, problems of your own
    correctness: str | None = None  # import path of the TRL reward function that grades problems of your own
    correct_above: float | None = None  # right is what it returns more than this for; 0.5
    answer_marker: str | None = None  # how answers to them are marked; boxed
    answer_finder: str | None = None  # import path of a function from a completion's text to its answer, instead
    samples: int | None = None  # completions of each problem; 16
    temperature: float | None = None  # 1
    top_p: float | None = None  # 1
    max_new_tokens: int | None = None  # 96 for the pocket model, else 3,072, the paper's shorter limit
    seed: int = 0  # of sampling and bootstrap
    batch_size: int | None = None  # completions sampled at once; 64 with transformers, 1,024 with vLLM
    problems: int | None = None  # limit for each split or benchmark; none
    by: str | None = None  # a column of the task to group the metrics by; none
    engine: str = "auto"
    fingerprint: str | None = None  # which fingerprint of the completions to store; none
    fingerprint_layers: int | None = None  # as in a recipe


@dataclass(frozen=True)
class EvaluationResult:
    """The metrics of an evaluation, and the folder with samples.parquet and results.json."""

    folder: Path
    groups: list[GroupFigures]
    num_hung: int  # completions that were graded as wrong because grading was stopped
    timestamp: str  # of its end, as ISO 8601
    seconds: float  # how long this call took
    notes: tuple[str, ...] = ()  # sentences for the user about deviations from the request


def evaluate(settings: EvaluationSettings, folder: Path | None = None, *, resume: bool = False) -> EvaluationResult:
    """Evaluate a model and write ``samples.parquet`` and ``results.json`` to a folder.

    The default `folder` is `default_folder`. `resume` continues an interrupted evaluation in the folder, with the same
    samples as without the interruption; a finished one is not changed.

    Raises:
        ValueError: a setting, model or data set that cannot work; on resume, settings that differ from the first call.
        FileExistsError: the folder exists, without `resume`, and has a finished chunk.
        OSError: a file cannot be written; finished chunks are kept.
        ImportError: a package is missing; the message has the pip command.
    """
    start, began = time.monotonic(), time.time()
    subject = find_subject(settings.model)
    resolved = resolve(settings, subject)
    folder = folder or default_folder(subject, resolved, resume=resume)
    if not resume:
        refuse_parts(folder)  # before anything is loaded
    problems = _problems(resolved)
    begun = {**asdict(resolved), "benchmarks": list(resolved.benchmarks), "problems_hash": _hash(problems)}
    begun |= {"checkpoint": Path(subject.location).name} if subject.note else {}
    if resume and is_finished(folder):
        Parts(folder, begun, resume=True)  # raises an error for other settings
        remove_unfinished(folder, began)
        timestamp = str(read_object(folder / "results.json").get("timestamp"))
        groups = group_figures(read_samples(folder / "samples.parquet").to_pylist(), resolved.seed)
        found = ("It was finished before: nothing was sampled again.", *_without_answers(groups))
        return EvaluationResult(folder, groups, 0, timestamp, time.monotonic() - start, found)
    engine = make_engine(subject.location, resolved.engine, resolved.seed)
    check_context(engine, problems, resolved.max_new_tokens or 1)
    rollout = _rollout(engine, resolved)
    parts = Parts(folder, begun, resume=resume)
    try:
        table, num_hung = rollout.run(problems, parts=parts, description=subject.label)
    finally:
        parts.discard_if_none()
    with hint_at_resume(folder / "samples.parquet"):
        write_samples(folder / "samples.parquet", table)
    groups = group_figures(table.to_pylist(), resolved.seed)
    seconds = time.monotonic() - start
    with hint_at_resume(folder / "results.json"):
        timestamp = write_results(folder, asdict(resolved), groups, seconds=seconds)
    remove_unfinished(folder, began)
    found = (*notes(engine, problems), *_without_answers(groups))
    return EvaluationResult(folder, groups, num_hung, timestamp, seconds, found)


def _without_answers(groups: Sequence[GroupFigures]) -> tuple[str, ...]:
    """A sentence on the groups whose answers were not found, if there are any."""
    found = [
        f"{group.num_answers:,} of {group.num_problems * group.num_samples:,} ({group.group})"
        for group in groups
        if not group.has_answers
    ]
    what = "so maj@k, no answer, repeated and distinct are left out"
    how = "The task's answer_marker (of data of your own: --answer-marker) says where answers are."
    return (f"An answer was found in {', '.join(found)} completions, {what}. {how}",) if found else ()


def resolve(settings: EvaluationSettings, subject: Subject) -> EvaluationSettings:
    """The settings with every default filled in, checked without loading anything; ValueError for one out of range."""
    given, recipe = asdict(settings), subject.recipe
    if settings.task and settings.benchmarks:
        raise ValueError("give --task or --benchmark, not both")
    own = _is_own(settings)
    check_names(settings.benchmarks, settings.data)
    if not settings.benchmarks and not own and settings.task is None:
        given["task"] = recipe.get("task") or ("pocket" if subject.is_pocket else None)
        if given["task"] is None:
            why = f"{settings.model} is no run of meds train, whose recipe names a task"
            raise ValueError(
                f"{why}. Give --task or --benchmark, or --data and --correctness for problems of your own."
            )
    same_task = bool(given["task"]) and given["task"] == recipe.get("task")
    given["engine"] = _engine_name(settings, subject)
    on_pocket = subject.is_pocket or (given["task"] == "pocket" and not recipe)
    defaults = {
        "task_options": (recipe.get("task_options") or {}) if same_task else {},
        "by": recipe.get("eval_by") if same_task else None,
        "fingerprint_layers": recipe.get("fingerprint_layers"),
        "samples": recipe.get("eval_samples") or 16,
        "temperature": recipe.get("temperature", 1.0),
        "top_p": recipe.get("top_p", 1.0),
        "max_new_tokens": recipe.get("max_completion_length", POCKET_MAX_NEW_TOKENS if on_pocket else 3_072),
        "batch_size": 1_024 if given["engine"] == "vllm" else 64,
        "correct_above": recipe.get("correct_above") if own else None,
        "answer_marker": recipe.get("answer_marker", "boxed") if own else None,
    }
    given |= {name: value for name, value in defaults.items() if given[name] is None}
    for name in ("samples", "batch_size", "problems"):
        if given[name] is not None and given[name] < 1:
            raise ValueError(f"{name} must be at least 1; got {given[name]}.")
    if settings.seed < 0:
        raise ValueError(f"seed must be 0 or more; got {settings.seed}.")
    SamplingSettings(*(given[name] for name in SAMPLING))  # raises an error for one out of range
    return EvaluationSettings(**given)


def _is_own(settings: EvaluationSettings) -> bool:
    """Whether problems of the user's own are evaluated; ValueError for what does not go with that."""
    own = bool(settings.data) and not settings.benchmarks
    if own and settings.task:
        raise ValueError("give --task or --data, not both")
    if own and settings.correctness is None:
        raise ValueError(
            "--data without --benchmark is data of your own: name the reward function that grades it, "
            "--correctness package.module.function"
        )
    names = ("correctness", "correct_above", "answer_marker", "answer_finder")
    if not own and (given := [name for name in names if getattr(settings, name) is not None]):
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{listed}: only for problems of your own (--data without --benchmark)")
    if settings.answer_marker and settings.answer_finder:
        raise ValueError("give --answer-marker or --answer-finder, not both")
    return own


def _own_problems(settings: EvaluationSettings) -> ProblemSet:
    above = RIGHT_ABOVE if settings.correct_above is None else settings.correct_above
    grade = FunctionGrader([import_function(settings.correctness or "")], above)
    finder = import_function(settings.answer_finder) if settings.answer_finder else None
    return own_problems(settings.data or "", grade, settings.answer_marker or "boxed", finder)


def default_folder(subject: Subject, settings: EvaluationSettings, *, resume: bool) -> Path:
    """``runs/eval/<model>-<benchmark>``; if it exists, with the next free number, or with `resume` the last one."""
    names = "+".join(settings.benchmarks) or settings.task or Path(settings.data or "").stem
    first = Path("runs/eval") / re.sub(r"[^\w.+-]+", "-", f"{subject.label}-{names}")
    folder, last, number = first, first, 1
    while folder.exists():
        number += 1
        last, folder = folder, Path(f"{first}-{number}")
    return last if resume else folder


def _engine_name(settings: EvaluationSettings, subject: Subject) -> str:
    if settings.engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {settings.engine!r}.")
    why = "fingerprints are read inside a model of transformers" if settings.fingerprint else None
    why = "smollm2 is read from GGUF by transformers" if subject.location == "smollm2" else why
    if settings.engine == "vllm" and why:
        raise ValueError(f"{why}: give --engine transformers.")
    if settings.engine != "auto":
        return settings.engine
    if why or find_spec("vllm") is None:
        return "transformers"
    import torch

    return "vllm" if torch.cuda.is_available() else "transformers"


def _problems(settings: EvaluationSettings) -> list[Problem]:
    sources = [load_benchmark(name, settings.data) for name in dict.fromkeys(settings.benchmarks)]
    if not sources:
        sources = [_own_problems(settings) if settings.correctness else _task_problems(settings)]
    return [problem for source in sources for problem in select(source, limit=settings.problems, by=settings.by)]


def _task_problems(settings: EvaluationSettings) -> ProblemSet:
    return problems_of(load_task(settings.task or "", **(settings.task_options or {})))


def _rollout(engine: SamplingEngine, settings: EvaluationSettings) -> Any:
    from meds_rl.evaluation.engines import TransformersEngine
    from meds_rl.evaluation.rollout import FingerprintTaker, Rollout
    from meds_rl.fingerprint import make_fingerprint

    taker = None
    if settings.fingerprint and isinstance(engine, TransformersEngine):
        fingerprint = make_fingerprint(settings.fingerprint, settings.fingerprint_layers)
        taker = FingerprintTaker(engine.model, engine.tokenizer, fingerprint)
        taker.take([], [], [])  # raises an error for missing layers before anything is sampled
    return Rollout(
        engine,
        SamplingSettings(*(getattr(settings, name) for name in SAMPLING)),
        num_samples=settings.samples or 1,
        batch_size=settings.batch_size or 1,
        seed=settings.seed,
        fingerprints=taker,
    )


def _hash(problems: Sequence[Problem]) -> str:
    """Changes when the data set does, so that `resume` notices."""
    names = [
        f"{p.source.name} {p.group} {p.row['prompt_id']} {p.row.get('tests', p.row.get('answer'))}" for p in problems
    ]
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]
