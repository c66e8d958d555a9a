"""Cost by hand."""

import math

import pytest

from meds_lab.compare.outcomes import cost_of, relative_cost

RECIPE = {
    "per_device_train_batch_size": 16,
    "gradient_accumulation_steps": 2,
    "generation_batch_size": 32,
    "num_generations": 4,
}


def test_every_step_logged():
    name = "dynamic_sampling/groups_generated"
    metrics = [
        {"step": 1, "step_time": 50.0, name: 8.0},
        {"step": 2, "step_time": 2.0, name: 20.0},
        {"step": 3, "step_time": 4.0, name: 11.0},
        {"step": 3, "train_runtime": 60.0},
    ]
    cost = cost_of(metrics, RECIPE)
    # (2 + 4) / 2; the first step is left out. 8 + 20 + 11 = 39 groups of 4.
    assert (cost.seconds_per_step, cost.updates, cost.samples_generated) == (3.0, 3, 156)


def test_every_other_step_logged_weighs_by_steps():
    metrics = [{"step": 1, "step_time": 9.0}, {"step": 3, "step_time": 2.0}, {"step": 4, "step_time": 5.0}]
    cost = cost_of(metrics, RECIPE)
    # Two steps of 2 and one of 5: 9 / 3. Without dynamic sampling 4 batches of 32.
    assert (cost.seconds_per_step, cost.updates, cost.samples_generated) == (3.0, 4, 128)


def test_a_batch_used_for_several_updates_is_generated_once():
    metrics = [{"step": step, "step_time": 1.0} for step in range(1, 7)]
    assert cost_of(metrics, {**RECIPE, "generation_batch_size": 64}).samples_generated == 192  # 3 batches of 64
    assert cost_of(metrics, {**RECIPE, "num_iterations": 2}).samples_generated == 96  # 3 batches of 32
    assert cost_of(metrics, RECIPE, num_processes=2).samples_generated == 384  # 64 a step


def test_one_log_is_all_there_is():
    assert cost_of([{"step": 2, "step_time": 1.5}], RECIPE).seconds_per_step == 1.5


def test_nothing_logged():
    cost = cost_of([], RECIPE)
    assert math.isnan(cost.seconds_per_step)
    assert (cost.updates, cost.samples_generated) == (0, 0)


def test_relative_cost_is_paired():
    seconds = {
        ("a", "dapo"): 1.0,
        ("a", "meds"): 1.1,
        ("b", "dapo"): 10.0,
        ("b", "meds"): 11.0,
        ("c", "meds"): 99.0,
    }
    found = relative_cost(seconds, "dapo")
    # 1.1 in both units; unit c has no baseline. Unpaired means would say 37.0 / 5.5.
    assert found["meds"] == pytest.approx((1.1, 1.1, 1.1))
    assert relative_cost({("a", "dapo"): 2.0, ("a", "meds"): math.nan}, "dapo").keys() == {"dapo"}
