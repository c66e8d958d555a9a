"""Groups wrong completions by their working, read from the text: kinds of errors without labels and without a model.

The steps of workings (`meds_rl.fingerprint.steps`) are compared over all prompts. A frequent sequence of steps is a
*way* of going wrong by itself; rarer sequences are clustered by HDBSCAN on the steps that they share. If most workings
have no steps that can be read, their wording is compared (`meds_rl.fingerprint.text`), within each prompt.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, takewhile
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meds_rl.fingerprint.roles import Working
from meds_rl.fingerprint.steps import question, read_steps, vectors_of
from meds_rl.fingerprint.text import text_vectors
from meds_rl.memory.clustering import NO_TREE, HDBSCANClustering
from meds_rl.report.completions import read_texts
from meds_rl.report.right_steps import RightSteps, Verdict
from meds_rl.report.source import RunData
from meds_rl.report.text import counted, percent

MAX_READ = 30_000
"""Wrong completions whose workings are read; a random sample if there are more."""

LEAST_READ = 0.5
"""Steps are compared if at least this fraction of the workings has any."""

LEAST_SHARED = 0.2
"""Ways are shown over all prompts if at least this fraction of these goes the same way as one of another prompt."""

COMMON = 0.005
"""A sequence of steps is a way by itself if it is this fraction of the workings and came `LEAST_TIMES` times."""

LEAST_TIMES = 3

MAX_RIGHT = 5_000
"""Right completions whose workings are read, to count right answers by each way; a random sample if there are more."""

MAX_SEQUENCES = 4_000
"""Rarer sequences that are clustered: the most frequent of them."""

RARE = HDBSCANClustering(cluster_selection_method="leaf", cluster_selection_epsilon=0.6)
"""Clusters rarer sequences. With "eom", most of them would be one cluster of workings with nothing in common."""

MAX_TEXTS = 500
"""Completions of a prompt that are clustered by wording or states: the newest."""

MAX_WORDED_PROMPTS = 300
"""Prompts whose completions are clustered by wording or states: those with the most wrong completions."""

TEXT_EPSILON = 0.5
"""Clusters of wordings that split at less than this distance are one."""

SAME_NAME = 0.8
"""A way is named by the steps of its commonest working if this fraction has exactly these; else by their `shape`."""

NEARLY_ALL = 0.95
"""A number of the prompt is not used if it is not in this fraction of the way's completions."""

RIGHT_STEPS = "right steps, wrong or no answer"
"""The name of the wrong completions whose steps are mostly right."""

UNREAD_STEPS, EACH_DIFFERENT = "no steps that could be read", "each different"
"""The names of the wrong completions in no group: if steps were compared, and else. They are no error."""

STOPS_EARLY = "right so far, but steps are missing"
"""The meaning of a way whose steps most right completions of the prompt have, and whose answer is a result."""

LONG_ANSWER = 60
"""Characters. If the median answer is longer, or most wrong completions have none, equal answers do not show errors."""


@dataclass(frozen=True)
class Workings:
    """The workings of a run's wrong completions.

    Attributes:
        by: what was compared: the steps, over all prompts; or the wording or a model's states
            (`meds_rl.report.states`), within each prompt. None if nothing was found.
        rows: (n,) the rows of the rollouts that were read, ascending.
        groups: (n,) the group of each, from 0; -1 for no group. Only groups by steps have more than one prompt.
        names, meanings: of each group, for the reader.
        num_wrong: wrong completions of the run, of which n were read.
        over_prompts: whether the groups are shown as ways over all prompts.
        note: what was found, or why nothing was.
        examples: of each group the row of its newest completion with the steps of its name, and these steps with their
            numbers; None where they are no arithmetic. Empty if nothing but texts or states was compared.
        right: the group of the completions with right steps (`RIGHT_STEPS`), which is no error; None without any.
        keys: the steps of each as a number (`Working.key`), None without; empty if steps were not compared.
    """

    by: Literal["steps", "text", "states"] | None
    rows: NDArray[np.int64]
    groups: NDArray[np.int64]
    names: list[str]
    meanings: list[str]
    num_wrong: int
    over_prompts: bool
    note: str
    examples: Sequence[tuple[int, str] | None] = ()
    right: int | None = None
    keys: Sequence[int | None] = ()

    @property
    def rest(self) -> str:
        """The name of the completions in no group."""
        return UNREAD_STEPS if self.by == "steps" else EACH_DIFFERENT

    @property
    def scale(self) -> float:
        """Wrong completions per completion that was read."""
        return self.num_wrong / len(self.rows) if len(self.rows) else 1.0


