"""Special values: of clusters beside their labels 0, 1, 2, ..., and of reasons beside those of `Reason`."""

NOISE = -1
"""Most of the nearest remembered completions are in no cluster of HDBSCAN."""

NO_ANSWER = -2
"""The completion gives no answer and so has no fingerprint; such completions count together as one cluster."""

UNSEEN = -3
"""The memory has no fingerprint of this prompt (the first visit), or none within `max_distance`."""

NOT_SCORED = -4
"""The completion was not looked up: its group is all right or all wrong and skipped, or it is no target."""

NOT_GRADED = "not_graded"
"""The reason, in the rollouts, of a completion that no reward function graded."""

NO_MEMORY = "no_memory"
"""The reason, in the rollouts, of a run without a memory."""
