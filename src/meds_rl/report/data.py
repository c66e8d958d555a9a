"""All data of a report as one dict for JSON. Page and pictures are made from this dict alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any

from meds_rl import __version__
from meds_rl.report.completions import MAX_CHARACTERS, Completions
from meds_rl.report.course import course_table, has_memory, run_course
from meds_rl.report.differences import differences, in_training, verdicts
from meds_rl.report.errors import Error, find_errors
from meds_rl.report.evaluations import evaluations, find_evaluated, golds
from meds_rl.report.headlines import headlines
from meds_rl.report.life import STATES, course_of, stretches
from meds_rl.report.maps import Map, maps
from meds_rl.report.meanings import with_meaning
from meds_rl.report.outlook import HELP, Outlook, drops_groups, outlook
from meds_rl.report.recipe import differing, run_names, variants
from meds_rl.report.side_by_side import side_by_side
from meds_rl.report.source import RunData, read_run
from meds_rl.report.states import read_states
from meds_rl.report.text import plain
from meds_rl.report.ways import Way, is_error, traced, ways
from meds_rl.report.workings import read_workings
from meds_rl.rollouts.folder import RunFolder

SCHEMA = 1
"""Version of the dict; it rises with each change of meaning."""

MAX_SEED = 2**32 - 1
"""The largest seed of t-SNE."""

OF_THE_MEMORY = ("meds_", "fingerprint", "preset")
"""Prefixes of settings that have no effect on a run without a memory."""

WAYS_HELP = "Share of the run's wrong completions, their number, and the number of their prompts. "
COURSE_HELP = "The bars show the course of training. "
STEPS_HELP = (
    "Steps are read from the text: a, b, c, … are the prompt's numbers in their order, x, y, z, … the results of the "
    "steps, N any other number. ∘ is the prompt's own sign at that place; ≠ marks a wrong result. In a program v1, v2, "
    "… are its names; in a text without numbers a, b, … are the prompt's names."
)

ONCE_HELP = (
    "Where most prompts came in one batch only, the state of an error is by its share of all completions, not only of "
    "those of its prompts. "
)
OUTCOMES_HELP = (
    "By outcome (what the grader reports beside right or wrong): completions are grouped by the first test or item "
    "that is not ok. All wrong outputs are one group, which may be many errors. "
)

MAX_WAY_PROMPTS = 5
"""Prompts of a way that the page leads to."""

SHOWN_SETTINGS = (
    *("model_name_or_path", "task", "learning_rate", "num_generations", "temperature"),
    *("max_completion_length",),
    *("dynamic_sampling", "preset", "fingerprint", "meds_alpha", "meds_beta", "meds_all_wrong", "meds_noise"),
    *("meds_anneal", "meds_capacity", "meds_half_life"),
)
"""Settings that are shown besides those in which the runs differ."""


def report_data(
    runs: Sequence[RunFolder | str | os.PathLike[str]],
    *,
    baseline: str | None = None,
    map_prompts: int = 12,
    map_points: int = 1000,
    num_errors: int = 500,
    max_characters: int = MAX_CHARACTERS,
    seed: int = 0,
    model: tuple[Any, Any] | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Read runs and return a report's data.

    Args:
        runs: Run folders, or their paths.
        baseline: The variant that others are compared with. Default: the first method without a memory,
            or whose memory only watches (alpha 0).
        map_prompts: Maps at most; several runs share them.
        map_points: Points of a map at most; of more completions a random sample is shown.
        num_errors: Listed errors of each run and grouping (cluster, answer), the largest first.
        max_characters: Total length of the texts of completions; beyond it completions have no text.
        seed: of the random sample of a map's points, of t-SNE and of the bootstrap.
        model: A causal language model and its tokenizer, which read the wrong completions (`read_states`).
        show_progress: Whether progress bars are shown.

    Raises:
        ValueError: no runs, or a number out of range.
        RunFolderError: a folder is not a run.
    """
    _check(
        runs, seed, map_prompts=map_prompts, map_points=map_points, num_errors=num_errors, max_characters=max_characters
    )
    folders = [run.path if isinstance(run, RunFolder) else Path(run) for run in runs]
    read = [read_run(path, number) for number, path in enumerate(_progress(folders, show_progress))]
    evaluated_notes = find_evaluated(read)
    recipes = [run.compared_by for run in read]
    called = variants(recipes)
    workings = [read_workings(run, seed, show_progress) for run in read]
    states = [[] if model is None else [read_states(run, *model, show_progress)] for run in read]
    found = [find_errors(run, num_errors, [one, *more]) for run, one, more in zip(read, workings, states, strict=True)]
    errors = [error for run_errors, _ in found for error in run_errors]
    drawn = maps(read, map_prompts, map_points, seed, show_progress)
    courses = {run.id: run_course(run) for run in read}
    completions = Completions(read)
    error_rows = [_error(error, completions) for error in errors]
    map_rows = [_map(drawn_map, completions) for drawn_map in drawn]
    found_ways = {
        run.id: [(way, _way(way, completions)) for way in ways(run, one)]
        for run, one in zip(read, workings, strict=True)
    }
    run_ways = {number: [row for _, row in pairs] for number, pairs in found_ways.items()}
    names = run_names(recipes, [run.path for run in read])
    same_errors = side_by_side(read, called, names, found_ways, workings, completions)
    prompts = completions.prompts(golds(read))
    table, text_notes = completions.table(max_characters)
    texts = {prompt["id"]: prompt["words"] for prompt in prompts}
    compared = differences(read, called, baseline, seed)
    found_verdicts = _verdicts(read, called, compared, baseline, seed)
    if found_verdicts and compared is not None and not compared["rows"]:
        compared = None  # its notes say that nothing is compared
    tested = _tested(read) if found_verdicts or same_errors else set()
    found_outlooks = (
        outlook(run, seed, one, _growth(run, run_ways[run.id]), _method(run) in tested)
        for run, one in zip(read, workings, strict=True)
        if not run.is_evaluation
    )
    outlooks = [each for each in found_outlooks if each is not None]
    data = {
        "schema": SCHEMA,
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "runs": _runs(read, called, names),
        "states": STATES,
        "course": course_table(courses, _group_size(read, outlooks)),
        "evaluations": evaluations(read),
        "completions": table,
        "prompts": prompts,
        "errors": error_rows,
        "errors_left_out": [left_out for _, left_out in found],
        "ways": list(chain.from_iterable(run_ways.values())),
        "ways_help": WAYS_HELP
        + (COURSE_HELP if any(len(stretches(run.num_steps)) > 1 for run in read) else "")
        + (ONCE_HELP if any(run.mostly_asked_once for run in read) else "")
        + (OUTCOMES_HELP if any(run.outcomes_known for run in read) else "")
        + (STEPS_HELP if any(one.by == "steps" for one in workings) else ""),
        "ways_note": {run.id: one.note for run, one in zip(read, workings, strict=True)},
        "headlines": [
            {"run": run.id, **headline._asdict()}
            for run, (run_errors, _) in zip(read, found, strict=True)
            for headline in headlines(run, run_errors, run_ways[run.id], courses[run.id], texts)
        ],
        "verdicts": found_verdicts,
        "outlooks": [each.to_dict() for each in outlooks],
        "outlook_help": HELP,
        "side_by_side": same_errors,
        "maps": map_rows,
        "differences": compared,
        "notes": [*evaluated_notes, *text_notes],
    }
    fit: dict[str, Any] = plain(data)
    return fit


