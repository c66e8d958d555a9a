"""From problems to rows of the samples table: sample, grade, and take fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from meds_rl.evaluation.grading import Grader
from meds_rl.evaluation.problems import Problem, ProblemSet
from meds_rl.evaluation.sampling import Completion, Row, SamplingEngine, SamplingSettings, chunk_seed, plan
from meds_rl.fingerprint import Fingerprint, answer_finder, extract, extract_answer
from meds_rl.rollouts.samples import samples_table

if TYPE_CHECKING:
    import pyarrow as pa

    from meds_rl.evaluation.folder import Parts


@dataclass(frozen=True)
class FingerprintTaker:
    """Takes one kind of fingerprint of completions, by forwards of `batch_size` rows of a model of transformers."""

    model: Any
    tokenizer: Any
    fingerprint: Fingerprint
    batch_size: int = 16

    def take(
        self, prompt_ids: Sequence[list[int]], completions: Sequence[Completion], marker: str
    ) -> list[list[float] | None]:
        """One fingerprint for each completion, None if it has no answer; `marker` as in `answer_finder`."""
        find = answer_finder(marker)
        ids = [completion.token_ids for completion in completions]
        answers = [find(row, self.tokenizer) for row in ids]
        features = extract(
            self.model,
            self.fingerprint,
            prompt_ids,
            ids,
            answers,
            batch_size=self.batch_size,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return [None if np.isnan(row).any() else row.tolist() for row in features]


@dataclass(frozen=True)
class Rollout:
    """How problems become rows: sampling, grading, fingerprints.

    `num_samples` completions of each problem are sampled, `batch_size` at once; together with the seed it determines
    the samples. `guarded` graders run in a separate process if they may hang.
    """

    engine: SamplingEngine
    settings: SamplingSettings
    num_samples: int
    batch_size: int
    seed: int = 0
    fingerprints: FingerprintTaker | None = None
    guarded: bool = True

    def run(
        self,
        problems: Sequence[Problem],
        *,
        parts: Parts | None = None,
        description: str | None = None,
        keep_bar: bool = True,
    ) -> tuple[pa.Table, int]:
        """Sample all problems; `parts` stores finished chunks, and has those of an earlier run.

        A progress bar is shown if it has a `description`.

        Returns:
            The samples table, problems and samples in order, and how many completions hung in grading.
        """
        import pyarrow as pa

        prompt_ids = [self.engine.encode(problem.row["prompt"]) for problem in problems]
        chunks = plan([len(ids) for ids in prompt_ids], self.num_samples, self.batch_size)
        tables = []
        with ExitStack() as stack:
            graders = {source: stack.enter_context(self._grader(source)) for source in _sources(problems)}
            bar = stack.enter_context(
                tqdm(
                    total=len(problems) * self.num_samples,
                    desc=description,
                    unit="sample",
                    leave=keep_bar,
                    disable=description is None,
                )
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

    def _grader(self, source: ProblemSet) -> Grader:
        return Grader(source.task.grade, in_process=self.guarded and source.task.grade_may_hang)

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
        fingerprints = self._fingerprints(asked, ids, completions)
        for row, problem, completion, fingerprint in zip(chunk, asked, completions, fingerprints, strict=True):
            (right,) = graders[problem.source]([(completion.text, problem.row)])
            yield _row(problem, row.sample, completion, right, fingerprint)

    def _fingerprints(
        self, problems: Sequence[Problem], ids: Sequence[list[int]], completions: Sequence[Completion]
    ) -> list[list[float] | None]:
        found: list[list[float] | None] = [None] * len(problems)
        if self.fingerprints is None:
            return found
        for source in _sources(problems):
            places = [place for place, problem in enumerate(problems) if problem.source is source]
            taken = self.fingerprints.take(
                [ids[place] for place in places],
                [completions[place] for place in places],
                source.task.answer_marker,
            )
            for place, fingerprint in zip(places, taken, strict=True):
                found[place] = fingerprint
        return found


def _sources(problems: Sequence[Problem]) -> list[ProblemSet]:
    return list(dict.fromkeys(problem.source for problem in problems))


def _row(
    problem: Problem, sample: int, completion: Completion, right: bool, fingerprint: list[float] | None
) -> dict[str, Any]:
    task = problem.source.task
    answer = extract_answer(completion.text, task.answer_marker)
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
        "fingerprint": None if answer is None else fingerprint,
    }
