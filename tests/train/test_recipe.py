"""Recipes: every shipped one loads; mistakes are one sentence."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from trl.rewards import accuracy_reward

from meds_rl.tasks import Task, load_task
from meds_rl.train.recipe import _BOUNDS, RecipeError, field_names, find_recipe, load_recipe
from meds_rl.train.run import _correctness, _graded_as_trained, _make_trainer, _recipe_text, reward_functions, train

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
    with pytest.raises(RecipeError, match=r"Shipped recipes: code\.yaml, pocket\.yaml, .*smollm2\.yaml\."):
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
        ("a: [\n", [], "cannot be read"),
        ("task: pocket\ntask_options: '[1]'\n", [], "mapping"),
        ("task: pocket\neval_samples: 4\neval_k: 8\n", [], "eval_k must be in"),
        ("task: pocket\n", ["--temperature", "0"], r"temperature must be more than 0 and finite; got 0\.0"),
        ("task: pocket\n", ["--max_steps", "1.5"], "invalid int value: '1.5'"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, text, overrides, said):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=said):
        load_recipe(path, ["--use_cpu", "true", "--bf16", "false", *overrides])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("learning_rate: {a: 1}", "learning_rate must be a number; got {'a': 1}."),
        ("learning_rate: .nan", "learning_rate must be at least 0 and finite; got nan."),
        ("learning_rate: true", "learning_rate must be a number; got True."),
        ("learning_rate: null", "learning_rate must be a number; got None."),
        ("max_steps: 1.5", "max_steps must be a whole number; got 1.5."),
        ("max_steps: true", "max_steps must be a whole number; got True."),
        ("max_steps: 0", "max_steps must be -1 or at least 1; got 0."),
        ("temperature: 0", "temperature must be more than 0 and finite; got 0."),
        ("logging_steps: .inf", "logging_steps must be more than 0 and finite; got inf."),
        ("num_threads: 1.5", "num_threads must be a whole number or null; got 1.5."),
        ("num_threads: 0", "num_threads must be at least 1; got 0."),
        ("eval_samples: -1", "eval_samples must be at least 0 and finite; got -1."),
        (f"seed: {10**30}", f"seed must be in 0..4294967295; got {10**30}."),
        (f"top_k: {10**30}", f"top_k must be a number below 2**63; got {10**30}."),
        ("num_generations: 1", "num_generations must be at least 2; got 1."),
        ("dynamic_sampling: ['x']", "dynamic_sampling must be true or false or null; got ['x']."),
        ("reward_weights: 1", "reward_weights must be a list, each a number or null; got 1."),
        ("save_strategy: no", "save_strategy must be text; got False."),
        ("fingerprint_from: a", "fingerprint_from must be one of 'policy', 'reference'; got 'a'."),
        ("vllm_server_timeout: .inf", "vllm_server_timeout must be finite; got inf."),
        ("reward_weights: [1, .nan]", "reward_weights must be finite; got [1, nan]."),
        ("model_init_kwargs: '1'", "model_init_kwargs must be a mapping; got '1'."),
        (
            "accelerator_config: no-such-file",
            "accelerator_config must be a mapping, or a JSON file; got 'no-such-file'.",
        ),
        ('run_name: "\\ud800"', "run_name must be text without NUL and without half characters; got '\\ud800'."),
        ('run_name: "a\\0"', "run_name must be text without NUL and without half characters; got 'a\\x00'."),
        (f"task_options: '{'[' * 9_000}'", f"task_options must be a mapping; got '{'[' * 12}...{'[' * 13}'."),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_one_sentence(tmp_path, line, said):
    path = write(tmp_path, f"task: pocket\nuse_cpu: true\nbf16: false\n{line}\n")
    with pytest.raises(RecipeError) as raised:
        load_recipe(path)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: !!int ''", "IndexError"),
        ("seed: !!bool x", "KeyError"),
        (f"task_options: {'[' * 5_000}{']' * 5_000}", "line 1 is nested more than 32 levels deep"),
        ("a: &a [x, x]\nb: &b [*a, *a]\ntask: *b", r"line 2 has an alias \(\*a\): write the value out"),
    ],
)
def test_hostile_yaml_is_one_sentence(tmp_path, text, said):
    with pytest.raises(RecipeError, match=rf"recipe\.yaml cannot be read: .*{said}"):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("learning_rate: 1e-5", 1e-5),
        ("learning_rate: 1", 1),
        ("max_steps: '5'", 5),
        ("disable_tqdm: 'true'", True),
        ("scale_rewards: false", "none"),
        ("meds_anneal: [0.2, 1]", [0.2, 1]),
        ("reward_funcs: a.b", ["a.b"]),
        ("reward_funcs: [a.b, c.d]", ["a.b", "c.d"]),
        ("correctness: accuracy_reward", ["accuracy_reward"]),
        ("report_to: [wandb]", ["wandb"]),
        ("run_name: 2024", "2024"),
        ("lr_scheduler_type: cosine", "cosine"),
        ("model_init_kwargs: {a: {b: 1}}", {"a": {"b": 1}}),
        ("model_init_kwargs: '{\"a\": 1}'", {"a": 1}),
        ("task_options: '{\"a\": 1}'", {"a": 1}),
        ("generation_kwargs: {a: 1}", {"a": 1}),
        ("fingerprint_layers: null", None),
    ],
)
def test_what_the_parser_takes_stays_allowed(tmp_path, line, read):
    name = line.partition(":")[0]
    recipe = load_recipe(write(tmp_path, f"task: pocket\nuse_cpu: true\n{line}\n"), ["--bf16", "false"])
    assert {**vars(recipe.run), **vars(recipe.model), **vars(recipe.training)}[name] == read


def test_a_text_for_a_list_of_texts_is_a_list_of_one(tmp_path):
    recipe = load_recipe(
        write(tmp_path, "task: pocket\nuse_cpu: true\nbf16: false\nlabel_names: x\ninclude_for_metrics: y\n")
    )
    assert (recipe.training.label_names, recipe.training.include_for_metrics) == (["x"], ["y"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("log_level_replica: loud", "log_level_replica must be one of detail, debug"),
        ("eval_strategy: adamw", "eval_strategy"),
        ("pad_to_multiple_of: four", "pad_to_multiple_of"),
        ("disable_tqdm: " + "x" * 70_000, "disable_tqdm.* … "),
    ],
)
def test_errors_of_trl_name_the_field_and_are_short(tmp_path, line, said):
    with pytest.raises(RecipeError, match=said) as raised:
        load_recipe(write(tmp_path, f"task: pocket\nuse_cpu: true\nbf16: false\n{line}\n"))
    assert len(str(raised.value)) < 1200


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["--loss_type", "grpo", "dapo"], r"loss_type takes one value; got \['grpo', 'dapo'\]"),
        (["stray", "--seed", "1"], "'stray' belongs to no field"),
        (["-h"], "'-h' belongs to no field"),
    ],
)
def test_stray_words_on_the_line_are_refused(tmp_path, overrides, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe(write(tmp_path, "task: pocket\n"), overrides)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["--output_dir", "file/run"], r"output_dir: file/run cannot be made or written to: .*file is no folder"),
        (["--output_dir", "x" * 300], "output_dir: .*File name too long"),
        (["--output_dir", "loop"], "The run folder loop exists"),
        (["--eval_before_from", "x" * 300], "eval_before_from: .*File name too long"),
        (["--task", "os.no_such"], "task: The function 'os.no_such' cannot be imported"),
        (["--task", "..x.y"], r"task: The function '\.\.x\.y' cannot be imported"),
        (["--task", "builtins.dict"], "task 'builtins.dict': no signature"),
        (["--task", "os.system"], "task 'os.system' needs the option 'command'"),
        (["--task_options", '{"train_hard": 1.5}'], "the option 'train_hard' of task 'pocket' must be int; got 1.5"),
        (["--reward_funcs", "cosine"], "reward_funcs: The function 'cosine' cannot be imported"),
    ],
)
def test_what_cannot_work_is_refused_by_name_and_leaves_nothing(tmp_path, monkeypatch, overrides, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    recipe = load_recipe("pocket.yaml", ["--output_dir", "run", *overrides])
    with pytest.raises((ValueError, OSError), match=said):
        train(recipe)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "loop"}


def test_a_trainer_that_refuses_leaves_no_empty_folder(tmp_path):
    def refuses(*_, **__):
        (tmp_path / "run").mkdir()  # as the Trainer of transformers does
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        train(load_recipe("pocket.yaml", ["--output_dir", str(tmp_path / "run")]), trainer=refuses)
    assert not (tmp_path / "run").exists()


def test_every_bound_is_of_a_field():
    names = [name for _, names in _BOUNDS.values() for name in names.split()]
    assert set(names) <= set(field_names())
    assert len(names) == len(set(names))


def test_reward_functions_by_import_path(tmp_path):
    path = write(tmp_path, "task: pocket\nuse_cpu: true\nbf16: false\n")
    task = Task("t", None, None, grade=None)
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


def test_correctness_by_name_and_import_path(tmp_path):
    path = write(tmp_path, "task: pocket\nuse_cpu: true\nbf16: false\n")
    given = ["accuracy_reward", "trl.rewards.accuracy_reward"]
    recipe = load_recipe(path, ["--correctness", *given])
    assert _correctness(recipe, [accuracy_reward]) == [accuracy_reward, accuracy_reward]
    assert _correctness(recipe, []) == ["accuracy_reward", accuracy_reward], "MEDSTrainer refuses the name"
    assert _correctness(load_recipe(path), []) is None
    with pytest.raises(ValueError, match=r"'trl\.rewards\.none' cannot be imported"):
        _correctness(load_recipe(path, ["--correctness", "trl.rewards.none"]), [])


def test_a_tasks_own_answer_finder_is_the_trainers(tmp_path):
    path = write(tmp_path, "task: pocket\nmodel_name_or_path: pocket\nuse_cpu: true\nbf16: false\n")

    def make(*_, **given):
        return Mock(finder=given.get("answer_finder"))

    task = load_task("pocket")
    assert _make_trainer(load_recipe(path), replace(task, answer_finder=str.strip), make).finder is str.strip
    assert _make_trainer(load_recipe(path), task, make).finder is None


def test_evaluations_are_graded_by_what_the_recipe_calls_right(tmp_path):
    path = write(tmp_path, "task: pocket\nuse_cpu: true\nbf16: false\n")
    task = load_task("pocket")
    row = task.train[0]
    graded = _graded_as_trained(load_recipe(path, ["--correctness", f"{__name__}.says_yes"]), task)
    assert graded.grade("yes", row)
    assert not graded.grade("no", row)
    assert not graded.grade("no grade", row)
    assert _graded_as_trained(load_recipe(path, ["--correctness", "accuracy"]), task) is task
    chat = {**row, "prompt": [{"role": "user", "content": "?"}]}
    assert graded.grade("yes", chat)


def says_yes(completions, **_):
    texts = [one if isinstance(one, str) else one[0]["content"] for one in completions]
    return [None if text == "no grade" else float(text == "yes") for text in texts]


def test_null_on_the_command_line_is_none(tmp_path):
    text = "task: pocket\nuse_cpu: true\nbf16: false\nmethod: dapo\neval_by: difficulty\n"
    recipe = load_recipe(write(tmp_path, text), ["--eval_by", "null", "--epsilon_high=null", "--delta", "null"])
    assert (recipe.run.eval_by, recipe.training.epsilon_high, recipe.training.delta) == (None, None, None)
    with pytest.raises(RecipeError, match="max_steps must be"):
        load_recipe(write(tmp_path, text), ["--max_steps", "null"])


def test_no_such_recipe(tmp_path):
    with pytest.raises(RecipeError, match="no recipe at"):
        load_recipe(tmp_path / "none.yaml")


def test_the_recipe_that_a_run_writes_can_be_run_again(tmp_path):
    recipe = load_recipe("pocket.yaml", CPU)
    again = load_recipe(write(tmp_path, _recipe_text(recipe)))
    assert again.training.to_dict() == recipe.training.to_dict()


def test_a_preset_that_the_recipe_overrides(caplog):
    machine = ["--use_cpu", "true", "--bf16", "false"]
    load_recipe("qwen3-8b.yaml", [*machine, "--preset", "recommended"])
    (warning,) = caplog.messages
    assert warning.startswith("--preset recommended does not change what the recipe sets itself: ")
    assert "fingerprint: layer_logits" in warning
    assert warning.endswith("Delete these lines for the preset's values.")
    caplog.clear()
    load_recipe("pocket.yaml", ["--preset", "recommended"])
    load_recipe("qwen3-8b.yaml", machine)
    assert not caplog.messages
