"""A preset or method that has changed its meaning since a cell was trained."""

from dataclasses import fields

import pytest
import yaml

from meds_lab.compare.checks import resolve
from meds_lab.compare.grid import GridError
from meds_lab.compare.state import (
    differing_meaning,
    fields_set,
    refuse_changed,
    refuse_changed_meaning,
)
from meds_rl.engines.settings import METHODS, PRESETS, name_in
from meds_rl.engines.trl.config import MEDSConfig


def put(cell, resolved):
    """A run folder as a training leaves it: what was given at the head, then every resolved field."""
    head = "".join(f"#   {line}\n" for line in yaml.safe_dump(dict(cell.fields)).splitlines())
    cell.folder.mkdir(parents=True, exist_ok=True)
    (cell.folder / "recipe.yaml").write_text(f"# Given:\n{head}{yaml.safe_dump(resolved)}")
    cell.write_recipe()


@pytest.fixture
def recipes(make):
    methods = {"dapo": {"method": "dapo"}, "meds": {"method": "meds", "preset": "recommended"}}
    return resolve(make(methods=methods, seeds=1)[1])


def resolved(recipe):
    """Every field that a file can hold."""
    values = {field.name: recipe.training.__dict__[field.name] for field in fields(MEDSConfig)}
    plain = (str, int, float, bool, list, type(None))
    return {name: value for name, value in values.items() if type(value) in plain}


def test_the_same_values_pass(recipes):
    for cell, recipe in recipes.items():
        put(cell, resolved(recipe))
        assert differing_meaning(resolved(recipe), recipe.training) == []
    refuse_changed(recipes)
    refuse_changed_meaning(recipes)


def test_a_preset_that_meant_something_else_is_refused(recipes):
    for cell, recipe in recipes.items():
        put(cell, {**resolved(recipe), "meds_beta": 0.2, "fingerprint": "answer_states"})
    refuse_changed(recipes)  # what was given is the same
    with pytest.raises(
        GridError,
        match=r"meds was trained.*fingerprint was 'answer_states', it is now 'working_states'; meds_beta was 0\.2, "
        r"it is now 2\.0\.",
    ):
        refuse_changed_meaning(recipes)


def test_a_method_that_meant_something_else_is_refused(recipes):
    (dapo, recipe), _ = recipes.items()
    put(dapo, {**resolved(recipe), "delta": None})
    with pytest.raises(GridError, match=r"delta was None, it is now 10\.0"):
        refuse_changed_meaning(recipes)


def test_what_does_nothing_or_was_not_there_is_passed_over(recipes):
    (dapo, of_dapo), (meds, _) = recipes.items()
    put(dapo, {**resolved(of_dapo), "meds_beta": 7.0})
    assert PRESETS["recommended"]["beta"] == 2.0
    as_now = {"entropy_advantage": 0.4, "scale_rewards": "none", "meds_anneal": [0.333, 0.666]}
    put(meds, {"meds_beta": 2, **as_now})  # a whole number is the same number
    refuse_changed_meaning(recipes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_field_that_is_set_is_looked_at(tmp_path, method, preset):
    config = MEDSConfig(method=method, preset=preset, output_dir=str(tmp_path), use_cpu=True, bf16=False)
    filled = [
        field.name
        for field in fields(MEDSConfig)
        if field.name in MEDSConfig.__annotations__
        and field.default is None
        and config.__dict__[field.name] is not None
    ]
    assert {"beta", "loss_type", "meds_beta"} <= set(filled)
    by_preset = {name_in("trl", name) for name in PRESETS[preset]}
    does_nothing = set() if method in ("trl", "meds") else by_preset - METHODS[method].keys()
    assert set(filled) - does_nothing <= set(fields_set(method))
    assert METHODS[method].keys() <= set(fields_set(method))
