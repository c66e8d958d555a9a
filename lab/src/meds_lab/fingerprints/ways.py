"""Do errors without labels agree with the planted strategies? What `meds report` reads from the text, over all prompts.

    python -m meds_lab.fingerprints.ways                          # pocket policies, 24 hard problems; five minutes
    python -m meds_lab.fingerprints.ways --smollm2 runs/reasoning # samples of python -m meds_lab.fingerprints

First table, of each policy's wrong completions: the share of them whose steps can be read; adjusted Rand index and
V-measure of the ways (`meds_rl.report.workings.by_steps`) with the planted strategies, with equal sequences of steps
only, and, at last, without the completions that the task calls "other" or "arithmetic slip".

Second table: how often the five nearest completions of OTHER problems have the same strategy (`neighbours.py`), by the
vectors of the steps, by the wording, and by the wording with its numbers masked.

"invented" are workings of twelve strategies that no policy has, in the wording of the pocket task: each is an order of
the operations, with a term left out or a sign turned, drawn at random.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score, v_measure_score

from meds_lab.fingerprints.labels import LABELS, equations
from meds_lab.fingerprints.neighbours import Pairs, Sample, best_shares, chances, shares
from meds_lab.sampling import sample_completions
from meds_lab.tasks import load_pocket_model
from meds_lab.tasks.wording import draw_wording, write
from meds_rl.fingerprint.steps import read_steps, step_vectors
from meds_rl.fingerprint.text import text_vectors
from meds_rl.report.workings import by_steps
from meds_rl.tasks.pocket import strategy
from meds_rl.tasks.pocket.problems import pool
from meds_rl.tasks.pocket.reading import grade
from meds_rl.tasks.pocket.strategies import CORRECT, Plan, answers

TUNED_ON = ("stuck:0", "guess:0", "scatter:0", "seed:0", "seed:1", "stuck:6", "scatter:7")
"""Looked at while the reading and its two thresholds were made."""
HELD_OUT = ("stuck:1", "stuck:7", "stuck:8", "scatter:1", "scatter:5", "scatter:6", "scatter:8")
UNNAMED = ("other", "arithmetic slip")
NUM_COMPARED = 2_000
_DIGITS = re.compile(r"\d+")


class Errors(NamedTuple):
    """Wrong completions, (N,) each, and the strategy of each."""

    prompts: list[str]
    texts: list[str]
    strategies: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Sample, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=24, metavar="N", help="hard problems (default: 24)")
    parser.add_argument("--samples", type=int, default=128, metavar="N", help="completions of each (default: 128)")
    parser.add_argument("--policies", nargs="*", default=[*TUNED_ON, *HELD_OUT], metavar="NAME:SEED")
    parser.add_argument("--smollm2", type=Path, metavar="OUT", help="folder of python -m meds_lab.fingerprints")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sets = {name: policy_errors(name, parsed.problems, parsed.samples) for name in parsed.policies}
    sets["invented"] = invented_errors(parsed.problems)
    print_agreement(sets)
    print_neighbours(sets)
    if parsed.smollm2 is not None:
        print_smollm2(parsed.smollm2)
    return 0


def policy_errors(name: str, num_problems: int, num_samples: int) -> Errors:
    """What a pocket policy gets wrong, by final answer."""
    variant, _, seed = name.partition(":")
    torch.manual_seed(0)
    model, tokenizer = load_pocket_model(int(seed), "plain" if variant == "seed" else variant)
    problems = pool("hard")[:num_problems]
    prompts = [problem.prompt for problem in problems]
    sampled = sample_completions(model, tokenizer, prompts, num_samples=num_samples, max_new_tokens=96)
    found = Errors([], [], [])
    for problem, completions in zip(problems, sampled, strict=True):
        right = {"prompt": problem.prompt, "answer": str(answers(problem)[CORRECT])}
        for one in completions:
            if not grade(one.text, right):
                found.prompts.append(problem.prompt)
                found.texts.append(one.text)
                found.strategies.append(strategy(one.text, right))
    return found


def invented_errors(num_problems: int, seed: int = 0) -> Errors:
    """Twelve strategies that are no policy's, eight workings of each problem."""
    rng = random.Random(seed)
    rules = set[tuple[tuple[int, ...], str]]()
    while len(rules) < 12:
        order = tuple(rng.sample(range(3), 3))
        rules.add((order, rng.choice(("none", "turn second", "turn last", "drop third"))))
    found = Errors([], [], [])
    for problem in pool("hard")[:num_problems]:
        for rule in sorted(rules):
            for _ in range(8):
                steps = invented_plan(*rule, problem.ops).steps(problem.terms)
                found.prompts.append(problem.prompt)
                found.texts.append(write(steps, draw_wording(rng)))
                found.strategies.append(str(rule))
    return found