def read_workings(run: RunData, seed: int = 0, show_progress: bool = False) -> Workings:
    """Read the workings of a run's wrong completions, at most `MAX_READ`, and group them.

    Args:
        run: the run.
        seed: of the sample.
        show_progress: whether a progress bar is shown.
    """
    from tqdm.auto import tqdm

    rng = np.random.default_rng(seed)
    rows, prompts, completions = _texts(run, run.wrong, MAX_READ, rng)
    cut = without_template(prompts.values())
    bar = tqdm(rows.tolist(), desc="reading workings", disable=None if show_progress else True, leave=False)
    workings = [_read(cut(prompts[row]), completions[row]) for row in bar]
    num_read = sum(working is not None for working in workings)
    prompt_ids = run.rollouts["prompt_id"].to_numpy()[rows]
    of = f"{len(rows):,} wrong completions" + (
        f" (a random sample of {len(run.wrong):,})" if len(rows) < len(run.wrong) else ""
    )
    if not len(rows):
        return _nothing(rows, len(run.wrong), "")
    if num_read >= LEAST_READ * len(rows):
        right = _right_steps(run, cut, rng)
        verdicts = right.verdicts(rows, workings)
        found = _by_steps(rows, workings, verdicts, prompt_ids, len(run.wrong), of)
        keys = [None if working is None else working.key for working in workings]
        return replace(found, meanings=_with_right(found, workings, verdicts, right), keys=keys)
    note = f"Steps could be read in {percent(num_read / len(rows))} of {of}, which is too few to compare them."
    if run.outcomes_known or answers_name_errors(run):
        return _nothing(rows, len(run.wrong), note)
    groups = by_wording(prompt_ids, [completions[row] for row in rows.tolist()])
    return Workings("text", rows, groups, *_excerpts(groups, rows, completions), len(run.wrong), False, note)


def _texts(
    run: RunData, rows: NDArray[np.int64], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], dict[int, str], dict[int, str]]:
    """At most ``most`` rows, ascending, at random if there are more; and row -> prompt, row -> completion."""
    if len(rows) > most:
        rows = rng.choice(rows, most, replace=False)
    completions = {row: text or "" for row, text in read_texts(run, "completion", rows.tolist())}
    once: dict[str, str] = {}  # a long prompt of many completions is kept once
    prompts = {row: once.setdefault(text or "", text or "") for row, text in read_texts(run, "prompt", [*completions])}
    return np.array(sorted(prompts), dtype=np.int64), prompts, completions


def without_template(prompts: Iterable[str]) -> Callable[[str], str]:
    r"""A function that leaves out the lines that all prompts begin or end with: no number or name in them has a role.

    >>> cut = without_template(["Think.\nWhat is 1 + 2?\nBox it.", "Think.\nWhat is 3 + 4?\nBox it."])
    >>> cut("Think.\nWhat is 3 + 4?\nBox it.")
    'What is 3 + 4?'
    """
    lines = [text.split("\n") for text in {question(prompt) for prompt in dict.fromkeys(prompts)}]
    first, last = (0, 0) if len(lines) < 2 else (_num_common(lines), _num_common([one[::-1] for one in lines]))

    @lru_cache(maxsize=4096)
    def cut(prompt: str) -> str:
        asked = question(prompt).split("\n")
        return "\n".join(asked[first : len(asked) - last] if first + last < len(asked) else asked)

    return cut


def _num_common(lines: Sequence[Sequence[str]]) -> int:
    """How many lines all begin with."""
    return len(list(takewhile(lambda column: len(set(column)) == 1, zip(*lines, strict=False))))


def _read(prompt: str, completion: str) -> Working | None:
    """The steps; None if more equations could not be read than could."""
    working = read_steps(prompt, completion)
    return None if working is None or working.unread > len(working.written) else working


def answers_name_errors(run: RunData) -> bool:
    """Whether most wrong completions have an answer, and a short one, so that equal errors have equal answers."""
    answers = run.rollouts["answer"].iloc[run.wrong].dropna()
    if len(answers) < len(run.wrong) / 2:
        return False
    return bool(answers.astype(str).str.len().median() <= LONG_ANSWER)


def _nothing(rows: NDArray[np.int64], num_wrong: int, note: str) -> Workings:
    return Workings(None, rows, np.full(len(rows), -1, dtype=np.int64), [], [], num_wrong, False, note)


# ---- By steps.


