"""What all engines share: settings, presets, their checks, and that no engine needs another."""

import ast
from pathlib import Path

import pytest

import meds_rl
from meds_rl.engines.settings import (
    PRESETS,
    SETTINGS,
    MemorySettings,
    check_choices,
    check_layers,
    check_memory_bounds,
    make_shaper,
)
from meds_rl.shaping.clusterings import ExactClustering

ENGINES = Path(meds_rl.__file__).parent / "engines"


def of_preset(name="paper", **more):
    preset = {key: value for key, value in PRESETS[name].items() if key in SETTINGS}
    return MemorySettings(**(preset | more))


def test_settings_reach_the_shaper():
    settings = of_preset(
        alpha=0.3,
        beta=1.5,
        target="both",
        noise="free",
        all_wrong="center",
        mixed="remember",
        anneal=[0.2, 0.4],
        no_answer="free",
        n_neighbors=5,
        max_distance=0.5,
        scope="global",
        penalty_form="share",
        clustering="exact",
        capacity=7,
        total_capacity=70,
        drop_first="largest",
        half_life=9.0,
    )
    shaper = make_shaper(settings)
    same = [
        "alpha",
        "beta",
        "target",
        "noise",
        "all_wrong",
        "mixed",
        "no_answer",
        "n_neighbors",
        "max_distance",
    ]
    for name in same:
        assert shaper.__dict__[name] == settings.__dict__[name]
    assert (shaper.scope, shaper.penalty_form, shaper.anneal) == ("global", "share", (0.2, 0.4))
    memory = shaper.memory
    assert memory.clustering == ExactClustering()
    assert (memory.capacity, memory.total_capacity, memory.drop_first, memory.half_life) == (
        7,
        70,
        "largest",
        9.0,
    )


@pytest.mark.parametrize(
    ("more", "keeps"),
    [
        ({}, False),
        ({"all_wrong": "center"}, True),
        ({"all_wrong": "shape", "target": "both"}, True),
        ({"all_wrong": "shape", "target": "right"}, False),
    ],
)
def test_whether_groups_without_a_right_answer_teach(more, keeps):
    assert of_preset(**more).shapes_all_wrong is keeps


def test_all_presets_set_the_same_and_stand_the_checks():
    for name, preset in PRESETS.items():
        assert preset.keys() == PRESETS["paper"].keys()
        values = of_preset(name).__dict__
        check_choices(MemorySettings, values, prefix="meds.")
        check_memory_bounds(values, prefix="meds.")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"alpha": float("inf")}, r"any\.alpha must be a finite number of at least 0; got inf"),
        ({"num_clusters": 0}, r"any\.num_clusters must be a finite number of at least 1; got 0"),
        (
            {"total_capacity": True},
            r"any\.total_capacity must be None or a whole number of at least 1; got True",
        ),
        ({"cluster_distance": 0}, r"any\.cluster_distance must be above 0"),
        ({"anneal": [0.5, 2]}, r"any\.anneal must be two shares of training in order"),
        ({"half_life": -1}, r"any\.half_life must be None or a finite number above 0; got -1"),
    ],
)
def test_bounds_name_the_setting_as_the_user_wrote_it(more, said):
    with pytest.raises(ValueError, match=said):
        check_memory_bounds(of_preset().__dict__ | more, prefix="any.")


def test_layers_that_a_fingerprint_has_not():
    with pytest.raises(ValueError, match=r"x=-1 \(all\) is for layer_logits; pooled_logits reads one layer"):
        check_layers("x", -1, "pooled_logits")
    check_layers("x", -1, "layer_logits")


@pytest.mark.parametrize(("engine", "other"), [("trl", "verl"), ("verl", "trl")])
def test_no_engine_needs_another(engine, other):
    for path in (ENGINES / engine).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong = [name for name in names if name.split(".")[:1] == [other] or f"engines.{other}" in name]
            assert not wrong, f"{path} imports {wrong}: {engine} and {other} cannot be installed together"
