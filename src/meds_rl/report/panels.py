"""The panels of the course of training: what each shows, and how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        id: its name in the data.
        title: above it.
        help: one sentence: what it is and how it is computed.
        lines: id and label of each line, in the order of the legend.
        unit: of the values.
        percent: whether values are shares, shown in percent.
    """

    id: str
    title: str
    help: str
    lines: tuple[tuple[str, str], ...]
    unit: str = ""
    percent: bool = False

    def with_lines(self, ids: Sequence[str]) -> Panel:
        """The panel with some of its lines."""
        return replace(self, lines=tuple(line for line in self.lines if line[0] in ids))

    def with_group_size(self, size: int | None) -> Panel:
        """The panel with pass@G called by its number, where that is known."""
        if size is None:
            return self
        name = f"pass@{size}"
        lines = tuple((line, label.replace("pass@G", name)) for line, label in self.lines)
        return replace(self, lines=lines, help=self.help.replace("pass@G", name))

    def to_dict(self) -> dict[str, Any]:
        """As the report's data has it."""
        return {
            "id": self.id,
            "title": self.title,
            "unit": self.unit,
            "percent": self.percent,
            "help": self.help,
            "lines": [{"id": line, "label": label} for line, label in self.lines],
        }


PANELS = (
    Panel(
        "reward",
        "Reward",
        "Mean over the batch's completions: raw as graded, shaped after the penalty for repeated errors.",
        (("raw", "raw"), ("shaped", "shaped")),
    ),
    Panel(
        "pass",
        "Right answers",
        "pass@1: share of right completions; pass@G: share of groups with at least one. "
        "Over all groups that were generated, where the run logged them.",
        (("pass@1", "pass@1"), ("pass@G", "pass@G")),
        percent=True,
    ),
    Panel(
        "entropy",
        "Wrong-answer entropy",
        "How evenly a group's wrong completions spread over different wrong answers (no answer counts as one), "
        "mean over the groups that have any; 0: always the same.",
        (("entropy", "entropy"),),
        unit="nats",
    ),
    Panel(
        "distinct",
        "Distinct wrong answers",
        "Different wrong answers in a group, mean over the batch's groups.",
        (("distinct", "distinct wrong answers"),),
        unit="per group",
    ),
    Panel(
        "eigenvalue",
        "Top-1 eigenvalue ratio",
        "Largest eigenvalue of the covariance of the fingerprints of a batch's wrong completions over the sum of all; "
        "lower is more diverse.",
        (("problem", "within prompts"), ("pooled", "all together")),
    ),
    Panel(
        "repeated",
        "Repeated errors",
        "Share of the batch's wrong completions that repeat what an earlier batch got wrong: the same answer to the "
        "same prompt, or the same cluster of the memory as it is now (noise is no cluster).",
        (("answer", "same answer"), ("cluster", "same cluster")),
        percent=True,
    ),
    Panel(
        "penalty",
        "Penalty",
        "What the memory takes from a wrong completion, mean over the batch's wrong completions, those included "
        "that were not scored and lost nothing.",
        (("mean", "mean over wrong"),),
    ),
    Panel(
        "memory",
        "Memory size",
        "Completions remembered after the batch.",
        (("size", "completions"),),
    ),
    Panel(
        "time",
        "Time of the memory",
        "What a step spends on taking fingerprints, on looking up, remembering and clustering, and on taking old "
        "fingerprints anew where that is on.",
        (("fingerprint", "fingerprints"), ("memory", "memory"), ("reencode", "re-encoding")),
        unit="ms",
    ),
    Panel(
        "time_share",
        "Time of the memory, share of a step",
        "All of the memory's time over the time of the step.",
        (("share", "share of a step"),),
        percent=True,
    ),
    Panel(
        "length",
        "Completion length",
        "Mean length of the batch's right and wrong completions.",
        (("right", "right"), ("wrong", "wrong")),
        unit="tokens",
    ),
)

EVALUATION_PANELS = (
    ("pass@1", "pass@1", "Share of right completions, mean over problems.", "", True),
    (
        "pass@k",
        "pass@{k}",
        "Chance that at least one of {k} completions is right (unbiased estimate), mean over problems.",
        "",
        True,
    ),
    (
        "distinct",
        "Distinct wrong answers",
        "Different wrong answers among a problem's completions, mean over problems.",
        "per problem",
        False,
    ),
    (
        "repeated",
        "Repeated errors",
        "Share of the wrong completions that repeat a wrong answer already given to their problem in the same "
        "evaluation.",
        "",
        True,
    ),
    ("no_answer", "No answer", "Share of the completions without a final answer.", "", True),
)
"""id, title, help, unit, percent; the lines are the groups of problems."""
