"""Trainer callbacks of `meds train`: a progress bar with the most important figures, and calls every so many steps."""

from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SHOWN = {
    "rewards/accuracy/mean": "accuracy",
    "dynamic_sampling/raw_accuracy": "raw accuracy",
    "meds/share_penalised": "penalised",
    "meds/mean_penalty": "penalty",
    "meds/memory_size": "memory",
    "entropy": "entropy",
}
"""Metrics on the progress bar: name in the log -> name on the bar."""


class ProgressBar(TrainerCallback):
    """A tqdm bar of optimiser steps with the figures of the last log."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc=args.method, unit="step")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if self._bar is not None and logs:
            self._bar.set_postfix({shown: f"{logs[name]:.3g}" for name, shown in SHOWN.items() if name in logs})

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class EverySteps(TrainerCallback):
    """Calls a function with the number of the optimiser step, every so many steps but not at the last one."""

    def __init__(self, steps: int, function: Callable[[int], object]) -> None:
        self._steps, self._function = steps, function

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % self._steps == 0 and state.global_step < state.max_steps:
            self._function(state.global_step)