def _by_steps(
    rows: NDArray[np.int64],
    workings: Sequence[Working | None],
    verdicts: Sequence[Verdict],
    prompt_ids: NDArray[np.object_],
    num_wrong: int,
    of: str,
) -> Workings:
    is_right = np.array([verdict == "right" for verdict in verdicts])
    errors = [
        working if verdict in ("error", "stopped") else None
        for working, verdict in zip(workings, verdicts, strict=True)
    ]
    groups = by_steps(errors)
    prompts_of: dict[int, set[str]] = defaultdict(set)
    for group, prompt in zip(groups.tolist(), prompt_ids.tolist(), strict=True):
        prompts_of[group].add(prompt)
    is_error = groups >= 0
    shared = np.array([len(prompts_of[group]) > 1 for group in groups.tolist()]) & is_error
    share = shared.sum() / max(1, is_error.sum())
    over_prompts = bool(share >= LEAST_SHARED)
    note = f"Steps were read in {percent((is_error | is_right).mean())} of {of}."
    if not over_prompts:
        same = "go the same way as one of another prompt"
        note += f" {percent(share)} of them {same}, so errors are shown by prompt only."
    names, meanings, examples = _names(groups, rows, errors)
    right = len(names) if is_right.any() else None
    if right is not None:
        groups[is_right] = right
        names, meanings, examples = [*names, RIGHT_STEPS], [*meanings, ""], [*examples, None]
    return Workings("steps", rows, groups, names, meanings, num_wrong, over_prompts, note, examples, right)


def by_steps(workings: Iterable[Working | None]) -> NDArray[np.int64]:
    """The way (n,) of each working; -1 for None.

    Equal steps are one way. Sequences rarer than `COMMON` are clustered by HDBSCAN on the vectors of their steps
    (`step_vectors`); a sequence in no cluster stays a way of its own.
    """
    listed = list(workings)
    places: dict[int, int] = {}
    own = [-1 if one is None else places.setdefault(one.key, len(places)) for one in listed]
    numbers = np.array(own, dtype=np.int64)
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(places))
    least = max(LEAST_TIMES, COMMON * int((numbers >= 0).sum()))
    rare = np.flatnonzero(sizes < least)
    rare = rare[np.argsort(-sizes[rare], kind="stable")][:MAX_SEQUENCES]
    ways = np.arange(len(places))
    if len(rare) > 1:
        first = dict(zip(reversed(own), reversed(listed), strict=True))
        points = vectors_of(first[place] for place in rare.tolist()).astype(np.float64)
        labels = RARE.refit(points, NO_TREE, np.full(len(rare), -1)).labels
        ways[rare[labels >= 0]] = len(places) + labels[labels >= 0]
    found = np.where(numbers < 0, -1, ways[np.maximum(numbers, 0)] if len(ways) else -1)
    found[found >= 0] = np.unique(found[found >= 0], return_inverse=True)[1]
    return found.astype(np.int64)


def _with_right(
    found: Workings, workings: Sequence[Working | None], verdicts: Sequence[Verdict], right: RightSteps
) -> list[str]:
    """The meanings, with what right completions say: which ways stop early, and how many right ones go each way, as a
    habit may be right on easy problems."""
    keys: dict[int, set[tuple[int, bool]]] = defaultdict(set)
    stopped: dict[int, list[bool]] = defaultdict(list)
    gives = right.give_answer(found.rows, workings)
    for group, working, verdict, given in zip(found.groups.tolist(), workings, verdicts, gives, strict=True):
        if working is not None and group not in (-1, found.right):
            keys[group].add((working.key, given))
            stopped[group].append(verdict == "stopped")
    meanings = []
    for group, meaning in enumerate(found.meanings):
        stops = stopped[group] and sum(stopped[group]) > len(stopped[group]) / 2
        number = right.times(keys[group])
        also = f"right in {counted(number, 'other completion')}" if number else ""
        meanings.append("; ".join(filter(None, (STOPS_EARLY if stops else "", meaning, also))))
    return meanings


def _right_steps(run: RunData, cut: Callable[[str], str], rng: np.random.Generator) -> RightSteps:
    graded = np.isfinite(run.rollouts["reward"].to_numpy(dtype=np.float64))
    right = np.flatnonzero(graded & run.rollouts["is_correct"].to_numpy(dtype=bool))
    rows, prompts, completions = _texts(run, right, MAX_RIGHT, rng)
    workings = [_read(cut(prompts[row]), completions[row]) for row in rows.tolist()]
    return RightSteps(run, rows, workings, len(right))


def _names(
    groups: NDArray[np.int64], rows: NDArray[np.int64], workings: Sequence[Working | None]
) -> tuple[list[str], list[str], list[tuple[int, str] | None]]:
    members: dict[int, list[tuple[int, Working]]] = defaultdict(list)
    for group, row, working in zip(groups.tolist(), rows.tolist(), workings, strict=True):
        if working is not None:
            members[group].append((row, working))
    found = [_name(members[group]) for group in range(len(members))]
    return [name for name, _, _ in found], [meaning for _, meaning, _ in found], [example for _, _, example in found]


