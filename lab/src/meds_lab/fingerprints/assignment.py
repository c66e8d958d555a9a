"""Do penalties follow the errors? Compares fingerprints, distances of the vote, and every setting of the memory.

    python -m meds_lab.fingerprints.assignment                # stuck, guess and scatter of seed 0; five minutes
    python -m meds_lab.fingerprints.assignment --settings     # the recommended memory, one setting changed at a time
    python -m meds_lab.fingerprints.assignment --problems 4 --samples 64
    python -m meds_lab.fingerprints.assignment --smollm2 runs/reasoning   # samples of python -m meds_lab.fingerprints

The policy does not train. For each hard problem, its wrong completions with an answer come in visits of 8. They are
looked up, then remembered, as in training. The planted strategy of each is known. The table has means over problems, of
the second half of the visits:

- seen: share of completions with a remembered neighbour.
- contrast: mean ln(size + 1) of the habit (the problem's most frequent strategy) minus that of all others. Alpha times
  the contrast is how much more the habit costs than another error.
- within: standard deviation of ln(size + 1) within the habit: noise of the penalty.
- right: correlation of ln(size + 1) with its value if strategies were known and counted for each prompt.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meds_lab.rivals.agglomerative import Agglomerative
from meds_lab.rivals.batch_memory import BatchMemory
from meds_lab.rivals.dbscan import DBSCAN
from meds_lab.rivals.global_memory import GlobalMemory
from meds_lab.rivals.kmeans import KMeans
from meds_lab.rivals.random_labels import RandomLabels
from meds_lab.rivals.single import one_cluster
from meds_lab.sampling import sample_completions
from meds_lab.tasks import load_pocket_model
from meds_rl import ErrorMemory, RewardShaper
from meds_rl.engines.settings import MEMORY_SETTINGS, SETTINGS, make_memory, make_shaper
from meds_rl.fingerprint import Fingerprint, answer_finder, extract, make_fingerprint
from meds_rl.fingerprint.steps import step_vectors
from meds_rl.fingerprint.text import answer_vectors, text_vectors
from meds_rl.memory import HDBSCANClustering, equal_vectors
from meds_rl.tasks.pocket import CORRECT, strategy
from meds_rl.tasks.pocket.problems import pool

VISIT = 8
# The policy is frozen here: penalties neither begin nor end.
PUBLISHED = {name: SETTINGS[name].value("paper") for name in MEMORY_SETTINGS}
RECOMMENDED = {name: SETTINGS[name].value("recommended") for name in MEMORY_SETTINGS} | {"anneal": [1.0, 1.0]}
PRESETS_CLUSTERING = HDBSCANClustering(cluster_selection_epsilon=RECOMMENDED["cluster_selection_epsilon"])
# Groups here have no right answer, which "skip" leaves alone.
PAPER = PUBLISHED | {"all_wrong": "center"}
COUNTED = {"clustering": equal_vectors, "max_distance": 0.0}


@dataclass(frozen=True)
class Setting:
    """What is compared: a fingerprint, and settings that differ from the recommended preset's, `memory` and
    `clustering` of the lab among them."""

    label: str
    fingerprint: str
    changed: Mapping[str, Any]


BY_FINGERPRINT = [
    Setting("planted strategy, counted", "strategy", COUNTED),
    Setting("answer string, counted", "answer_string", COUNTED),
    Setting("steps, counted", "steps", COUNTED),
    *[
        Setting(
            f"steps, {'however far' if furthest is None else f'to {furthest:g}'}", "steps", {"max_distance": furthest}
        )
        for furthest in (None, 0.25, 0.5, 0.75)
    ],
    Setting("text, to 1", "text", {"max_distance": 1.0}),
    Setting("steps, counted, one memory for all prompts", "steps", COUNTED | {"memory": GlobalMemory}),
    Setting("layer_logits, all layers (published)", "layer_logits", PAPER),
    *[
        Setting(
            f"{name}, {'however far' if furthest is None else f'to {furthest:g}'}",
            name,
            {"max_distance": furthest},
        )
        for name in ("answer_states", "working_states")
        for furthest in (None, 0.2, 0.25, 0.3, 0.4)
    ],
]
BY_SETTING = [
    Setting("recommended", "working_states", {}),
    Setting("the vote however far", "working_states", {"max_distance": None}),
    Setting("epsilon 0", "working_states", {"cluster_selection_epsilon": 0.0}),
    Setting("epsilon .3", "working_states", {"cluster_selection_epsilon": 0.3}),
    Setting("one neighbour votes", "working_states", {"n_neighbors": 1}),
    Setting("noise free", "working_states", {"noise": "free"}),
    Setting("single cluster", "working_states", {"clustering": one_cluster}),
    Setting("single cluster, however far", "working_states", {"clustering": one_cluster, "max_distance": None}),
    Setting("k-means", "working_states", {"clustering": KMeans()}),
    Setting("DBSCAN", "working_states", {"clustering": DBSCAN()}),
    Setting("agglomerative", "working_states", {"clustering": Agglomerative()}),
    Setting(
        "random labels",
        "working_states",
        {"clustering": RandomLabels(PRESETS_CLUSTERING), "max_distance": None},
    ),
    Setting("only the batch", "working_states", {"memory": BatchMemory}),
    Setting("one memory for all prompts", "working_states", {"memory": GlobalMemory}),
    Setting("half-life 8", "working_states", {"half_life": 8.0}),
    Setting("half-life 2", "working_states", {"half_life": 2.0}),
    *[
        Setting(f"{name}{far}", name, {} if far else {"max_distance": None})
        for name in ("layer_logits", "layer_logits_diff", "pooled_logits", "answer_states", "text_embedding")
        for far in ("", ", within .25")
    ],
    Setting("strategy's name, one memory for all", "strategy", COUNTED | {"memory": GlobalMemory}),
]


@dataclass(frozen=True)
class Errors:
    """Wrong completions with an answer to one problem, in the order of sampling.

    Attributes:
        strategies: N names.
        features: by fingerprint (N, D); equal names, and only they, have equal vectors.
    """

    strategies: list[str]
    features: dict[str, np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Sample, stream, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=12, metavar="N", help="number of hard problems (default: 12)")
    parser.add_argument("--samples", type=int, default=128, metavar="N", help="completions of each (default: 128)")
    parser.add_argument("--variants", nargs="*", default=["stuck", "guess", "scatter"], metavar="NAME")
    parser.add_argument("--settings", action="store_true", help="compare settings of the memory, not fingerprints")
    parser.add_argument("--smollm2", type=Path, metavar="OUT", help="folder of python -m meds_lab.fingerprints")
    parsed = parser.parse_args(arguments)
    if parsed.problems < 1 or parsed.samples < 4 * VISIT:
        parser.error(f"--problems must be at least 1 and --samples at least {4 * VISIT}")
    settings = BY_SETTING if parsed.settings else BY_FINGERPRINT
    for variant in parsed.variants:
        errors = sample_errors(variant, parsed.problems, parsed.samples, {one.fingerprint for one in settings})
        print_table(f"pocket-{variant}:0", errors, settings)
    if parsed.smollm2 is not None:
        print_table("SmolLM2-135M-Instruct", smollm2_errors(parsed.smollm2), settings)
    return 0


def print_table(title: str, errors: list[Errors], settings: Sequence[Setting]) -> None:
    """Means over problems, as Markdown."""
    print(f"\n## {title}\n\n| memory | seen | contrast | within | right |\n| :-- | --: | --: | --: | --: |")
    for setting in settings:
        if all(setting.fingerprint in one.features for one in errors):
            rows = stream(errors, setting.fingerprint, setting.changed)
            seen, contrast, within, right = np.nanmean(rows, axis=0)
            print(f"| {setting.label} | {seen:.2f} | {contrast:.2f} | {within:.2f} | {right:.2f} |", flush=True)


def smollm2_errors(folder: Path) -> list[Errors]:
    """Completions with an answer, right ones too (they are few): strategies are their first two equations."""
    from meds_lab.fingerprints.data import smollm2
    from meds_lab.fingerprints.problems import PROBLEMS, asked_as_is
    from meds_lab.fingerprints.problems import SETTINGS as TEMPERATURES
    from meds_lab.fingerprints.rivals import answer_states

    layers = list(range(3, 31, 3))
    data = smollm2(folder / "smollm2", asked_as_is(), TEMPERATURES, 40, layers, as_is=True)
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
        texts = [data.text[row] for row in rows.tolist()]
        own |= {
            "strategy": answer_vectors(strategies),
            "steps": step_vectors([PROBLEMS[int(problem)]] * len(rows), texts),
            "text": text_vectors(texts),
            "answer_string": answer_vectors(data.answer[rows].tolist()),
        }
        errors.append(Errors(strategies, own))
    return errors


def sample_errors(variant: str, num_problems: int, num_samples: int, names: set[str]) -> list[Errors]:
    """What a starting policy gets wrong on the first hard problems, which its warm-up never saw."""
    torch.manual_seed(0)
    model, tokenizer = load_pocket_model(0, variant)
    prompts = [problem.prompt for problem in pool("hard")[:num_problems]]
    sampled = sample_completions(model, tokenizer, prompts, num_samples=num_samples, max_new_tokens=96)
    find = answer_finder("boxed")
    from_text = {"strategy", "answer_string", "steps", "text", "text_embedding"}
    readers = {name: reader(name) for name in names - from_text}
    errors = []
    for prompt, completions in zip(prompts, sampled, strict=True):
        wrong = [one for one in completions if strategy(one.text, {"prompt": prompt}) != CORRECT]
        answered = [one for one in wrong if find(one.token_ids, tokenizer) is not None]
        ids = [one.token_ids for one in answered]
        prompt_ids = [tokenizer(prompt)["input_ids"]] * len(ids)
        answers = [find(row, tokenizer) for row in ids]
        features = {name: extract(model, one, prompt_ids, ids, answers) for name, one in readers.items()}
        strategies = [strategy(one.text, {"prompt": prompt}) for one in answered]
        features["strategy"] = answer_vectors(strategies)
        features["answer_string"] = answer_vectors([one.text.rpartition("boxed{")[2] for one in answered])
        texts = [one.text for one in answered]
        features |= {"steps": step_vectors([prompt] * len(texts), texts), "text": text_vectors(texts)}
        if "text_embedding" in names:
            from meds_lab.rivals.text_embedding import embed_texts

            features["text_embedding"] = embed_texts(texts)
        errors.append(Errors(strategies, features))
    return errors


def reader(name: str) -> Fingerprint:
    """The fingerprint as the pocket-sized grids take it: logits of all layers, as half of four would be two numbers."""
    return make_fingerprint(name, -1 if name.startswith("layer_logits") else None)


def stream(errors: Sequence[Errors], name: str, changed: Mapping[str, Any]) -> np.ndarray:
    """All problems' visits through one shaper, a visit of each a batch, as a training would do.

    Args:
        errors: One for each problem.
        name: The fingerprint.
        changed: Settings that differ from the recommended preset's; `memory` and `clustering` of the lab among them.

    Returns:
        (P, 4): by problem share seen, contrast, deviation within the habit, correlation with the truth; NaN where
        one is not defined.
    """
    shaper = shaper_of(changed)
    sizes: list[list[float]] = [[] for _ in errors]
    for start in range(0, max(len(one.strategies) for one in errors), VISIT):
        # A last visit may be smaller; problems that have none left are not in the batch.
        there = [(p, one.features[name][start : start + VISIT]) for p, one in enumerate(errors)]
        places = np.repeat([p for p, rows in there], [len(rows) for _, rows in there])
        shaped = shaper.shape(
            np.zeros(len(places)),
            prompt_ids=places.tolist(),
            features=np.concatenate([rows for _, rows in there]),
            is_correct=np.zeros(len(places), dtype=bool),
        )
        for place, size in zip(places, shaped.cluster_sizes, strict=True):
            sizes[place].append(float(np.log1p(size)))
    return np.array([follows(one.strategies, np.array(found)) for one, found in zip(errors, sizes, strict=True)])


def shaper_of(changed: Mapping[str, Any]) -> RewardShaper:
    """The recommended preset's shaper with some settings changed."""
    values = RECOMMENDED | dict(changed)
    kind, clustering = values.pop("memory", ErrorMemory), values.pop("clustering", None)
    memory = kind(clustering or make_memory(values).clustering, half_life=values["half_life"])
    return make_shaper(values, memory)


def follows(strategies: Sequence[str], size: np.ndarray) -> tuple[float, float, float, float]:
    """What `stream` returns of one problem, of its completions' strategies and ln(size + 1), both (N,)."""
    habit = Counter(strategies).most_common(1)[0][0]
    made: Counter[str] = Counter()
    true_size = []
    for start in range(0, len(strategies), VISIT):
        visit = strategies[start : start + VISIT]
        true_size += [np.log1p(made[one]) for one in visit]
        made.update(visit)
    judged = slice(len(strategies) // VISIT // 2 * VISIT, None)
    size, truth = size[judged], np.array(true_size)[judged]
    is_habit = np.array([one == habit for one in strategies[judged]])
    if is_habit.all() or not is_habit.any():
        return np.nan, np.nan, np.nan, np.nan
    right = np.corrcoef(size, truth)[0, 1] if size.std() > 0 and truth.std() > 0 else 0.0
    contrast = size[is_habit].mean() - size[~is_habit].mean()
    return float((size > 0).mean()), float(contrast), float(size[is_habit].std()), float(right)


if __name__ == "__main__":
    raise SystemExit(main())
