"""A finished evaluation, read back problem by problem."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meds_rl.runs.samples import read_samples


@dataclass(frozen=True)
class Doc:
    """One problem with its n samples.

    Attributes:
        columns: of the samples table that are the same for all samples: prompt, gold, problem_id, ...
        samples: n rows of the table.
    """

    columns: Mapping[str, Any]
    samples: list[Mapping[str, Any]]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages; a plain text is one of the user's."""
        prompt = self.columns["prompt"]
        if prompt.startswith("["):
            try:
                return [dict(message) for message in json.loads(prompt)]
            except (ValueError, TypeError):
                pass  # a text that begins with a bracket
        return [{"role": "user", "content": prompt}]

    @property
    def share_right(self) -> float:
        """Right samples of all: the problem's pass@1."""
        return sum(bool(row["is_correct"]) for row in self.samples) / len(self.samples)


@dataclass(frozen=True)
class Finished:
    """What `meds eval` left in a folder.

    Attributes:
        results: of results.json.
        tasks: the problems of each group, by a name that other harnesses can use.
        figures: the figures of each group, by the same name.
    """

    results: Mapping[str, Any]
    tasks: dict[str, list[Doc]]
    figures: dict[str, Mapping[str, Any]]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The resolved settings."""
        settings: Mapping[str, Any] = self.results["settings"]
        return settings

    @property
    def date_id(self) -> str:
        """The time of the results, as both harnesses write it into file names: no colons, no underscores."""
        return str(self.results["timestamp"]).partition("+")[0].replace(":", "-")


def read_finished(folder: Path) -> Finished:
    """Read an evaluation's folder.

    Raises:
        FileNotFoundError: it is not finished: a file is missing.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no finished evaluation: it has no {path.name}")
    results = json.loads(path.read_text(encoding="utf-8"))
    names = _names([(group["benchmark"], group["group"]) for group in results["groups"]])
    tasks: dict[str, dict[str, Doc]] = {name: {} for name in names.values()}
    for row in read_samples(folder / "samples.parquet").to_pylist():
        docs = tasks[names[row["benchmark"], row["group"]]]
        docs.setdefault(row["problem_id"], Doc(row, [])).samples.append(row)
    figures = {names[group["benchmark"], group["group"]]: group for group in results["groups"]}
    return Finished(results, {name: list(docs.values()) for name, docs in tasks.items()}, figures)


def _names(groups: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A benchmark of one group has its own name, else benchmark_group; only letters, digits and underscores.

    Names that are equal then are numbered: name, name_2, ...
    """
    alone = {benchmark for benchmark, _ in groups if [b for b, _ in groups].count(benchmark) == 1}
    names: dict[tuple[str, str], str] = {}
    for pair in groups:
        joined = pair[0] if pair[0] in alone else "_".join(pair)
        name = first = "".join(letter if letter.isalnum() else "_" for letter in joined)
        number = 1
        while name.casefold() in {
            taken.casefold() for taken in names.values()
        }:  # file systems may not tell case
            number += 1
            name = f"{first}_{number}"
        names[pair] = name
    return names


def standard_error(values: list[float]) -> float | None:
    """Of a mean over problems; None for a single one."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
