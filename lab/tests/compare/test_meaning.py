"""A preset or method that has changed its meaning since a cell was trained."""

from copy import copy
from dataclasses import fields

import pytest
import yaml
from meds_lab.compare.budget import resolve
from meds_lab.compare.grid import GridError
from meds_lab.compare.meaning import (
    changed_meaning,
    differing_meaning,
    fields_set,
    refuse_changed_meaning,
    values_set,
)
from meds_lab.compare.state import refuse_changed

from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.engines.trl.methods import METHODS
from meds_rl.engines.trl.presets import PRESETS


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
        assert changed_meaning(cell, recipe.training) == []
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
    assert PRESETS["recommended"]["meds_beta"] == 2.0
    as_now = {"entropy_advantage": True, "scale_rewards": "none", "meds_anneal": [0.333, 0.666]}
    put(meds, {"meds_beta": 2, **as_now})  # a whole number is the same number
    refuse_changed_meaning(recipes)


def test_a_preset_that_had_no_entropy_advantage_yet_is_refused(recipes):
    (dapo, of_dapo), (meds, of_meds) = recipes.items()
    for cell, recipe in ((dapo, of_dapo), (meds, of_meds)):
        there = resolved(recipe)
        del there["entropy_advantage"]
        put(cell, there)
    assert changed_meaning(dapo, of_dapo.training) == []
    with pytest.raises(GridError, match=r"entropy_advantage was False, it is now True"):
        refuse_changed_meaning(recipes)


def test_a_preset_that_divided_rewards_and_did_not_anneal_yet_is_refused(recipes):
    for cell, recipe in recipes.items():
        there = {**resolved(recipe), "scale_rewards": "group"}  # as TRL's own field said
        del there["meds_anneal"]
        put(cell, there)
    dapo, meds = recipes
    assert changed_meaning(dapo, recipes[dapo].training) == []
    assert changed_meaning(meds, recipes[meds].training) == [
        ("meds_anneal", "[1.0, 1.0]", "[0.333, 0.666]"),
        ("scale_rewards", "'group'", "'none'"),
    ]


def test_what_was_given_is_what_the_cell_was_trained_with(recipes):
    of_meds = list(recipes.values())[1].training
    there = {
        "meds_beta": 2.0,
        "entropy_advantage": True,
    }  # of a version in which a preset did not set the other two
    given = {"scale_rewards": "none", "meds_anneal": [0.333, 0.666]}
    assert differing_meaning(there, of_meds, given) == []
    assert [name for name, *_ in differing_meaning(there, of_meds)] == ["meds_anneal", "scale_rewards"]


def test_a_penalty_that_did_not_end_is_one_that_ends_with_training(recipes):
    of_dapo, of_meds = (recipe.training for recipe in recipes.values())
    constant = copy(of_meds)
    constant.meds_anneal = [1, 1]
    assert differing_meaning({**values_set(vars(of_meds)), "meds_anneal": None}, constant) == []
    assert differing_meaning({"meds_anneal": None}, of_dapo) == []


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
    assert {"beta", "loss_type", "meds_alpha"} <= set(filled)
    does_nothing = set() if METHODS[method].memory else set(PRESETS[preset])
    assert set(filled) - does_nothing <= set(fields_set(method))
    assert set(METHODS[method].settings) <= set(fields_set(method))
