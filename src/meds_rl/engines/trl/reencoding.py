"""Takes fingerprints of remembered completions anew: the policy has moved on since they were taken.

Of the prompts that a batch is about to be compared with, and no more than a budget of tokens allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from meds_rl.engines.trl.completions import CompletionStore, Spoken
from meds_rl.engines.trl.fingerprints import FingerprintSource
from meds_rl.memory.entry import EntryKey
from meds_rl.memory.memory import ErrorMemory, Renewal
from meds_rl.memory.sharing import Share


class Due(NamedTuple):
    """Completions (n,) that are to be encoded again.

    Attributes:
        keys: whose each is.
        ids: (n,) int64.
        costs: (n,) int64, tokens.
        spoken: what each said.
    """

    keys: list[EntryKey]
    ids: NDArray[np.int64]
    costs: NDArray[np.int64]
    spoken: list[Spoken]


@dataclass
class Reencoding:
    """Keeps what is remembered as text, so that its fingerprints can be taken again.

    Attributes:
        fingerprints: takes them.
        tokens: the budget of one batch, over all processes.
        age: only those that were taken so many remembered batches ago, or more.
        store: the completions. Every process holds all of them.
    """

    fingerprints: FingerprintSource
    tokens: int
    age: int
    store: CompletionStore = field(default_factory=CompletionStore)

    def renew(
        self,
        memory: ErrorMemory,
        keys: Sequence[EntryKey],
        model: nn.Module,
        accelerator: Accelerator,
        share: Share,
    ) -> dict[str, float]:
        """Encode what is due of these prompts with the policy as it is; returns the figures to log."""
        due = self.due(memory, keys)
        if len(due.ids):
            features = self._encode(due, model, accelerator)
            memory.renew_batch(_renewals(due, features), share=share)
        return {"reencoded": float(len(due.ids)), "reencoded_tokens": float(due.costs.sum())}

    def due(self, memory: ErrorMemory, keys: Sequence[EntryKey]) -> Due:
        """The oldest encodings first, of equally old ones that with the smaller id, as many as the budget allows."""
        found = [self.store.members(memory, key) for key in keys]
        counts = [len(entry) for entry, _ in found]
        no_numbers = np.zeros(0, dtype=np.int64)
        owners = np.repeat(np.arange(len(keys)), counts)
        places = np.concatenate([no_numbers, *(np.arange(count) for count in counts)])
        ids = np.concatenate([no_numbers, *(entry.ids for entry, _ in found)])
        costs = np.concatenate([no_numbers, *(entry.costs for entry, _ in found)])
        encoded = np.concatenate([no_numbers, *(steps for _, steps in found)])
        order = np.lexsort((ids, encoded))
        order = order[encoded[order] <= memory.step - self.age]
        chosen = order[affordable(costs[order], self.tokens)]
        return Due(
            keys=[keys[owner] for owner in owners[chosen]],
            ids=ids[chosen],
            costs=costs[chosen],
            spoken=[found[owners[one]][0].spoken(int(places[one])) for one in chosen],
        )

    def _encode(self, due: Due, model: nn.Module, accelerator: Accelerator) -> NDArray[np.float32]:
        """(n, D): each process encodes its share, in as many forwards as the others; only features travel."""
        size, rank = accelerator.num_processes, accelerator.process_index
        # Dealt out by length, so that shares are equal and rows of one forward are about equally long.
        order = np.argsort(-due.costs, kind="stable")
        most = -(-len(order) // size)
        own = [due.spoken[place] for place in order[rank::size]]
        with accelerator.autocast():
            features = self.fingerprints.encode(own, model, most)
        if size == 1:
            gathered = features
        else:
            padded = np.full((most, features.shape[1]), np.nan, dtype=np.float32)
            padded[: len(features)] = features
            everyone = accelerator.gather(torch.as_tensor(padded, device=accelerator.device))
            # (size, most) back to one after the other: place r * size + k was process k's row r.
            gathered = everyone.cpu().numpy().reshape(size, most, -1).swapaxes(0, 1).reshape(size * most, -1)
        encoded = np.empty((len(order), gathered.shape[1]), dtype=np.float32)
        encoded[order] = gathered[: len(order)]
        return encoded

    def remember(
        self, memory: ErrorMemory, rows: Sequence[tuple[EntryKey, int, Spoken]], visited: Sequence[EntryKey]
    ) -> None:
        """Keep what was just remembered, and nothing that no longer is.

        Args:
            memory: the memory, after the batch.
            rows: key, id and text of the remembered completions with an answer.
            visited: the prompts and sides that the batch added to.
        """
        self.store.add(rows)
        # Over all prompts, a bound takes from those that were not visited too.
        keys = visited if memory.total_capacity is None else list(self.store.entries)
        self.store.drop_forgotten(memory, keys)


def affordable(costs: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Which of n things in a row are bought: each in its turn, if what is left of the budget suffices.

    Example:
        >>> affordable(np.array([4, 5, 3, 1, 2]), budget=8).tolist()
        [0, 2, 3]
    """
    bought: list[NDArray[np.int64]] = []
    rest = np.arange(len(costs))
    while len(rest := rest[costs[rest] <= budget]):
        count = int(np.searchsorted(np.cumsum(costs[rest]), budget, side="right"))
        bought.append(rest[:count])
        budget -= int(costs[rest[:count]].sum())
        rest = rest[count:]
    return np.concatenate([np.zeros(0, dtype=np.int64), *bought])


def _renewals(due: Due, features: NDArray[np.float32]) -> list[Renewal]:
    """One for each prompt and side, in the order in which they first come."""
    rows: dict[EntryKey, list[int]] = {}
    for row, key in enumerate(due.keys):
        rows.setdefault(key, []).append(row)
    return [
        Renewal(key.prompt_id, due.ids[group], features[group], key.is_correct) for key, group in rows.items()
    ]
