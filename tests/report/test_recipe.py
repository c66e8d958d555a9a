"""Which runs are repetitions of one variant, and what runs are called."""

from pathlib import Path

from meds_rl.report.recipe import Recipe, read_recipe, run_names, variants

from .runs import RIGHT, write_run


def recipe(given=(), **fields):
    return Recipe({"method": "meds", "seed": 0, "task": "t", "model_name_or_path": "m", **fields}, list(given))


def test_seeds_are_repetitions_and_given_settings_are_variants():
    runs = [
        recipe(["seed"], seed=0, meds_alpha=0.1, output_dir="a"),
        recipe(["seed", "output_dir"], seed=1, meds_alpha=0.1, output_dir="b"),
        recipe(["meds_alpha"], seed=1, meds_alpha=0.2),
        recipe(["method"], method="dapo", meds_alpha=0.3),
    ]
    assert variants(runs) == ["meds, alpha 0.1", "meds, alpha 0.1", "meds, alpha 0.2", "dapo"]
    assert run_names(runs, [Path(name) for name in "wxyz"]) == [
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
    assert run_names(runs, [Path("1"), Path("2")]) == ["meds, model a, seed 0", "meds, model b, seed 0"]


def test_runs_that_would_be_called_the_same_are_told_apart_by_their_folders():
    def named(*paths):
        return run_names([recipe()] * len(paths), [Path(path) for path in paths])

    assert named("x", "y") == ["meds, seed 0 (x)", "meds, seed 0 (y)"]
    # Folders of the same name: as much more of the path as it takes.
    assert named("/r/a/run", "/r/b/run") == ["meds, seed 0 (a/run)", "meds, seed 0 (b/run)"]
    assert named("/a/1/run", "/b/1/run", "/b/2/run") == [
        f"meds, seed 0 ({end})" for end in ("a/1/run", "b/1/run", "b/2/run")
    ]
    assert named("/r/run", "/run") == ["meds, seed 0 (r/run)", "meds, seed 0 (/run)"]
    # The same folder twice.
    assert named("/r/run", "/r/run") == ["meds, seed 0 (run) [1]", "meds, seed 0 (run) [2]"]


def test_runs_without_a_recipe_are_called_by_their_folders(tmp_path):
    folders = [tmp_path / "a" / "rollouts", tmp_path / "b" / "rollouts", tmp_path / "dump"]
    recipes = [read_recipe(folder) for folder in folders]
    assert variants(recipes) == ["rollouts (a/rollouts)", "rollouts (b/rollouts)", "dump"]
    assert run_names(recipes, folders) == ["rollouts (a/rollouts)", "rollouts (b/rollouts)", "dump"]
    assert variants([recipe(), recipes[2]]) == ["meds", "dump"]
    # A reward function writes its settings and no method.
    rewarded = [Recipe({"meds_alpha": alpha}, [], folder=tmp_path / f"alpha-{alpha}") for alpha in (0.1, 0.2)]
    assert variants(rewarded) == ["alpha-0.1", "alpha-0.2"]


def test_a_recipe_without_a_method_is_called_by_its_folder(tmp_path):
    """That of a `RepeatedErrorPenalty` names none."""
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text('{"meds_alpha": 0.1, "num_generations": 8}')
    recipes = [read_recipe(tmp_path / name) for name in ("mine", "other")]
    assert variants([*recipes, recipe()]) == ["mine", "other", "meds"]
    assert (recipes[0].method, recipes[0].group_size) == ("mine", 8)


def test_a_recipe_is_read_with_what_was_given(tmp_path):
    write_run(tmp_path, [[("p", "1", RIGHT)]], fields={"meds_alpha": 0.3}, given=["method", "meds_alpha"])
    found = read_recipe(tmp_path)
    assert list(found.given) == ["method", "meds_alpha"]
    assert (found.method, found.seed, found.max_steps, found.group_size) == ("meds", 0, 1, 4)
    assert found.number("meds_alpha") == 0.3


def test_a_lost_or_damaged_recipe_is_empty(tmp_path):
    lost = read_recipe(tmp_path)
    assert (lost.method, lost.damage) == (tmp_path.name, "")
    path = tmp_path / "recipe.yaml"
    for text in (
        b"a: [",
        b"- 1\n- 2\n",
        b"",
        b"a: \xff",
        b"a: 2024-99-99",
        b"[" * 5000,
        b"a: " + b"1" * 5000,
    ):
        path.write_bytes(text)
        damaged = read_recipe(tmp_path)
        assert dict(damaged.fields) == {}
        assert damaged.damage.startswith(str(path))


def test_fields_that_are_no_numbers_are_none():
    found = recipe(seed=True, max_steps=-1, num_generations=0, eval_k=-3, eval_samples="8", meds_alpha=10**400)
    numbers = (found.seed, found.max_steps, found.group_size, found.eval_k, found.number("meds_alpha"))
    assert numbers == (None,) * 5
    assert recipe(a=float("inf")).number("a") is None
