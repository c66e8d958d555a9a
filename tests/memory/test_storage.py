import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from meds_rl import ErrorMemory, MemoryEntry, MemoryFileError, RewardShaper
from meds_rl.memory import file as storage
from meds_rl.memory.file import Column, write_columns

from .streams import stream

HEADER = "meds_rl.error_memory"


def filled(seed: int = 0, n_batches: int = 6) -> ErrorMemory:
    shaper = RewardShaper(target="both", all_wrong="shape")
    for batch in stream(seed, n_batches=n_batches):
        shaper.shape(batch.rewards, **batch.keywords())
    return shaper.memory


def assert_equal(one: ErrorMemory, other: ErrorMemory) -> None:
    assert (one.step, one.n_features, one.prompt_ids) == (other.step, other.n_features, other.prompt_ids)
    assert [type(prompt_id) for prompt_id in one.prompt_ids] == [type(p) for p in other.prompt_ids]
    for prompt_id in one.prompt_ids:
        for side in (False, True):
            assert_equal_entries(one.entry(prompt_id, side), other.entry(prompt_id, side))


def assert_equal_entries(one: MemoryEntry | None, other: MemoryEntry | None) -> None:
    if one is None or other is None:
        assert one is other
        return
    for name in ("vectors", "labels", "ids", "steps", "no_answer_ids", "no_answer_steps"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name


def contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and columns, as safetensors' own reader sees them."""
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys()) if name != "sha256"}
        return json.loads(file.metadata()[HEADER]), tensors


def write_with_digest(path: Path, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """A file that is whole, but says what no memory says."""
    columns = [Column(name, array.dtype, array.shape, [array]) for name, array in tensors.items()]
    write_columns(path, columns, {HEADER: json.dumps(header)})


def test_comes_back_to_the_last_bit(tmp_path):
    memory = filled()
    memory.save(tmp_path / "memory.safetensors")
    assert_equal(memory, ErrorMemory.load(tmp_path / "memory.safetensors"))
    assert [file.name for file in tmp_path.iterdir()] == ["memory.safetensors"]


def test_goes_on_as_if_nothing_had_happened(tmp_path):
    path = tmp_path / "memory"
    kept = RewardShaper(memory=filled(), all_wrong="shape", target="both")
    kept.memory.save(path)
    loaded = RewardShaper(memory=ErrorMemory.load(path), all_wrong="shape", target="both")
    for batch in stream(1, n_batches=6):
        one, other = (s.shape(batch.rewards, **batch.keywords()) for s in (kept, loaded))
        assert one.rewards.tolist() == other.rewards.tolist()
        assert one.clusters.tolist() == other.clusters.tolist()
        assert one.memory_ids.tolist() == other.memory_ids.tolist()
    assert_equal(kept.memory, loaded.memory)


@pytest.mark.parametrize(
    "remembered",
    [[], [[[np.nan]]], [[[np.nan]], [[1.0, 2.0]]], [[[1.0, 2.0]], [[np.nan, np.nan]]]],
    ids=["nothing", "no answer", "no answer, then one", "one, then no answer"],
)
def test_small_memories(tmp_path, remembered):
    memory = ErrorMemory()
    for prompt_id, features in enumerate(remembered):
        memory.remember(prompt_id, features)
    memory.save(tmp_path / "memory")
    loaded = ErrorMemory.load(tmp_path / "memory")
    assert_equal(memory, loaded)
    assert len(loaded) == len(remembered)


def test_any_prompt_id_comes_back(tmp_path):
    ids: list[Any] = ["", "1", 1, -5, 2**70, 'quote " and \\', "日本\n", "\ud800", "\x00"]
    memory = ErrorMemory()
    for prompt_id in ids:
        memory.remember(prompt_id, [[1.0]])
    memory.save(tmp_path / "memory")
    assert ErrorMemory.load(tmp_path / "memory").prompt_ids == ids


def test_the_same_memory_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        filled().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_little_more_than_the_raw_numbers(tmp_path):
    memory = ErrorMemory(lambda vectors: np.zeros(len(vectors), dtype=np.int64))
    memory.remember("x", np.ones((2000, 28), dtype=np.float32))
    memory.save(tmp_path / "memory")
    raw = 2000 * (28 * 4 + 4)  # vectors and clusters; ids and steps are one run
    assert raw < (tmp_path / "memory").stat().st_size < raw + 2000


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / "memory"
    filled(n_batches=1).save(path)
    memory = filled(n_batches=3)
    memory.save(str(path))
    assert_equal(memory, ErrorMemory.load(str(path)))


def test_a_failing_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "memory"
    memory = filled(n_batches=1)
    memory.save(path)

    def no_space(_descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="no space left"):
        filled(n_batches=3).save(path)
    assert_equal(memory, ErrorMemory.load(path))
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_the_file_as_any_other_file(tmp_path):
    filled(n_batches=1).save(tmp_path / "memory")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "memory").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        ErrorMemory().save(tmp_path / "missing" / "memory")
    with pytest.raises(FileNotFoundError, match=r"there is no memory file at .*missing"):
        ErrorMemory.load(tmp_path / "missing")


