"""Asks many questions: from the cache where it can, again where it failed, and counts what happened."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from meds_rl.evaluation.annotator.asking import Asking, outcomes
from meds_rl.evaluation.annotator.cache import ReplyCache
from meds_rl.evaluation.annotator.endpoint import Endpoint
from meds_rl.evaluation.annotator.questions import Question


@dataclass(frozen=True)
class Annotations:
    """What came back.

    Attributes:
        values: One a question, in order; None where there is none.
        num_cached: Questions answered from the cache, or by the reply to an equal question.
        num_corrupt: Cache entries that were damaged and ignored.
        num_unsaved: Replies that came and could not be written to the cache.
        num_sent: Requests sent, repeated ones included.
        num_failed: Questions without a value in the end.
        errors: How often a request failed, by kind.
    """

    values: list[int | None]
    num_cached: int = 0
    num_corrupt: int = 0
    num_unsaved: int = 0
    num_sent: int = 0
    num_failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, int | dict[str, int]]:
        """The counts, for JSON."""
        return {
            "questions": len(self.values),
            "cached": self.num_cached,
            "corrupt_cache_entries": self.num_corrupt,
            "replies_not_saved": self.num_unsaved,
            "requests_sent": self.num_sent,
            "failed": self.num_failed,
            "errors": self.errors,
        }


def cached_values(endpoint: Endpoint, questions: Sequence[Question], cache: ReplyCache) -> list[int | None]:
    """What the cache knows, one value a question: those that are None would be sent."""
    values: list[int | None] = []
    for question in questions:
        reply = cache.get(endpoint.model, question.prompt, endpoint.parameters)
        value = None if reply is None else question.read(reply)
        if reply is not None and value is None:
            cache.ignore()  # only readable replies are kept, so this one was changed
        values.append(value)
    return values


def annotate(
    endpoint: Endpoint,
    questions: Sequence[Question],
    *,
    cache: ReplyCache | None = None,
    concurrency: int = 4,
    attempts: int = 5,
    first_wait: float = 1.0,
    description: str | None = None,
) -> Annotations:
    """Ask an endpoint questions.

    A request that fails for a reason that may pass (HTTP 408, 409, 425, 429 and 5xx, time out, no connection, a reply
    that is not the protocol) is sent again after 1, 2, 4, ... seconds, by chance up to half as much more, or after
    what the server asks for, at most 60 seconds. A reply that is not of the form asked for is answered with a
    reminder of the form. Where all attempts fail, or the error will not pass, the question has no value, and the
    others go on; only if the first 8 questions bring no reply at all, nothing more is sent. Equal questions are asked
    once. An interrupt gives up the requests under way; what came before is in the cache.

    Args:
        endpoint: Where to.
        questions: n questions.
        cache: Where replies are kept and looked up; None keeps none.
        concurrency: Requests under way at a time, 1 or more.
        attempts: Requests a question at most, 1 or more.
        first_wait: Seconds before the second attempt, 0 or more.
        description: Of the progress bar; none is shown without it.

    Raises:
        ValueError: A number out of its range.
    """
    if concurrency < 1 or attempts < 1 or not first_wait >= 0:
        raise ValueError(
            "concurrency and attempts must be 1 or more and first_wait 0 or more, "
            f"got {concurrency}, {attempts} and {first_wait}"
        )
    kept = ReplyCache(None) if cache is None else cache
    corrupt_before, unsaved_before = kept.num_corrupt, kept.num_unsaved
    different = list({question.prompt: question for question in questions}.values())
    values = cached_values(endpoint, different, kept)
    open_rows = [row for row, value in enumerate(values) if value is None]

    def keep(question: Question, reply: str) -> None:
        kept.put(endpoint.model, question.prompt, endpoint.parameters, reply)

    asking = Asking(endpoint, keep, attempts, first_wait)
    errors: Counter[str] = Counter()
    num_sent = 0
    asked = [different[row] for row in open_rows]
    for number, outcome in outcomes(asking, asked, concurrency=concurrency, description=description):
        values[open_rows[number]] = outcome.value
        num_sent += outcome.num_sent
        errors.update(outcome.errors)
    by_prompt = dict(zip((question.prompt for question in different), values, strict=True))
    found = [by_prompt[question.prompt] for question in questions]
    return Annotations(
        values=found,
        num_cached=len(questions) - len(open_rows),
        num_corrupt=kept.num_corrupt - corrupt_before,
        num_unsaved=kept.num_unsaved - unsaved_before,
        num_sent=num_sent,
        num_failed=sum(value is None for value in found),
        errors=dict(sorted(errors.items())),
    )
