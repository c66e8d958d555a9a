"""A training run kept so that memories can be replayed on it: what was said, and the policy that said it.

A recording is a run folder with, beside its rollouts, `policy-000.pt`, ... (the weights before each step),
`tokens.json` (each generation batch's token ids; written last) and `encodings.npz` (fingerprints, see `encode`).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.fingerprint import (
    AnswerPosition,
    AnswerStates,
    Fingerprint,
    Head,
    LayerLogits,
    Where,
    answer_finder,
    extract,
)
from meds_rl.fingerprint.base import num_tokens_read
from meds_rl.rollouts import RunFolder
from meds_rl.tasks import load_task
from meds_rl.tasks.grading import AccuracyReward
from meds_rl.tasks.pocket import load_pocket_model
from meds_rl.tasks.pocket.strategies import STRATEGIES
from meds_rl.train.callbacks import ProgressBar
from meds_rl.train.recipe import load_recipe
from meds_rl.train.run import load_model

ROOT = Path(__file__).parents[1]
FINGERPRINTS: dict[str, Fingerprint] = {"layer_logits": LayerLogits("all"), "answer_states": AnswerStates()}
LOGITS, STATES = FINGERPRINTS.values()
# As published, whatever the recipe comes to say; what a replay changes, it changes itself.
SETTINGS = {
    "method": "meds",
    "preset": "paper",
    "fingerprint": "layer_logits",
    "fingerprint_layers": "-1",
    "eval_samples": "0",
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": "true",
}


class _Recorder(MEDSTrainer):
    """Keeps the token ids of each generation batch and the policy that wrote them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tokens: list[dict[str, Any]] = []

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        generated: tuple[Any, ...] = super()._generate(prompts)
        path = Path(self.args.output_dir) / f"policy-{len(self.tokens):03d}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(self.model.state_dict(), path)
        self.tokens.append({"prompts": generated[0], "completions": generated[1]})
        return generated


class _LogitsAndStates:
    """Both of `FINGERPRINTS` by one forward: the logits of L layers, then the states' 2 d numbers."""

    name = "logits_and_states"
    reads_completion: Literal["answer"] = "answer"

    def layers(self, num_layers: int) -> Sequence[int]:
        return LOGITS.layers(num_layers)

    def num_features(self, num_layers: int, hidden_size: int) -> int:
        return sum(one.num_features(num_layers, hidden_size) for one in (LOGITS, STATES))

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        return torch.cat([one.read(hidden, where, head) for one in (LOGITS, STATES)], dim=1)

    def combine(self, kept: list[Tensor]) -> Tensor:
        states = STATES.combine([one[:, 1:] for one in kept[-2:]])
        return torch.cat([LOGITS.combine([one[:, :1] for one in kept]), states], dim=1)


class _StepClock(TrainerCallback):
    """CPU seconds of each step: other work on the machine does not count."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begin = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.process_time() - self._begin)


def record(folder: Path, seed: int, steps: int, overrides: dict[str, str]) -> None:
    """Train the pocket recipe from base checkpoint `seed` and leave a recording; nothing if it is there already."""
    if (folder / "tokens.json").exists():
        print(f"{folder}: recorded already")
        return
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted recording left
    settings = {
        **SETTINGS,
        "output_dir": str(folder),
        "model_name_or_path": f"pocket:{seed}",
        "max_steps": str(steps),
        **overrides,
    }
    line = [part for name, value in settings.items() for part in (f"--{name}", value)]
    recipe = load_recipe(ROOT / "recipes" / "pocket.yaml", line)
    task = load_task("pocket")
    model, tokenizer = load_model(recipe.model, recipe.training)
    trainer = _Recorder(
        model,
        AccuracyReward(task),
        recipe.training,
        task.train,
        processing_class=tokenizer,
        strategy=task.strategy,
    )
    clock = _StepClock()
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    for callback in (clock, ProgressBar()):
        trainer.add_callback(callback)
    trainer.train()
    # The first steps pay for memory and caches.
    step_seconds = float(np.mean(clock.seconds[min(3, steps - 1) :]))
    recorded = json.dumps({"step_seconds": step_seconds, "batches": trainer.tokens})
    (folder / "tokens.json").write_text(recorded, encoding="utf-8")


@dataclass(frozen=True)
class Completion:
    """One wrong completion with an answer, as it was remembered in training."""

    batch: int
    prompt_id: str
    prompt_ids: list[int]
    completion_ids: list[int]
    position: AnswerPosition
    strategy: str
    answer: str
    text: str


class Recording:
    """What a recording holds, for replays: N remembered completions of B generation batches.

    Attributes:
        completions: N, in the order in which they were remembered.
        batch: (N,) the batch of each.
        strategy: (N,) the planted strategy that its working follows, or "other" or "arithmetic slip".
        is_known: (N,) bool, whether that is one of the planted ones.
        answer: (N,) its answer.
        step_seconds: CPU seconds of a training step, on average.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        recorded = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
        self.num_batches = len(recorded["batches"])
        self.step_seconds: float = recorded["step_seconds"]
        self.completions = list(_completions(folder, recorded["batches"]))
        self.batch = np.array([one.batch for one in self.completions])
        self.strategy = np.array([one.strategy for one in self.completions])
        self.is_known = np.isin(self.strategy, STRATEGIES)
        self.answer = np.array([one.answer for one in self.completions])
        self.prompt = np.array([one.prompt_id for one in self.completions])

    def visits(self, batch: int) -> dict[str, np.ndarray]:
        """Rows (m,) that a batch adds, by prompt."""
        rows = np.flatnonzero(self.batch == batch)
        return {str(name): rows[self.prompt[rows] == name] for name in dict.fromkeys(self.prompt[rows])}

    def tokens(self, kind: str) -> np.ndarray:
        """(N,) tokens that a forward for one of `FINGERPRINTS` runs on."""
        read = FINGERPRINTS[kind]
        return np.array(
            [
                len(c.prompt_ids) + num_tokens_read(read, c.position, len(c.completion_ids))
                for c in self.completions
            ]
        )

    @cached_property
    def encodings(self) -> Encodings:
        """Fingerprints, taken or read at the first use."""
        return encode(self)


