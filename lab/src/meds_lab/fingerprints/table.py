"""The bench's tables, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meds_lab.fingerprints.candidates import CANDIDATES, CENTRES, PUBLISHED, TEXT, Candidate
from meds_lab.fingerprints.choice import Judged, judge
from meds_lab.fingerprints.clusters import CLUSTERINGS, agreement_of
from meds_lab.fingerprints.data import Data
from meds_lab.fingerprints.neighbours import (
    PAIRS,
    Pairs,
    Sample,
    best_shares,
    chances,
    difference,
    ratio,
    resamples,
    shares,
)
from meds_rl.fingerprint import WorkingStates

BY_NAME = {one.name: one for one in CANDIDATES}
OURS = "mean over the prompt (`working_states`)"
BOTH = "`working_states`, and state at p"
RIVAL = "character n-grams"


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(parts))


def _problems(sets: Sequence[Data]) -> np.ndarray:
    """Problems of all sets; the same problem of another checkpoint is drawn with it."""
    return _joined([data.problem for data in sets])


def neighbours(sets: Sequence[Data], candidates: Sequence[Candidate], count: int) -> str:
    """Share, ratio to chance and difference to the best text, for each kind of pairs."""
    drawn = resamples(_problems(sets), count)
    judged = {one: [judge(one, data, data.sample()) for data in sets] for one in candidates}
    sections = []
    for pairs in PAIRS:
        share = {one: _joined([part.share[pairs] for part in parts]) for one, parts in judged.items()}
        chance = _joined(
            [chances_of(data.sample(), judged_parts, pairs) for data, judged_parts in _first(sets, judged)]
        )
        sections.append(_section(sets, pairs, judged, share, chance, drawn))
    counts = {key: sum(data.counts.get(key, 0) for data in sets) for key in sets[0].counts}
    listed = ", ".join(f"{number} {what}" for what, number in counts.items())
    return f"{listed}; strategies: {next(iter(sets[0].labels))}.\n\n" + "\n".join(sections)


def _first(sets: Sequence[Data], judged: dict[Candidate, list[Judged]]) -> list[tuple[Data, Judged]]:
    return list(zip(sets, next(iter(judged.values())), strict=True))


def chances_of(sample: Sample, judged: Judged, pairs: Pairs) -> np.ndarray:
    """Chance where the candidate was judged."""
    return np.where(np.isfinite(judged.share[pairs]), chances(sample, pairs), np.nan)


def _section(
    sets: Sequence[Data],
    pairs: Pairs,
    judged: dict[Candidate, list[Judged]],
    share: dict[Candidate, np.ndarray],
    chance: np.ndarray,
    drawn: np.ndarray,
) -> str:
    valid = np.isfinite(chance)
    if not np.any(chance[valid] > 0):
        return f"**{pairs}**: no prompt has enough such pairs that share a strategy\n"
    best = _joined([best_shares(data.sample(), pairs) for data in sets])
    texts = [one for one in share if one.family == TEXT]
    rival = max(texts, key=lambda one: float(np.nanmean(share[one])))
    lines = [
        f"**{pairs}**: {valid.sum()} completions; chance {np.nanmean(chance):.3f}, the best possible "
        f"{np.nanmean(best[valid]):.3f} ({np.nanmean(best[valid]) / np.nanmean(chance):.1f} x chance); "
        f"best text: {rival.name}",
        "",
        "| | fingerprint | share | x chance | more than the best text | chosen |",
        "|---|---|---|---|---|---|",
    ]
    for one, values in share.items():
        gap = difference(values, share[rival], drawn)
        chosen = ", ".join(_choice(part, data) for part, data in zip(judged[one], sets, strict=True))
        lines.append(
            f"| {one.family} | {one.name} | {np.nanmean(values):.3f} | {ratio(values, chance, drawn)} | "
            f"{'–' if one is rival else gap} | {chosen} |"
        )
    return "\n".join(lines) + "\n"


def _choice(judged: Judged, data: Data) -> str:
    """Layers by their number, of the first and the second half."""
    listed = []
    for choice in judged.chosen:
        if choice is None:
            return "–"
        if isinstance(choice, str):
            listed.append(choice)
            continue
        parts = choice if isinstance(choice, tuple) else (choice,)
        listed.append("/".join([str(data.states.layers[parts[0]]), *map(str, parts[1:])]))
    return " ".join(listed)


def other_problems(sets: Sequence[Data]) -> str:
    """Neighbours over all prompts, as under `meds_scope: global`."""
    names = [one for one in CANDIDATES if one.family in (CENTRES, PUBLISHED)]
    names += [BY_NAME[name] for name in (RIVAL, "results only", "numbers and operators only")]
    kind: tuple[Pairs, ...] = ("other problems",)
    judged = {one: [judge(one, data, data.sample(), kind) for data in sets] for one in names}
    chance = _joined([chances(data.sample(), kind[0]) for data in sets])
    drawn = resamples(_problems(sets), 1000)
    lines = [
        f"**neighbours in other problems**: chance {chance.mean():.3f}",
        "",
        "| fingerprint | share | x chance |",
        "|---|---|---|",
    ]
    for one, parts in judged.items():
        values = _joined([part.share[kind[0]] for part in parts])
        lines.append(f"| {one.name} | {values.mean():.3f} | {ratio(values, chance, drawn)} |")
    return "\n".join(lines) + "\n"


def clusters(sets: Sequence[Data]) -> str:
    """Adjusted Rand index of clusters and strategies, with the answer free and within one answer."""
    names = (
        "answer string",
        RIVAL,
        "layer_logits",
        "answer_states",
        "results only",
        "the problem's mean",
        OURS,
        BOTH,
    )
    lines = ["**clusters and strategies** (adjusted Rand index: answer free / within one answer)", ""]
    lines += [f"| fingerprint | {' | '.join(CLUSTERINGS)} |", "|---|" + "---|" * len(CLUSTERINGS)]
    for name in names:
        cells = []
        for clustering in CLUSTERINGS.values():
            found = []
            for data in sets:
                layer = default_layer(data)
                vectors = BY_NAME[name].make(data, layer, np.ones(len(data.problem), dtype=bool))
                found.append(agreement_of(vectors, data, clustering))
            cells.append(" / ".join(f"{value:.2f}" for value in np.nanmean(found, axis=0)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def default_layer(data: Data) -> int:
    """Which of the kept layers is nearest to the one that `WorkingStates` takes."""
    wanted = WorkingStates().layers(data.states.layer_logits.shape[1])[0]
    return int(np.argmin([abs(layer - wanted) for layer in data.states.layers]))


def robustness(sets: Sequence[Data]) -> str:
    """x chance by other labels, and within each temperature and seed; of the one set there is."""
    (data,) = sets
    names = (
        "answer string",
        RIVAL,
        "layer_logits",
        "mean of the working",
        "results only",
        "the problem's mean",
        OURS,
        BOTH,
    )
    samples = {name: data.sample(name) for name in data.labels}
    rows = {name: np.ones(len(data.problem), dtype=bool) for name in samples}
    for setting in np.unique(data.setting):
        samples[setting], rows[setting] = data.sample(), data.setting == setting
    lines = [
        f"| x chance: all / same answer / other answer | {' | '.join(samples)} |",
        "|---|" + "---|" * len(samples),
    ]
    for name in names:
        cells = []
        for key, sample in samples.items():
            mine = rows[key]
            vectors = BY_NAME[name].make(data, default_layer(data), mine)
            part = Sample(sample.problem[mine], sample.strategy[mine], sample.answer[mine])
            cells.append(" / ".join(_ratio(vectors[mine], part, pairs) for pairs in PAIRS))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "**other labels, each temperature and seed** (default layer)\n\n" + "\n".join(lines) + "\n"


def _ratio(vectors: np.ndarray, sample: Sample, pairs: Pairs) -> str:
    values, chance = shares(vectors, sample, pairs), chances(sample, pairs)
    valid = np.isfinite(values)
    return f"{values[valid].mean() / chance[valid].mean():.1f}" if valid.sum() >= 30 else "–"