def test_a_truncated_file_wherever_it_ends(tmp_path):
    filled(n_batches=1).save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    path = tmp_path / "torn.memory"
    for length in [*range(16), *range(16, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(MemoryFileError, match=r"torn\.memory"):
            ErrorMemory.load(path)


def test_a_corrupted_file_wherever_the_damage_is(tmp_path):
    memory = filled(n_batches=1)
    memory.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    path = tmp_path / "damaged.memory"
    for position in range(0, len(whole), 3):
        for flipped in (0x01, 0xFF):
            damaged = bytearray(whole)
            damaged[position] ^= flipped
            path.write_bytes(damaged)
            with pytest.raises(MemoryFileError, match=r"damaged\.memory"):
                ErrorMemory.load(path)


def test_bytes_after_the_end(tmp_path):
    filled(n_batches=1).save(tmp_path / "memory")
    with (tmp_path / "memory").open("ab") as file:
        file.write(b"more")
    with pytest.raises(MemoryFileError):
        ErrorMemory.load(tmp_path / "memory")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b'{"prompts": {}}', b"\xff" * 100, b"PK\x03\x04" * 9])
def test_a_foreign_file(tmp_path, content):
    (tmp_path / "memory").write_bytes(content)
    with pytest.raises(MemoryFileError, match="truncated or not a memory file"):
        ErrorMemory.load(tmp_path / "memory")


def test_a_folder_is_not_a_memory(tmp_path):
    with pytest.raises(MemoryFileError):
        ErrorMemory.load(tmp_path)


