"""Random batches that look like training: a few prompts, each with a few errors that come back with variation."""

from typing import Any, NamedTuple

import numpy as np


class Batch(NamedTuple):
    rewards: np.ndarray
    prompt_ids: list[Any]
    features: np.ndarray
    is_correct: np.ndarray

    def keywords(self) -> dict[str, Any]:
        return {"prompt_ids": self.prompt_ids, "features": self.features, "is_correct": self.is_correct}


PROMPTS: tuple[Any, ...] = ("a", "b", 1, "1", 2)


def stream(seed: int, *, n_batches: int = 30, n_features: int = 6, group_size: int = 5) -> list[Batch]:
    """Batches of 2 to 4 prompts: mixed, all-right and all-wrong groups, rows without an answer, repeated rows."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(len(PROMPTS), 4, n_features))
    return [_batch(rng, errors, group_size) for _ in range(n_batches)]


def _batch(rng: np.random.Generator, errors: np.ndarray, group_size: int) -> Batch:
    chosen = rng.choice(len(PROMPTS), size=rng.integers(2, 5), replace=False)
    prompts = rng.permutation(np.repeat(chosen, group_size))
    spread = rng.choice([0.02, 0.3, 1.0], size=(len(prompts), 1))
    centres = errors[prompts, rng.integers(errors.shape[1], size=len(prompts))]
    features = (centres + spread * rng.normal(size=centres.shape)).astype(np.float32)
    features[-1] = errors[prompts[-1], 0]  # the same vector to the last bit, again and again
    features[rng.random(len(prompts)) < 0.15] = np.nan
    share_right = rng.choice([0.0, 0.4, 1.0], size=len(PROMPTS), p=[0.2, 0.6, 0.2])
    is_correct = rng.random(len(prompts)) < share_right[prompts]
    rewards = is_correct.astype(np.float64) - rng.choice([0.0, 0.3], size=len(prompts))
    rewards[rng.random(len(prompts)) < 0.1] = -0.5  # a right completion can be too long
    return Batch(rewards, [PROMPTS[i] for i in prompts], features, is_correct)
