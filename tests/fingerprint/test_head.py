"""Rows of the unembedding from weights that are whole, sharded, adapted or quantised."""

from __future__ import annotations

import subprocess
import sys
import types
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import peft
import pytest
import torch

from meds_rl.fingerprint import Head, LayerLogits, extract


def head_of(weight, ids=(0,)):
    return Head(SimpleNamespace(get_output_embeddings=lambda: SimpleNamespace(weight=weight)), torch.tensor(ids))


def test_rows_in_any_order():
    weight = torch.arange(12.0).reshape(6, 2)
    head = head_of(weight, ids=[5, 2, 2, 0])
    assert head.rows(torch.tensor([2, 5, 0, 5])).tolist() == [[4, 5], [10, 11], [0, 1], [10, 11]]


def test_nothing_is_read_before_it_is_needed():
    head = Head(SimpleNamespace(get_output_embeddings=lambda: pytest.fail("too early")), torch.tensor([0]))
    assert isinstance(head, Head)


def test_an_adapter_on_the_head_is_refused(tiny_model, batch):
    model = peft.get_peft_model(tiny_model("llama"), peft.LoraConfig(target_modules=["lm_head"]))
    with pytest.raises(ValueError, match="the unembedding carries an adapter"):
        extract(model, LayerLogits(), *batch)


@pytest.mark.parametrize("weight", [torch.ones(4, 2, dtype=torch.int8), torch.ones(8)])
def test_weights_that_are_no_matrix_of_floats(weight):
    with pytest.raises(ValueError, match=r"must be a \(V, d\) matrix of floats"):
        head_of(weight).rows(torch.tensor([0]))


@pytest.mark.parametrize("available", [False, True])
def test_zero_3_weights_are_gathered(available, tiny_model, batch, monkeypatch):
    # Stands for DeepSpeed, which these tests do without: weights are empty except while gathered.
    gathered = []

    @contextmanager
    def gather(weights):
        gathered.append(len(weights))
        weights[0].data = values
        yield
        weights[0].data = torch.empty(0)

    status = Enum("ZeroParamStatus", ["AVAILABLE", "NOT_AVAILABLE"])
    for name, content in {
        "deepspeed": {"zero": SimpleNamespace(GatheredParameters=gather)},
        "deepspeed.runtime": {},
        "deepspeed.runtime.zero": {},
        "deepspeed.runtime.zero.partition_parameters": {"ZeroParamStatus": status},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)

    model = tiny_model("llama")
    expected = extract(model, LayerLogits("all"), *batch)
    weight, values = model.lm_head.weight, model.lm_head.weight.data
    weight.ds_id = 1
    weight.ds_status = status.AVAILABLE if available else status.NOT_AVAILABLE
    if not available:
        weight.data = torch.empty(0)
    found = extract(model, LayerLogits("all"), *batch, batch_size=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert gathered == ([] if available else [1])  # once for all batches


@pytest.mark.long
def test_two_ranks_with_sharded_weights(tmp_path):
    script = Path(__file__).with_name("two_ranks.py")
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "meet")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(outputs)
