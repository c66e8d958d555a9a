"""Probabilities of rules, and the rows that a training writes."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from meds_lab.skills.models import PolicyConfig, build_tokenizer, new_model
from meds_lab.skills.probe import FILE, PARTS, Probe, probe, probed, rule_probabilities
from meds_lab.skills.rules import RULES
from meds_lab.skills.skills import problems_of, skills_of
from meds_rl.tasks import load_task


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(0)


class Even(torch.nn.Module):
    """All 373 tokens are equally probable after a prompt, but one word is 28 times as probable as any other token."""

    device = "cpu"

    def __init__(self, tokenizer, rule):
        super().__init__()
        self.logits = torch.zeros(len(tokenizer))
        self.logits[tokenizer.get_vocab()[rule.token]] = math.log(28)

    def forward(self, input_ids):
        assert not self.training
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, -1))


def test_probabilities_of_rules(tokenizer):
    model = Even(tokenizer, RULES[3])
    found = rule_probabilities(model, tokenizer, problems_of(0)[0])
    assert found.shape == (56, 54)
    # 28 / (372 + 28) and 1 / 400.
    assert found[0] == pytest.approx([0.0025] * 3 + [0.07] + [0.0025] * 50)
    assert model.training, "as it was before"


def test_probabilities_of_rules_leave_some_for_other_tokens(tokenizer):
    model = new_model(0, tokenizer, PolicyConfig(hidden_size=32, num_layers=1))
    sums = rule_probabilities(model, tokenizer, problems_of(0)[1]).sum(1)
    assert ((sums > 0) & (sums < 1)).all()


def test_a_row_for_each_problem(tokenizer):
    pisu = skills_of(0)[0]
    rows = pd.DataFrame(probe(Even(tokenizer, pisu.right), tokenizer, 0, 5))
    assert rows.groupby(["split", "kind"]).size().to_dict() == {
        ("train", "hard"): 48,
        ("train", "own"): 8,
        ("test", "hard"): 48,
        ("test", "own"): 8,
        ("test", "habit"): 12,
    }
    assert set(rows["step"]) == {5}
    hard = rows[rows["kind"] == "hard"]
    assert hard.groupby(["rules", "tells"]).size().to_dict() == dict.fromkeys(
        [(6, True), (6, False), (30, True), (30, False)], 24
    )
    of_pisu = rows[rows["skill"] == "pisu"]
    assert of_pisu["p_right"].tolist() == pytest.approx([0.07] * 5)
    assert of_pisu["logp_right"].tolist() == pytest.approx([math.log(0.07)] * 5)
    assert of_pisu["p_habit"].tolist() == pytest.approx([0.0025] * 5)
    own = rows[rows["kind"] == "own"]
    assert (own["p_right"] == own["p_habit"]).all()


@pytest.fixture
def callback(tokenizer, tmp_path):
    """A callback, its steps made by hand."""

    def make(is_main_process=True):
        trainer = SimpleNamespace(
            model=Even(tokenizer, skills_of(0)[0].right),
            processing_class=tokenizer,
            accelerator=SimpleNamespace(is_main_process=is_main_process),
            args=SimpleNamespace(output_dir=str(tmp_path)),
        )
        return Probe(trainer, 0)

    return make


def train(callback, first, last):
    callback.on_train_begin(None, SimpleNamespace(global_step=first, max_steps=40), None)
    for step in range(first + 1, last + 1):
        callback.on_step_end(None, SimpleNamespace(global_step=step, max_steps=40), None)


def test_rows_at_six_parts_of_the_training(callback, tmp_path):
    train(callback(), 0, 41)
    rows = pd.read_parquet(tmp_path / FILE)
    assert rows.groupby("step").size().to_dict() == dict.fromkeys((0, 5, 10, 20, 30, 40), 124)
    assert len(PARTS) == 6


@pytest.mark.parametrize("resumed", [7, 10])
def test_a_resumed_training_keeps_the_steps_before(resumed, callback, tmp_path):
    train(callback(), 0, 12)
    other = callback()
    other._trainer.model.logits[:] = 0.0
    train(other, resumed, 12)
    rows = pd.read_parquet(tmp_path / FILE)
    first = rows[rows["skill"] == "pisu"].groupby("step")["p_right"].agg(["size", "first"])
    assert first["size"].to_dict() == {0: 5, 5: 5, 10: 5}
    assert first["first"].tolist() == pytest.approx([0.07, 0.07, 1 / 373])


def test_another_process_writes_nothing(callback, tmp_path):
    train(callback(is_main_process=False), 0, 5)
    assert not list(tmp_path.iterdir())


def test_what_a_probed_trainer_is_made_of(tokenizer):
    model = new_model(0, tokenizer, PolicyConfig(hidden_size=32, num_layers=1))
    task = load_task("meds_lab.skills.task.skills_task", seed=0)
    made = []

    def make(*args, **kwargs):
        made.append((args, kwargs))
        return SimpleNamespace(add_callback=made.append)

    probed(make)(model, "reward", "arguments", task.train, processing_class=tokenizer, strategy=None)
    (args, kwargs), callback = made
    assert args == (model, "reward", "arguments", task.train)
    assert kwargs == {"processing_class": tokenizer, "strategy": None}
    assert isinstance(callback, Probe)
    assert [name for name, one in model.named_parameters() if one.requires_grad] == ["lm_head.weight"]
