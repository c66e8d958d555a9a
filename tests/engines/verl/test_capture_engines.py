"""verl's real actor worker on CPU, every layout it has: its fingerprints are those of the plain transformers model."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("verl")

import transformers
from capture_rows import ROWS, Row, ids, save_adapter, save_model

from meds_rl.fingerprint import NAMES, AnswerPosition, Fingerprint, Where, extract, make_fingerprint, record

pytestmark = pytest.mark.verl

ALL = [[name, None] for name in NAMES]
ONE_OF_EACH = [
    ["layer_logits", -1],
    ["pooled_logits", 1],
]  # reads places and the head; reads rows and all the head
BOTH = [True, False]  # dynamic batches and batches of equal size


def _case(**settings: Any) -> dict[str, Any]:
    return {"tied": False, "remove_padding": True, "fingerprints": ONE_OF_EACH, "dynamic": BOTH, **settings}


CASES: dict[int, dict[str, dict[str, Any]]] = {
    1: {
        "packed": _case(fingerprints=[*ALL, ["layer_logits", 1]]),
        "padded": _case(fingerprints=[*ALL, ["layer_logits", 1]], remove_padding=False),
        "packed-tied": _case(tied=True),
        "padded-tied": _case(tied=True, remove_padding=False),
        "packed-adapter": _case(adapter=["q_proj", "down_proj"]),
        "padded-adapter-tied": _case(adapter=["q_proj"], remove_padding=False, tied=True),
        "packed-to-length": _case(pad_to_length=True),
        "packed-bf16": _case(precision="bf16", fingerprints=[["layer_logits", -1], ["answer_states", None]]),
        "padded-bf16": _case(precision="bf16", remove_padding=False, fingerprints=[["layer_logits", -1]]),
        "adapter-on-head": _case(adapter=["q_proj", "lm_head"], tied=True, refused=True),
    },
    2: {
        "packed": _case(),
        "padded-tied": _case(tied=True, remove_padding=False),
        "adapter": _case(adapter=["q_proj"], dynamic=[True]),
        "ulysses": _case(ulysses=2, fingerprints=ALL),
        "ulysses-tied": _case(ulysses=2, tied=True, dynamic=[True]),
        "ulysses-adapter": _case(ulysses=2, adapter=["q_proj"], dynamic=[True]),
        "ulysses-to-length": _case(ulysses=2, pad_to_length=True, dynamic=[True]),
        "ulysses-bf16": _case(ulysses=2, precision="bf16", dynamic=[True]),
    },
    4: {
        "ulysses-4": _case(ulysses=4, fingerprints=ALL),
        "ulysses-2-of-4": _case(ulysses=2, fingerprints=ALL),
        "ulysses-4-tied": _case(ulysses=4, tied=True),
    },
}
QUICK = [(size, name) for size in (1, 2) for name in CASES[size]]
SLOW = [pytest.param(4, name, marks=pytest.mark.slow) for name in CASES[4]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`results(size)`: the cases and the folder of what `size` ranks found, run at the first question."""
    done: dict[int, tuple[dict[str, Any], Path]] = {}

    def get(size: int) -> tuple[dict[str, Any], Path]:
        if size not in done:
            done[size] = _run(size, tmp_path_factory.mktemp(f"ranks{size}"))
        return done[size]

    return get


def _run(size: int, folder: Path) -> tuple[dict[str, Any], Path]:
    cases = {}
    for name, case in CASES[size].items():
        model = save_model(folder / f"{name}-model", tied=case["tied"])
        adapter = save_adapter(model, folder / f"{name}-adapter", case["adapter"]) if "adapter" in case else None
        cases[name] = {**case, "model": model, "adapter": adapter}
    (folder / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("engine_ranks.py")
    arguments = [str(size), str(folder / "meet"), str(folder / "cases.json"), str(folder)]
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(size)
    ]
    outputs = [rank.communicate(timeout=400)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * size, outputs[0][-4000:]
    return cases, folder


def _found(folder: Path, name: str) -> dict[str, np.ndarray]:
    parts = [np.load(path) for path in sorted(folder.glob(f"{name}.*.npz"))]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0].files}


def _plain_model(case: dict[str, Any]) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(case["model"])
    if case["adapter"]:
        import peft

        model = peft.PeftModel.from_pretrained(model, case["adapter"])
    return model.to(torch.bfloat16).eval() if case.get("precision") == "bf16" else model.eval()


def _expected(case: dict[str, Any], fingerprint: Fingerprint) -> np.ndarray:
    """From forwards of transformers' own; one with a tool's words in it by itself: `extract` has no mask."""
    model = _plain_model(case)
    answers = [_answer(row) for row in ROWS]
    prompts, completions = [ids(row.prompt) for row in ROWS], [ids(row.completion) for row in ROWS]
    half = torch.autocast("cpu", torch.bfloat16) if case.get("precision") == "bf16" else contextlib.nullcontext()
    with half:
        features = extract(model, fingerprint, prompts, completions, answers)
        for i, row in enumerate(ROWS):
            if row.written and row.answer:
                features[i] = _of_multi_turn(model, fingerprint, row)
    return features


def _of_multi_turn(model: Any, fingerprint: Fingerprint, row: Row) -> np.ndarray:
    prompt, completion = ids(row.prompt), ids(row.completion)
    width = len(prompt) + len(completion)
    where = Where.from_answers(
        [_answer(row)], starts=[len(prompt)], lengths=[len(completion)], width=width, prompt_starts=[0]
    )
    written = torch.tensor([[False] * len(prompt) + [c == "1" for c in row.written]])
    with record(model, fingerprint, replace(where, completion_mask=written)) as recorder, torch.no_grad():
        model(input_ids=torch.tensor([prompt + completion]))
    return recorder.features()[0]


def _answer(row: Row) -> AnswerPosition | None:
    if row.answer is None:
        return None
    position, end = row.answer
    return AnswerPosition(position, ids(row.completion)[position + 1], end)


@pytest.mark.parametrize(("size", "name"), [*QUICK, *SLOW])
def test_equal_to_the_plain_model(results: Any, size: int, name: str) -> None:
    """And log-probabilities and entropies are the same to the last bit (checked in the ranks)."""
    cases, folder = results(size)
    case = cases[name]
    if case.get("refused"):
        assert "carries an adapter" in str(_found(folder, name)["error"][0])
        return
    found = _found(folder, name)
    assert len(found) == len(case["fingerprints"]) * len(case["dynamic"])
    for fingerprint, layers in case["fingerprints"]:
        expected = _expected(case, make_fingerprint(fingerprint, layers))
        for dynamic in case["dynamic"]:
            features = found[f"{fingerprint}:{layers}:{dynamic}"]
            assert features.dtype == np.float32
            if case.get("precision") == "bf16":
                _assert_close_in_half_precision(features, expected)
            else:
                np.testing.assert_allclose(features, expected, rtol=2e-4, atol=2e-4)


def _assert_close_in_half_precision(features: np.ndarray, expected: np.ndarray) -> None:
    # bfloat16 has eight bits: 0.4 % a rounding, some dozens of them in four layers.
    np.testing.assert_array_equal(np.isnan(features), np.isnan(expected))
    there = ~np.isnan(expected)
    error = np.linalg.norm(features[there] - expected[there]) / np.linalg.norm(expected[there])
    assert error < 0.02
    # Dot products and norms are float32 all the same: most are no bfloat16 number.
    rounded = torch.tensor(features[there]).bfloat16().float().numpy()
    assert np.mean(rounded != features[there]) > 0.9
