"""The formats of other programs: how each is recognised, and where it has prompt, completion, reward and the rest.

Facts about the formats are in ``tests/rollouts/dumps/FORMATS.md``. A new format is one entry of `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meds_rl.rollouts.blocks import Block
from meds_rl.rollouts.harnesses import read_lighteval, read_lm_eval, read_old_lighteval
from meds_rl.rollouts.rows import Rows, Values, at, float_of


@dataclass(frozen=True)
class Format:
    """The format of one program.

    Attributes:
        name: for the reader.
        keys: a file with all these columns has this format.
        read: from a block to its rows.
        numbered: whether numbers in file names are optimiser steps where the rows have none; of an evaluation they
            are not, and each of its files may have a metric of its own.
        skip: columns that are not read, which may be large.
        one_a_row: whether a row of the file is always one completion.
        logs_again: whether the program may log the same completions in the next file, too.
        is_evaluation: whether the completions are of an evaluation, so that training did not see them.
        sums_all: whether every reward is a part of the total, whatever its name.
    """

    name: str
    keys: tuple[str, ...]
    read: Callable[[Block], Rows]
    numbered: bool = True
    skip: tuple[str, ...] = ()
    one_a_row: bool = True
    logs_again: bool = False
    is_evaluation: bool = False
    sums_all: bool = False

    def wanted(self, names: Sequence[str]) -> list[str]:
        """The columns to read of those that a file has."""
        return [name for name in names if name not in self.skip]


def recognise(names: Collection[str]) -> Format | None:
    """The format of a file with these columns; None if it is none of `FORMATS`.

    Example:
        >>> recognise(["input", "output", "gts", "score", "step"]).name
        'verl'
    """
    return next((each for each in FORMATS if set(each.keys) <= set(names)), None)


# ---- Our own tables: copied rollouts, and rollouts that are graded again; the samples of `meds eval`


def _own(block: Block) -> Rows:
    names = ("is_correct", "reward") if any(value is not None for value in block.column("is_correct")) else ("reward",)
    return Rows(
        prompts=block.column("prompt"),
        completions=block.column("completion"),
        rewards={name: block.column(name) for name in names},
        grade=names[0],
        total="reward",
        steps=block.column("step"),
        answers=block.column("answer"),
        groups=block.column("group_id"),
        lengths=block.column("num_tokens"),
        advantages=block.column("advantage"),
        outcomes=block.column("outcome"),
    )


def _samples(block: Block) -> Rows:
    return Rows(
        prompts=block.column("prompt" if "prompt" in block.names else "problem_id"),
        completions=block.column("completion"),
        rewards={"is_correct": block.column("is_correct")},
        answers=block.column("answer"),
        lengths=block.column("num_tokens"),
        outcomes=block.column("outcome"),
        golds=block.column("gold"),
    )


# ---- TRL


def _trl(block: Block) -> Rows:
    known = ("step", "prompt", "completion", "advantage", "meds_penalty")  # MEDSTrainer's penalty is no raw reward
    others = [name for name in block.names if name not in known]
    numbers = _numbers_of(block, others)
    # TRL writes rewards as floats. Whole numbers and truth values come from `log_extra`.
    floats = {name: values for name, values in numbers.items() if any(isinstance(value, float) for value in values)}
    return Rows(
        prompts=block.column("prompt"),
        completions=block.column("completion"),
        rewards=floats or numbers,
        steps=block.column("step"),
        advantages=block.column("advantage"),
        outcomes=_first_of(block, ("outcome",)),
        golds=_first_of(block, USUAL["gold"]),
    )


def _numbers_of(block: Block, names: Iterable[str]) -> dict[str, Values]:
    """The columns of numbers: the rewards, and what `log_extra` added."""
    return {name: values for name in names if is_numbers(values := block.column(name))}


def is_numbers(values: Iterable[Any]) -> bool:
    """Whether all values that are not None are numbers or truth values, and there is one."""
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float) for value in given)


# ---- verl


def _verl(block: Block) -> Rows:
    rewards = {name: block.column(name) for name in ("acc", "score") if name in block.names}
    if "overlong_reward" in block.names:
        pairs = zip(rewards["score"], block.column("overlong_reward"), strict=True)
        rewards["score - overlong_reward"] = [_difference(*pair) for pair in pairs]
    groups = [value.rsplit("_", 2)[0] if isinstance(value, str) else None for value in block.column("uid")]
    return Rows(
        prompts=block.column("input"),
        completions=block.column("output"),
        rewards=rewards,
        grade="acc" if "acc" in rewards else "score",
        total="score",
        steps=block.column("step"),
        answers=_first_of(block, ("pred",)),
        groups=groups if "uid" in block.names else [],
        outcomes=_first_of(block, ("outcome",)),
        golds=block.column("gts"),
    )


def _difference(value: Any, part: Any) -> float | None:
    """DAPO takes a penalty for length off the score; without it the score says right or wrong."""
    whole, taken = float_of(value), float_of(part)
    return None if whole is None or taken is None else round(whole - taken, 9)


def _first_of(block: Block, names: Iterable[str]) -> Values:
    """The first of these columns that the block has; empty without any."""
    return next((block.column(name) for name in names if name in block.names), [])


# ---- verifiers and prime-rl


def _verifiers(block: Block) -> Rows:
    metrics = block.column("metrics")
    names = dict.fromkeys(name for each in metrics if isinstance(each, Mapping) for name in each)
    found = {name: [at(each, name) for each in metrics] for name in names}
    if not found:  # before 0.1.14 they are columns
        found = _numbers_of(block, [name for name in block.names if name not in ("id", "example_id")])
    return Rows(
        prompts=block.column("prompt"),
        completions=block.column("completion"),
        rewards={**found, "reward": block.column("reward")},
        total="reward",
        groups=_first_of(block, ("group_id",)),
        advantages=_first_of(block, ("advantage",)),
        golds=_first_of(block, ("answer",)),
    )


def _episodes(block: Block) -> Rows:
    """verifiers 0.3 and later, and prime-rl 0.7 and later: a line is an episode with a trace for each agent."""
    pairs = [
        (episode, trace)
        for episode in zip(*(block.column(name) for name in ("traces", "group", "run")), strict=True)
        for trace in (episode[0] if isinstance(episode[0], list) else [])
    ]
    return _of_traces(
        [trace for _, trace in pairs],
        groups=[at(group, "id") for (_, group, _), _ in pairs],
        steps=[at(run, "work", "step") for (_, _, run), _ in pairs],
    )


def _traces(block: Block) -> Rows:
    columns = {name: block.column(name) for name in ("nodes", "rewards", "task")}
    return _of_traces([dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)])


def _of_traces(traces: list[Any], groups: Values | None = None, steps: Values | None = None) -> Rows:
    messages = [_messages_of(at(trace, "nodes")) for trace in traces]
    scores = [_scores(at(trace, "rewards")) for trace in traces]
    names = dict.fromkeys(name for each in scores for name in each)
    return Rows(
        prompts=[prompt for prompt, _ in messages],
        completions=[completion for _, completion in messages],
        rewards={
            "reward": [sum(score * weight for score, weight in each.values()) if each else None for each in scores],
            **{name: [each[name][0] if name in each else None for each in scores] for name in names},
        },
        total="reward",
        groups=groups or [],
        steps=steps or [],
    )


def _messages_of(nodes: Any) -> tuple[Values | None, Values | None]:
    """The messages before the first that the model wrote, and the others. The last branch of the graph is read."""
    if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
        return None, None
    branch: Values = []
    place: Any = len(nodes) - 1
    while isinstance(place, int) and 0 <= place < len(nodes) and len(branch) <= len(nodes):
        branch.append(nodes[place])
        parent = nodes[place].get("parent")
        place = parent if isinstance(parent, int) and parent < place else None
    branch.reverse()
    first = next((place for place, node in enumerate(branch) if node.get("sampled")), len(branch))
    written = [node.get("message") for node in branch]
    return written[:first], written[first:] or None


def _scores(rewards: Any) -> dict[str, tuple[float, float]]:
    """The score and weight of each reward; in 0.2 each is a number that is weighted already."""
    if not isinstance(rewards, Mapping):
        return {}
    pairs = {
        name: (float_of(at(one, "score")), float_of(at(one, "weight")))
        if isinstance(one, Mapping)
        else (float_of(one), 1.0)
        for name, one in rewards.items()
    }
    return {
        name: (score, weight) for name, (score, weight) in pairs.items() if score is not None and weight is not None
    }


# ---- Others, which have one column for each thing


def _skyrl(block: Block) -> Rows:
    scores = [_sum(value) if isinstance(value, list) else value for value in block.column("score")]
    return Rows(
        block.column("input_prompt"), block.column("output_response"), {"score": scores}, grade="score", total="score"
    )


def _sum(per_token: Values) -> float | None:
    known = [float_of(value) for value in per_token]
    return sum(value for value in known if value is not None) if any(value is not None for value in known) else None


GRADE_COLUMNS = ("is_correct", "correct", "accuracy", "acc")
"""What a plain table calls right or wrong, also beside a reward."""

USUAL: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "problem", "input", "query", "instruction"),
    "completion": ("completion", "response", "output", "generation"),
    "reward": ("reward", "score", *GRADE_COLUMNS),
    "step": ("step", "global_step"),
    "answer": ("extracted_answer", "predicted_answer", "pred", "prediction"),
    "group": ("group_id",),
    "length": ("num_tokens", "completion_length", "response_length", "completion_tokens"),
    "advantage": ("advantage",),
    "outcome": ("outcome",),
    "gold": ("gold", "gts", "ground_truth", "gold_answer", "reference_answer", "target"),
}
"""What a plain table usually calls each thing. A column `answer` is mostly the right answer, not the model's."""


