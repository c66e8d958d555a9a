"""A user's file, which mypy --strict and pyright accept beside the installed wheel (test_wheel.py). It is not run."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from numpy.typing import NDArray
from trl.trainer.grpo_config import GRPOConfig  # to type checkers, `trl` exports nothing
from typing_extensions import assert_type

from meds_rl import ErrorMemory, IncrementalHDBSCAN, MemoryEntry, RepeatedErrorPenalty, RewardShaper, penalty, rollouts
from meds_rl.cli import main
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.engines.trl.batch import Batch, Features
from meds_rl.evaluation import adjusted_rand, pass_at_k
from meds_rl.evaluation.diversity import answer_entropy
from meds_rl.fingerprint import Where, WorkingStates, answer_finder, extract, make_fingerprint
from meds_rl.fingerprint.steps import read_steps
from meds_rl.shaping import group_advantages
from meds_rl.tasks import Task, Verdict
from meds_rl.tasks.pocket import load_pocket_model, pocket_task
from meds_rl.train.recipe import load_recipe
from meds_rl.train.run import train

Floats = NDArray[np.float64]

# ---- The core, as in docs/own-loop.md.

memory = ErrorMemory(capacity=64, half_life=20)
shaper = RewardShaper(alpha=0.1, beta=0.2, memory=memory, all_wrong="center")
shaped = shaper.shape([0.0, 1.0], prompt_ids=["a", "a"], features=np.eye(2), is_correct=[False, True])
assert_type(shaped.rewards, Floats)
assert_type(shaped.explain(0), str)
assert_type(shaped.metrics(), dict[str, float])
assert_type(group_advantages(shaped.rewards, group_size=2), Floats)
assert_type(penalty([0, 1, 2]), Floats)
assert_type(ErrorMemory.load("memory.safetensors"), ErrorMemory)
assert_type(memory.entry("a"), MemoryEntry | None)
memory.save("memory.safetensors")

clusters = IncrementalHDBSCAN(min_cluster_size=2).partial_fit(np.eye(4))
assert_type(clusters, IncrementalHDBSCAN)
assert_type(clusters.labels_, NDArray[np.int64])

watcher = RepeatedErrorPenalty("right", alpha=0.1, fingerprint="steps", folder="runs/mine")
assert_type(watcher(prompts=["6 * 7"], completions=["13"], right=[0]), list[float | None])
assert_type(watcher.memory, ErrorMemory)

# ---- See and measure.

table = rollouts.read("mine.jsonl", {"prompt": "question", "reward": "score"}, answer_pattern="so (.*)")
assert_type(table, pd.DataFrame)
steps = read_steps("what is 7 + 5?", "7 + 5 is 12")
print(steps.name if steps else "none", main(["report", "mine.jsonl"]) + 1)
assert_type(pass_at_k(16, 3, 8), float)
assert_type(adjusted_rand([0, 1], [0, 1]), float)
assert_type(answer_entropy(["38", "38", "17"]), float)

# ---- Parts of one's own, as in docs/seams.md.


def single_cluster(unit_vectors: Floats) -> NDArray[np.int64]:
    return np.zeros(len(unit_vectors), dtype=np.int64)


def square_root(cluster_sizes: NDArray[Any], group_sizes: NDArray[np.int64]) -> Floats:
    return np.asarray(0.1 * np.sqrt(cluster_sizes))


def leave_one_out(rewards: Floats, group_ids: NDArray[np.int64], is_correct: NDArray[np.bool_]) -> Floats:
    sizes = np.bincount(group_ids)[group_ids]
    means = np.bincount(group_ids, rewards)[group_ids] / sizes
    return (rewards - means) * sizes / (sizes - 1)


class MeanState:
    name = "mean_state"
    reads_completion = True

    def layers(self, num_layers: int) -> list[int]:
        return [num_layers // 2]

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        return hidden_size

    def read(self, hidden: torch.Tensor, where: Where, head: Any) -> torch.Tensor:
        mask = where.completion_mask.unsqueeze(-1)
        return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)

    def combine(self, kept: Sequence[torch.Tensor]) -> torch.Tensor:
        return kept[0]


def operators(prompts: list[Any], completions: list[str], answers: list[str | None], **columns: Any) -> Floats:
    return np.array([[text.count(sign) for sign in "+-*"] for text in completions], dtype=np.float64)


RewardShaper(memory=ErrorMemory(clustering=single_cluster), penalty=square_root)
model, tokenizer = load_pocket_model()
answer = answer_finder("boxed")([1, 2, 3], tokenizer)
for fingerprint in (MeanState(), WorkingStates(), make_fingerprint("layer_logits")):
    assert_type(extract(model, fingerprint, [[1]], [[2]], [answer]), NDArray[np.float32])

# ---- Train.


def accuracy(completions: list[str], answer: list[str], **columns: Any) -> list[float]:
    return [float(text == gold) for text, gold in zip(completions, answer)]


def short(completions: list[str], **columns: Any) -> list[float]:
    return [-0.001 * len(text) for text in completions]


args = MEDSConfig(output_dir="runs/mine", method="meds", preset="recommended", meds_recall=4, learning_rate=1e-6)
data = Dataset.from_list([{"prompt": "what is 7 + 5?", "answer": "12"}])
trainer = MEDSTrainer("pocket", [accuracy, short], args, data, correctness=accuracy, fingerprint=MeanState())
trainer.train()
assert_type(trainer.memory, ErrorMemory | None)
MEDSTrainer(model, accuracy, GRPOConfig("runs/other"), data, fingerprint=operators, advantage=leave_one_out)


class ShorterIsBetter(MEDSTrainer):
    def shape(self, batch: Batch, features: Features) -> None:
        super().shape(batch, features)
        batch.shaped_rewards = batch.shaped_rewards - 0.001 * np.array(batch.num_tokens)


def grade(completion: str, row: Any) -> Verdict:
    return Verdict(completion == row["answer"], "wrong")


task = pocket_task(train_hard=8)
Task(name="mine", train=task.train, test=None, grade=grade, answer_marker="boxed")
recipe = load_recipe("recipes/pocket.yaml", ["--output_dir", "run"])
train(recipe, trainer=partial(ShorterIsBetter, penalty=square_root))