def _check(runs: Sequence[Any], seed: int, map_prompts: int, **positive: int) -> None:
    if not runs:
        raise ValueError("There is no run to report on.")
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be 0 to {MAX_SEED:,}; got {seed}.")
    if map_prompts < 0:
        raise ValueError(f"map_prompts must be 0 or more; got {map_prompts}.")
    for name, value in positive.items():
        if value < 1:
            raise ValueError(f"{name} must be 1 or more; got {value}.")


def _progress(folders: Sequence[Path], show: bool) -> Iterable[Path]:
    from tqdm.auto import tqdm

    bar: Iterable[Path] = tqdm(folders, desc="reading runs", unit="run", disable=None if show else True, leave=False)
    return bar


def _way(way: Way, completions: Completions) -> dict[str, Any]:
    """A way in the report's data, with examples and its most frequent prompts."""
    return {
        **with_meaning(way.run, way.to_dict()),
        "examples": [completions.place(way.run, row) for row in way.examples()],
        "prompt_ids": [completions.prompt(way.run, row) for _, row in way.prompts[:MAX_WAY_PROMPTS]],
    }


def _tested(runs: Sequence[RunData]) -> set[str]:
    """Methods, or "None" for a reward function's, of which there is a training with alpha 0 and one with a penalty."""
    trained = [run for run in runs if not run.is_evaluation and has_memory(run)]
    alphas = [(_method(run), run.recipe.number("meds_alpha")) for run in trained]
    return {method for method, alpha in alphas if alpha} & {method for method, alpha in alphas if alpha == 0}


