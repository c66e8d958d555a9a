"""Columns of the rollouts table and their meaning. One row is one completion that training saw.

Version 2. A reader refuses a newer version and reads older ones; a change of meaning raises the number. In version 1
`cluster_size` was an int64, as all members counted the same; it is read as the float64 that it is now.
"""

SCHEMA_VERSION = 2

ROLLOUT_COLUMNS: dict[str, tuple[str, str]] = {
    "step": ("int64", "optimiser steps done when the completion was sampled"),
    "generation": ("int64", "number of the generation batch, from 0"),
    "prompt_id": ("string", "content hash of the prompt; integers are written as text"),
    "prompt": ("string", "the prompt; chat messages as JSON"),
    "completion": ("string", "the completion as text; of chat messages the contents, joined"),
    "num_tokens": ("int64", "length of the completion in tokens"),
    "reward": ("float64", "the raw reward r: all reward functions, weighted"),
    "shaped_reward": ("float64", "the shaped reward r_s; equal to `reward` without a memory"),
    "advantage": ("float64", "what the update was weighted with, before token-level terms"),
    "is_correct": ("bool", "whether the first reward function that grades the completion calls it right"),
    "answer": ("string", "text of the final answer; null where there is none"),
    "strategy": ("string", "the way of working that was followed, where the task can tell; null elsewhere"),
    "cluster": (
        "int64",
        "label in the memory before this batch; -1 noise, -2 no answer, -3 unseen, -4 not scored",
    ),
    "cluster_size": (
        "float64",
        "|C|: members of that cluster before this batch; with a half-life each counts by its age",
    ),
    "penalty": ("float64", "min(alpha ln(|C| + 1), beta), 0 where not scored"),
    "reason": ("string", "why the penalty is what it is"),
    "memory_id": ("int64", "identity of the remembered completion; -1 where it was not remembered"),
    "in_loss": ("bool", "false for rows that only fill up a batch of dynamic sampling"),
}
"""Name -> (Arrow type, meaning)."""
