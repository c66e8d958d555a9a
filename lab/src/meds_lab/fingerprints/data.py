"""The bench's completions with all that fingerprints are made of, from the pocket checkpoints or from SmolLM2."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from meds_lab.fingerprints.labels import LABELS, equations
from meds_lab.fingerprints.neighbours import Sample
from meds_lab.fingerprints.problems import Asked
from meds_lab.fingerprints.sampling import sample
from meds_lab.fingerprints.states import States, join, take
from meds_lab.sampling import sample_completions
from meds_lab.tasks import load_pocket_model
from meds_rl.fingerprint import answer_finder
from meds_rl.tasks.pocket import pocket_task
from meds_rl.tasks.pocket.reading import followed

_BOX = re.compile(r"\\boxed\{([^{}]*)\}?")


@dataclass(frozen=True)
class Data:
    """N completions with an answer and a strategy.

    Attributes:
        problem, answer, text: (N,) each.
        labels: name -> (N,) strategies; the first one is the main one.
        setting: (N,) temperature and seed, or checkpoint.
        states: what the model did.
        unembedding: (V, d).
        counts: how many were sampled, and left out why.
    """

    problem: np.ndarray
    answer: np.ndarray
    text: list[str]
    labels: Mapping[str, np.ndarray]
    setting: np.ndarray
    states: States
    unembedding: np.ndarray
    counts: Mapping[str, int]

    def sample(self, label: str | None = None) -> Sample:
        """For counting neighbours; by the main label if none is named."""
        return Sample(self.problem, self.labels[label or next(iter(self.labels))], self.answer)

    @property
    def workings(self) -> list[str]:
        """The texts without the answer and what follows it."""
        return [text.partition("\\boxed")[0] for text in self.text]


def pocket(seed: int, num_problems: int = 32, num_samples: int = 64, *, variant: str = "plain") -> Data:
    """Hard problems at temperature 1; the label is the planted strategy that the working follows, slips or not."""
    model, tokenizer = load_pocket_model(seed, variant)
    rows = list(pocket_task(num_problems, 0, 0, 0).train)
    prompts = [str(row["prompt"]) for row in rows]
    found = sample_completions(
        model, tokenizer, prompts, num_samples=num_samples, max_new_tokens=96, batch_size=512, seed=seed
    )
    groups = []
    for number, (row, completions) in enumerate(zip(rows, found, strict=True)):
        ids = tokenizer(prompts[number])["input_ids"]
        texts = [one.text for one in completions]
        names = [one.strategy if (one := followed(text, row)) else None for text in texts]
        labels = [None if name is None else {"planted strategy": name} for name in names]
        groups.append((number, f"checkpoint {seed}", ids, [c.token_ids for c in completions], texts, labels))
    return _gather(model, tokenizer, groups, [1, 2, 3, 4])


def smollm2(
    out: Path,
    asked: Sequence[Asked],
    settings: Sequence[tuple[float, int]],
    num_samples: int,
    layers: list[int],
    *,
    as_is: bool = False,
) -> Data:
    """SmolLM2's completions, sampled if `out` does not hold them; labels read from the workings' equations.

    `settings` are temperatures with a seed.
    """
    from meds_rl.tasks.models import load_smollm2

    lines = sample(out / "completions.jsonl", asked, settings, num_samples, as_is=as_is)
    model, tokenizer = load_smollm2()
    groups = []
    for line in lines:
        texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in line["completion_ids"]]
        steps = [equations(text) for text in texts]
        labels = [{name: read(one) for name, read in LABELS.items()} if one else None for one in steps]
        setting = f"temperature {line['temperature']}, seed {line['seed']}"
        setting += f", {style}" if (style := line.get("style")) else ""
        groups.append((line["problem"], setting, line["prompt_ids"], line["completion_ids"], texts, labels))
    return _gather(model, tokenizer, groups, layers, out / "states")


def _kept(path: Path | None, make: Callable[[], States]) -> States:
    """What the file holds, else made and written."""
    if path is not None and path.exists():
        with path.open("rb") as file:
            return pickle.load(file)
    states = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pickle.dump(states, file)
    return states


def _gather(model: Any, tokenizer: Any, groups: list[Any], layers: list[int], folder: Path | None = None) -> Data:
    find, counts = answer_finder("boxed"), Counter[str]()
    kept: list[tuple[int, str, str, dict[str, str]]] = []
    parts = []
    for problem, setting, prompt_ids, completion_ids, texts, labels in tqdm(groups, desc="states"):
        places = [find(ids, tokenizer) for ids in completion_ids]
        counts["sampled"] += len(texts)
        counts["without an answer"] += sum(place is None for place in places)
        rows = [i for i, place in enumerate(places) if place is not None and labels[i] is not None]
        counts["with an answer, no strategy to be read"] += sum(p is not None for p in places) - len(rows)
        if rows:
            run = partial(
                take,
                model,
                tokenizer,
                prompt_ids,
                [completion_ids[i] for i in rows],
                [place for i in rows if (place := places[i]) is not None],
                layers,
            )
            parts.append(_kept(folder and folder / f"{problem} {setting}.pickle", run))
            kept += [(problem, setting, texts[i], labels[i]) for i in rows]
    return Data(
        problem=np.array([row[0] for row in kept]),
        answer=np.array([_BOX.findall(row[2])[-1].strip() for row in kept]),
        text=[row[2] for row in kept],
        labels={name: np.array([row[3][name] for row in kept]) for name in kept[0][3]},
        setting=np.array([row[1] for row in kept]),
        states=join(parts),
        unembedding=model.get_output_embeddings().weight.detach().numpy(),
        counts=counts,
    )