def plain(columns: Mapping[str, str], names: Collection[str]) -> Format | None:
    """The format of a table whose columns the user names, or which have usual names; None without a completion.

    Args:
        columns: prompt, completion, reward, ... -> the column that has it, for those that were named.
        names: the columns that there are.
    """
    usual = {ours: next((name for name in theirs if name in names), None) for ours, theirs in USUAL.items()}
    places = {**usual, **columns}
    if places["completion"] is None or (places["prompt"] is None and places["group"] is None):
        return None

    def read(block: Block) -> Rows:
        found = {ours: block.at(name) if name else [] for ours, name in places.items()}
        reward = places["reward"] or ""
        graded = [name for name in (reward, *GRADE_COLUMNS) if name in block.names]
        return Rows(
            prompts=found["prompt"],
            completions=found["completion"],
            rewards={name: block.column(name) for name in graded},
            total=reward,
            steps=found["step"],
            answers=found["answer"],
            groups=found["group"],
            lengths=found["length"],
            advantages=found["advantage"],
            outcomes=found["outcome"],
            golds=found["gold"],
        )

    return Format("plain table", (), read)


def overridden(block: Block, rows: Rows, columns: Mapping[str, str]) -> Rows:
    """The rows with what the user named in the place of what the format says."""
    fields = {"prompt": "prompts", "completion": "completions", "step": "steps", "answer": "answers", "group": "groups"}
    named: dict[str, Any] = {fields[ours]: block.at(name) for ours, name in columns.items() if ours in fields}
    if "reward" in columns:
        name = columns["reward"]
        rewards = rows.rewards if name in rows.rewards else {**rows.rewards, name: block.at(name)}
        named |= {"rewards": rewards, "grade": name, "total": name}
    return replace(rows, **named)


