"""Damaged memory files: refused in one sentence, or memories like any other, through every way to load one."""

import atexit
import contextlib
import functools
import io
import os
import random
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from meds_rl import ErrorMemory, MemoryFileError, RepeatedErrorPenalty, RewardShaper
from meds_rl.cli.inspect import view_of_memory
from meds_rl.cli.main import main
from meds_rl.memory import equal_vectors
from meds_rl.memory.recall import GroupVisit, RightCompletion
from meds_rl.rollouts.remembered import MOST_LISTED

from ..memory.streams import stream
from .damage import contradiction, damaged_bytes

pytestmark = pytest.mark.hostile

LONGEST_SENTENCE = 600
RAM = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where saving does not wait for a disk."""


def _shaped(memory: ErrorMemory, n_batches: int) -> ErrorMemory:
    shaper = RewardShaper(memory=memory, target="both", all_wrong="shape")
    for batch in stream(1, n_batches=n_batches):
        shaper.shape(batch.rewards, **batch.keywords())
    return memory


def _memories() -> list[ErrorMemory]:
    one, unanswered, names, kept = ErrorMemory(), ErrorMemory(), ErrorMemory(), _shaped(ErrorMemory(), 3)
    one.remember("x", [[1.0, 0.0]])
    for _ in range(3):
        unanswered.remember("x", [[np.nan]] * 4)
        for name in ("x" * 3000, "\ud800\x1b[2J", 2**70, -1, "1", 1, ""):
            names.remember(name, np.random.default_rng(0).normal(size=(5, 3)), is_correct=name == 1)
    found = RightCompletion([7, 4, 1], 1.0), RightCompletion([2**31 - 1] * 50, -0.5)
    kept.recall_batch([GroupVisit("a", 16, 2, found), GroupVisit(1, 8, 1, found[:1]), GroupVisit("a", 8, 0)], most=2)
    bounded = _shaped(ErrorMemory(capacity=6, half_life=2.5), 12)
    counting = _shaped(ErrorMemory(equal_vectors), 4)
    return [ErrorMemory(), one, unanswered, names, kept, bounded, counting, _shaped(ErrorMemory(), 6)]


@functools.cache
def _whole_files() -> list[bytes]:
    with tempfile.TemporaryDirectory(dir=RAM) as folder:
        path = Path(folder) / "memory"
        files = []
        for memory in _memories():
            memory.save(path)
            files.append(path.read_bytes())
    return files


def _load_hostile(data: bytes, seed: int) -> ErrorMemory | None:
    """None if it is refused; AssertionError if something else happens than a refusal or a usable memory."""
    with tempfile.TemporaryDirectory(dir=RAM) as name:
        folder = Path(name)
        path = folder / "hostile.memory"
        path.write_bytes(data)
        before, expected = ErrorMemory(), _whole_files()[1]
        before.remember("x", [[1.0, 0.0]])
        try:
            before.restore(path)
        except MemoryFileError as error:
            refusal = str(error)
        else:
            _check_usable(path, folder, seed)
            _check_other_ways(path, seed, refused=False)
            return before
        assert len(refusal) < LONGEST_SENTENCE
        assert _saved(before, folder / "after") == expected
        _check_other_ways(path, seed, refused=True)
        return None


def _saved(memory: ErrorMemory, path: Path) -> bytes:
    memory.save(path)
    return path.read_bytes()


def _check_usable(path: Path, folder: Path, seed: int) -> None:
    settings = [{}, {"capacity": 5}, {"half_life": 3.0}, {"clustering": equal_vectors}, {"num_threads": 2}][seed % 5]
    memory = ErrorMemory.load(path, **settings)
    first = _saved(memory, folder / "first")
    assert _saved(ErrorMemory.load(folder / "first"), folder / "second") == first
    n_rows = len(memory)
    if n_rows > MOST_LISTED:
        with pytest.raises(ValueError, match="can be listed"):
            view_of_memory(path, None)
    elif seed % 3 == 0 or n_rows > 1000:
        assert sum(prompt.size for prompt in view_of_memory(path, None).prompts) == n_rows
    width = memory.n_features or 3
    if width < 10_000:  # else no row of this width is made here
        _check_shaping(memory, width, seed)
        if n_rows < 10_000:
            _check_rewind(ErrorMemory.load(path))


def _check_shaping(memory: ErrorMemory, width: int, seed: int) -> None:
    shaper = RewardShaper(memory=memory, all_wrong="shape", target="both")
    features = np.random.default_rng(seed).normal(size=(4, width))
    features[3] = np.nan
    for prompt_id in [*memory.prompt_ids[:4], "another"]:
        step = memory.step
        shaped = shaper.shape(
            [0, 0, 1, 0], prompt_ids=[prompt_id] * 4, features=features, is_correct=[False, False, True, False]
        )
        assert np.isfinite(shaped.rewards).all()
        assert ((shaped.penalties >= 0) & (shaped.penalties <= shaper.beta)).all()
        assert memory.step == step + 1


def _check_rewind(memory: ErrorMemory) -> None:
    step = max(memory.step - 2, 0)
    memory.rewind(step)
    assert memory.step == step


def _check_other_ways(path: Path, seed: int, refused: bool) -> None:
    """A penalty for a loop, a run folder and the command refuse what `ErrorMemory` refuses, and nothing else."""
    penalty = RepeatedErrorPenalty("right", answer_finder="hashes")
    with pytest.raises(MemoryFileError) if refused else contextlib.nullcontext():
        penalty.load(path)
    if seed % 20 == 0:
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = main(["inspect", str(path)])
        assert refused <= (status == 2)  # a memory that loads may have too many completions to list
        assert len(error.getvalue().splitlines()) == (status == 2)
        assert "\x1b" not in out.getvalue() + error.getvalue()
    if seed % 50 == 0:
        _check_run_folder(path, refused)


@functools.cache
def _run_folder() -> Path:
    parent = tempfile.mkdtemp(dir=RAM)
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = Path(parent) / "run"
    _call(RepeatedErrorPenalty("right", answer_finder="hashes", folder=folder))
    return folder


def _call(penalty: RepeatedErrorPenalty) -> list[float | None]:
    rewards = penalty(["6 * 7 = ?"] * 3, ["#### 42", "#### 13", "#### 13"], right=[1, 0, 0])
    penalty.close()
    return rewards


def _check_run_folder(path: Path, refused: bool) -> None:
    folder = path.parent / "run"
    shutil.copytree(_run_folder(), folder)
    shutil.copy(path, folder / "memory.safetensors")
    files = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    penalty = RepeatedErrorPenalty("right", answer_finder="hashes", folder=folder)
    # An accepted memory may lack the batch of the rollouts, or be of another width: an error that says so.
    with pytest.raises(MemoryFileError) if refused else contextlib.suppress(ValueError):
        assert all(-0.2 <= reward <= 0 for reward in _call(penalty))
        return
    assert {file: file.read_bytes() for file in files} == files


def test_bytes(campaign):
    def trial(seed: int) -> None:
        rng = random.Random(seed)
        files = _whole_files()
        whole, other = rng.choice(files), rng.choice(files)
        data = damaged_bytes(rng, whole, other)
        accepted = _load_hostile(data, seed) is not None
        assert accepted == (data in files)  # an accident may undo itself

    _whole_files()
    _run_folder()
    campaign("memory files, damaged bytes", trial, 5000, seconds=30, gigabytes=1)


def test_contradictions(campaign):
    def trial(seed: int) -> None:
        rng = random.Random(seed)
        _load_hostile(contradiction(rng, rng.choice(_whole_files())), seed)

    _whole_files()
    _run_folder()
    campaign("memory files, contradictions under a right digest", trial, 5000, seconds=60, gigabytes=4)


def _no_file(kind: int, folder: Path) -> Path:
    path = folder / "memory"
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    else:
        target = ("/dev/zero", "/dev/null", "/dev/tty", "memory", "missing", "/dev/full")[kind - 3]
        path.symlink_to(target)
    return path


def test_what_is_no_file(campaign):
    def trial(seed: int) -> None:
        with tempfile.TemporaryDirectory(dir=RAM) as name:
            path = _no_file(seed, Path(name))
            with pytest.raises((MemoryFileError, FileNotFoundError)):
                ErrorMemory.load(path)
            with contextlib.redirect_stderr(io.StringIO()) as error, contextlib.redirect_stdout(io.StringIO()):
                assert main(["inspect", str(path)]) == 2
            assert len(error.getvalue().splitlines()) == 1

    campaign("memory files that are no files", trial, 9, seconds=5, gigabytes=0.5)


def test_a_file_that_changes_while_it_is_read(campaign):
    """It grows, is cut, vanishes or is replaced: read as it was, or refused."""

    def trial(seed: int) -> None:
        with tempfile.TemporaryDirectory(dir=RAM) as name:
            path, whole = Path(name) / "memory", _whole_files()[-1]
            path.write_bytes(whole)
            size, stop = len(ErrorMemory.load(path)), threading.Event()

            def change() -> None:
                while not stop.is_set():
                    with contextlib.suppress(OSError), path.open("ab") as file:
                        file.write(b"more") if seed % 4 < 2 else file.truncate(random.randrange(len(whole)))
                    if seed % 4 == 1:
                        path.unlink(missing_ok=True)
                    if seed % 2:
                        path.write_bytes(whole)

            thread = threading.Thread(target=change)
            thread.start()
            try:
                for _ in range(20):
                    with contextlib.suppress(MemoryFileError, FileNotFoundError):
                        assert len(ErrorMemory.load(path)) == size
            finally:
                stop.set()
                thread.join()

    _whole_files()
    campaign("memory files that change while they are read", trial, 20, seconds=20, gigabytes=0.5, each=20)