def test_a_models_safetensors_file(tmp_path):
    save_file({"weight": np.zeros(3)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MemoryFileError, match="but not one of meds-rl's memory"):
        ErrorMemory.load(tmp_path / "model.safetensors")


def test_a_newer_version(tmp_path):
    path = tmp_path / "memory"
    filled(n_batches=1).save(path)
    header, tensors = contents(path)
    write_with_digest(path, header | {"schema_version": storage.SCHEMA_VERSION + 1}, tensors)
    with pytest.raises(MemoryFileError, match="schema version 5 and this meds-rl reads version 4"):
        ErrorMemory.load(path)


def test_another_feature_width(tmp_path):
    path = tmp_path / "memory"
    filled(n_batches=1).save(path)
    assert ErrorMemory.load(path, n_features=6).n_features == 6
    with pytest.raises(MemoryFileError, match="have 6 features, those of this run 14"):
        ErrorMemory.load(path, n_features=14)


@pytest.mark.parametrize("missing", ["vectors", "entry_keys"])
def test_a_missing_part(tmp_path, missing):
    path = tmp_path / "memory"
    filled(n_batches=1).save(path)
    header, tensors = contents(path)
    del tensors[missing]
    write_with_digest(path, header, tensors)
    with pytest.raises(MemoryFileError, match="it should have a part"):
        ErrorMemory.load(path)


def _set(name: str, change: Any) -> Any:
    return lambda _, tensors: tensors.update({name: change(tensors[name])})


def _edges(tree: np.ndarray, parents: dict[int, int]) -> np.ndarray:
    """The trees with other parents of some points of the first entry; its root is point 0 or another that stays."""
    changed = tree.copy()
    for point, parent in parents.items():
        if changed[point] >= 0:
            changed[point] = parent
    return changed


def _four_times(runs: np.ndarray, more: int) -> np.ndarray:
    """Four lengths are longer: their sum is the same modulo 2^64."""
    longer = runs.copy()
    longer[:4, 2] += more
    return longer


CONTRADICTIONS: dict[str, tuple[Any, str]] = {
    "wrong width": (lambda header, _: header.update(n_features=7), "vectors has dtype float32 and shape"),
    "no width": (lambda header, _: header.update(n_features=None), "vectors has dtype float32 and shape"),
    "infinite vectors": (_set("vectors", lambda a: a * np.float32(np.inf)), "vectors are not finite"),
    "clusters below noise": (_set("clusters", lambda a: a - np.int32(5)), "a cluster is not from -1"),
    "clusters still to come": (
        _set("entry_sizes", lambda a: a * [1, 1, 1, 1, 0] + 0),
        "a cluster is not from -1",
    ),
    "a tree of two roots": (
        _set("tree", lambda a: a * np.int32(0) - np.int32(1)),
        "a tree must have one root",
    ),
    "a tree of no root": (_set("tree", lambda a: np.abs(a)), "a tree must have one root"),
    "a tree that leads elsewhere": (_set("tree", lambda a: a * np.int32(99)), "a tree must have one root"),
    "an id twice": (_set("runs", lambda a: a * [0, 1, 1]), "ids are not different numbers"),
    "ids still to come": (lambda header, _: header.update(next_id=1), "ids are not different numbers"),
    "steps still to come": (_set("runs", lambda a: a + np.array([0, 100, 0])), "a step is not from 0"),
    "empty runs": (_set("runs", lambda a: a * [1, 1, 0]), "the runs are not of"),
    "keys of no prompt": (
        _set("entry_keys", lambda _: np.frombuffer(b"[[null, true]]", np.uint8)),
        "prompt id must be",
    ),
    "keys without a side": (
        _set("entry_keys", lambda _: np.frombuffer(b'[["x", 1]]', np.uint8)),
        "an entry key",
    ),
    "too few keys": (_set("entry_keys", lambda _: np.frombuffer(b"[]", np.uint8)), "0 different entry keys"),
    "keys of no JSON": (_set("entry_keys", lambda a: a + np.uint8(1)), "contradict"),
    "no step": (lambda header, _: header.pop("step"), "step"),
    "a row too few": (_set("vectors", lambda a: a[1:].copy()), "rows and should have"),
    "a cluster too few": (_set("clusters", lambda a: a[1:].copy()), "rows and should have"),
    "wide vectors": (_set("vectors", lambda a: a.astype(np.int64)), "should have a part"),
    "negative sizes": (_set("entry_sizes", lambda a: a - 100), "entry_sizes is not"),
    "flat sizes": (_set("entry_sizes", lambda a: a.ravel().copy()), "entry_sizes is not"),
    "a cycle in a tree": (_set("tree", lambda a: _edges(a, {2: 3, 3: 2})), "got a cycle"),
    "a point that is its own parent": (_set("tree", lambda a: _edges(a, {2: 2})), "got a cycle"),
    "a step that is text": (lambda header, _: header.update(step="6"), "step is not a whole number"),
    "a step that is a float": (lambda header, _: header.update(step=6.0), "step is not a whole number"),
    "a step that is true": (lambda header, _: header.update(step=True), "step is not a whole number"),
    "a next id that does not fit": (lambda header, _: header.update(next_id=2**62), "next_id is not a whole number"),
    "a width that is text": (lambda header, _: header.update(n_features="6"), "n_features is not a whole number"),
    "vectors without a width": (
        lambda header, tensors: (header.update(n_features=None), tensors.update(vectors=tensors["vectors"][:, :0])),
        "and n_features is None",
    ),
    "a next cluster that does not fit": (
        _set("entry_sizes", lambda a: a + np.array([0, 0, 0, 0, 2**31])),
        "at most 2.30",
    ),
    "a run of 2^31": (_set("no_answer_runs", lambda a: a + np.array([0, 0, 2**31])), "the runs are not of"),
    "lengths whose sum does not fit": (_set("runs", lambda a: _four_times(a, 2**62)), "the runs are not of"),
    "more without an answer than a prompt may have": (
        lambda header, tensors: (
            header.update(next_id=2**61),
            tensors.update(no_answer_runs=tensors["no_answer_runs"] * [2**40, 1, 0] + [2**30, 0, 2**24]),
        ),
        "a prompt has more than 16777216 completions without an answer",
    ),
    "steps that do not ascend": (_set("runs", lambda a: a * [1, 0, 1]), "steps of an entry do not ascend"),
    "very many empty entries": (
        _set("entry_sizes", lambda a: np.concatenate([a, np.zeros((100_000, 5), np.int64)])),
        "an entry without completions",
    ),
    "a prompt id of 1,000 digits": (
        _set("entry_keys", lambda _: np.frombuffer(b"[[1" + b"0" * 1000 + b", true]]", np.uint8)),
        "at most 1024 bits",
    ),
    "one more part": (
        lambda _, tensors: tensors.update(zebra=np.zeros(1, np.uint8)),
        "parts that no memory has",
    ),
}


@pytest.mark.parametrize(("change", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_parts_that_contradict_each_other(tmp_path, change, message):
    path = tmp_path / "memory"
    filled().save(path)
    header, tensors = contents(path)
    change(header, tensors)
    write_with_digest(path, header, tensors)
    with pytest.raises(MemoryFileError, match=message):
        ErrorMemory.load(path)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "memory")
    with pytest.raises(MemoryFileError, match="it is no regular file"):
        ErrorMemory.load(tmp_path / "memory")


def test_what_a_file_says_does_not_make_the_error_long(tmp_path):
    path = tmp_path / "memory"
    filled(n_batches=1).save(path)
    header, tensors = contents(path)
    write_with_digest(path, header | {"step": "x" * 100_000}, tensors)
    with pytest.raises(MemoryFileError, match="step is not a whole number") as caught:
        ErrorMemory.load(path)
    assert len(str(caught.value)) < 700


def test_large_steps_and_clusters_take_no_more_time_and_memory(tmp_path):
    path = tmp_path / "memory"
    filled().save(path)
    header, tensors = contents(path)
    tensors["entry_sizes"] = tensors["entry_sizes"] * [1, 1, 1, 1, 0] + [0, 0, 0, 0, 2**30]
    tensors["clusters"] = np.full_like(tensors["clusters"], 2**30 - 1)
    write_with_digest(path, header | {"step": 2**60}, tensors)
    memory = ErrorMemory.load(path)
    clusters, sizes = memory.assign("a", np.ones((1, 6)))  # no array of a bin for each cluster's number
    assert (clusters.tolist(), sizes.tolist()) == ([2**30 - 1], [len(memory.entry("a").vectors)])
    memory.rewind(2**59)  # no batch for each step
    assert memory.step == 2**59


def test_settings_are_those_that_are_handed_to_load(tmp_path):
    filled(n_batches=1).save(tmp_path / "memory")
    memory = ErrorMemory.load(tmp_path / "memory", capacity=3, half_life=2.5)
    assert (memory.capacity, memory.half_life) == (3, 2.5)
    with pytest.raises(TypeError, match="unexpected keyword"):
        ErrorMemory.load(tmp_path / "memory", capcity=3)


def test_a_file_that_cannot_be_read_leaves_the_memory_as_it_was(tmp_path):
    (tmp_path / "torn").write_bytes(b"torn")
    memory = filled()
    with pytest.raises(MemoryFileError):
        memory.restore(tmp_path / "torn")
    assert_equal(memory, filled())


def test_saving_copies_nothing_and_loading_nothing_twice(tmp_path):
    memory = ErrorMemory()
    rng = np.random.default_rng(0)
    for prompt in range(20):
        memory.remember(prompt, rng.normal(size=(1000, 14)))
    ErrorMemory().save(tmp_path / "warm")
    ErrorMemory.load(tmp_path / "warm")
    tracemalloc.start()
    try:
        memory.save(tmp_path / "memory")
        assert tracemalloc.get_traced_memory()[1] < 0.1 * memory.nbytes
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        loaded = ErrorMemory.load(tmp_path / "memory")
        assert tracemalloc.get_traced_memory()[1] - held < 1.2 * memory.nbytes
    finally:
        tracemalloc.stop()
    assert len(loaded) == 20_000


@pytest.mark.slow
def test_ten_million_vectors_without_a_second_copy():
    script = Path(__file__).parents[2] / "benchmarks" / "memory_file.py"
    output = subprocess.run([sys.executable, script, "--json"], check=True, capture_output=True, text=True)
    save, load = (json.loads(line) for line in output.stdout.splitlines())
    assert (save["vectors"], load["vectors"]) == (10_000_000, 10_000_000)
    assert save["file_over_raw"] < 1.2
    assert save["peak_over_raw"] < 0.1
    assert load["peak_over_raw"] < 1.2


@pytest.mark.parametrize("shape", ["[ ]", "[1e999]", "[" * 90_000 + "]" * 90_000])
def test_a_header_of_nonsense(tmp_path, shape):
    path = tmp_path / "nonsense.memory"
    memory = ErrorMemory()
    memory.remember("x", [[1.0]])
    memory.save(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = whole[8 : 8 + length].decode().rstrip().replace("[1]", shape)
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + whole[8 + length :])
    with pytest.raises(MemoryFileError, match=r"nonsense\.memory"):
        ErrorMemory.load(path)


def test_a_newer_version_with_what_this_one_does_not_know(tmp_path):
    save_file({"half": np.zeros(2, np.float16)}, tmp_path / "m", metadata={HEADER: '{"schema_version": 9}'})
    with pytest.raises(MemoryFileError, match="schema version 9"):
        ErrorMemory.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([np.zeros(3, np.int64)], "a part of c is int64"),
        ([np.zeros(2, np.int32)], "have 2 rows and should have 3"),
        ([np.zeros((3, 1), np.int32)], "a part of c is int32 of shape"),
    ],
)
def test_parts_that_are_not_as_announced_leave_the_old_file(tmp_path, parts, message):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ValueError, match=message):
        write_columns(tmp_path / "file", [Column("c", np.int32, (3,), parts)], {})
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_is_followed_and_the_mode_kept(tmp_path):
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "memory"
    filled(n_batches=1).save(target)
    target.chmod(0o640)
    (tmp_path / "link").symlink_to(target)
    filled(n_batches=3).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert_equal(ErrorMemory.load(target), filled(n_batches=3))


def test_what_a_killed_save_left_behind_is_removed_later(tmp_path):
    path = tmp_path / "memory"
    old, young, other = (tmp_path / f".{name}.tmp" for name in ("memory.1", "memory.2", "memory2.3"))
    for file in (old, young, other):
        file.write_bytes(b"half a memory")
        if file is not young:
            os.utime(file, (0, 0))
    filled(n_batches=1).save(path)
    assert sorted(tmp_path.iterdir()) == sorted([young, other, path])  # a young one may still be written


def test_a_folder_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        ErrorMemory().save(tmp_path)
    assert list(tmp_path.iterdir()) == []
