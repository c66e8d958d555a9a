"""Train with TRL and a memory of mistakes, on your own data and rewards: python examples/train.py"""

from typing import Any

from datasets import Dataset

from meds_rl.cli import main as meds
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint import extract_answer
from meds_rl.tasks.pocket import checkpoint_path

MODEL = str(checkpoint_path())  # the tiny model in the package; yours: "Qwen/Qwen3-1.7B"
SUMS = {"7 + 3 * 4 - 2": 17, "9 - 2 * 6 + 8": 5, "5 + 8 * 3 - 6": 23, "4 + 6 * 7 - 9": 37}
SUMS |= {"3 * 4 + 7 - 2": 17, "2 * 9 - 5 + 4": 17, "6 * 5 - 8 - 3": 19, "8 + 7 - 3 + 5": 17}
data = Dataset.from_list([{"prompt": f"what is {text}?", "result": str(result)} for text, result in SUMS.items()])


def accuracy(completions: list[str], result: list[str], **columns: Any) -> list[float]:
    return [float(extract_answer(text) == right) for text, right in zip(completions, result)]


def boxed(completions: list[str], **columns: Any) -> list[float]:
    return [0.1 * ("\\boxed{" in text) for text in completions]


args = MEDSConfig(
    output_dir="runs/train",
    learning_rate=1e-3,
    max_steps=12,
    num_generations=8,
    per_device_train_batch_size=64,  # 8 prompts
    max_completion_length=64,
    gradient_checkpointing=False,
    use_cpu=True,  # with a GPU, leave out this line and the next
    bf16=False,
)
# Both functions add to the reward; `correctness` names the one that says what is a mistake.
trainer = MEDSTrainer(MODEL, [accuracy, boxed], args, data, correctness=accuracy)
trainer.train()
meds(["report", "runs/train"])