def why_not(block: Block, format_: Format, columns: Mapping[str, str]) -> str:
    """Why columns that the user named cannot be read in a file; empty if they can.

    A reward may also be one that the format has deeper in a row, such as a metric.
    """
    rewards = format_.read(block).rewards
    places = {ours: name for ours, name in columns.items() if not (ours == "reward" and name in rewards)}
    missing = [name for name in places.values() if not block.has(name)]
    if missing:
        others = [name for name in rewards if name not in block.names]
        nested = block.nested_names()
        also = f", in them {listed(nested)}" if nested else ""
        also += f", and the rewards {listed(others)}" if others else ""
        return f"has no column {', '.join(missing)}; the columns are {listed(block.names)}{also}"
    if places and not format_.one_a_row:
        options = ", ".join(f"--{ours}" for ours in places)
        return f"has the form of {format_.name}, of which a row may hold several completions: leave {options} out"
    return ""


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names for a message."""
    return (", ".join(names[:most]) + (", ..." if len(names) > most else "")) or "none"


FORMATS: tuple[Format, ...] = (
    Format("meds-rl rollouts", ("generation", "prompt_id", "completion", "shaped_reward"), _own),
    Format(
        "samples of meds eval",
        ("problem_id", "sample", "completion", "is_correct"),
        _samples,
        numbered=False,
        skip=("fingerprint",),
        is_evaluation=True,
    ),
    Format(
        "lm-evaluation-harness samples",
        ("doc_id", "arguments", "resps", "filtered_resps", "filter"),
        read_lm_eval,
        numbered=False,
        skip=("doc",),
        one_a_row=False,
        is_evaluation=True,
    ),
    Format(
        "lighteval details",
        ("doc", "model_response", "metric"),
        read_lighteval,
        numbered=False,
        one_a_row=False,
        is_evaluation=True,
    ),
    Format(
        "lighteval details",
        ("predictions", "metrics", "full_prompt"),
        read_old_lighteval,
        numbered=False,
        one_a_row=False,
        is_evaluation=True,
    ),
    Format("verl validation", ("input", "output", "score", "step", "reward"), _verl, is_evaluation=True),
    Format("verl", ("input", "output", "score", "step"), _verl),
    Format(
        "TRL completions",
        ("step", "prompt", "completion", "advantage"),
        _trl,
        skip=("image", "images"),
        logs_again=True,
        sums_all=True,
    ),
    Format("verifiers rollouts", ("example_id", "prompt", "completion", "reward"), _verifiers),
    Format("verifiers rollouts", ("id", "prompt", "completion", "reward", "task"), _verifiers),
    Format("verifiers traces", ("id", "env", "task", "traces"), _episodes, one_a_row=False),
    Format("verifiers traces", ("nodes", "rewards", "task"), _traces),
    Format("SkyRL evaluation", ("input_prompt", "output_response", "score"), _skyrl, is_evaluation=True),
)
"""The most specific first."""
