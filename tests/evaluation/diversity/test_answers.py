"""Answer entropy, distinct and repeated answers, cluster entropy: by hand, against scipy, bounds."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from meds_rl.evaluation.diversity import answer_entropy, cluster_entropy, distinct_answers, repeated_share

ANSWERS = st.lists(st.one_of(st.none(), st.sampled_from(["1", "2", "3", "4"])), max_size=20)


def test_entropy_by_hand():
    # Shares 1/2, 1/4, 1/4: .5 ln 2 + 2 * .25 ln 4 = 1.5 ln 2. Normalised by ln 4 = 2 ln 2: .75.
    assert answer_entropy(["a", "a", None, "b"]) == pytest.approx(1.5 * math.log(2))
    assert answer_entropy(["a", "a", None, "b"], normalize=True) == pytest.approx(0.75)


def test_too_few_completions_have_no_entropy_or_none_to_speak_of():
    assert math.isnan(answer_entropy([]))
    assert answer_entropy(["a"]) == 0
    assert math.isnan(answer_entropy(["a"], normalize=True))
    assert distinct_answers([]) == 0
    assert math.isnan(repeated_share([]))
    assert math.isnan(repeated_share([[], []]))
    assert math.isnan(cluster_entropy([]))


@given(ANSWERS.filter(bool))
def test_entropy_as_scipy(answers):
    found = answer_entropy(answers)
    assert found == pytest.approx(entropy(list(Counter(answers).values())), abs=1e-12)
    assert 0 <= found <= math.log(len(answers)) + 1e-12
    assert str(found)[0] != "-"


@given(st.lists(ANSWERS, max_size=6))
def test_repeats_and_distinct_answers_are_all_completions(problems):
    num = sum(map(len, problems))
    if num:
        distinct = sum(map(distinct_answers, problems))
        assert repeated_share(problems) * num + distinct == pytest.approx(num)


def test_cluster_entropy_by_hand():
    # Noise as a group: shares 1/2, 1/2. Alone: 1/2, 1/4, 1/4. "No answer" (-2) stays a cluster.
    assert cluster_entropy([3, 3, -1, -1]) == pytest.approx(math.log(2))
    assert cluster_entropy([3, 3, -1, -1], noise="alone") == pytest.approx(1.5 * math.log(2))
    assert cluster_entropy([3, 3, -2, -2], noise="alone") == pytest.approx(math.log(2))
    assert cluster_entropy([0, 1, 2, 3], normalize=True) == pytest.approx(1)


@pytest.mark.parametrize(
    ("clusters", "noise", "error"),
    [([0.5], "group", TypeError), ([[1]], "group", ValueError), ([1], "free", ValueError)],
)
def test_clusters_that_are_none(clusters, noise, error):
    with pytest.raises(error):
        cluster_entropy(clusters, noise=noise)


def test_rounding_does_not_pass_the_most_possible():
    assert max(answer_entropy(range(n), normalize=True) for n in range(2, 600)) == 1
