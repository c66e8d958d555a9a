"""Projected fingerprints: the matrix by hand and in another process, cosines that are kept, what is left alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.fingerprint import AnswerStates, LayerLogits, Projected, Where, WorkingStates, extract, record


class Given:
    """A fingerprint whose features are there already."""

    name = "given"
    reads_completion = False

    def __init__(self, features):
        self.features = torch.as_tensor(features)

    def combine(self, kept):
        return self.features


def projected(features, width):
    return Projected(Given(features), width).combine([])


def splitmix64(state):
    """The published generator's next output, in Python's own integers."""
    x = (state + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def test_the_product_by_hand():
    # The lowest bytes of splitmix64(0), (1) and (2) are 0xaf, 0xc1 and 0xc6: bits 1010..., 1100..., 1100...
    assert [f"{splitmix64(place) & 0xFF:08b}"[:4] for place in range(3)] == ["1010", "1100", "1100"]
    # Signs + - + -, + + - -, + + - -, divided by sqrt(4): (1 + 2 + 4, -1 + 2 + 4, 1 - 2 - 4, -1 - 2 - 4) / 2.
    found = projected([[1.0, 2.0, 4.0, 0.0, 0.0]], 4)
    assert found.tolist() == [[3.5, 2.5, -2.5, -3.5]]


def test_infinite_states_stay_infinite():
    # float16 overflows to them. inf - inf is NaN, and a row of NaN would be a completion without an answer.
    wide = np.zeros((2, 300), dtype=np.float32)
    wide[0, ::2] = np.inf
    found = projected(wide, 64)
    assert torch.isinf(found[0]).all()
    assert found[1].tolist() == [0.0] * 64


@pytest.mark.parametrize("num_features", [65, 300])
def test_the_signs_are_those_of_a_second_implementation(num_features):
    found = projected(np.eye(num_features, dtype=np.float32), 64) * 8  # sqrt(64)
    for place in range(0, num_features, 37):
        bits = "".join(f"{byte:08b}" for byte in splitmix64(place).to_bytes(8, "little"))
        assert found[place].tolist() == [1.0 if bit == "1" else -1.0 for bit in bits]


def test_another_process_has_the_same_matrix():
    code = (
        "import torch; torch.manual_seed(5); torch.set_default_dtype(torch.float64)\n"
        "from hashlib import sha256; from meds_rl.fingerprint.projection import _matrix\n"
        "print(sha256(_matrix(576, 100, torch.device('cpu')).numpy().tobytes()).hexdigest())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "ff0edd74ada6cb63bd111706f5c819414eef06e82ba7363e2753c18bba5a4124"


@given(st.integers(0, 2**32 - 1), st.floats(-1, 1), st.sampled_from([64, 100, 128]))
def test_cosines_are_kept(seed, cosine, width):
    """Six deviations: (1 - cosine^2) / sqrt(width), and a tenth more for the signs."""
    rng = np.random.default_rng(seed)
    x, y = np.linalg.qr(rng.standard_normal((768, 2)))[0].T
    pair = np.stack([x, cosine * x + np.sqrt(1 - cosine**2) * y]).astype(np.float32)
    a, b = projected(3.0 * pair, width).double()
    found = float(a @ b / (a.norm() * b.norm()))
    assert abs(found - cosine) <= 6.6 * (1 - cosine**2) / width**0.5 + 1e-5


def test_a_fingerprint_that_is_no_wider_is_not_changed():
    features = torch.randn(3, 128, generator=torch.Generator().manual_seed(0))
    for width in (128, 4096):
        assert projected(features, width) is features
    fingerprint = Projected(LayerLogits(14), 64)
    assert fingerprint.num_features(28, 4096) == 14
    assert (fingerprint.name, fingerprint.reads_completion) == ("layer_logits", False)
    assert list(fingerprint.layers(28)) == list(range(15, 29))


@pytest.mark.parametrize("inner", [WorkingStates(), AnswerStates()])
def test_a_model_is_read_as_without_and_then_projected(inner, tiny_model, batch):
    model = tiny_model()
    full = extract(model, inner, *batch)
    found = extract(model, Projected(inner, 8), *batch)
    assert found.shape == (5, 8)
    assert np.isnan(found[2]).all()  # no answer
    np.testing.assert_allclose(found, projected(full, 8), rtol=1e-5, atol=1e-6)


def test_autocast_does_not_round_the_product(tiny_model, batch):
    model, (prompts, completions, answers) = tiny_model(), batch
    ids = torch.tensor([prompts[0] + completions[0]])
    where = Where.from_answers(
        answers[:1], starts=[len(prompts[0])], lengths=[len(completions[0])], width=ids.shape[1], prompt_starts=[0]
    )
    found = []
    for fingerprint in (WorkingStates(), Projected(WorkingStates(), 8)):
        with torch.autocast("cpu", torch.bfloat16), record(model, fingerprint, where) as recorder:
            model(input_ids=ids)
        found.append(recorder.features())
    np.testing.assert_allclose(found[1], projected(found[0], 8), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("width", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
def test_a_width_that_is_none(width, error):
    with pytest.raises(error, match="width must be"):
        Projected(WorkingStates(), width)
