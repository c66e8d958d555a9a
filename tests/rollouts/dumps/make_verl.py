"""Make the fixture of verl: `verl.trainer.main_ppo` on the CPU, with `rollout_data_dir` and `validation_data_dir`.

python tests/rollouts/dumps/make_verl.py lab/checkpoints/stuck-0     # in the environment of `make test-verl`

verl has no text generation on a CPU: the stand-in of tests/engines/verl answers with the completions of `trl/`, which
the policy stuck-0 sampled. Servers, agent loop, rewards (math_dapo), update and the writing are verl's.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd
from transformers import AutoTokenizer

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "engines" / "verl"))

from pocket_run import TEMPLATE, PocketRun  # noqa: E402


def write_inputs(folder: Path, checkpoint: str) -> None:
    shutil.copytree(checkpoint, folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "model")
    files = sorted((HERE / "trl" / "completions").glob("*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in files])
    rows, completions = [], []
    for prompt, group in table.groupby("prompt", sort=False):
        terms = re.fullmatch(r"what is (.*)\?", prompt)[1]
        rows.append(
            {
                "prompt": [{"role": "user", "content": prompt}],
                "data_source": "math_dapo",
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": str(eval(terms))},
                "extra_info": {"index": len(rows)},
            }
        )
        ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in group["completion"]]
        completions.append({"prompt": tokenizer(prompt)["input_ids"], "completions": ids})
    pd.DataFrame(rows).to_parquet(folder / "train.parquet")
    (folder / "completions.json").write_text(json.dumps(completions))


def main() -> None:
    inputs, output = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    write_inputs(inputs, sys.argv[1])
    overrides = [
        "algorithm.adv_estimator=grpo",
        "data.train_batch_size=4",
        "data.max_response_length=96",
        "actor_rollout_ref.rollout.n=8",
    ]
    overrides += [
        "actor_rollout_ref.rollout.val_kwargs.n=8",
        "actor_rollout_ref.actor.optim.lr=0",
        "trainer.test_freq=6",
    ]
    overrides += ["actor_rollout_ref.actor.strategy=fsdp2", "actor_rollout_ref.ref.strategy=fsdp2"]
    overrides += ["trainer.total_training_steps=6"]
    overrides += [f"trainer.validation_data_dir={output}/validation"]
    run = PocketRun(inputs, output, overrides, environment={"MEDS_TEST_STRIDE": "8"}, module="verl.trainer.main_ppo")
    result = run.start()
    if result.returncode:
        raise SystemExit(result.stdout[-5000:] + result.stderr[-5000:])
    for source, name in (("dumps", "rollouts"), ("validation", "validation")):
        target = HERE / "verl" / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(output / source, target)


if __name__ == "__main__":
    main()
