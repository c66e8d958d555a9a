"""Make the fixtures of TRL: GRPOTrainer with `log_completions=True` on a pocket policy that makes real errors.

python tests/rollouts/dumps/make_trl.py lab/checkpoints/stuck-0

`trl/` has plain prompts and a learning rate of 0: the policy and its errors stay as they are. `trl_chat/` has
conversations, a column of `log_extra` and a learning rate above 0.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from meds_rl.tasks.pocket import grade, pocket_task

HERE = Path(__file__).parent
# The pocket model knows no roles: its template writes the contents only.
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def text_of(completion) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"]


def accuracy_reward(completions, answer, **_):
    """1 for a right final answer."""
    return [float(grade(text_of(c), {"answer": a})) for c, a in zip(completions, answer, strict=True)]


def format_reward(completions, **_):
    """0.1 for a boxed answer."""
    return [0.1 * ("\\boxed{" in text_of(c)) for c in completions]


def logging_format_reward(completions, log_extra, **_):
    """`format_reward`, and a column with the number of characters."""
    log_extra("length", [len(text_of(c)) for c in completions])
    return format_reward(completions)


def problems(prompts: int, *, chat: bool) -> Dataset:
    rows = pocket_task(train_hard=prompts * 3 // 4, train_easy=prompts // 4, test_hard=0, test_easy=0).train
    rows = rows.select_columns(["prompt", "answer"])
    if chat:
        rows = rows.map(lambda row: {"prompt": [{"role": "user", "content": row["prompt"]}]})
    return rows


def train(checkpoint: str, *, steps: int, prompts: int, chat: bool, learning_rate: float) -> list[Path]:
    output = Path(tempfile.mkdtemp())
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, padding_side="left")
    tokenizer.chat_template = TEMPLATE
    arguments = GRPOConfig(
        output_dir=str(output),
        log_completions=True,
        logging_steps=1,
        max_steps=steps,
        learning_rate=learning_rate,
        lr_scheduler_type="constant",
        num_generations=8,
        per_device_train_batch_size=8 * prompts,
        max_completion_length=96,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        seed=1,
    )
    rewards = [accuracy_reward, logging_format_reward if chat else format_reward]
    trainer = GRPOTrainer(
        checkpoint, rewards, arguments, train_dataset=problems(prompts, chat=chat), processing_class=tokenizer
    )
    trainer.train()
    return sorted((output / "completions").glob("*.parquet"))


def main() -> None:
    checkpoint = sys.argv[1]
    for name, settings in {
        "trl": {"steps": 6, "prompts": 8, "chat": False, "learning_rate": 0.0},
        "trl_chat": {"steps": 6, "prompts": 4, "chat": True, "learning_rate": 2e-3},
    }.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name / "completions").mkdir(parents=True)
        for path in train(checkpoint, **settings):
            shutil.copy(path, HERE / name / "completions")


if __name__ == "__main__":
    main()
