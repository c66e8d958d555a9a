"""Recipes: every shipped one loads; mistakes are one sentence."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from meds_rl.train.recipe import RecipeError, find_recipe, load_recipe
from meds_rl.train.run import reward_functions

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
# What cannot be had where tests run: bfloat16 on a GPU, vLLM, trackers.
CPU = ["--use_cpu", "true", "--bf16", "false", "--use_vllm", "false", "--report_to", "none"]


def write(tmp_path, text) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_load(path, tmp_path):
    recipe = load_recipe(path, [*CPU, "--output_dir", str(tmp_path / "run")])
    assert recipe.training.method in ("meds", "dapo")
    assert recipe.run.task
    assert recipe.model.model_name_or_path


def test_there_are_recipes():
    assert {"pocket", "smollm2", "qwen3-1.7b", "qwen2.5-math-7b", "qwen3-8b"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("name", ["pocket.yaml", "recipes/pocket.yaml"])
def test_shipped_recipes_are_found_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name).read_bytes() == (RECIPES[0].parent / Path(name).name).read_bytes()


def test_a_recipe_that_is_not_there_names_those_that_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"Shipped recipes: pocket\.yaml, .*smollm2\.yaml\."):
        find_recipe("poket.yaml")


def test_the_line_overrides_the_file(tmp_path):
    path = write(tmp_path, "task: pocket\nmethod: dapo\nlearning_rate: 1e-3\nuse_cpu: true\nbf16: false\n")
    recipe = load_recipe(path, ["--method", "meds", "--meds_alpha", "0.3"])
    assert (recipe.training.method, recipe.training.meds_alpha, recipe.training.learning_rate) == (
        "meds",
        0.3,
        1e-3,
    )
    assert recipe.given["method"] == "meds"


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("task: pocket\nmeds_alfa: 1\n", [], "Unknown field 'meds_alfa'. Did you mean meds_alpha"),
        ("task: pocket\n", ["--learning_rat", "1"], "Did you mean learning_rate"),
        ("method: meds\n", [], "needs a task"),
        ("task: pocket\nlearning_rate: fast\n", [], "invalid float value: 'fast'"),
        ("task: pocket\n", ["--method", "ppo"], "invalid choice: 'ppo'"),
        ("task: pocket\n", ["--lora_target_modules", "q_proj", "v_proj"], "does nothing without use_peft"),
        ("- a\n- b\n", [], "YAML mapping"),
        ("a: [\n", [], "is not YAML"),
        ("task: pocket\ntask_options: '[1]'\n", [], "mapping"),
        ("task: pocket\neval_samples: 4\neval_k: 8\n", [], "eval_k must be in"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, text, overrides, said):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=said):
        load_recipe(path, ["--use_cpu", "true", "--bf16", "false", *overrides])


def test_reward_functions_by_import_path(tmp_path):
    path = write(tmp_path, "task: pocket\nuse_cpu: true\nbf16: false\n")
    task = SimpleNamespace(grade=None)
    named = ["trl.rewards.accuracy_reward", "trl.rewards.think_format_reward"]
    recipe = load_recipe(path, ["--reward_funcs", *named])
    assert [function.__name__ for function in reward_functions(recipe, task)] == [
        "accuracy_reward",
        "think_format_reward",
    ]
    assert [function.__name__ for function in reward_functions(load_recipe(path), task)] == ["accuracy"]
    for wrong in ("trl.rewards.nothing", "no_such_module.f", "f"):
        with pytest.raises(ValueError, match=r"give package\.module\.function"):
            reward_functions(load_recipe(path, ["--reward_funcs", wrong]), task)


def test_no_such_recipe(tmp_path):
    with pytest.raises(RecipeError, match="no recipe at"):
        load_recipe(tmp_path / "none.yaml")
