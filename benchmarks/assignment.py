"""Do penalties follow the errors? By fingerprint, and by how far the vote for a cluster reaches.

    python benchmarks/assignment.py                  # pocket-stuck:0, pocket-guess:0, pocket-scatter:0; two minutes
    python benchmarks/assignment.py --problems 4 --samples 64
    python benchmarks/assignment.py --smollm2 runs/reasoning   # of what reasoning.py --model smollm2 has sampled

For each of some hard problems a frozen policy's wrong completions come in visits of 8, those that have an answer: they
are looked up, then remembered, as in training, but nothing moves. The planted strategy of each is known. Printed, over
the second half of the visits:

- seen: share of completions that are like something remembered.
- contrast: mean ln(size + 1) of the habit's completions, the problem's most frequent strategy, less that of the others.
  Times alpha it is what makes another error pay better than the habit.
- within: standard deviation of ln(size + 1) within the habit: noise of the penalty.
- right: correlation of ln(size + 1) with what it would be if strategies were known.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from meds_rl import ErrorMemory
from meds_rl.evaluation.sampling import sample_completions
from meds_rl.fingerprint import AnswerStates, Fingerprint, LayerLogits, WorkingStates, answer_finder, extract
from meds_rl.shaping.clustering import Clustering, HDBSCANClustering
from meds_rl.shaping.clusterings import ExactClustering
from meds_rl.tasks.pocket import CORRECT, load_pocket_model, strategy
from meds_rl.tasks.pocket.problems import pool

VISIT = 8
FINGERPRINTS: dict[str, Fingerprint] = {
    "layer_logits": LayerLogits(),
    "answer_states": AnswerStates(),
    "working_states": WorkingStates(),
}
LOOSE = HDBSCANClustering(cluster_selection_epsilon=0.2)
SETTINGS: list[tuple[str, str, Clustering, float | None]] = [
    ("planted strategy, counted", "strategy", ExactClustering(), 0.0),
    ("answer string, counted", "answer_string", ExactClustering(), 0.0),
    ("layer_logits, however far (published)", "layer_logits", HDBSCANClustering(), None),
    *[
        (f"{name}, {'however far' if furthest is None else f'to {furthest:g}'}", name, LOOSE, furthest)
        for name in ("answer_states", "working_states")
        for furthest in (None, 0.2, 0.25, 0.3, 0.4)
    ],
]


@dataclass(frozen=True)
class Errors:
    """Wrong completions with an answer to one problem, in the order of sampling.

    Attributes:
        strategies: N names.
        features: by fingerprint (N, D); counted things are unit vectors of their own.
    """

    strategies: list[str]
    features: dict[str, np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Sample, stream, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=12, metavar="N", help="hard problems (default: 12)")
    parser.add_argument("--samples", type=int, default=128, metavar="N", help="of each (default: 128)")
    parser.add_argument("--variants", nargs="*", default=["stuck", "guess", "scatter"], metavar="NAME")
    parser.add_argument("--smollm2", type=Path, metavar="OUT", help="folder of benchmarks/reasoning.py")
    parsed = parser.parse_args(arguments)
    if parsed.problems < 1 or parsed.samples < 4 * VISIT:
        parser.error(f"--problems must be at least 1 and --samples at least {4 * VISIT}")
    for variant in parsed.variants:
        errors = sample_errors(variant, parsed.problems, parsed.samples)
        print_table(f"pocket-{variant}:0", errors)
    if parsed.smollm2 is not None:
        print_table("SmolLM2-135M-Instruct", smollm2_errors(parsed.smollm2))
    return 0


def print_table(title: str, errors: list[Errors]) -> None:
    """Means over problems, as Markdown."""
    print(f"\n## {title}\n\n| vote | seen | contrast | within | right |\n| :-- | --: | --: | --: | --: |")
    for label, name, clustering, furthest in SETTINGS:
        if all(name in one.features for one in errors):
            rows = np.array([stream(one, name, clustering, furthest) for one in errors])
            seen, contrast, within, right = np.nanmean(rows, axis=0)
            print(f"| {label} | {seen:.2f} | {contrast:.2f} | {within:.2f} | {right:.2f} |", flush=True)


def smollm2_errors(folder: Path) -> list[Errors]:
    """Completions with an answer, right ones too (they are few): strategies are their first two equations."""
    from reasoning_data import smollm2
    from reasoning_problems import SETTINGS, asked_as_is
    from reasoning_rivals import answer_states

    layers = list(range(3, 31, 3))
    data = smollm2(folder / "smollm2", asked_as_is(), SETTINGS, 40, layers, as_is=True)
    states, layer = data.states, layers.index(21)
    features = {
        "layer_logits": states.layer_logits[:, states.layer_logits.shape[1] // 2 :],
        "answer_states": answer_states(data),
        "working_states": states.pooled["working, each token at length 1"][:, layer]
        - states.pooled["prompt, each token at length 1"][:, layer],
    }
    errors = []
    for problem in np.unique(data.problem):
        rows = np.flatnonzero(data.problem == problem)
        strategies = [str(name) for name in next(iter(data.labels.values()))[rows]]
        own = {name: np.ascontiguousarray(values[rows]) for name, values in features.items()}
        own |= {"strategy": one_hot(strategies), "answer_string": one_hot(data.answer[rows].tolist())}
        errors.append(Errors(strategies, own))
    return errors


def sample_errors(variant: str, num_problems: int, num_samples: int) -> list[Errors]:
    """What a shipped policy gets wrong on the first hard problems, which its warm-up never saw."""
    torch.manual_seed(0)
    model, tokenizer = load_pocket_model(0, variant)
    prompts = [problem.prompt for problem in pool("hard")[:num_problems]]
    sampled = sample_completions(model, tokenizer, prompts, num_samples=num_samples, max_new_tokens=96)
    find = answer_finder("boxed")
    errors = []
    for prompt, completions in zip(prompts, sampled, strict=True):
        wrong = [one for one in completions if strategy(one.text, {"prompt": prompt}) != CORRECT]
        answered = [one for one in wrong if find(one.token_ids, tokenizer) is not None]
        ids = [one.token_ids for one in answered]
        prompt_ids = [tokenizer(prompt)["input_ids"]] * len(ids)
        answers = [find(row, tokenizer) for row in ids]
        features = {
            name: extract(model, fingerprint, prompt_ids, ids, answers)
            for name, fingerprint in FINGERPRINTS.items()
        }
        strategies = [strategy(one.text, {"prompt": prompt}) for one in answered]
        features["strategy"] = one_hot(strategies)
        features["answer_string"] = one_hot([one.text.rpartition("boxed{")[2] for one in answered])
        errors.append(Errors(strategies, features))
    return errors


def one_hot(names: Sequence[str]) -> np.ndarray:
    """(N, D): a unit vector for each different name."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.eye(len(places), dtype=np.float32)[[places[name] for name in names]]


