"""Finds run folders, and the files of other programs' rollouts (dumps), at paths and patterns."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from meds_rl.rollouts.blocks import KINDS, kind_of
from meds_rl.rollouts.folder import MEMORY_FILE, RunFolder, read_json
from meds_rl.rollouts.table import MAX_STEP, RunFolderError

MAX_DEPTH = 4
"""Levels of folders that are searched below a path: prime-rl has ``step_3/train/all/traces.jsonl``."""

ACCEPTED = (
    "a run folder, or a file or folder of rollouts: parquet, JSON lines, JSON or CSV, also compressed "
    "(.gz, .bz2, .xz, .zst)"
)

_STEP_WORDS = "step|iter|iteration|batch|epoch|generation|completions|rollouts?|val|train|train_data|checkpoint"
_STEP = re.compile(rf"(?:(?:.*[_.-])?(?:{_STEP_WORDS})[_.-]?)?([0-9]+)")
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Dump:
    """The rollouts that another program saved of one run.

    Attributes:
        path: the folder, or the file.
        files: its files, in the order of the numbers in their names.
        is_beside_runs: whether it was found in a folder that also has runs, where it may be something else.
    """

    path: Path
    files: tuple[Path, ...]
    is_beside_runs: bool = False

    @property
    def name(self) -> str:
        """The end of the path: two parts of a folder's, because many folders are called `completions`."""
        parts = self.path.absolute().parts
        return "/".join(parts[-2:] if self.path.is_dir() and len(parts) > 2 else parts[-1:])


def find_sources(given: Sequence[str]) -> list[Path | Dump]:
    """The run folders and dumps at paths and patterns, each once.

    After a run come the numbered runs in it (``run-2``, ...): later trainings with the same ``output_dir``. A folder of
    files is one dump, and so are given files of one folder whose names differ by numbers only. A folder of folders may
    hold several runs and dumps.

    Raises:
        RunFolderError: a path or pattern leads to neither.
    """
    found: dict[Path, Path | Dump] = {}
    files: dict[tuple[Path, str], list[Path]] = {}
    for text in given:
        matches = sorted(glob.glob(text), key=natural)  # noqa: PTH207 - Path.glob takes no absolute pattern
        paths = [Path(text)] if Path(text).exists() else [Path(match) for match in matches]
        if not paths:
            raise RunFolderError(f"{text} does not exist, and as a pattern it matches nothing.")
        sources = [source for path in paths if not is_data(path) for source in _sources_at(path)]
        if not sources or Path(text).exists():  # files that a pattern finds beside runs are something else
            for path in filter(is_data, paths):
                files.setdefault((path.parent.absolute(), _DIGITS.sub("#", path.name)), []).append(path)
        if not sources and not any(map(is_data, paths)):
            raise RunFolderError(_nothing(text, paths))
        for source in sources:
            found.setdefault(_place(source).resolve(), source)
    for several in files.values():
        unique = tuple(dict.fromkeys(sorted(several, key=natural)))
        path = unique[0] if len(unique) == 1 else unique[0].parent
        found.setdefault(unique[0].resolve(), Dump(path, unique))
    return list(found.values())


def is_run(path: Path) -> bool:
    """Whether training wrote this folder. A folder of `meds eval` is not a run."""
    run = RunFolder(path)
    if run.metrics_path.exists() or run.has_rollouts() or (path / MEMORY_FILE).exists():
        return True
    return "schema_version" in (read_json(run.environment_path) or {})  # it has just begun


def is_evaluation(path: Path) -> bool:
    """Whether `meds eval` wrote this folder."""
    return (path / "samples.parquet").is_file()


def natural(path: str | Path) -> list[tuple[int, int | str]]:
    """A sorting key that reads numbers in a path as numbers: step_2 comes before step_10."""
    parts = _DIGITS.split(str(path))
    return [(0, int(part)) if part.isascii() and part.isdigit() and len(part) < 19 else (1, part) for part in parts]


def step_in_name(path: Path, dump: Path) -> int | None:
    """The step in the name of a file, or of a folder between it and the dump; None if there is none.

    Example:
        >>> step_in_name(Path("d/completions_00012.parquet"), Path("d")), step_in_name(Path("d/7.jsonl"), Path("d"))
        (12, 7)
        >>> step_in_name(Path("d/step_3/train.jsonl"), Path("d")), step_in_name(Path("d/math500.jsonl"), Path("d"))
        (3, None)
    """
    folders = path.relative_to(dump).parts[:-1] if path.is_relative_to(dump) else ()
    for name in (path.name.split(".")[0] if kind_of(path) else path.name, *reversed(folders)):
        match = _STEP.fullmatch(name)
        if match is not None and int(match[1][:20]) <= MAX_STEP:
            return int(match[1])
    return None


