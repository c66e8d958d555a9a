"""The memory as a reward function, for any trainer that calls functions of prompts and completions.

One call: read the rows of this process (`reward_rows`) -> gather the rows of all processes (`processes`) -> score and
remember them in the first process -> write the run folder (`reward_folder`) -> log, and return this process's rewards.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meds_rl.checks import check_choice, check_features, is_number
from meds_rl.engines.processes import of_all_processes, on_first_process, rank
from meds_rl.engines.reward_folder import RewardFolder
from meds_rl.engines.reward_rows import (
    Rows,
    Scored,
    batch_figures_of,
    check_lengths,
    check_text_or_chat,
    checked_grades,
    columns_of,
    completion_text,
    ignore,
    is_evaluation,
    rollout_columns,
    step_of,
    warn_of_first_rows,
)
from meds_rl.engines.settings import MEMORY_SETTINGS, RIGHT_ABOVE, SETTINGS, make_memory
from meds_rl.engines.texts import OUTCOME, outcome_texts, prompt_id_of, prompt_text
from meds_rl.fingerprint.answer import TextAnswerFinder, answer_finder, answer_text
from meds_rl.fingerprint.text import answer_vectors, text_fingerprints
from meds_rl.memory.clustering import equal_vectors
from meds_rl.memory.memory import ErrorMemory
from meds_rl.shaping.result import Reason, ShapedBatch
from meds_rl.shaping.shaper import RewardShaper

RewardFunction: TypeAlias = Callable[..., Sequence[float | None]]
"""As TRL calls it: f(prompts=, completions=, **columns) -> n numbers; None for no grade."""
FingerprintFunction: TypeAlias = Callable[..., ArrayLike]
"""f(prompts=, completions=, answers=, **columns) -> (n, D), completions and answers as texts; NaN for no answer."""

FINGERPRINTS = ("answer", "steps", "text", OUTCOME)

FIRST_ROWS = 32
"""After so many graded completions it warns if a setting seems wrong."""
LOOKED_AT, MOSTLY_SKIPPED = 32, 0.5
"""After so many groups it warns if at least this share of them is left out."""

logger = logging.getLogger("meds_rl")


class RepeatedErrorPenalty:
    """A reward function that remembers the errors of a policy and returns minus the penalty of those that recur.

    Pass it to TRL's ``GRPOTrainer(reward_funcs=[...])`` beside your own functions, or call it in a loop of your own. It
    returns -min(alpha ln(|C| + 1), beta) for a wrong completion whose error C was remembered |C| times, 0 for every
    other, and None where `correctness` returns None. With ``alpha=0`` it only watches, and training is the same to the
    last bit.

    Through TRL's ``log_metric`` it logs the metrics of ``docs/report.md`` that need no model, and
    ``pass/all_wrong_share`` (fraction of groups without a right answer) and ``meds/live_modes`` (mean number of
    different errors in a prompt's last three visits). Through ``log_extra`` it logs the columns ``meds_answer``,
    ``meds_cluster`` and ``meds_times_seen``.

    Rows of one call with the same prompt are a group. A prompt is identified by the column ``prompt_id``, or else by
    its content. In TRL's evaluations it neither penalises nor remembers; with another trainer, do not call it in
    evaluations.

    If torch.distributed runs, every process must call it. All share the memory of the first process, which alone writes
    files. It can be pickled; a copy opens the folder when it is called.

    Args:
        correctness: what says right or wrong: a reward function, which is called again with the same arguments, or the
            name of a column of numbers.
        alpha, beta, no_answer: as in `RewardShaper`.
        all_wrong: as in `RewardShaper`; "center" acts as "shape", because the trainer makes the advantages. None:
            "skip", but "shape" with ``alpha=0``, so that a watcher also remembers prompts without a right answer.
        fingerprint: what errors are compared by. "answer" counts equal answers, "outcome" equal outcomes (the column
            ``outcome``, or what `correctness` logs by ``log_extra("outcome", values)``). "steps" clusters by the steps
            of the working, "text" by its wording. Or a function (prompts=, completions=, answers=, **columns) that
            returns (n, D).
        folder: a run folder for ``meds report`` and ``meds watch``; it may be the trainer's ``output_dir``. It is
            written after every batch. The notes say when a run in it is continued.
        correct_above: a grade above it is right. None: grades must be 0 and 1 (or True and False).
        answer_finder: "boxed", "answer_tag", "hashes", "code", or a function from a completion's text to its answer.
        max_distance: as in `RewardShaper`. None: 0 for "answer" and "outcome", else the recommended 0.25; 2 is no
            bound.
        memory: an `ErrorMemory` to start with. None: an empty one, which counts equal vectors for "answer" and
            "outcome", and clusters by the recommended HDBSCAN for every other fingerprint.

    Attributes:
        shaper: the `RewardShaper`.
        memory: its memory. With several processes, only that of the first process is filled.

    Notes:
        A process that is killed loses at most the batch in progress. When TRL's trainer resumes from a checkpoint,
        folder and memory drop the batches after that checkpoint. If it starts at step 0 in a folder with a run, it gets
        ``folder/run-2``. A loop without TRL's ``trainer_state`` always continues the run.

        Keep TRL's ``multi_objective_aggregation="sum_then_normalize"`` with ``alpha > 0``: "normalize_then_sum" scales
        each function's rewards, and so the penalty, to the same deviation.

    Raises:
        TypeError, ValueError: an argument or a column has a wrong type or value.
        ImportError: a folder needs packages that are not installed.
        FileExistsError: another training writes to the folder, or it has a run of another kind.

    Example:
        >>> penalty = RepeatedErrorPenalty(correctness="right", answer_finder="hashes")
        >>> batch = {"prompts": ["6 * 7 = ?"] * 3, "completions": ["#### 42", "#### 13", "#### 13"]}
        >>> penalty(**batch, right=[1, 0, 0])  # the first visit: nothing is remembered yet
        [0.0, 0.0, 0.0]
        >>> [round(value, 4) for value in penalty(**batch, right=[1, 0, 0])]  # 13 was seen twice: 0.1 ln 3
        [0.0, -0.1099, -0.1099]
    """

    # TRL logs the reward under this name; MEDSTrainer's penalty has the same.
    __name__ = "meds_penalty"

    def __init__(
        self,
        correctness: RewardFunction | str,
        alpha: float = 0.1,
        beta: float = 0.2,
        fingerprint: Literal["answer", "steps", "text", "outcome"] | FingerprintFunction = "answer",
        all_wrong: Literal["skip", "center", "shape"] | None = None,
        folder: str | os.PathLike[str] | None = None,
        *,
        correct_above: float | None = None,
        answer_finder: str | TextAnswerFinder = "boxed",
        no_answer: Literal["cluster", "free"] = "cluster",
        max_distance: float | None = None,
        memory: ErrorMemory | None = None,
    ) -> None:
        _check_arguments(correctness, fingerprint, correct_above, answer_finder)
        counts = fingerprint in ("answer", OUTCOME)
        if memory is None:
            recommended = {name: SETTINGS[name].value("recommended") for name in MEMORY_SETTINGS}
            memory = ErrorMemory(equal_vectors) if counts else make_memory(recommended)
        if max_distance is None:
            max_distance = 0.0 if counts else SETTINGS["max_distance"].value("recommended")
        if all_wrong is None:
            all_wrong = "shape" if alpha == 0 else "skip"
        self.shaper = RewardShaper(
            alpha, beta, all_wrong=all_wrong, no_answer=no_answer, memory=memory, max_distance=max_distance
        )
        self.correctness, self.correct_above = correctness, correct_above
        self.fingerprint, self.answer_finder = fingerprint, answer_finder
        self.folder = None if folder is None else _usable_folder(folder)
        self._has_graded = self._warned_not_binary = False
        self._first: list[Rows] | None = []  # the first rows; None when they have been looked at
        self._skipped: list[bool] | None = []  # of the first groups; None when they have been looked at
        self._open_folder: RewardFolder | None = None
        self._turn = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        # A lock cannot be pickled; the copy makes its own, and opens the folder when it is called.
        return {**vars(self), "_open_folder": None, "_turn": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _turn=threading.RLock())

    @property
    def memory(self) -> ErrorMemory:
        """The memory of past errors."""
        return self.shaper.memory

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the memory to a file, as `ErrorMemory.save` does. With a folder, it is saved there as well."""
        self.memory.save(path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load the memory from a file that `save` or a run wrote, as `ErrorMemory.restore` does."""
        self.memory.restore(path)

    def close(self) -> None:
        """Release the folder, for another process to write to; the next call opens it again."""
        if self._open_folder is not None:
            self._open_folder.close()
            self._open_folder = None

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score a batch, then remember it.

        Args:
            prompts: B texts or lists of chat messages.
            completions: B texts or lists of chat messages, of which only the assistant's are read.
            completion_ids: B lists of token ids, for the lengths in the rollouts; without them lengths are 0.
            **columns: lists of B values, and what else TRL passes: ``trainer_state``, ``log_metric``, ``log_extra``.

        Returns:
            B rewards of 0 or below; None where `correctness` returns None.
        """
        given = {"prompts": prompts, "completions": completions, "completion_ids": completion_ids, **columns}
        if completion_ids is None:
            del given["completion_ids"]
        check_lengths(given)
        with self._turn:
            if is_evaluation(columns.get("log_metric")):
                return self._only_grade(given)
            parts = of_all_processes(lambda: self._read(given))
            scored = on_first_process(lambda: self._score(Rows.joined(parts), columns.get("trainer_state")))
        start = sum(map(len, parts[: rank()]))
        mine = slice(start, start + len(prompts))
        for name, value in scored.figures.items():
            columns.get("log_metric", ignore)(name, value)
        self._log_columns(given, parts[rank()].answers, scored.clusters[mine], scored.sizes[mine])
        return scored.rewards[mine]

    # ---- Read the rows of this process.

    def _read(self, given: Mapping[str, Any]) -> Rows:
        prompts, num_rows = given["prompts"], len(given["prompts"])
        for row, prompt in enumerate(prompts):
            check_text_or_chat("prompts", prompt, row)
        texts = [completion_text(completion, row) for row, completion in enumerate(given["completions"])]
        answers = self._answers(texts)
        ids = [{"prompt_id": name} for name in given["prompt_id"]] if "prompt_id" in given else [{}] * num_rows
        grades, outcomes = self._grades(given)
        start = time.perf_counter()
        features = check_features(self._features(given, texts, answers, outcomes), num_rows)
        return Rows(
            prompt_ids=[str(prompt_id_of(row, prompt)) for row, prompt in zip(ids, prompts, strict=True)],
            prompts=[prompt_text(prompt) for prompt in prompts],
            completions=texts,
            answers=answers,
            outcomes=outcomes,
            num_tokens=[len(tokens) for tokens in given.get("completion_ids", [()] * num_rows)],
            grades=grades,
            features=features,
            seconds=time.perf_counter() - start,
        )

    def _grades(self, given: Mapping[str, Any]) -> tuple[NDArray[np.float64], list[str | None] | None]:
        """(n,) grades, NaN for None; and n outcomes as texts, None if there are none."""
        # In a trainer, a column named outcome comes from the data set and may hold anything.
        is_reported = self.fingerprint == OUTCOME or "trainer_state" not in given
        num_rows, outcomes = len(given["prompts"]), given.get(OUTCOME) if is_reported else None
        if isinstance(self.correctness, str):
            if self.correctness not in given:
                names = ", ".join(sorted(columns_of(given))) or "none"
                raise ValueError(
                    f"correctness={self.correctness!r} is no column; the columns are: {names}. Name one of them, or "
                    "give a reward function."
                )
            grades = given[self.correctness]
        else:
            # The trainer calls it too, and then it logs; it must not log twice.
            logged: dict[str, list[Any]] = defaultdict(list)
            logs = {"log_metric": ignore, "log_extra": lambda name, values: logged[name].extend(values)}
            passed = set(given) | ({"log_extra"} if self.fingerprint == OUTCOME and outcomes is None else set())
            grades = self.correctness(**{**given, **{name: log for name, log in logs.items() if name in passed}})
            if OUTCOME in logged:
                outcomes = self._logged_outcomes(logged[OUTCOME], num_rows)
        return checked_grades(grades, num_rows), None if outcomes is None else outcome_texts(outcomes, num_rows)

    def _logged_outcomes(self, logged: list[Any], num_rows: int) -> list[str | None] | None:
        """As texts; None for something else that the user logs under this name, unless the memory needs outcomes."""
        try:
            return outcome_texts(logged, num_rows)
        except (TypeError, ValueError):
            if self.fingerprint == OUTCOME:
                raise
            return None

    def _answers(self, texts: list[str]) -> list[str | None]:
        return [answer_text(self.answer_finder, text) for text in texts]

    def _features(
        self, given: Mapping[str, Any], texts: list[str], answers: list[str | None], outcomes: list[str | None] | None
    ) -> ArrayLike:
        if self.fingerprint == OUTCOME and outcomes is None:
            raise ValueError(
                'fingerprint="outcome" needs outcomes: a column outcome, or a correctness that logs them by '
                'log_extra("outcome", values), one value for each completion and None for no outcome.'
            )
        if self.fingerprint == "answer":
            return answer_vectors(answers)
        if isinstance(self.fingerprint, str):
            return text_fingerprints(
                self.fingerprint, prompts=given["prompts"], completions=texts, answers=answers, outcomes=outcomes
            )
        return self.fingerprint(prompts=given["prompts"], completions=texts, answers=answers, **columns_of(given))

    # ---- Score, remember and write, in the first process.

    def _score(self, rows: Rows, trainer_state: Any) -> Scored:
        step = step_of(trainer_state)
        graded = np.isfinite(rows.grades)
        self._check_binary(rows.grades[graded])
        self._look_at_first(rows)
        self._has_graded |= bool(graded.any())
        if self.folder is not None:
            if self._open_folder is None:
                again = self._remember_again if isinstance(self.fingerprint, str) else None
                self._open_folder = RewardFolder(self.folder, self.memory, self._about(), step, again)
            step = self._open_folder.begin(step)
        start = time.perf_counter()
        shaped = self._shape(rows.prompt_ids, rows.features, self._is_correct(rows.grades), graded)
        self._warn_of_skipped(shaped)
        scored = Scored.of(shaped, graded)
        scored.figures |= batch_figures_of(rows, shaped, graded, self.memory)
        scored.figures |= {
            "meds/fingerprint_ms": 1000 * rows.seconds,
            "meds/memory_ms": 1000 * (time.perf_counter() - start),
        }
        if self._open_folder is not None and step is not None:
            recipe = self._recipe(rows, trainer_state)
            self._open_folder.write(step, rollout_columns(rows, shaped, graded), scored.figures, recipe)
        return scored

    def _shape(
        self,
        prompt_ids: Sequence[str],
        features: NDArray[np.float32],
        is_correct: NDArray[np.bool_],
        graded: NDArray[np.bool_],
    ) -> ShapedBatch:
        """Score the graded rows on rewards of 0, then remember them."""
        return self.shaper.shape(
            np.zeros(int(graded.sum())),
            prompt_ids=[name for name, keep in zip(prompt_ids, graded, strict=True) if keep],
            features=features[graded],
            is_correct=is_correct[graded],
        )

    def _remember_again(self, rollouts: Mapping[str, Sequence[Any]]) -> None:
        """Remember a batch again, from its rollouts."""
        given = {"prompts": rollouts["prompt"], "completions": rollouts["completion"]}
        outcomes = list(rollouts[OUTCOME]) if self.fingerprint == OUTCOME else None
        texts, answers = list(rollouts["completion"]), list(rollouts["answer"])
        features = check_features(self._features(given, texts, answers, outcomes))
        graded = np.array(
            [reward is not None and math.isfinite(reward) for reward in rollouts["reward"]], dtype=np.bool_
        )
        self._shape(rollouts["prompt_id"], features, np.array(rollouts["is_correct"], dtype=np.bool_), graded)

    def _look_at_first(self, rows: Rows) -> None:
        """Warn once about the first rows, of several calls: some loops pass one group a call, too few to judge by."""
        if self._first is None:
            return
        self._first.append(rows)
        grades = np.concatenate([part.grades for part in self._first])
        graded = grades[np.isfinite(grades)]
        if len(graded) >= FIRST_ROWS:
            warn_of_first_rows(self._first, self._is_correct(graded), by_answer=self.fingerprint == "answer")
            self._first = None

    def _warn_of_skipped(self, shaped: ShapedBatch) -> None:
        """Warn once if most of the first groups are left out, as they have no right answer."""
        if self._skipped is None or self.shaper.alpha == 0 or self.shaper.all_wrong != "skip":
            return
        reasons = dict(zip(shaped.group_ids, shaped.reasons, strict=True))
        self._skipped += [reason == Reason.ALL_WRONG.value for reason in reasons.values()]
        if len(self._skipped) < LOOKED_AT:
            return
        share = sum(self._skipped) / len(self._skipped)
        self._skipped = None
        if share >= MOSTLY_SKIPPED:
            logger.warning(
                "%.0f %% of the groups so far have no right answer. They are neither penalised nor remembered, as "
                'all_wrong is "skip"; all_wrong="shape" includes them.',
                100 * share,
            )

    def _is_correct(self, grades: NDArray[np.float64]) -> NDArray[np.bool_]:
        return grades > (RIGHT_ABOVE if self.correct_above is None else self.correct_above)

    def _check_binary(self, grades: NDArray[np.float64]) -> None:
        """Refuse other grades than 0 and 1 in the first batch, and warn of later ones."""
        odd = sorted(set(grades[(grades != 0) & (grades != 1)].tolist()))
        if self.correct_above is not None or not odd or self._warned_not_binary:
            return
        text = (
            f"correctness gave grades other than 0 and 1, such as {', '.join(f'{grade:.4g}' for grade in odd[:3])}. "
            "Set correct_above: grades above it are right."
        )
        if not self._has_graded:
            raise ValueError(text)
        self._warned_not_binary = True
        logger.warning("%s Until then more than %s counts as right.", text, RIGHT_ABOVE)

    def _about(self) -> dict[str, str]:
        return {"fingerprint": _name_of(self.fingerprint), "answer_finder": _name_of(self.answer_finder)}

    def _recipe(self, rows: Rows, trainer_state: Any) -> dict[str, Any]:
        shaper = self.shaper
        recipe: dict[str, Any] = {
            "meds_alpha": shaper.alpha,
            "meds_beta": shaper.beta,
            "meds_all_wrong": shaper.all_wrong,
            "meds_no_answer": shaper.no_answer,
            "meds_max_distance": shaper.max_distance,
            "num_generations": max(map(rows.prompt_ids.count, set(rows.prompt_ids)), default=1),
        }
        steps = {} if trainer_state is None else {"max_steps": int(trainer_state.max_steps)}
        return recipe | steps | self._about()

    # ---- Log.

    def _only_grade(self, given: Mapping[str, Any]) -> list[float | None]:
        """The rewards in an evaluation: nothing is penalised or remembered."""
        texts = [completion_text(completion, row) for row, completion in enumerate(given["completions"])]
        answers = self._answers(texts)
        # TRL's table of completions needs its columns for these rows, too.
        self._log_columns(given, answers, [None] * len(texts), [None] * len(texts))
        return [0.0 if math.isfinite(grade) else None for grade in self._grades(given)[0].tolist()]

    def _log_columns(
        self, given: Mapping[str, Any], answers: Sequence[Any], clusters: Sequence[Any], sizes: Sequence[Any]
    ) -> None:
        log_extra = given.get("log_extra", ignore)
        for name, values in (("answer", answers), ("cluster", clusters), ("times_seen", sizes)):
            log_extra(f"meds_{name}", list(values))


# ---- Arguments.


def _check_arguments(correctness: Any, fingerprint: Any, correct_above: Any, finder: Any) -> None:
    if not isinstance(correctness, str) and not callable(correctness):
        raise TypeError(f"correctness must be a reward function or the name of a column; got {correctness!r}")
    if callable(correctness) and any(map(inspect.iscoroutinefunction, (correctness, type(correctness).__call__))):
        raise TypeError(f"correctness must return grades, not a coroutine; got the asynchronous {correctness!r}")
    if isinstance(fingerprint, str):
        check_choice("fingerprint", fingerprint, FINGERPRINTS)
    elif not callable(fingerprint):
        names = ", ".join(map(repr, FINGERPRINTS))
        raise TypeError(f"fingerprint must be {names} or a function; got {fingerprint!r}")
    if correct_above is not None and not is_number(correct_above):
        raise TypeError(f"correct_above must be a number or None; got {correct_above!r}")
    answer_finder(finder)  # TypeError or ValueError


def _usable_folder(folder: str | os.PathLike[str]) -> Path:
    missing = [name for name in ("filelock", "pyarrow") if find_spec(name) is None]
    if missing:
        raise ImportError(f'a folder needs {" and ".join(missing)}: pip install "meds-rl[report]"')
    return Path(folder)


def _name_of(value: Any) -> str:
    """The name of an option's value: of a function, or of an object's class."""
    if isinstance(value, str):
        return value
    named = value if inspect.isroutine(value) or inspect.isclass(value) else type(value)
    return f"{named.__module__}.{named.__qualname__}"
