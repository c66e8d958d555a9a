"""The shipped recipes for real models load, and the numbers of the big ones add up to the paper's batches."""

from pathlib import Path

import pytest
import yaml

from meds_rl.tasks import load_task
from meds_rl.tasks.grading import math_grade
from meds_rl.train.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
GPUS = 8
PAPER = {  # model: alpha, beta, completion tokens
    "qwen3-1.7b": (0.1, 0.2, 7168),
    "qwen2.5-math-7b": (0.1, 0.2, 3072),
    "qwen3-8b": (0.02, 0.04, 7168),
}
ON_THIS_MACHINE = ["--bf16", "false", "--use_cpu", "true"]


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_settings(name):
    config = load_recipe(RECIPES / f"{name}.yaml", ON_THIS_MACHINE).training
    alpha, beta, completion = PAPER[name]
    assert (config.meds_alpha, config.meds_beta) == (alpha, beta)
    assert config.max_completion_length == completion
    assert config.vllm_max_model_length == 1024 + completion
    assert (config.learning_rate, config.weight_decay, config.max_grad_norm) == (1e-6, 0.1, 1.0)
    assert (config.temperature, config.top_p, config.top_k) == (1.0, 1.0, 0)
    assert (config.overlong_buffer, config.max_generation_batches) == (512, 10)
    assert (config.epsilon, config.epsilon_high, config.delta, config.beta) == (0.2, 0.28, 10, 0)
    assert config.dynamic_sampling


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_batches_on_eight_gpus(name):
    given = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    on_all_gpus = given["per_device_train_batch_size"] * GPUS
    assert given["generation_batch_size"] == 512 * 16
    assert given["generation_batch_size"] % on_all_gpus == 0  # TRL's check
    assert on_all_gpus * given["gradient_accumulation_steps"] == 16 * 16  # completions per optimiser step
    steps_per_batch = given["generation_batch_size"] // (16 * 16)
    assert given["warmup_steps"] == 10 * steps_per_batch == 320
    assert given["logging_steps"] == steps_per_batch


@pytest.mark.parametrize("name", PAPER)
def test_rivals_are_one_word_away(name):
    """Nothing that the method sets stands in the recipe, or `--method grpo` would train something else."""
    grpo = load_recipe(RECIPES / f"{name}.yaml", [*ON_THIS_MACHINE, "--method", "grpo"]).training
    assert (grpo.epsilon, grpo.epsilon_high, grpo.beta) == (0.2, 0.2, 0.001)
    assert (grpo.overlong_buffer, grpo.dynamic_sampling) == (0, False)


def test_smollm2_is_loaded_and_asks_for_a_box():
    recipe = load_recipe(RECIPES / "smollm2.yaml")
    assert recipe.training.uses_memory
    assert recipe.run.task_options is not None
    task = load_task(recipe.run.task, **recipe.run.task_options)
    assert [message["role"] for message in task.train[0]["prompt"]] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    # The examples are right, and worded as the task words its questions.
    for question, working in recipe.run.task_options["examples"]:
        a, op, b, op2, c = question.removesuffix(" =").split()[-5:]
        total = int(a) + (int(b) if op == "+" else -int(b)) + (int(c) if op2 == "+" else -int(c))
        assert math_grade(working, str(total))
        assert task.train[0]["prompt"][-1]["content"].startswith(question[: question.index(":")])
