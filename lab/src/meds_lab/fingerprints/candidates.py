"""What is on the bench: a function of the data, a choice (mostly the layer) and the rows it may fit on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from meds_lab.fingerprints import rivals
from meds_lab.fingerprints.data import Data
from meds_lab.fingerprints.neighbours import unit

Make = Callable[[Data, Any, np.ndarray], np.ndarray]
UNIT = "working, each token at length 1"


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Attributes:
        family: where it stands.
        name: what it is called.
        make: from the data, one of the choices and the rows that may be fitted on (bool) to vectors (N, D).
        choices: from the data to what there is to choose from.
    """

    family: str
    name: str
    make: Make
    choices: Callable[[Data], Sequence[Any]] = lambda data: range(len(data.states.layers))


def by_problem(data: Data, vectors: np.ndarray, first: int | None = None) -> np.ndarray:
    """Each problem's mean, of its `first` completions or of all, at each of its rows."""
    found = np.empty_like(vectors)
    for problem in np.unique(data.problem):
        rows = np.flatnonzero(data.problem == problem)
        found[rows] = vectors[rows[:first]].mean(axis=0)
    return found


def centred(data: Data, vectors: np.ndarray) -> np.ndarray:
    return vectors - by_problem(data, vectors)


def far(vectors: np.ndarray) -> np.ndarray:
    """A large constant coordinate: the order of cosines becomes that of plain distances."""
    constant = np.full((len(vectors), 1), 10 * np.linalg.norm(vectors, axis=1).max())
    return np.hstack([vectors, constant])


def pool(name: str, data: Data, layer: int) -> np.ndarray:
    return data.states.pooled[name][:, layer]


def parts(count: int, data: Data, layer: int) -> np.ndarray:
    names = [f"part {k + 1} of {count}" for k in range(count)]
    return np.hstack([unit(centred(data, pool(name, data, layer))) for name in names])


def change(data: Data, layer: int) -> np.ndarray:
    """From the first half of the working to the second."""
    return pool("part 2 of 2", data, layer) - pool("part 1 of 2", data, layer)


def whitened(data: Data, layer: int, fit: np.ndarray, shrinkage: float) -> np.ndarray:
    """Whitened by the spread within problems of the rows to fit on; shrunk towards a sphere."""
    vectors = centred(data, pool(UNIT, data, layer)).astype(np.float64)
    covariance = vectors[fit].T @ vectors[fit] / fit.sum()
    values, axes = np.linalg.eigh(covariance)
    values = (1 - shrinkage) * values + shrinkage * values.mean()
    return vectors @ axes / np.sqrt(values)


def several_layers(data: Data, choice: str) -> np.ndarray:
    """The last of the inner layers that were kept, side by side; the choice says how many."""
    layers = range(len(data.states.layers) - 1 - int(choice.removeprefix("last ")), len(data.states.layers) - 1)
    return np.hstack([unit(centred(data, pool(UNIT, data, layer))) for layer in layers])


def positions(data: Data, layer: int) -> np.ndarray:
    """Working and the state at p, each at length 1."""
    return np.hstack([unit(centred(data, pool(name, data, layer))) for name in (UNIT, "at p")])


def working_and_p(data: Data, layer: int) -> np.ndarray:
    """`working_states` and the state at p, each at length 1; nothing that looks at other completions."""
    working = pool(UNIT, data, layer) - pool("prompt, each token at length 1", data, layer)
    return np.hstack([unit(working), unit(pool("at p", data, layer))])


def plain(get: Callable[[Data], np.ndarray]) -> Make:
    return lambda data, _choice, _fit: get(data)


def layered(get: Callable[[Data, int], np.ndarray]) -> Make:
    return lambda data, layer, _fit: get(data, layer)


def _none(_: Data) -> Sequence[Any]:
    return [None]


def _of(name: str, *, centre: bool = True) -> Make:
    if centre:
        return lambda data, layer, _: centred(data, pool(name, data, layer))
    return lambda data, layer, _: pool(name, data, layer)


