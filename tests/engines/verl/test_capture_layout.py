"""Packed rows read as padded ones do; answers are looked for in the model's own words."""

from __future__ import annotations

import warnings

import pytest
import torch

pytest.importorskip("verl")

from capture_rows import ROWS, ids
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from meds_rl.engines.verl.fingerprints import (
    PackedFingerprint,
    find_written,
    from_tensor,
    pack,
    slice_width,
    to_tensor,
    where_padded,
    whole_row,
)
from meds_rl.fingerprint import NAMES, AnswerPosition, Head, answer_finder, make_fingerprint
from meds_rl.tasks.pocket.model import load_pocket_tokenizer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # verl warns of engines that are not installed
    from verl.utils.ulysses import ulysses_pad
    from verl.workers.engine.utils import pad_packed_inputs

pytestmark = pytest.mark.verl

HIDDEN = 3


class _Model(nn.Module):
    """A head and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(HIDDEN, 7, bias=False)

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


@st.composite
def _completions(draw: st.DrawFn) -> list[tuple[AnswerPosition | None, int, list[bool]]]:
    """Answers, lengths with the prompt, and which tokens the model wrote."""
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        prompt, completion = draw(st.integers(1, 4)), draw(st.integers(0, 6))
        mask = draw(st.lists(st.booleans(), min_size=completion, max_size=completion))
        answer = None
        if completion > 1 and draw(st.booleans()):
            position = draw(st.integers(0, completion - 2))
            end = draw(st.integers(position + 1, completion - 1))
            answer = AnswerPosition(position, draw(st.integers(0, 6)), end)
        rows.append((answer, prompt + completion, mask))
    return rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [None, 2])
@given(rows=_completions(), padding=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_packed_row_reads_as_padded_rows_do(
    name: str, width: int | None, rows: list[tuple[AnswerPosition | None, int, list[bool]]], padding: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    answers, lengths, written = ([row[i] for row in rows] for i in range(3))
    model, num_layers = _Model(), 4
    head = Head(model, torch.arange(7))
    where = where_padded(answers, lengths, written)
    fingerprint = make_fingerprint(name, width=width)
    packed = PackedFingerprint(fingerprint, pack(answers, lengths, written))
    kept: list[list[torch.Tensor]] = [[], []]
    for _ in fingerprint.layers(num_layers):
        row = torch.randn(1, sum(lengths) + padding, HIDDEN, generator=generator)
        padded = torch.full((len(rows), max(lengths), HIDDEN), torch.inf)
        for i, sequence in enumerate(row[0, : sum(lengths)].split(lengths)):
            padded[i, : len(sequence)] = sequence
        kept[0].append(fingerprint.read(padded, where, head))
        kept[1].append(packed.read(row, whole_row(row.shape[1]), head))
    expected, found = fingerprint.combine(kept[0]), packed.combine(kept[1])
    assert found.shape == (1, packed.num_features(num_layers, HIDDEN))
    has_answer = where.has_answer
    torch.testing.assert_close(found.reshape(expected.shape)[has_answer], expected[has_answer])


@given(total=st.integers(1, 200), bucket=st.integers(1, 40), num_ranks=st.integers(1, 8))
def test_slices_are_as_wide_as_verl_makes_them(total: int, bucket: int, num_ranks: int) -> None:
    row = torch.zeros(1, total, dtype=torch.int64)
    row, _ = pad_packed_inputs(row, None, -total % bucket)
    row, _, _ = ulysses_pad(row, None, num_ranks)
    assert slice_width(total, bucket=bucket, num_ranks=num_ranks) * num_ranks == row.shape[1]


def test_the_answer_is_the_models_own() -> None:
    tokenizer, find = load_pocket_tokenizer(), answer_finder("boxed")
    for row in ROWS:
        completion = ids(row.completion)
        written = [c == "1" for c in row.written] or [True] * len(completion)
        expected = None
        if row.answer is not None:
            position, end = row.answer
            expected = AnswerPosition(position, completion[position + 1], end)
        assert find_written(find, completion, written, tokenizer) == expected, row


@given(rows=_completions())
def test_places_survive_the_tensor(rows: list[tuple[AnswerPosition | None, int, list[bool]]]) -> None:
    answers = [answer for answer, _, _ in rows]
    assert from_tensor(to_tensor(answers)) == answers
    assert to_tensor([]).shape == (0, 3)