def _method(run: RunData) -> str:
    return str(run.recipe.fields.get("method"))  # a strange recipe may have anything there


def _growth(run: RunData, found: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """The growth of the largest way that grows, if its prompts come again.

    Outcomes do not count, as one outcome may be many errors.
    """
    if run.mostly_asked_once:
        return None
    rising = traced([way for way in found if is_error(way) and way["by"] != "outcome"], "growing")
    growth: tuple[float, float] | None = rising[0]["growth"] if rising else None
    return growth


def _verdicts(
    runs: Sequence[RunData], called: Sequence[str], compared: dict[str, Any] | None, baseline: str | None, seed: int
) -> list[str]:
    """By the evaluations; without any by the completions of training, unless groups are missing from these."""
    by_evaluations = verdicts(compared)
    if by_evaluations or any(drops_groups(run) for run in runs):
        return by_evaluations
    trained = [(run, name) for run, name in zip(runs, called, strict=True) if not run.is_evaluation]
    compared = in_training([run for run, _ in trained], [name for _, name in trained], baseline, seed)
    return verdicts(compared, "in the last third of training (mean over prompts)")


def _runs(runs: Sequence[RunData], called: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = [*differing([run.recipe for run in runs]), *SHOWN_SETTINGS]
    return [
        {
            "id": run.id,
            "name": name,
            "path": str(run.path),
            "variant": variant,
            "method": run.recipe.method,
            "seed": run.compared_by.seed,
            "task": run.recipe.task,
            "model": run.recipe.model,
            "num_steps": _num_steps(run),
            "max_steps": run.recipe.max_steps,
            "num_completions": len(run.rollouts),
            "num_prompts": int(run.rollouts["prompt_id"].nunique()),
            "num_wrong": len(run.wrong),
            "num_graded": int(run.rollouts["reward"].notna().sum()),
            "answers_known": run.answers_known,
            "has_memory": has_memory(run),
            "is_dump": run.folder.source is not None,
            "is_evaluation": run.is_evaluation,
            "memory_size": 0 if run.memory is None else len(run.memory.table),
            "num_clusters": _num_clusters(run),
            "group_size": run.recipe.group_size,
            "stretches": stretches(run.num_steps).tolist(),
            "wrong_course": course_of(run.rollouts["step"].to_numpy()[run.wrong], run.num_steps),
            "settings": _settings(run, wanted),
            "notes": run.notes,
        }
        for run, name, variant in zip(runs, names, called, strict=True)
    ]


def _num_steps(run: RunData) -> int:
    """Steps for the reader: programs that count from 1 have done as many as their last step says."""
    if run.folder.source is None or not len(run.rollouts):
        return run.num_steps
    return run.num_steps - int(run.is_evaluation or run.rollouts["step"].min() > 0)


def _settings(run: RunData, wanted: Sequence[str]) -> dict[str, Any]:
    fields = run.recipe.fields
    shown = (name for name in wanted if name in fields)
    return {name: _plain(fields[name]) for name in shown if has_memory(run) or not name.startswith(OF_THE_MEMORY)}


def _group_size(runs: Sequence[RunData], outlooks: Sequence[Outlook]) -> int | None:
    """G, of the recipe or else as the rollouts show, if all runs have the same."""
    shown = {each.run: each.group_size for each in outlooks}
    sizes = {run.recipe.group_size or shown.get(run.id) for run in runs}
    return sizes.pop() if len(sizes) == 1 else None


def _num_clusters(run: RunData) -> int:
    """Clusters of wrong completions, without noise and "no answer"."""
    return sum(len(set(entry.labels[entry.labels >= 0].tolist())) for _, _, entry in run.wrong_entries())


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _error(error: Error, completions: Completions) -> dict[str, Any]:
    row = error.to_dict()
    row["prompt"] = completions.prompt(error.run, int(error.rows[0]))
    row["examples"] = [completions.place(error.run, example) for example in error.examples()]
    return row


def _map(drawn: Map, completions: Completions) -> dict[str, Any]:
    row = drawn.to_dict()
    row["prompt"] = completions.prompt(drawn.run, int(drawn.rows[0]))
    row["completion"] = [completions.place(drawn.run, int(place)) for place in drawn.rows]
    return row
