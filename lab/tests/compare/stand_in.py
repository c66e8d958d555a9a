"""Stands in for `meds-lab train`: writes the run folder that a recipe asks for, without training anything.

What the recipe's `run_name` says, it does: "fail" fails before it writes anything, "die" leaves a checkpoint and fails
unless it is resumed, "pieces" fails in the middle without a checkpoint the first time, "hang" waits for ever. With
`eval_every` it has an evaluation after each step.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.samples import samples_table, write_samples

STEPS = 3
SECONDS = {"dapo": 2.0, "meds": 3.0}
"""Of a step."""
CHANCE = {"before": 0.2, "dapo": 0.4, "meds": 0.6}
"""Of a right completion."""


def evaluation(folder: Path, when: str, seed: int, chance: float, samples: int) -> None:
    """Four problems; the first seeds' problems are the others' too."""
    rng = np.random.default_rng([seed, int(100 * chance)])
    rows = []
    for problem in range(4):
        for sample in range(samples):
            right = bool(rng.random() < chance)
            rows.append(
                {
                    "benchmark": "pocket",
                    "group": "train hard" if problem < 2 else "test hard",
                    "problem_id": f"p{problem}",
                    "sample": sample,
                    "completion": "x",
                    "answer": "right" if right else str(rng.integers(3)),
                    "is_correct": right,
                    "is_exact": right and sample % 2 == 0,
                }
            )
    write_samples(folder / "evaluation" / f"{when}.parquet", samples_table(rows))
    (folder / "evaluation" / f"{when}.json").write_text("{}")


def main(recipe_path: str, *overrides: str) -> None:
    recipe = yaml.safe_load(Path(recipe_path).read_text())
    folder = Path(recipe["output_dir"])
    wish = recipe.get("run_name")
    print("training", folder.name, *overrides, flush=True)
    if wish == "fail":
        sys.exit("no such luck")
    resumed = "--resume_from_checkpoint" in overrides
    if not resumed:
        names = [name.removeprefix("--") for name in overrides[::2]]
        given = {**recipe, **dict(zip(names, overrides[1::2], strict=True))}
        head = "".join(f"#   {line}\n" for line in yaml.safe_dump(given).splitlines())
        size = recipe["per_device_train_batch_size"]
        resolved = {"generation_batch_size": size, "gradient_accumulation_steps": 1}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text("# Given:\n" + head + yaml.safe_dump({**resolved, **given}))
        RunFolder(folder).write_environment({"num_processes": 1})
        evaluation(folder, "before", recipe["seed"], CHANCE["before"], recipe["eval_samples"])
    if wish == "hang":
        (folder / "hangs").write_text("")
        time.sleep(600)
    if wish == "die" and not resumed:
        (folder / "checkpoint-1").mkdir()
        (folder / "checkpoint-1" / "trainer_state.json").write_text("{}")
        sys.exit("died after a checkpoint")
    mark = folder.with_name("pieces-were-left")
    if wish == "pieces" and not mark.exists():
        mark.write_text("")
        (folder / "checkpoint-1").mkdir()
        (folder / "checkpoint-1" / "trainer_state.json").write_text('{"half')
        sys.exit("died in the middle of a checkpoint")
    seconds = SECONDS[recipe["method"]]
    with RunFolder(folder).metrics_path.open("w") as file:
        for step in range(1, STEPS + 1):
            # The first step warms up.
            row = {"step": step, "step_time": seconds + 100 * (step == 1)}
            file.write(json.dumps({**row, "dynamic_sampling/groups_generated": 4.0}) + "\n")
    for step in range(1, STEPS if recipe.get("eval_every") else 1):
        evaluation(folder, f"step-{step:06d}", recipe["seed"], 0.3, recipe["eval_samples"])
    evaluation(folder, "after", recipe["seed"], CHANCE[recipe["method"]], recipe["eval_samples"])


if __name__ == "__main__":
    main(*sys.argv[1:])
