"""What all engines share: the table of settings and what is made from it, and that no engine needs another."""

import ast
from pathlib import Path

import pytest

import meds_rl
from meds_rl.engines.settings import (
    MEMORY_SETTINGS,
    METHODS,
    PRESETS,
    SETTINGS,
    check_values,
    default_of,
    make_shaper,
    name_in,
    page,
    settings_of,
    shapes_all_wrong,
)
from meds_rl.memory import HDBSCANClustering

ENGINES = Path(meds_rl.__file__).parent / "engines"


def of_preset(preset="paper", **more):
    return {name: setting.value(preset) for name, setting in settings_of("verl").items()} | more


def test_settings_reach_the_shaper():
    values = of_preset(
        alpha=0.3,
        beta=1.5,
        target="both",
        noise="free",
        all_wrong="center",
        anneal=[0.2, 0.4],
        no_answer="free",
        n_neighbors=5,
        max_distance=0.5,
        min_cluster_size=3,
        cluster_selection_epsilon=0.1,
        capacity=7,
        half_life=9.0,
    )
    shaper = make_shaper(values)
    same = ["alpha", "beta", "target", "noise", "all_wrong", "no_answer", "n_neighbors", "max_distance"]
    for name in same:
        assert getattr(shaper, name) == values[name]
    assert shaper.anneal == (0.2, 0.4)
    memory = shaper.memory
    assert memory.clustering == HDBSCANClustering(min_cluster_size=3, cluster_selection_epsilon=0.1)
    assert (memory.capacity, memory.half_life) == (7, 9.0)
    changed = {name for name in MEMORY_SETTINGS if values[name] != SETTINGS[name].value("paper")}
    assert changed == set(MEMORY_SETTINGS), "every one of them is tried"


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
    assert shapes_all_wrong(of_preset(**more)) is keeps


def test_the_values_of_both_presets_are_allowed():
    for preset in PRESETS:
        check_values("verl", of_preset(preset))
        values = {name: setting.value(preset) for name, setting in settings_of("trl").items()}
        check_values("trl", values)
        differing = {name for name, value in values.items() if value != SETTINGS[name].value("paper")}
        assert differing == (set() if preset == "paper" else set(PRESETS["paper"]))


def test_a_preset_sets_only_what_has_no_default_of_its_own():
    for engine in ("trl", "verl"):
        assert {default_of(engine, name) for name in PRESETS["paper"]} == {None}
    fields = {name_in("trl", name) for name in PRESETS["paper"]}
    assert set(METHODS["dapo"]) - set(METHODS["meds"]) == {"scale_rewards", "entropy_advantage"} <= fields


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"alpha": float("inf")}, r"meds\.alpha must be a finite number of at least 0; got inf"),
        ({"alpha": True}, r"meds\.alpha must be a finite number of at least 0; got True"),
        ({"n_neighbors": 1.5}, r"meds\.n_neighbors must be a whole number of at least 1; got 1.5"),
        ({"capacity": True}, r"meds\.capacity must be None or a whole number of at least 1; got True"),
        ({"fingerprint_width": 0}, r"meds\.fingerprint_width must be None or a whole number of at least 1; got 0"),
        ({"fingerprint_width": -64}, r"meds\.fingerprint_width must be None or a whole number of at least 1; got -64"),
        (
            {"fingerprint_width": True},
            r"meds\.fingerprint_width must be None or a whole number of at least 1; got True",
        ),
        ({"max_distance": 2.5}, r"meds\.max_distance must be None or 0 to 2; got 2.5"),
        ({"anneal": [0.5, 2]}, r"meds\.anneal must be two .* in order"),
        ({"half_life": -1}, r"meds\.half_life must be None or a finite number above 0; got -1"),
        ({"target": "all"}, r"meds\.target must be one of wrong, right, both; got 'all'"),
        ({"entropy_advantage": True}, r"meds\.entropy_advantage must be a finite number of at least 0; got True"),
        ({"correct_above": float("nan")}, r"meds\.correct_above must be None or a finite number; got nan"),
    ],
)
def test_bounds_name_the_setting_as_the_user_writes_it(more, said):
    with pytest.raises(ValueError, match=said):
        check_values("verl", of_preset(**more))


def test_layers_that_a_fingerprint_has_not():
    layers = {"fingerprint_layers": -1, "fingerprint": "pooled_logits"}
    with pytest.raises(ValueError, match=r"=-1 \(all\) is for layer_logits; pooled_logits reads one layer"):
        check_values("trl", layers)
    check_values("trl", {**layers, "fingerprint": "layer_logits"})
    with pytest.raises(ValueError, match=r"must be -1 \(all\) or at least 1; got 0"):
        check_values("trl", {**layers, "fingerprint_layers": 0})


def test_the_page_of_settings_is_made_from_the_table():
    committed = Path(__file__).parents[2] / "docs" / "settings.md"
    assert committed.read_text("utf-8") == page(), "python -m meds_rl.engines.settings > docs/settings.md"


@pytest.mark.parametrize(("engine", "other"), [("trl", "verl"), ("verl", "trl")])
def test_no_engine_needs_another(engine, other):
    for path in (ENGINES / engine).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong = [name for name in names if name.split(".")[:1] == [other] or f"engines.{other}" in name]
            assert not wrong, f"{path} imports {wrong}: an environment may lack {other}"
