"""What a set of samples says in a few figures: how often right, how often at least once, how varied the errors are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from meds_rl.evaluation.pass_at_k import pass_at_k


@dataclass(frozen=True)
class Samples:
    """n samples of one problem.

    Attributes:
        problem_id: names the problem.
        is_correct: n values.
        answers: n final answers as text, None where there is none.
    """

    problem_id: str
    is_correct: Sequence[bool]
    answers: Sequence[str | None]

    def wrong_answers(self) -> list[str | None]:
        """Answers of the wrong samples; None stands for "no answer", an error of its own."""
        return [answer for answer, right in zip(self.answers, self.is_correct, strict=True) if not right]


@dataclass(frozen=True)
class Summary:
    """Figures over problems.

    Attributes:
        num_problems: P.
        num_samples: n, samples per problem.
        k: of ``pass_at_k``.
        pass_at_1, pass_at_k: unbiased estimates, mean over problems.
        distinct_wrong: different wrong answers among a problem's n samples, mean over problems.
        repeated_errors: share of wrong samples that repeat a wrong answer already given to the same problem.
        no_answer: share of all samples without a final answer.
    """

    num_problems: int
    num_samples: int
    k: int
    pass_at_1: float
    pass_at_k: float
    distinct_wrong: float
    repeated_errors: float
    no_answer: float

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def summarise(problems: Sequence[Samples], k: int) -> Summary:
    """Summarise samples of several problems, the same number n of each.

    Raises:
        ValueError: no problems, problems with different n, or k out of 1..n.

    Example:
        >>> a = Samples("a", [True, False, False, False], ["7", "5", "5", None])
        >>> summary = summarise([a], k=2)
        >>> summary.pass_at_1, summary.pass_at_k, summary.distinct_wrong
        (0.25, 0.5, 2.0)
        >>> round(summary.repeated_errors, 3)  # of the wrong 5, 5 and "no answer" one repeats
        0.333
    """
    if not problems:
        raise ValueError("There are no samples to summarise.")
    sizes = {len(problem.is_correct) for problem in problems}
    if len(sizes) != 1:
        raise ValueError(f"Every problem must have the same number of samples; got {sorted(sizes)}.")
    n = sizes.pop()
    if not 1 <= k <= n:
        raise ValueError(f"k must be in 1..{n}, the number of samples; got {k}.")
    correct = np.array([sum(problem.is_correct) for problem in problems])
    wrong = [problem.wrong_answers() for problem in problems]
    num_wrong = sum(map(len, wrong))
    distinct = [len(set(answers)) for answers in wrong]
    return Summary(
        num_problems=len(problems),
        num_samples=n,
        k=k,
        pass_at_1=float(np.mean(pass_at_k(n, correct, 1))),
        pass_at_k=float(np.mean(pass_at_k(n, correct, k))),
        distinct_wrong=float(np.mean(distinct)),
        repeated_errors=1 - sum(distinct) / num_wrong if num_wrong else 0.0,
        no_answer=float(np.mean([answer is None for problem in problems for answer in problem.answers])),
    )
