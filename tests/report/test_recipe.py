"""Which runs are repetitions of one variant, and what runs are called."""

from meds_rl.report.recipe import Recipe, read_recipe, run_names, variants

from .runs import RIGHT, write_run


def recipe(given=(), **fields):
    return Recipe(
        {"method": "meds", "seed": 0, "task": "t", "model_name_or_path": "m", **fields}, list(given)
    )


def test_seeds_are_repetitions_and_given_settings_are_variants():
    runs = [
        recipe(["seed"], seed=0, meds_alpha=0.1, output_dir="a"),
        recipe(["seed", "output_dir"], seed=1, meds_alpha=0.1, output_dir="b"),
        recipe(["meds_alpha"], seed=1, meds_alpha=0.2),
        recipe(["method"], method="dapo", meds_alpha=0.3),
    ]
    assert variants(runs) == ["meds, alpha 0.1", "meds, alpha 0.1", "meds, alpha 0.2", "dapo"]
    assert run_names(runs, list("wxyz")) == [
        "meds, alpha 0.1, seed 0",
        "meds, alpha 0.1, seed 1",
        "meds, alpha 0.2, seed 1",
        "dapo, seed 0",
    ]


def test_a_resolved_field_that_nobody_gave_is_no_variant():
    assert variants([recipe(hub_token="a"), recipe(hub_token="b")]) == ["meds", "meds"]


def test_models_and_tasks_are_paired_by_and_no_variants_but_named():
    runs = [recipe(["model_name_or_path"], model_name_or_path=name) for name in "ab"]
    assert variants(runs) == ["meds", "meds"]
    assert run_names(runs, ["1", "2"]) == ["meds, model a, seed 0", "meds, model b, seed 0"]


def test_runs_that_would_be_called_the_same_are_told_apart_by_their_folders():
    assert run_names([recipe(), recipe()], ["x", "y"]) == ["meds, seed 0 (x)", "meds, seed 0 (y)"]


def test_a_recipe_is_read_with_what_was_given(tmp_path):
    write_run(tmp_path, [[("p", "1", RIGHT)]], fields={"meds_alpha": 0.3}, given=["method", "meds_alpha"])
    found = read_recipe(tmp_path)
    assert list(found.given) == ["method", "meds_alpha"]
    assert (found.method, found.seed, found.max_steps, found.group_size) == ("meds", 0, 1, 4)
    assert found.number("meds_alpha") == 0.3


def test_a_lost_or_damaged_recipe_is_empty(tmp_path):
    assert read_recipe(tmp_path).method == "run"
    for text in ("a: [", "- 1\n- 2\n", ""):
        (tmp_path / "recipe.yaml").write_text(text)
        assert dict(read_recipe(tmp_path).fields) == {}
