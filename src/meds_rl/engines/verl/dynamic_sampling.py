"""Dynamic sampling that keeps groups without a right answer, for settings under which they carry signal."""

from __future__ import annotations

from collections import Counter

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer


class KeepAllWrong(ReplayBuffer):
    """verl's buffer drops groups in which the metric is the same for all; this one keeps those that are all wrong.

    Attributes:
        correct_above: a group whose metric is above it is all right, and dropped.
    """

    correct_above: float

    @classmethod
    def of(cls, buffer: ReplayBuffer, correct_above: float) -> KeepAllWrong:
        """Take over a buffer that verl has built: its trainer gives no other place to name the class."""
        kept = cls.__new__(cls)
        kept.__dict__.update(buffer.__dict__)
        kept.correct_above = correct_above
        return kept

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter[float]]:
        dropped, _ = super()._dapo_filtered_keys(partition_id)
        values = self._dapo_classification_cache[partition_id]
        all_right = {uid: values[uid] for uid in dropped if values[uid] > self.correct_above}
        return set(all_right), Counter(all_right.values())
