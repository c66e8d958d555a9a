"""Do fingerprints of programs find the planted bug? Policies of `meds_lab.tasks.programs`, which do not train.

    python -m meds_lab.fingerprints.programs runs/programs    # folders POLICY-SEED of python -m meds_lab.tasks.programs

The first table is that of `assignment`, for wrong programs: does the penalty follow the bug? The deciding measure was
named before any measurement: the correlation within a prompt of ln(size + 1) with its value if bugs were known and
counted (`right`). Programs without a planted bug, mostly slips of a small model, are left out: we do not know whether
two of them are one error. Intervals are 95 %, by resampling prompts.

The second table has the adjusted Rand index between the bugs and the groups of a prompt's wrong programs. The third
table shows how often the five nearest programs have the same bug, within the prompt and among other prompts.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meds_lab.fingerprints.assignment import COUNTED, PAPER, RECOMMENDED, VISIT, Errors, Setting, reader, stream
from meds_lab.fingerprints.neighbours import Pairs, Sample, chances, shares
from meds_lab.sampling import sample_completions
from meds_lab.tasks.programs.bugs import BUGS, bug
from meds_lab.tasks.programs.task import NUM_DIGITS, Problem, grade, problems
from meds_lab.tasks.programs.warmup import MAX_COMPLETION_LENGTH
from meds_rl.evaluation.agreement import adjusted_rand
from meds_rl.evaluation.sampling import Completion
from meds_rl.fingerprint import answer_finder, extract, extract_answer, outcome_vectors
from meds_rl.fingerprint.steps import step_vectors
from meds_rl.fingerprint.text import answer_vectors, text_vectors
from meds_rl.memory import HDBSCANClustering, equal_vectors
from meds_rl.memory.clustering import NO_TREE
from meds_rl.tasks.pocket.model import load_folder

SETTINGS = (
    Setting("planted bug, counted", "bug", COUNTED),
    Setting("program's text, counted", "program", COUNTED),
    Setting("outcome, counted", "outcome", COUNTED),
    Setting("outcome of 60 tests, counted", "outcome of 60 tests", COUNTED),
    Setting("outcome, HDBSCAN", "outcome", {}),
    Setting("outcome of 60 tests, HDBSCAN", "outcome of 60 tests", {}),
    Setting("steps, counted", "steps", COUNTED),
    Setting("steps, within .25", "steps", {}),
    Setting("steps, within .5", "steps", {"max_distance": 0.5}),
    Setting("text, within .25", "text", {}),
    Setting("text, within 1", "text", {"max_distance": 1.0}),
    Setting("working_states, within .25", "working_states", {}),
    Setting("working_states, within .4", "working_states", {"max_distance": 0.4}),
    Setting("working_states, however far", "working_states", {"max_distance": None}),
    Setting("layer_logits (published)", "layer_logits", PAPER),
)
FROM_MODEL = ("working_states", "layer_logits")
NUM_COMPARED = 1_000


@dataclass(frozen=True)
class Wrong:
    """The wrong programs of a policy, one `Errors` a prompt."""

    name: str
    errors: list[Errors]
    num_sampled: int
    num_right: int
    num_left_out: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Sample, stream, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the policies, POLICY-SEED each")
    parser.add_argument("--policies", nargs="*", default=["order", "constant", "spread"], metavar="NAME")
    parser.add_argument("--problems", type=int, default=16, metavar="N", help="hard problems (default: 16)")
    parser.add_argument("--samples", type=int, default=96, metavar="N", help="completions of each (default: 96)")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for policy in parsed.policies:
        folders = sorted(path.parent for path in parsed.folder.glob(f"{policy}-*/config.json"))
        if not folders:
            parser.error(f"{parsed.folder} has no folder {policy}-SEED: python -m meds_lab.tasks.programs builds one")
        sets = [sample_wrong(folder, parsed.problems, parsed.samples) for folder in folders]
        if not all(one.errors for one in sets):
            parser.error(f"no prompt has {2 * VISIT} wrong programs with a planted bug: more --samples")
        print_sets(policy, sets)
        print_penalties(sets)
        print_agreement(sets)
        print_neighbours(sets)
    return 0


def sample_wrong(folder: Path, num_problems: int, num_samples: int) -> Wrong:
    """A policy's programs for hard problems that have a planted bug, and their fingerprints.

    Prompts with fewer than two visits of such programs are left out, too.
    """
    torch.manual_seed(0)
    model, tokenizer = load_folder(folder)
    chosen = problems("hard")[:num_problems]
    sampled = sample_completions(
        model,
        tokenizer,
        [problem.prompt for problem in chosen],
        num_samples=num_samples,
        max_new_tokens=MAX_COMPLETION_LENGTH,
        batch_size=256,
    )
    errors, num_right, num_compared = [], 0, 0
    for problem, completions in zip(chosen, sampled, strict=True):
        row = problem.row("hard")
        named = [one for one in completions if bug(one.text, row) in BUGS]
        num_right += sum(bool(grade(one.text, row)) for one in completions)
        if len(named) >= 2 * VISIT:
            num_compared += len(named)
            bugs = [bug(one.text, row) for one in named]
            errors.append(Errors(bugs, features_of(model, tokenizer, problem, named) | {"bug": answer_vectors(bugs)}))
    num_sampled = num_samples * num_problems
    return Wrong(folder.name, errors, num_sampled, num_right, num_sampled - num_right - num_compared)


def features_of(
    model: Any, tokenizer: Any, problem: Problem, completions: Sequence[Completion]
) -> dict[str, np.ndarray]:
    """Each fingerprint of the completions of one problem, (N, D) by name."""
    texts, ids = [one.text for one in completions], [one.token_ids for one in completions]
    find, prompt_ids = answer_finder("code"), [tokenizer(problem.prompt)["input_ids"]] * len(ids)
    answers = [find(one, tokenizer) for one in ids]
    few, many = (
        [grade(text, tested.row("hard")).outcome for text in texts] for tested in (problem, with_more_tests(problem))
    )
    return {
        **{name: extract(model, reader(name), prompt_ids, ids, answers) for name in FROM_MODEL},
        "program": answer_vectors([extract_answer(text, "code") for text in texts]),
        "outcome": outcome_vectors(few),
        "outcome of 60 tests": outcome_vectors(many),
        "steps": step_vectors([problem.prompt] * len(texts), texts),
        "text": text_vectors(texts),
    }


def with_more_tests(problem: Problem) -> Problem:
    """The same problem with 54 more hidden tests."""
    rng = random.Random(problem.prompt)
    more = (tuple(rng.sample(range(10), NUM_DIGITS)) for _ in range(54))
    return replace(problem, inputs=(*problem.inputs, *more))


def print_sets(policy: str, sets: Sequence[Wrong]) -> None:
    """What was compared."""
    print(f"\n## {policy}\n")
    for one in sets:
        names = [name for errors in one.errors for name in errors.strategies]
        found = {name: names.count(name) / len(names) for name in dict.fromkeys(sorted(names))}
        listed = ", ".join(f"{name} {share:.2f}" for name, share in found.items())
        split = f"{one.num_right} right, {one.num_left_out} left out, {len(names)} compared"
        print(f"- {one.name}: {one.num_sampled} completions: {split}: {listed}")


def print_penalties(sets: Sequence[Wrong]) -> None:
    """The first table, as Markdown."""
    print("\n| memory | seen | contrast | within | right (95 %) | right minus outcome's (95 %) |")
    print("| :-- | --: | --: | --: | --: | --: |")
    found = {
        one.label: np.concatenate([stream(each.errors, one.fingerprint, one.changed) for each in sets])
        for one in SETTINGS
    }
    rival = found["outcome, counted"][:, 3]
    for label, rows in found.items():
        seen, contrast, within, _ = np.nanmean(rows, axis=0)
        numbers = f"{seen:.2f} | {contrast:.2f} | {within:.2f}"
        print(f"| {label} | {numbers} | {interval(rows[:, 3])} | {interval(rows[:, 3] - rival)} |", flush=True)


def interval(values: np.ndarray, seed: int = 0) -> str:
    """The mean of (P,) values and its bootstrap interval over prompts; NaN are left out."""
    values = values[np.isfinite(values)]
    drawn = np.random.default_rng(seed).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


def print_agreement(sets: Sequence[Wrong]) -> None:
    """The second table: groups of equal vectors, and HDBSCAN's clusters as the preset makes them."""
    print("\n| fingerprint | equal vectors (95 %) | HDBSCAN (95 %) |\n| :-- | --: | --: |")
    clustering = HDBSCANClustering(cluster_selection_epsilon=RECOMMENDED["cluster_selection_epsilon"])
    ways: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
        equal_vectors,
        lambda points: clustering.refit(points, NO_TREE, np.full(len(points), -1)).labels,
    )
    every = [errors for one in sets for errors in one.errors if len(set(errors.strategies)) > 1]
    for name in every[0].features:
        cells = [
            interval(np.array([adjusted_rand(way(_unit(e.features[name])), np.array(e.strategies)) for e in every]))
            for way in ways
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.nan_to_num(np.asarray(vectors, dtype=np.float64))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def print_neighbours(sets: Sequence[Wrong]) -> None:
    """The third table: the first policy's, as Markdown."""
    print("\n| fingerprint | same prompt | other prompts |\n| :-- | --: | --: |")
    errors = sets[0].errors
    sample = _thinned(errors)
    kinds: tuple[Pairs, ...] = ("all", "other problems")
    listed = [f"{np.nanmean(chances(sample[0], kind)):.2f}" for kind in kinds]
    print(f"| chance | {' | '.join(listed)} |")
    for name in errors[0].features:
        vectors = np.nan_to_num(np.concatenate([one.features[name] for one in errors]))[sample[1]]
        listed = [f"{np.nanmean(shares(vectors, sample[0], kind)):.2f}" for kind in kinds]
        print(f"| {name} | {' | '.join(listed)} |", flush=True)


def _thinned(errors: Sequence[Errors]) -> tuple[Sample, np.ndarray]:
    """At most `NUM_COMPARED` completions of all prompts, and their places."""
    places = np.repeat(np.arange(len(errors)), [len(one.strategies) for one in errors])
    names = np.array([name for one in errors for name in one.strategies])
    rng = np.random.default_rng(0)
    kept = np.sort(rng.choice(len(names), min(NUM_COMPARED, len(names)), replace=False))
    return Sample(places[kept], names[kept], names[kept]), kept


if __name__ == "__main__":
    raise SystemExit(main())
