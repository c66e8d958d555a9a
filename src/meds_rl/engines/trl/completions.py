"""What remembered completions said, as token ids: all that it takes to take their fingerprints anew.

Kept beside the memory, which holds but their fingerprints: a completion's tokens weigh far more than its vector.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint import AnswerPosition
from meds_rl.memory.entry import EntryKey
from meds_rl.memory.memory import ErrorMemory

Tokens = NDArray[np.int32]


class Spoken(NamedTuple):
    """A completion with an answer, ready for `extract`: as much of it as the fingerprint reads.

    Attributes:
        prompt_ids, completion_ids: token ids, of the completion as many as are read, and p + 1.
        position, end: p and the answer's last token, as in `AnswerPosition`; the end within what is kept.
    """

    prompt_ids: Tokens
    completion_ids: Tokens
    position: int
    end: int

    @property
    def answer(self) -> AnswerPosition:
        """Where the answer is."""
        return AnswerPosition(self.position, int(self.completion_ids[self.position + 1]), self.end)


@dataclass(frozen=True, eq=False)
class StoredEntry:
    """The completions of one prompt and side, n of them, ids ascending.

    Attributes:
        ids: (n,) int64, as in the memory.
        positions, ends: (n,) int32, p and the answer's last token of each.
        prompts: (n,) int32, which of `prompt_ids` each answers.
        lengths: (n,) int32, number of its tokens.
        completion_ids: n arrays of int32.
        prompt_ids: the prompt's token ids; more than one array only if one prompt id stands for several texts.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int32]
    ends: NDArray[np.int32]
    prompts: NDArray[np.int32]
    lengths: NDArray[np.int32]
    completion_ids: list[Tokens]
    prompt_ids: list[Tokens]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def costs(self) -> NDArray[np.int64]:
        """(n,) tokens that a forward of each takes, the prompt's included."""
        prompts = np.array([len(prompt) for prompt in self.prompt_ids], dtype=np.int64)
        return prompts[self.prompts] + self.lengths

    def spoken(self, place: int) -> Spoken:
        """One of the n."""
        prompt = self.prompt_ids[self.prompts[place]]
        position, end = int(self.positions[place]), int(self.ends[place])
        return Spoken(prompt, self.completion_ids[place], position, end)

    def kept(self, stays: NDArray[np.bool_]) -> "StoredEntry":
        """Only those that stay (n,)."""
        rows = [row for row, keep in zip(self.completion_ids, stays, strict=True) if keep]
        return StoredEntry(
            ids=self.ids[stays],
            positions=self.positions[stays],
            ends=self.ends[stays],
            prompts=self.prompts[stays],
            lengths=self.lengths[stays],
            completion_ids=rows,
            prompt_ids=self.prompt_ids,
        )

    def extended(self, ids: NDArray[np.int64], spoken: list[Spoken]) -> "StoredEntry":
        """With m more (m,), whose ids are above all others."""
        prompt_ids = list(self.prompt_ids)
        numbers = {prompt.tobytes(): number for number, prompt in enumerate(prompt_ids)}
        prompts = []
        for one in spoken:
            number = numbers.setdefault(one.prompt_ids.tobytes(), len(prompt_ids))
            if number == len(prompt_ids):
                prompt_ids.append(one.prompt_ids)
            prompts.append(number)
        lengths = [len(one.completion_ids) for one in spoken]
        return StoredEntry(
            ids=np.append(self.ids, ids),
            positions=_appended(self.positions, [one.position for one in spoken]),
            ends=_appended(self.ends, [one.end for one in spoken]),
            prompts=_appended(self.prompts, prompts),
            lengths=_appended(self.lengths, lengths),
            completion_ids=[*self.completion_ids, *(one.completion_ids for one in spoken)],
            prompt_ids=prompt_ids,
        )


def _appended(column: NDArray[np.int32], values: list[int]) -> NDArray[np.int32]:
    return np.append(column, np.array(values, dtype=np.int32))


_NONE = np.zeros(0, dtype=np.int32)
EMPTY = StoredEntry(np.zeros(0, dtype=np.int64), _NONE, _NONE, _NONE, _NONE, [], [])


class CompletionStore:
    """The completions with an answer that a memory holds, by prompt and side.

    Attributes:
        entries: in the order of their first batch. Nothing in an entry is ever changed in place.
    """

    def __init__(self) -> None:
        self.entries: dict[EntryKey, StoredEntry] = {}

    def __len__(self) -> int:
        """Number of completions."""
        return sum(map(len, self.entries.values()))

    @property
    def num_tokens(self) -> int:
        """Tokens of all completions, the prompts' not counted."""
        return sum(int(entry.lengths.sum()) for entry in self.entries.values())

    def add(self, rows: Iterable[tuple[EntryKey, int, Spoken]]) -> None:
        """Keep completions under the ids by which the memory has just remembered them."""
        arrivals: dict[EntryKey, list[tuple[int, Spoken]]] = {}
        for key, memory_id, spoken in rows:
            arrivals.setdefault(key, []).append((memory_id, spoken))
        for key, group in arrivals.items():
            group.sort(key=lambda pair: pair[0])
            ids = np.array([memory_id for memory_id, _ in group], dtype=np.int64)
            self.entries[key] = self.entries.get(key, EMPTY).extended(ids, [spoken for _, spoken in group])

    def drop_forgotten(self, memory: ErrorMemory, keys: Iterable[EntryKey]) -> None:
        """Drop, of these entries, what the memory no longer holds."""
        for key in keys:
            entry = self.entries.get(key)
            if entry is None:
                continue
            stays = _places(entry.ids, memory_ids(memory, key)) >= 0
            if not stays.any():
                del self.entries[key]
            elif not stays.all():
                self.entries[key] = entry.kept(stays)

    def members(self, memory: ErrorMemory, key: EntryKey) -> tuple[StoredEntry, NDArray[np.int64]]:
        """An entry's completions (n,), and the memory's `step` (n,) at which the fingerprint of each was taken."""
        entry, remembered = self.entries.get(key, EMPTY), memory.entry(*key)
        if remembered is None or not len(entry):
            return EMPTY, np.zeros(0, dtype=np.int64)
        return entry, remembered.encoded_steps[_places(entry.ids, remembered.ids)]

    def check(self, memory: ErrorMemory) -> None:
        """It holds nothing that the memory does not.

        Raises:
            ValueError: it does: they are of different checkpoints.
        """
        for key, entry in self.entries.items():
            if (_places(entry.ids, memory_ids(memory, key)) < 0).any():
                raise ValueError(f"it has completions of prompt {key.prompt_id!r} that the memory has not")


def memory_ids(memory: ErrorMemory, key: EntryKey) -> NDArray[np.int64]:
    """(n,) ids of the fingerprints that the memory holds of one prompt and side, ascending."""
    entry = memory.entry(*key)
    return np.zeros(0, dtype=np.int64) if entry is None else entry.ids


def _places(ids: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) where each id stands among others, which ascend; -1 where it does not."""
    if not len(among):
        return np.full(len(ids), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.where(among[places] == ids, places, -1)


def runs_of_tokens(entries: Iterable[StoredEntry]) -> Iterator[Tokens]:
    """All completions' tokens, end to end."""
    for entry in entries:
        yield from entry.completion_ids
