import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.hdbscan.compiled import ascending

lengths = st.one_of(
    st.floats(min_value=0.0, allow_nan=False, allow_infinity=True).map(abs),
    st.sampled_from([0.0, 1.0, 2.0, 5e-324]),
)


@given(st.lists(lengths, max_size=300))
def test_sorts_as_numpy_does_and_keeps_the_order_of_ties(values):
    values = np.array(values, dtype=np.float64)
    np.testing.assert_array_equal(ascending(values), np.argsort(values, kind="stable"))


def test_nan_comes_last_even_after_infinity():
    assert ascending(np.array([np.nan, np.inf, 0.0, 1.0])).tolist() == [2, 3, 1, 0]