def _place(source: Path | Dump) -> Path:
    return source.path if isinstance(source, Dump) else source


def is_data(path: Path) -> bool:
    """Whether it is a file of one of the `KINDS`."""
    return bool(kind_of(path)) and path.is_file()


def _sources_at(path: Path) -> list[Path | Dump]:
    """The runs and dumps of a folder."""
    if not path.is_dir():
        return []
    if is_run(path):
        return [path, *later_runs(path)]
    if path.name == "rollouts" and any(path.glob("generation-*.parquet")):
        raise RunFolderError(f"{path} is a part of the run folder {path.parent}; give that one.")
    children = [child for child in _listed(path) if child.is_dir()]
    runs: list[Path | Dump] = [run for child in children if is_run(child) for run in (child, *later_runs(child))]
    here = dump_at(path)
    if here is not None and not runs:
        return [here]
    others = [child for child in children if not is_run(child) and not (runs and is_evaluation(child))]
    dumps = [dump for child in others for dump in _dumps_below(child, 1)]
    return [*runs, *(replace(dump, is_beside_runs=bool(runs)) for dump in dumps)]


def _dumps_below(path: Path, depth: int) -> list[Dump]:
    """The dump in a folder below the given one, else those further below, as in ``details/{model}/{date}/``."""
    here = dump_at(path)
    if here is not None and all(kind_of(file) != ".json" for file in here.files):
        return [here]
    below = [child for child in _listed(path) if child.is_dir()] if depth < MAX_DEPTH else []
    return [dump for child in below for dump in _dumps_below(child, depth + 1)]


def later_runs(run: Path) -> list[Path]:
    """The numbered runs in a run."""
    return [later.path for later in RunFolder(run).numbered_runs().values() if is_run(later.path)]


def dump_at(path: Path) -> Dump | None:
    """The dump in a folder: its files, else those in its numbered folders (``step_10``); None if there are none.

    Of an output folder of TRL, which has files of models, it is ``completions``.
    """
    if any((path / "completions").glob("completions_*.parquet")):
        path = path / "completions"
    files = _without_links(_only_one_kind([*_files_in(path)]) or _only_one_kind([*_files_below(path, 1)]))
    return Dump(path, tuple(sorted(files, key=natural))) if files else None


def _files_in(folder: Path) -> Iterator[Path]:
    for path in _listed(folder):
        if is_data(path):
            yield path


def _files_below(folder: Path, depth: int) -> Iterator[Path]:
    for path in _listed(folder):
        if path.is_dir() and (depth > 1 or step_in_name(path, folder) is not None):
            yield from _files_in(path)
            if depth < MAX_DEPTH:
                yield from _files_below(path, depth + 1)


def _without_links(files: list[Path]) -> list[Path]:
    """Without links to other files of the list, such as ``latest.jsonl``: each completion counts once."""
    links = [path for path in files if path.is_symlink()]
    targets = {path.resolve() for path in files if path not in links} if links else set()
    return [path for path in files if path not in links or path.resolve() not in targets]


def _listed(folder: Path) -> list[Path]:
    try:
        shown = (path for path in folder.iterdir() if not path.name.startswith("."))  # others are of the system
        return sorted(shown, key=natural)
    except OSError:  # not allowed, or a loop of links
        return []


def _only_one_kind(files: list[Path]) -> list[Path]:
    """The rollouts among files: without settings (.json), without evaluations beside training, without copies."""
    rows = [path for path in files if kind_of(path) != ".json"] or files
    training = [path for path in rows if _is_of(path, "train")]
    rows = training if training and any(_is_of(path, "eval") for path in rows) else rows
    all_ = [path for path in rows if path.parent.name == "all"]  # prime-rl repeats some of them in `effective`
    return all_ or rows


def _is_of(path: Path, kind: str) -> bool:
    return path.name.startswith(f"{kind}_") or kind in (path.parent.name, path.parent.parent.name)


def _nothing(text: str, paths: Sequence[Path]) -> str:
    names = sorted(child.name for path in paths if path.is_dir() for child in _listed(path))
    if not any(path.is_dir() for path in paths):
        return f"{text} is no {', '.join(KINDS)} file; accepted is {ACCEPTED}."
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{text} holds no run folder and no rollouts: it has {shown or 'nothing'}. Accepted is {ACCEPTED}."