def invented_plan(order: tuple[int, ...], change: str, ops: tuple[str, ...]) -> Plan:
    """The order of the operations with one change.

    >>> invented_plan((2, 0, 1), "turn last", ("+", "*", "-"))
    Plan(first_term=0, ops=('+', '*', '+'), order=(2, 0, 1))
    """
    turned = {"+": "-", "-": "+", "*": "+"}
    if change == "drop third":
        return Plan(0, (ops[0], ops[2]), (1, 0) if order[0] else (0, 1))
    places = {"turn second": 1, "turn last": 2}
    if change in places:
        at = places[change]
        ops = (*ops[:at], turned[ops[at]], *ops[at + 1 :])
    return Plan(0, ops, order)


def print_agreement(sets: dict[str, Errors]) -> None:
    """The first table, as Markdown."""
    print("| policy | wrong | read | Rand | V | equal sequences: Rand | V | named only: Rand | V |")
    print("| :-- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for name, errors in sets.items():
        workings = [read_steps(*pair) for pair in zip(errors.prompts, errors.texts, strict=True)]
        rows = [row for row, working in enumerate(workings) if working is not None]
        ways = by_steps(workings)[rows]
        keys = np.unique([working.key for working in workings if working is not None], return_inverse=True)[1]
        truth = np.array(errors.strategies)[rows]
        named = ~np.isin(truth, UNNAMED)
        cells = [
            measure(truth[chosen], found[chosen])
            for found, chosen in ((ways, slice(None)), (keys, slice(None)), (ways, named))
            for measure in (adjusted_rand_score, v_measure_score)
        ]
        listed = " | ".join(f"{cell:.2f}" for cell in cells)
        note = "" if name in TUNED_ON else " (held out)"
        print(f"| {name}{note} | {len(workings)} | {len(rows) / len(workings):.2f} | {listed} |", flush=True)


def print_neighbours(sets: dict[str, Errors]) -> None:
    """The second table, as Markdown."""
    print("\n| policy | chance | steps | wording | wording, numbers masked |\n| :-- | --: | --: | --: | --: |")
    for name, errors in sets.items():
        kept = [row for row, one in enumerate(errors.strategies) if one not in UNNAMED]
        kept = sorted(random.Random(0).sample(kept, min(NUM_COMPARED, len(kept))))
        prompts, texts, names = ([column[row] for row in kept] for column in errors)
        sample = Sample(np.array(prompts), np.array(names), np.array(names))
        masked = [_DIGITS.sub("0", text) for text in texts]
        vectors = (step_vectors(prompts, texts), text_vectors(texts), text_vectors(masked))
        found = [np.nanmean(shares(np.nan_to_num(one), sample, "other problems")) for one in vectors]
        chance = np.nanmean(chances(sample, "other problems"))
        print(f"| {name} | {chance:.2f} | {' | '.join(f'{share:.2f}' for share in found)} |", flush=True)


def print_smollm2(folder: Path) -> None:
    """SmolLM2's completions with a box and equations, of seed 0: neighbours of the same problem, times chance."""
    from meds_lab.fingerprints.problems import PROBLEMS, SETTINGS, SUM_SETTINGS, SUMS, asked_as_is, asked_in_styles
    from meds_lab.fingerprints.sampling import sample
    from meds_rl.tasks.models import load_smollm2

    tokenizer = load_smollm2()[1]
    sums = [f"What is {' + '.join(map(str, numbers))}?" for numbers in SUMS]
    for name, asked, settings, count, questions in (
        ("smollm2", asked_as_is(), SETTINGS[:2], 40, PROBLEMS),  # seed 0
        ("smollm2-sums", asked_in_styles(), SUM_SETTINGS, 16, sums),
    ):
        lines = sample(folder / name / "completions.jsonl", asked, settings, count, as_is=True)
        rows = [
            (questions[line["problem"]], tokenizer.decode(ids, skip_special_tokens=True))
            for line in lines
            for ids in line["completion_ids"]
        ]
        kept = [(prompt, text) for prompt, text in rows if "\\boxed{" in text and equations(text)]
        prompts, texts = ([row[place] for row in kept] for place in range(2))
        answered = np.array([text.rpartition("\\boxed{")[2].partition("}")[0].strip() for text in texts])
        read = sum(read_steps(*row) is not None for row in kept)
        print(f"\n{name}: {len(rows)} completions, {len(kept)} compared, steps read in {read}\n")
        vectors = (step_vectors(prompts, texts), text_vectors(texts))
        labels = {label: np.array([of(equations(text)) for text in texts]) for label, of in LABELS.items()}
        print("| strategy | pairs | chance | best possible | steps, times chance | wording, times chance |")
        print("| :-- | :-- | --: | --: | --: | --: |")
        wanted: tuple[Pairs, ...] = ("all", "other answer", "same answer")
        for label in ("first two equations", "sequence of operations"):
            compared = Sample(np.array(prompts), labels[label], answered)
            for pairs in wanted:
                chance = np.nanmean(chances(compared, pairs))
                best = np.nanmean(best_shares(compared, pairs)) / chance
                found = [np.nanmean(shares(np.nan_to_num(one), compared, pairs)) / chance for one in vectors]
                print(
                    f"| {label} | {pairs} | {chance:.3f} | {best:.1f} | {found[0]:.2f} | {found[1]:.2f} |", flush=True
                )


if __name__ == "__main__":
    raise SystemExit(main())
