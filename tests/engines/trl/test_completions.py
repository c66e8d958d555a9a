"""The store of remembered completions: what it keeps, what is due, and its file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from meds_rl import ErrorMemory
from meds_rl.engines.trl import completions_file
from meds_rl.engines.trl.completions import CompletionStore, Spoken
from meds_rl.engines.trl.reencoding import Reencoding, affordable
from meds_rl.memory import Visit
from meds_rl.memory.entry import EntryKey

X, Y = EntryKey("x", False), EntryKey(7, True)


def spoken(length: int, prompt: tuple[int, ...] = (1, 2, 3)) -> Spoken:
    ids = np.arange(length, dtype=np.int32)
    return Spoken(np.array(prompt, dtype=np.int32), ids, max(length - 3, 0), length - 1)


def remembered(memory: ErrorMemory, store: CompletionStore, key: EntryKey, lengths: list[int]) -> list[int]:
    """Remember completions of these lengths (0: one without an answer), and what they said."""
    features = np.random.default_rng(memory.step).normal(size=(len(lengths), 3))
    features[np.array(lengths) == 0] = np.nan
    ids = memory.remember_batch([Visit(key.prompt_id, features, key.is_correct)])[0].tolist()
    store.add((key, one, spoken(length)) for one, length in zip(ids, lengths, strict=True) if length)
    store.drop_forgotten(memory, [key])
    return ids


def source(fingerprints=None, *, store, tokens=1000, age=1) -> Reencoding:
    return Reencoding(fingerprints, tokens=tokens, age=age, store=store)


@pytest.fixture
def filled() -> tuple[ErrorMemory, CompletionStore]:
    memory, store = ErrorMemory(), CompletionStore()
    remembered(memory, store, X, [4, 6, 0, 5])
    remembered(memory, store, Y, [3])
    remembered(memory, store, X, [9, 2])
    return memory, store


def test_it_keeps_every_completion_with_an_answer_and_the_prompt_once(filled):
    memory, store = filled
    assert len(store) == 6 == len(memory) - 1
    entry = store.entries[X]
    assert entry.ids.tolist() == memory.entry("x").ids.tolist()
    assert len(entry.prompt_ids) == 1
    # Three tokens of the prompt and those of the completion, which the memory has ordered by its fingerprint.
    assert sorted(entry.costs.tolist()) == [3 + 2, 3 + 4, 3 + 5, 3 + 6, 3 + 9]
    for place in range(len(entry)):
        one = entry.spoken(place)
        assert one.answer.position == max(len(one.completion_ids) - 3, 0)
        assert one.answer.target_id == one.completion_ids[one.answer.position + 1]
        assert one.answer.end == len(one.completion_ids) - 1


def test_one_id_may_stand_for_several_texts():
    store = CompletionStore()
    store.add([(X, 0, spoken(4, (1, 2))), (X, 1, spoken(4, (9,))), (X, 2, spoken(5, (1, 2)))])
    entry = store.entries[X]
    assert [prompt.tolist() for prompt in entry.prompt_ids] == [[1, 2], [9]]
    assert entry.spoken(2).prompt_ids.tolist() == [1, 2]
    assert entry.costs.tolist() == [2 + 4, 1 + 4, 2 + 5]


def test_what_a_bound_drops_leaves_the_store_too():
    memory, store = ErrorMemory(capacity=3, total_capacity=4), CompletionStore()
    for key in (X, Y, X, X, Y):
        remembered(memory, store, key, [4, 3])
        store.drop_forgotten(memory, list(store.entries))
        for name in (X, Y):
            entry = memory.entry(*name)
            ids = [] if entry is None else entry.ids.tolist()
            assert (store.entries[name].ids.tolist() if name in store.entries else []) == ids
    assert len(store) == len(memory) == 4
    for name in (X, Y):
        assert len(store.entries[name].completion_ids) == len(store.entries[name])


def test_the_oldest_encodings_are_due_first(filled):
    memory, store = filled  # three batches: those of x at steps 0 and 2, that of y at step 1
    first, second = memory.entry("x").ids[:3].tolist(), memory.entry("x").ids[3:].tolist()
    of_y = memory.entry(7, True).ids.tolist()
    assert source(store=store).due(memory, [X, Y]).ids.tolist() == [*first, *of_y, *second]
    assert source(store=store, age=2).due(memory, [X, Y]).ids.tolist() == [*first, *of_y]
    assert source(store=store, age=4).due(memory, [X, Y]).ids.tolist() == []
    assert source(store=store).due(memory, [Y]).ids.tolist() == of_y
    assert source(store=store).due(memory, [EntryKey("z", False)]).ids.tolist() == []


def test_the_budget_passes_over_what_does_not_fit(filled):
    memory, store = filled
    everything = source(store=store).due(memory, [X, Y])
    due = source(store=store, tokens=20).due(memory, [X, Y])
    assert due.costs.sum() <= 20
    assert due.ids.tolist() == everything.ids[affordable(everything.costs, 20)].tolist()
    assert [len(one.prompt_ids) + len(one.completion_ids) for one in due.spoken] == due.costs.tolist()


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(0, 200))
def test_each_in_its_turn_if_the_rest_of_the_budget_suffices(costs, budget):
    left, bought = budget, []
    for place, cost in enumerate(costs):
        if cost <= left:
            left -= cost
            bought.append(place)
    assert affordable(np.array(costs, dtype=np.int64), budget).tolist() == bought


# ---- the file ----


def same(ours: CompletionStore, theirs: CompletionStore) -> bool:
    def plain(store):
        return [
            (key, entry.ids.tolist(), [entry.spoken(place) for place in range(len(entry))])
            for key, entry in store.entries.items()
        ]

    return repr(plain(ours)) == repr(plain(theirs))


def test_it_comes_back_as_it_was(filled, tmp_path):
    memory, store = filled
    for number, one in enumerate((store, CompletionStore())):
        path = tmp_path / f"{number}.safetensors"
        completions_file.save(path, one)
        again = completions_file.load(path, memory)
        assert same(again, one)
        completions_file.save(tmp_path / "again", again)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()
    # Safetensors' own reader opens it.
    assert load_file(tmp_path / "0.safetensors")["tokens"].dtype == np.int32


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "newer"])
def test_a_damaged_file_is_refused(filled, tmp_path, damage, monkeypatch):
    memory, store = filled
    path = tmp_path / "completions.safetensors"
    if damage == "newer":
        monkeypatch.setattr(completions_file, "SCHEMA_VERSION", 2)
    completions_file.save(path, store)
    monkeypatch.undo()
    data = path.read_bytes()
    if damage == "foreign":
        memory.save(path)
    elif damage != "newer":
        path.write_bytes(data[:-40] if damage == "truncated" else data[:-60] + b"\xff" + data[-59:])
    said = "schema version 2" if damage == "newer" else "truncated or no such file"
    with pytest.raises(completions_file.CompletionsFileError, match=said):
        completions_file.load(path, memory)


def test_a_file_of_another_memory_is_refused(filled, tmp_path):
    path = tmp_path / "completions.safetensors"
    completions_file.save(path, filled[1])
    with pytest.raises(completions_file.CompletionsFileError, match="that the memory has not"):
        completions_file.load(path, ErrorMemory())
