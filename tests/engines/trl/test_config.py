"""MEDSConfig: a method sets what the user does not."""

import pytest

from meds_rl.engines.trl import MEDSConfig


def config(tmp_path, **fields) -> MEDSConfig:
    return MEDSConfig(str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False, **fields)


def test_methods_as_the_paper_tells(tmp_path):
    grpo = config(tmp_path, method="grpo")
    assert (grpo.loss_type, grpo.beta, grpo.epsilon, grpo.epsilon_high, grpo.delta) == (
        "grpo",
        0.001,
        0.2,
        0.2,
        None,
    )
    assert (grpo.dynamic_sampling, grpo.overlong_buffer, grpo.uses_memory) == (False, 0, False)
    for method in ("dapo", "meds"):
        dapo = config(tmp_path, method=method, max_completion_length=3072)
        assert (dapo.loss_type, dapo.beta, dapo.epsilon, dapo.epsilon_high, dapo.delta) == (
            "dapo",
            0.0,
            0.2,
            0.28,
            10.0,
        )
        assert (dapo.dynamic_sampling, dapo.overlong_buffer, dapo.overlong_factor) == (True, 512, 1.0)
        assert dapo.max_generation_batches == 10
    assert config(tmp_path, method="meds").uses_memory
    assert config(tmp_path, method="grpo-entropy").uses_entropy_advantage
    assert (config(tmp_path).meds_alpha, config(tmp_path).meds_beta) == (0.1, 0.2)


def test_what_the_user_gives_wins(tmp_path):
    given = config(
        tmp_path, method="dapo", loss_type="dr_grpo", beta=0.01, epsilon=0.1, epsilon_high=0.3, delta=4.0
    )
    assert (given.loss_type, given.beta, given.epsilon, given.epsilon_high, given.delta) == (
        "dr_grpo",
        0.01,
        0.1,
        0.3,
        4.0,
    )
    given = config(tmp_path, method="dapo", dynamic_sampling=False, overlong_buffer=0)
    assert (given.dynamic_sampling, given.overlong_buffer) == (False, 0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method": "ppo"}, "grpo, grpo-entropy, dapo, meds; got 'ppo'"),
        ({"meds_target": "all"}, "wrong, right, both"),
        ({"meds_noise": "drop"}, "cluster, free"),
        ({"meds_all_wrong": "keep"}, "skip, center, shape"),
        ({"fingerprint": "text"}, "layer_logits"),
        ({"meds_alpha": -0.1}, "meds_alpha"),
        ({"meds_beta": float("nan")}, "meds_beta"),
        ({"meds_alpha": [1]}, r"meds_alpha must be a finite number of at least 0; got \[1\]"),
        ({"max_generation_batches": 1.5}, "whole number"),
        ({"correct_above": float("nan")}, "correct_above"),
        ({"beta": -1.0}, "beta must be"),
        ({"meds_n_neighbors": 0}, "at least 1"),
        ({"fingerprint_layers": 0}, "at least 1; got 0"),
        ({"overlong_buffer": 512}, "below max_completion_length"),
        ({"max_generation_batches": 0}, "max_generation_batches"),
        ({"entropy_advantage_cap": 0.0}, "above 0"),
        ({"num_generations": 1}, "at least 2"),
    ],
)
def test_bad_values_say_what_is_allowed(tmp_path, fields, said):
    with pytest.raises(ValueError, match=said):
        config(tmp_path, **fields)
