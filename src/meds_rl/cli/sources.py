"""The options for rollouts of other programs, the same for all subcommands that read them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meds_rl.rollouts.collect import ReadOptions

PATHS = (
    "a run folder (with its later trainings, RUN/run-2, ...); a file or folder of rollouts that TRL, verl, prime-rl, "
    "verifiers, lm-evaluation-harness or lighteval saved, or of any parquet, JSON lines or CSV files; a folder of "
    "these; or a pattern (runs/demo/*)"
)

COLUMNS = {
    "prompt": "the prompt",
    "completion": "the completion",
    "reward": "the reward, which says right or wrong",
    "step": "the optimiser step",
    "answer": "the model's final answer",
    "group": "which completions were compared with each other",
}


def add_read_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a subcommand."""
    group = parser.add_argument_group(
        "rollouts of other programs",
        "Known formats need none of these. An option overrides what the format says.",
    )
    for name, meaning in COLUMNS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=f"column with {meaning}")
    group.add_argument(
        "--correct-above",
        type=float,
        metavar="X",
        help="completions with a larger reward are right (default: those with reward 1, or the larger of two rewards)",
    )
    group.add_argument(
        "--answer-marker",
        metavar="MARKER",
        help="how final answers are marked: boxed, answer_tag, hashes, code, or the text before them "
        '("Answer:"); default: the marker that most completions have',
    )
    group.add_argument(
        "--answer-pattern",
        metavar="REGEX",
        help="a regular expression instead: the answer is its last match, or the first group of that",
    )


def read_options(args: argparse.Namespace) -> ReadOptions:
    """The options that were given."""
    from meds_rl.rollouts.collect import ReadOptions

    columns = {name: value for name in COLUMNS if (value := getattr(args, name)) is not None}
    return ReadOptions(columns, args.answer_marker, args.answer_pattern, args.correct_above)