TEXT, PUBLISHED, POOLED, CENTRES = "text and answer", "of the model, as it was", "candidates", "centres"

CANDIDATES = (
    Candidate(TEXT, "answer string", plain(rivals.answer_string), _none),
    Candidate(TEXT, "first token of the answer", plain(rivals.first_character), _none),
    Candidate(TEXT, "character n-grams", plain(rivals.character_ngrams), _none),
    Candidate(TEXT, "character n-grams, digits masked", plain(rivals.masked_ngrams), _none),
    Candidate(TEXT, "word n-grams", plain(rivals.word_ngrams), _none),
    Candidate(TEXT, "text embedding", plain(rivals.text_embedding), _none),
    Candidate(PUBLISHED, "layer_logits", plain(lambda d: rivals.last_logits(d, None)), _none),
    Candidate(
        PUBLISHED,
        "layer_logits_diff",
        plain(lambda d: rivals.last_logits(d, None, differences=True)),
        _none,
    ),
    Candidate(
        PUBLISHED,
        "layer_logits, all layers",
        plain(lambda d: rivals.last_logits(d, d.states.layer_logits.shape[1])),
        _none,
    ),
    Candidate(PUBLISHED, "pooled_logits", layered(rivals.pooled_logits)),
    Candidate(PUBLISHED, "answer_states", plain(rivals.answer_states), _none),
    Candidate(PUBLISHED, "mean_state", plain(lambda d: pool("completion", d, -1)), _none),
    Candidate(POOLED, "state at p", _of("at p")),
    Candidate(POOLED, "mean of the working", _of("working")),
    Candidate(POOLED, "first half", _of("part 1 of 2")),
    Candidate(POOLED, "second half", _of("part 2 of 2")),
    Candidate(POOLED, "each token at length 1", _of(UNIT)),
    Candidate(POOLED, "numbers and operators only", _of("numbers and operators")),
    Candidate(POOLED, "results only", _of("results")),
    *(Candidate(POOLED, f"in {n} parts", layered(partial(parts, n))) for n in (2, 3, 4)),
    Candidate(POOLED, "change along the working", layered(change)),
    Candidate(POOLED, "each token at length 1, and state at p", layered(positions)),
    Candidate(
        POOLED,
        "several layers",
        lambda d, c, _: several_layers(d, c),
        lambda d: [f"last {n}" for n in (2, 3, 5) if n < len(d.states.layers)],
    ),
    Candidate(
        POOLED,
        "each token at length 1, whitened",
        lambda d, c, fit: whitened(d, c[0], fit, c[1]),
        lambda d: [(layer, shrinkage) for layer in range(len(d.states.layers)) for shrinkage in (0.1, 0.5)],
    ),
    Candidate(CENTRES, "none", _of(UNIT, centre=False)),
    Candidate(CENTRES, "the problem's mean", _of(UNIT)),
    Candidate(
        CENTRES,
        "mean of the problem's first 8",
        lambda d, c, _: pool(UNIT, d, c) - by_problem(d, pool(UNIT, d, c), first=8),
    ),
    Candidate(
        CENTRES,
        "mean over the prompt (`working_states`)",
        lambda d, c, _: pool(UNIT, d, c) - pool("prompt, each token at length 1", d, c),
    ),
    Candidate(
        CENTRES,
        "the prompt's last token",
        lambda d, c, _: pool(UNIT, d, c) - unit(d.states.prompt_last[:, c]),
    ),
    Candidate(
        CENTRES,
        "mean of other problems",
        lambda d, c, fit: pool(UNIT, d, c) - pool(UNIT, d, c)[fit].mean(axis=0),
    ),
    Candidate(CENTRES, "none, large constant", lambda d, c, _: far(pool(UNIT, d, c))),
    Candidate(CENTRES, "`working_states`, and state at p", layered(working_and_p)),
)