def _name(members: Sequence[tuple[int, Working]]) -> tuple[str, str, tuple[int, str] | None]:
    """The name of a way, its meaning and an example, from its most frequent sequence of steps."""
    keys = Counter(working.key for _, working in members)
    key, count = keys.most_common(1)[0]
    same = [working for _, working in members if working.key == key]
    name, times = Counter(working.name for working in same).most_common(1)[0]
    meanings = []
    if times < SAME_NAME * count:
        name = _common_name([working.shape for working in same])
    times_unused = Counter(chain.from_iterable(working.unused for _, working in members))
    unused = [letter for letter, times in times_unused.items() if times >= NEARLY_ALL * len(members)]
    if unused:
        meanings.append(f"{' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} not used")
    if len(keys) > 1:
        meanings.append(f"the most frequent of {len(keys)} similar sequences")
    row, newest = [member for member in members if member[1].key == key][-1]
    return name, "; ".join(meanings), (row, ", ".join(newest.written)) if newest.written else None


_LITERAL = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def _common_name(names: Sequence[str]) -> str:
    """The most frequent name; if fewer than `SAME_NAME` have it, with "N" for the numbers that differ.

    >>> _common_name(["a*9=x, x/2=y", "a*8=x, x/2=y"]), _common_name(["a∘b=x"] * 9)
    ('a*N=x, x/2=y', 'a∘b=x')
    """
    name, times = Counter(names).most_common(1)[0]
    if times >= SAME_NAME * len(names):
        return name
    found = [_LITERAL.findall(each) for each in names]
    differ = [len(set(column)) > 1 for column in zip(*found, strict=False)]
    places = iter(differ)
    return _LITERAL.sub(lambda number: "N" if next(places, True) else number[0], name)


# ---- By wording.


def by_wording(prompt_ids: NDArray[np.object_], texts: Sequence[str]) -> NDArray[np.int64]:
    """The group (n,) of each text, among the texts of its prompt only; -1 for no group."""

    def vectors(places: NDArray[np.int64]) -> NDArray[np.float64]:
        return text_vectors([texts[place] for place in places.tolist()]).astype(np.float64)

    return within_prompts(prompt_ids, vectors, TEXT_EPSILON)


def within_prompts(
    prompt_ids: NDArray[np.object_], vectors: Callable[[NDArray[np.int64]], NDArray[np.float64]], epsilon: float
) -> NDArray[np.int64]:
    """Clusters (n,) by HDBSCAN within each prompt; -1 for no cluster. No cluster has two prompts.

    Args:
        prompt_ids: (n,) of the completions.
        vectors: from indices (m,) of completions to unit vectors (m, D); a row of NaN for no vector.
        epsilon: clusters that split at less than this distance are one.
    """
    groups = np.full(len(prompt_ids), -1, dtype=np.int64)
    clustering = HDBSCANClustering(cluster_selection_epsilon=epsilon)
    num_groups = 0
    for prompt, _ in Counter(prompt_ids.tolist()).most_common(MAX_WORDED_PROMPTS):
        here = np.flatnonzero(prompt_ids == prompt)[-MAX_TEXTS:]
        points = vectors(here)
        known = ~np.isnan(points).any(axis=1)
        here, points = here[known], points[known]
        if len(here) < 2:
            continue
        labels = clustering.refit(points, NO_TREE, np.full(len(here), -1)).labels
        if (labels < 0).all() and _are_near(points, epsilon):
            labels = np.zeros_like(labels)  # HDBSCAN never finds one single cluster
        groups[here[labels >= 0]] = num_groups + labels[labels >= 0]
        num_groups += int(labels.max()) + 1
    return groups


def _are_near(vectors: NDArray[np.float64], epsilon: float) -> bool:
    """Whether all unit vectors are within epsilon of their mean."""
    middle = vectors.mean(axis=0)
    return bool((np.linalg.norm(vectors - middle, axis=1) <= epsilon).all())


def _excerpts(
    groups: NDArray[np.int64], rows: NDArray[np.int64], completions: dict[int, str]
) -> tuple[list[str], list[str]]:
    """The first line of each group's newest text."""
    newest = {group: row for group, row in zip(groups.tolist(), rows.tolist(), strict=True) if group >= 0}
    names = [" ".join(completions[newest[group]].split())[:120] for group in range(len(newest))]
    return names, [""] * len(names)