def _completions(folder: Path, batches: list[dict[str, Any]]) -> Any:
    """Wrong completions with an answer, those that the memory took."""
    tokenizer, find = load_pocket_model()[1], answer_finder("boxed")
    for number, rows in RunFolder(folder).rollouts().groupby("generation", sort=True):
        tokens = batches[int(number)]
        for place, row in enumerate(rows.itertuples()):
            position = find(tokens["completions"][place], tokenizer)
            if row.memory_id < 0 or row.is_correct or position is None:
                continue
            yield Completion(
                batch=int(number),
                prompt_id=row.prompt_id,
                prompt_ids=tokens["prompts"][place],
                completion_ids=tokens["completions"][place],
                position=position,
                strategy=row.strategy,
                answer=str(row.answer),
                text=row.completion,
            )


@dataclass(frozen=True)
class Encodings:
    """Fingerprints of completions by the policies of the batches at which a memory may want them.

    Attributes:
        place: (B, N) int32 row of `features` that holds completion n by the policy before step b; -1 for none.
        features: by the names of `FINGERPRINTS`, (M, D) float32.
        seconds_per_token: CPU seconds of `extract` for both at once, so a little more than for one.
    """

    place: np.ndarray
    features: dict[str, np.ndarray]
    seconds_per_token: float

    def of(self, kind: str, batch: int, rows: np.ndarray) -> np.ndarray:
        """Fingerprints (m, D) of completions `rows` (m,) by the policy of `batch`."""
        return self.features[kind][self.place[batch, rows]]


def encode(recording: Recording) -> Encodings:
    """Every completion by the base model, and all that is remembered of a prompt by the policy of each visit to it."""
    path = recording.folder / "encodings.npz"
    if not path.exists():
        with path.with_suffix(".part").open("wb") as file:
            np.savez(file, **_encoded(recording))
        path.with_suffix(".part").rename(path)
    stored = np.load(path)
    logits, states = np.split(stored["features"], [int(stored["num_layers"])], axis=1)
    features = {"layer_logits": logits, "answer_states": states}
    return Encodings(stored["place"], features, float(stored["seconds_per_token"]))


def _encoded(recording: Recording) -> dict[str, Any]:
    model = load_pocket_model()[0]
    place = np.full((recording.num_batches, len(recording.completions)), -1, dtype=np.int32)
    parts: list[np.ndarray] = []
    tokens = recording.tokens("answer_states")
    seconds, num_tokens, total = 0.0, 0, 0
    for batch in tqdm(range(recording.num_batches), desc=f"{recording.folder.name}: encode", unit="policy"):
        model.load_state_dict(torch.load(recording.folder / f"policy-{batch:03d}.pt", weights_only=True))
        visited = np.isin(recording.prompt, recording.prompt[recording.batch == batch])
        rows = np.flatnonzero(visited & (recording.batch <= batch)) if batch else np.arange(place.shape[1])
        place[batch, rows] = np.arange(total, total + len(rows))
        total += len(rows)
        chosen = [recording.completions[row] for row in rows]
        prompts, said = [one.prompt_ids for one in chosen], [one.completion_ids for one in chosen]
        begin = time.process_time()
        parts.append(
            extract(
                model, _LogitsAndStates(), prompts, said, [one.position for one in chosen], batch_size=192
            )
        )
        if batch:  # the first call pays for memory and caches
            seconds += time.process_time() - begin
            num_tokens += int(tokens[rows].sum())
    return {
        "place": place,
        "features": np.concatenate(parts),
        "num_layers": model.config.num_hidden_layers,
        "seconds_per_token": seconds / num_tokens,
    }
