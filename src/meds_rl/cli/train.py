"""Train a model from a recipe: a YAML file whose fields can be overridden on the line (--field value)."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's path; every other argument overrides one of its fields."""
    parser.add_argument("recipe", metavar="RECIPE.yaml", help="the recipe; see recipes/")
    parser.usage = "meds train RECIPE.yaml [--field value ...]"
    parser.epilog = (
        "Fields are those of MEDSConfig (which has every field of TRL's GRPOConfig), of TRL's ModelConfig, and task, "
        "task_options, reward_funcs, eval_samples, eval_every, eval_k, eval_problems, eval_by, num_threads. "
        "On several GPUs: accelerate launch -m meds_rl train RECIPE.yaml"
    )


def run(args: argparse.Namespace) -> int:
    """Train; print what changed and where everything is."""
    from meds_rl.cli.tables import quieten

    quieten()
    from meds_rl.cli.tables import before_after_table, console
    from meds_rl.train.recipe import load_recipe
    from meds_rl.train.run import train

    recipe = load_recipe(args.recipe, args.overrides)
    result = train(recipe)
    if not result.is_main_process:
        return 0
    if result.before or result.after:
        console().print(before_after_table(recipe.training.method, result.before, result.after))
    console().print(f"The run is in {result.folder}", soft_wrap=True)
    if recipe.training.uses_memory:
        console().print(f"What it remembered: meds inspect {result.folder}", soft_wrap=True)
    console().print(f"What it keeps getting wrong: meds report {result.folder}", soft_wrap=True)
    return 0