def stream(
    errors: Errors, name: str, clustering: Clustering, furthest: float | None
) -> tuple[float, float, float, float]:
    """Share seen, contrast, deviation within the habit and correlation with the truth; NaN where not defined."""
    memory, features = ErrorMemory(clustering), errors.features[name]
    made: Counter[str] = Counter()
    habit = Counter(errors.strategies).most_common(1)[0][0]
    sizes, true_sizes, habits = [], [], []
    num_visits = len(features) // VISIT
    for visit in range(num_visits):
        rows = slice(visit * VISIT, (visit + 1) * VISIT)
        found = memory.assign("", features[rows], max_distance=furthest).sizes
        if visit >= num_visits // 2:
            sizes += np.log1p(found).tolist()
            true_sizes += [np.log1p(made[one]) for one in errors.strategies[rows]]
            habits += [one == habit for one in errors.strategies[rows]]
        made.update(errors.strategies[rows])
        memory.remember("", features[rows])
    size, is_habit = np.array(sizes), np.array(habits)
    if is_habit.all() or not is_habit.any():
        return np.nan, np.nan, np.nan, np.nan
    right = np.corrcoef(size, true_sizes)[0, 1] if size.std() > 0 and np.std(true_sizes) > 0 else 0.0
    contrast = size[is_habit].mean() - size[~is_habit].mean()
    return float((size > 0).mean()), float(contrast), float(size[is_habit].std()), float(right)


if __name__ == "__main__":
    raise SystemExit(main())
