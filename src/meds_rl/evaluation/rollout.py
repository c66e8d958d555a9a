"""From problems to rows of the samples table: sample, grade, and take fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from meds_rl.evaluation.problems import Problem, ProblemSet
from meds_rl.evaluation.sampling import Completion, Row, SamplingEngine, SamplingSettings, chunk_seed, plan
from meds_rl.fingerprint import Fingerprint, answer_finder, answer_text, extract, outcome_text
from meds_rl.rollouts.samples import samples_table
from meds_rl.tasks.base import TextAnswerFinder, Verdict
from meds_rl.tasks.grader import Grader

if TYPE_CHECKING:
    import pyarrow as pa

    from meds_rl.evaluation.folder import Parts


@dataclass(frozen=True)
class FingerprintTaker:
    """Takes one kind of fingerprint of completions, by forwards of a model of transformers."""

    model: Any
    tokenizer: Any
    fingerprint: Fingerprint

    def take(
        self,
        prompt_ids: Sequence[list[int]],
        completions: Sequence[Completion],
        markers: Sequence[str | TextAnswerFinder],
    ) -> list[list[float] | None]:
        """One fingerprint for each completion, None if it has no answer; `markers` as in `answer_finder`."""
        ids = [completion.token_ids for completion in completions]
        answers = [answer_finder(marker)(row, self.tokenizer) for marker, row in zip(markers, ids, strict=True)]
        pad = self.tokenizer.pad_token_id
        features = extract(self.model, self.fingerprint, prompt_ids, ids, answers, batch_size=16, pad_token_id=pad)
        return [None if np.isnan(row).any() else row.tolist() for row in features]


@dataclass(frozen=True)
class Rollout:
    """How problems become rows: sampling, grading, fingerprints.

    `num_samples` completions of each problem are sampled, `batch_size` at once; together with the seed it determines
    the samples. Graders that may hang run in a separate process.
    """

    engine: SamplingEngine
    settings: SamplingSettings
    num_samples: int
    batch_size: int
    seed: int = 0
    fingerprints: FingerprintTaker | None = None

    def run(
        self,
        problems: Sequence[Problem],
        *,
        parts: Parts | None = None,
        description: str | None = None,
        keep_bar: bool = True,
    ) -> tuple[pa.Table, int]:
        """The samples table, problems and samples in order, and how many completions hung in grading.

        `parts` stores finished chunks, and has those of an earlier run. A `description` shows a progress bar.
        """
        import pyarrow as pa

        prompt_ids = [self.engine.encode(problem.row["prompt"]) for problem in problems]
        chunks = plan([len(ids) for ids in prompt_ids], self.num_samples, self.batch_size)
        tables = []
        with ExitStack() as stack:
            graders = {}
            for source in dict.fromkeys(problem.source for problem in problems):
                graders[source] = stack.enter_context(Grader.of(source.task))
            total, hidden = len(problems) * self.num_samples, description is None
            bar = stack.enter_context(
                tqdm(total=total, desc=description, unit="sample", leave=keep_bar, disable=hidden)
            )
            for number, chunk in enumerate(chunks):
                table = parts.done(number) if parts else None
                if table is None:
                    table = samples_table(self._rows(number, chunk, problems, prompt_ids, graders))
                    if parts:
                        parts.add(number, table)
                tables.append(table)
                bar.update(len(chunk))
            hung = sum(grader.num_ended for grader in graders.values())
        order = sorted((row, place) for place, row in enumerate(row for chunk in chunks for row in chunk))
        return pa.concat_tables(tables).take([place for _, place in order]).combine_chunks(), hung

    def _rows(
        self,
        number: int,
        chunk: Sequence[Row],
        problems: Sequence[Problem],
        prompt_ids: Sequence[list[int]],
        graders: Mapping[ProblemSet, Grader],
    ) -> Iterator[dict[str, Any]]:
        ids = [prompt_ids[row.prompt] for row in chunk]
        completions = self.engine.sample(ids, self.settings, chunk_seed(self.seed, number))
        asked = [problems[row.prompt] for row in chunk]
        fingerprints: list[list[float] | None] = [None] * len(chunk)
        if self.fingerprints is not None:
            fingerprints = self.fingerprints.take(ids, completions, [p.source.task.finds_answers_by for p in asked])
        verdicts = _graded(asked, completions, graders)
        rows = zip(chunk, asked, completions, verdicts, fingerprints, strict=True)
        for row, problem, completion, verdict, fingerprint in rows:
            yield _row(problem, row.sample, completion, verdict, fingerprint)


def _graded(
    asked: Sequence[Problem], completions: Sequence[Completion], graders: Mapping[ProblemSet, Grader]
) -> list[bool | Verdict]:
    """Right or wrong. The completions of a source are graded in one call, so that its grader can use threads."""
    verdicts: list[bool | Verdict] = [False] * len(asked)
    for source, grader in graders.items():
        places = [place for place, problem in enumerate(asked) if problem.source is source]
        jobs = [(completions[place].text, asked[place].row) for place in places]
        for place, verdict in zip(places, grader(jobs) if jobs else (), strict=True):
            verdicts[place] = verdict
    return verdicts


def _row(
    problem: Problem, sample: int, completion: Completion, verdict: bool | Verdict, fingerprint: list[float] | None
) -> dict[str, Any]:
    task, right = problem.source.task, bool(verdict)
    answer = answer_text(task.finds_answers_by, completion.text)
    strategy = task.strategy(completion.text, problem.row) if task.strategy else None
    return {
        **problem.columns(),
        "sample": sample,
        "completion": completion.text,
        "num_tokens": len(completion.token_ids),
        "finished": completion.finished,
        "answer": answer,
        "is_correct": right,
        "strategy": strategy,
        "is_exact": right and strategy in task.correct_strategies if task.correct_strategies else None,
        "outcome": outcome_text(verdict.outcome) if isinstance(verdict, Verdict) else None,
        "fingerprint": None if answer is None else fingerprint,
    }
