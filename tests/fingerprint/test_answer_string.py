"""The answer string as a fingerprint: equal answers have equal vectors, and only they."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.fingerprint.text import answer_vectors, normalized_answer


@given(st.lists(st.text(), min_size=1, max_size=20))
def test_equal_answers_and_only_they_are_equal(answers):
    vectors = answer_vectors(answers)
    texts = [normalized_answer(answer) for answer in answers]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    for i, one in enumerate(texts):
        for j, other in enumerate(texts):
            assert (vectors[i] == vectors[j]).all() == (one == other)


def test_the_hash_is_the_same_on_every_machine():
    # Written down once: a memory that was saved elsewhere must know its answers again.
    found = answer_vectors(["42"])[0, :3].round(4).tolist()
    assert found == answer_vectors(["7", "42"])[1, :3].round(4).tolist()
    assert found == pytest.approx(FIRST_OF_42, abs=1e-4)


def test_different_answers_are_far_apart():
    vectors = answer_vectors([str(number) for number in range(500)])
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)[np.triu_indices(500, 1)]
    assert distances.min() > 0.5
    assert distances.mean() == pytest.approx(np.sqrt(2), abs=0.02)


def test_too_few_features_are_refused():
    with pytest.raises(ValueError, match="at least 2, got 1"):
        answer_vectors(["1"], num_features=1)


FIRST_OF_42 = [-0.2849000096321106, -0.1695999950170517, 0.026499999687075615]
