"""MEDSConfig: a method sets what the user does not."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from trl import GRPOConfig, TrlParser

from meds_rl import ErrorMemory
from meds_rl.engines.settings import METHODS, PRESETS, default_of, name_in, settings_of
from meds_rl.engines.trl import MEDSConfig
from meds_rl.engines.trl.config import make_trainers_shaper, memory_line
from meds_rl.memory import HDBSCANClustering


def config(tmp_path, **fields) -> MEDSConfig:
    given = {"method": "meds", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, **fields}
    return MEDSConfig(str(tmp_path), **given)


TRLS = {field.name for field in fields(GRPOConfig)}
OURS = [field.name for field in fields(MEDSConfig) if field.name not in TRLS]


def kind_of(hint: Any) -> Any:
    """A type hint without None: a type, or the names of a Literal."""
    args = [one for one in get_args(hint) if one is not type(None)] if type(None) in get_args(hint) else [hint]
    assert len(args) == 1
    return get_args(args[0]) if get_origin(args[0]) is Literal else get_origin(args[0]) or args[0]


def test_the_fields_are_those_of_the_table_of_settings():
    table = {name_in("trl", name): name for name in settings_of("trl")}
    assert len(OURS) == 29
    assert set(OURS) | {"scale_rewards"} == set(table)
    hints = get_type_hints(MEDSConfig)
    for field in fields(MEDSConfig):
        if field.name not in OURS:
            continue
        setting = settings_of("trl")[table[field.name]]
        expected = str if setting.also else setting.kind  # a text beside the names
        assert kind_of(hints[field.name]) == expected, field.name
        assert field.default == default_of("trl", table[field.name]), field.name
        may_be_none = type(None) in get_args(hints[field.name])
        assert may_be_none == (field.default is None), field.name
        assert setting.meaning in field.metadata["help"], field.name
        assert setting.allowed in field.metadata["help"], field.name


def test_the_command_line_knows_every_field(tmp_path):
    line = [
        "--output_dir",
        str(tmp_path),
        "--use_cpu",
        "true",
        "--bf16",
        "false",
        "--meds_anneal",
        "0.1",
        "0.2",
    ]
    line += ["--meds_capacity", "7", "--fingerprint", "answer_string", "--scale_rewards", "batch"]
    (args,) = TrlParser(MEDSConfig).parse_args_and_config(line)
    assert (args.meds_anneal, args.meds_capacity, args.scale_rewards) == ([0.1, 0.2], 7, "batch")
    assert args.fingerprint == "answer_string"


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
        assert (dapo.dynamic_sampling, dapo.overlong_buffer) == (True, 512)
        assert dapo.max_generation_batches == 10
    assert config(tmp_path, method="meds").uses_memory
    assert config(tmp_path, method="grpo-entropy").entropy_advantage
    assert (config(tmp_path).meds_alpha, config(tmp_path).meds_beta) == (0.1, 0.2)


def test_what_the_user_gives_wins(tmp_path):
    given = config(tmp_path, method="dapo", loss_type="dr_grpo", beta=0.01, epsilon=0.1, epsilon_high=0.3, delta=4.0)
    assert (given.loss_type, given.beta, given.epsilon, given.epsilon_high, given.delta) == (
        "dr_grpo",
        0.01,
        0.1,
        0.3,
        4.0,
    )
    given = config(tmp_path, method="dapo", dynamic_sampling=False, overlong_buffer=0, entropy_advantage=0.4)
    assert (given.dynamic_sampling, given.overlong_buffer, given.entropy_advantage) == (False, 0, 0.4)
    assert not config(tmp_path, method="grpo-entropy", entropy_advantage=0).entropy_advantage
    assert not config(tmp_path, method="meds", preset="recommended", entropy_advantage=0).entropy_advantage


def test_a_preset_sets_what_the_user_does_not(tmp_path):
    for preset, fingerprint, epsilon, furthest in (
        ("paper", "layer_logits", 0.0, None),
        ("recommended", "working_states", 0.2, 0.25),
    ):
        args = config(tmp_path, preset=preset)
        assert (args.fingerprint, args.meds_cluster_selection_epsilon) == (fingerprint, epsilon)
        assert args.meds_max_distance == furthest
        assert config(tmp_path, preset=preset, meds_max_distance=2.0).meds_max_distance == 2
        args = config(tmp_path, preset=preset, fingerprint="pooled_logits", meds_cluster_selection_epsilon=0.1)
        assert (args.fingerprint, args.meds_cluster_selection_epsilon) == ("pooled_logits", 0.1)
    defaults = {field.name: field.default for field in fields(MEDSConfig)}
    for preset in PRESETS.values():
        assert preset.keys() == PRESETS["paper"].keys()
        names = [name_in("trl", name) for name in preset]
        assert {defaults[name] for name in names} <= {None}, "a default of its own would win over the preset"


def test_the_preset_gives_the_entropy_advantage_to_meds_alone(tmp_path):
    found = {
        (method, preset): config(tmp_path, method=method, preset=preset).entropy_advantage
        for method in METHODS
        for preset in ("paper", "recommended")
    }
    assert {key for key, value in found.items() if value} == {
        ("meds", "recommended"),
        ("grpo-entropy", "paper"),
        ("grpo-entropy", "recommended"),
    }
    assert set(found.values()) == {0.0, 0.4}


def test_the_recommended_preset_leaves_rewards_undivided_for_meds_alone(tmp_path):
    found = {
        (method, preset): config(tmp_path, method=method, preset=preset).scale_rewards
        for method in METHODS
        for preset in ("paper", "recommended")
    }
    assert found.pop(("meds", "recommended")) == "none"
    assert set(found.values()) == {"group"}, "TRL's own default"
    given = {"preset": "recommended", "scale_rewards": "batch"}
    assert config(tmp_path, **given).scale_rewards == "batch"
    assert config(tmp_path, **{**given, "scale_rewards": True}).scale_rewards == "group"
    assert config(tmp_path, **{**given, "scale_rewards": False}).scale_rewards == "none"
    assert config(tmp_path, preset="paper", scale_rewards=False).scale_rewards == "none"


def test_the_recommended_penalty_ends_before_training_does(tmp_path):
    def strengths(**fields):
        shaper = make_trainers_shaper(config(tmp_path, **fields))
        return [shaper.alpha_at(done) / shaper.alpha for done in (0.0, 0.3, 0.5, 0.7, 1.0)]

    assert strengths(preset="paper") == [1, 1, 1, 1, 1]
    assert strengths(preset="recommended") == pytest.approx([1, 1, 0.166 / 0.333, 0, 0])
    assert strengths(preset="recommended", meds_anneal=[1, 1]) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("fields", "knows_right", "said"),
    [
        # recommended: from .333 to .666 of 40 steps
        ({}, True, "at most meds_beta=2, which fades between steps 13 and 27 of 40; meds_alpha=0 only watches."),
        ({"meds_anneal": [1, 1]}, True, "at most meds_beta=2; meds_alpha=0 only watches."),
        ({}, False, "only watches, until a reward function says right or wrong (correctness)."),
        ({"meds_alpha": 0, "meds_recall": 4}, True, "only watches, as meds_alpha is 0; 4 groups in a row"),
        ({"multi_objective_aggregation": "normalize_then_sum"}, True, "only watches, as multi_objective_aggregation"),
    ],
)
def test_what_the_memory_does_is_announced(tmp_path, fields, knows_right, said):
    args = config(tmp_path, method="trl", **fields)
    assert said in memory_line(args, knows_right=knows_right, max_steps=40)


def test_a_misspelt_field_is_named_with_the_one_meant(tmp_path):
    with pytest.raises(TypeError, match="MEDSConfig has no field 'meds_alpah'; did you mean 'meds_alpha'"):
        config(tmp_path, meds_alpah=0)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        config(tmp_path, xyz=0)


def test_a_presets_list_belongs_to_one_configuration(tmp_path):
    first = config(tmp_path, preset="recommended")
    first.meds_anneal[0] = 0.0
    assert config(tmp_path, preset="recommended").meds_anneal == [0.333, 0.666]


@pytest.mark.parametrize("value", ["nonsense", "False", 0.5, "", ["group"]])
def test_how_rewards_are_scaled_is_checked_before_anything_is_computed(tmp_path, value):
    with pytest.raises(ValueError, match="scale_rewards must be one of group, batch, none; got"):
        config(tmp_path, scale_rewards=value)


def test_the_memory_is_made_as_the_fields_say(tmp_path):
    asked = {
        "meds_capacity": 5,
        "meds_half_life": 2.5,
    }
    clusters = {"meds_min_cluster_size": 3, "meds_cluster_selection_epsilon": 0.5}
    memory = make_trainers_shaper(config(tmp_path, **clusters, **asked)).memory
    assert memory.clustering == HDBSCANClustering(min_cluster_size=3, cluster_selection_epsilon=0.5)
    assert (memory.capacity, memory.half_life) == (5, 2.5)


def test_a_memory_that_is_handed_in_keeps_its_settings(tmp_path):
    clustering = HDBSCANClustering(min_cluster_size=4)
    own = ErrorMemory(clustering, capacity=8, half_life=3)
    same = {
        "meds_min_cluster_size": 4,
        "meds_capacity": 8,
        "meds_half_life": 3,
    }
    assert make_trainers_shaper(config(tmp_path), own).memory is own
    assert make_trainers_shaper(config(tmp_path, **same), own).memory is own


@pytest.mark.parametrize(
    ("asked", "memory", "said"),
    [
        ({"meds_capacity": 9}, ErrorMemory(capacity=8), "meds_capacity is 9, but .* has 8"),
        ({"meds_half_life": 2.0}, ErrorMemory(half_life=3), "meds_half_life is 2.0, but .* has 3.0"),
        ({"meds_min_cluster_size": 3}, ErrorMemory(), "meds_min_cluster_size is 3, but .* has 2"),
        (
            {"meds_min_cluster_size": 3},
            ErrorMemory(lambda x: np.zeros(len(x), int)),
            "a clustering of its own",
        ),
    ],
)
def test_a_field_that_contradicts_the_memory_handed_in_is_refused(tmp_path, asked, memory, said):
    with pytest.raises(ValueError, match=f"{said}.*keeps its own settings"):
        make_trainers_shaper(config(tmp_path, **asked), memory)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method": "ppo"}, "grpo, grpo-entropy, dapo, meds; got 'ppo'"),
        ({"meds_target": "all"}, "wrong, right, both"),
        ({"meds_noise": "drop"}, "cluster, free"),
        ({"meds_all_wrong": "keep"}, "skip, center, shape"),
        ({"meds_anneal": [0.5]}, r"meds_anneal must be None or two shares of training, .*; got \[0.5\]"),
        ({"fingerprint": "states"}, "layer_logits"),
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
        ({"entropy_advantage": -0.1}, "at least 0"),
        ({"advantage": "gae"}, "advantage must be one of trl, undivided, maxrl, pass_at_k, f_grpo; got 'gae'"),
        ({"advantage_k": 0}, "advantage_k must be a whole number of at least 1"),
        ({"advantage": "pass_at_k", "advantage_k": 9}, r"advantage_k must be at most num_generations \(8\).*got 9"),
        ({"num_generations": 1}, "at least 2"),
        ({"preset": "best"}, "preset must be one of paper, recommended; got 'best'"),
        ({"fingerprint_from": "base"}, "fingerprint_from must be one of policy, reference"),
        ({"meds_capacity": 0}, "meds_capacity must be None or a whole number of at least 1; got 0"),
        ({"meds_capacity": 1.5}, "meds_capacity must be None or a whole number"),
        ({"meds_max_distance": 2.5}, "None or 0 to 2"),
        ({"meds_half_life": 0}, "meds_half_life must be None or a finite number above 0; got 0"),
        ({"meds_half_life": float("nan")}, "meds_half_life"),
        ({"meds_min_cluster_size": 1}, "meds_min_cluster_size must be a whole number of at least 2; got 1"),
        ({"meds_min_cluster_size": None}, "whole number"),
    ],
)
def test_bad_values_say_what_is_allowed(tmp_path, fields, said):
    with pytest.raises(ValueError, match=said):
        config(tmp_path, **fields)
