"""The whole shaping against an independent implementation (`reference.py`)."""

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from meds_rl.labels import NO_ANSWER, NOISE, NOT_SCORED, UNSEEN
from meds_rl.memory import ErrorMemory, hdbscan_labels
from meds_rl.shaping import RewardShaper

from .reference import ReferenceShaper, fit_labels, majority
from .streams import stream

pytestmark = pytest.mark.long

KINDS = {NOISE: "noise", NO_ANSWER: "no_answer", UNSEEN: "unseen", NOT_SCORED: "not_scored"}
OPTIONS = list(
    product(("wrong", "right", "both"), ("cluster", "free"), ("skip", "center", "shape"), ("cluster", "free"))
)


@pytest.mark.parametrize(("target", "noise", "all_wrong", "no_answer"), OPTIONS)
def test_equals_the_reference_on_a_stream_of_30_batches(target, noise, all_wrong, no_answer):
    options = {"target": target, "noise": noise, "all_wrong": all_wrong, "no_answer": no_answer}
    check_on_a_stream(options, seed=OPTIONS.index((target, noise, all_wrong, no_answer)))


@pytest.mark.parametrize("anneal", [(0.2, 0.7), (0.0, 1.0), (0.5, 0.5), (1.0, 1.0)])
def test_equals_the_reference_where_alpha_is_annealed(anneal):
    check_on_a_stream({"all_wrong": "center", "anneal": anneal}, seed=8)


def check_on_a_stream(options, seed):
    """Both on 30 batches; returns the reasons that came up."""
    reference, shaper = ReferenceShaper(**options), RewardShaper(**options)
    kinds: set[str] = set()
    reasons: set[str] = set()
    for number, batch in enumerate(stream(seed=seed)):
        progress = number / 30
        expected = reference.shape(*batch, progress)
        shaped = shaper.shape(batch.rewards, **batch.keywords(), progress=progress)
        assert [KINDS.get(c, "cluster") for c in shaped.clusters.tolist()] == [row.kind for row in expected]
        assert shaped.cluster_sizes.tolist() == [row.size for row in expected]
        np.testing.assert_allclose(shaped.penalties, [row.penalty for row in expected], rtol=1e-14)
        np.testing.assert_allclose(shaped.rewards, [row.reward for row in expected], rtol=1e-14, atol=1e-16)
        kinds.update(row.kind for row in expected)
        reasons.update(shaped.reasons)
    assert kinds == {"cluster", "noise", "no_answer", "unseen", "not_scored"}  # the stream tests them all
    assert len(shaper.memory) == sum(map(len, reference.vectors.values())) + reference.no_answers.total()
    return reasons


@pytest.mark.parametrize("n_neighbors", [1, 2, 5, 100])
def test_equals_the_reference_for_other_numbers_of_neighbors_and_strengths(n_neighbors):
    options = {"alpha": 0.02, "beta": 0.04, "all_wrong": "shape", "n_neighbors": n_neighbors}
    reference, shaper = ReferenceShaper(**options), RewardShaper(**options)
    for batch in stream(seed=100 + n_neighbors, n_batches=12, n_features=14):
        expected = reference.shape(*batch)
        shaped = shaper.shape(batch.rewards, **batch.keywords())
        assert shaped.cluster_sizes.tolist() == [row.size for row in expected]
        np.testing.assert_allclose(shaped.penalties, [row.penalty for row in expected], rtol=1e-14)


def test_votes_equal_scikit_learns_neighbors():
    rng = np.random.default_rng(3)
    memory = ErrorMemory()
    memory.remember("x", np.repeat(rng.normal(size=(4, 8)), 10, axis=0) + 0.2 * rng.normal(size=(40, 8)))
    entry = memory.entry("x")
    assert entry is not None
    queries = rng.normal(size=(50, 8)).astype(np.float32)
    index = NearestNeighbors(n_neighbors=3, metric="cosine").fit(entry.vectors.astype(np.float64))
    neighbors = index.kneighbors(queries.astype(np.float64), return_distance=False)
    expected = [majority(entry.labels[row].tolist()) for row in neighbors]
    assert len(set(expected)) > 2
    assert memory.assign("x", queries)[0].tolist() == expected


@pytest.mark.parametrize("n_features", [2, 3, 14, 40])
def test_partitions_equal_the_hdbscan_packages(n_features):
    rng = np.random.default_rng(n_features)
    for n in (2, 3, 4, 5, 8, 20, 60, 150):
        centres = rng.normal(size=(5, n_features))
        vectors = centres[rng.integers(5, size=n)] + 0.3 * rng.normal(size=(n, n_features))
        vectors[n // 2] = vectors[0]  # an exact repetition
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ours, theirs = hdbscan_labels(vectors), np.array(fit_labels(list(vectors)))
        assert (ours == NOISE).tolist() == (theirs == NOISE).tolist()
        assert adjusted_rand_score(ours, theirs) == 1.0
