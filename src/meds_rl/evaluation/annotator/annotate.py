"""Asks many questions: from the cache where it can, again where it failed, and counts what happened."""

import hashlib
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from meds_rl.evaluation.annotator.endpoint import Endpoint, EndpointError
from meds_rl.evaluation.annotator.questions import Question
from meds_rl.files import require_writable, write_atomically

# ---- One question to the annotator, asked until it is answered or there is no hope; and many of them at a time.

UNREADABLE = "not of the form asked for"
CUT_OFF = "cut off at the length limit (max_tokens)"
GIVEN_UP = "not sent"
SILENT_AFTER = 8
"""So many questions without any reply, and the rest is not sent: the server is not there, or refuses."""
_LONGEST_WAIT = 60.0
_SHOWN_AGAIN = 2_000
_CHANCE = random.Random()  # its own: nobody's random numbers are used up


class Outcome(NamedTuple):
    """What became of a question.

    Attributes:
        value: None where it failed.
        num_sent: Requests that it took.
        errors: Kinds of the failures on the way.
    """

    value: int | None
    num_sent: int
    errors: list[str]


@dataclass
class Asking:
    """Asks, again where it failed.

    Attributes:
        endpoint: Where to.
        keep: Called with each question and its readable reply, as soon as it is there, in the thread that asked: what
            came before an interrupt is not lost.
        attempts: Requests a question at most.
        first_wait: Seconds before the second attempt; each further one waits twice as long.
        stopped: Set to send nothing more and to wait no longer.
        heard: Whether the server has ever replied.
    """

    endpoint: Endpoint
    keep: Callable[[Question, str], None]
    attempts: int
    first_wait: float
    stopped: threading.Event = field(default_factory=threading.Event)
    heard: bool = False

    def ask(self, question: Question) -> Outcome:
        """Ask one question."""
        errors: list[str] = []
        first = [{"role": "user", "content": question.prompt}]
        messages = first
        for attempt in range(self.attempts):
            if self.stopped.is_set():
                return Outcome(None, attempt, [*errors, GIVEN_UP])
            try:
                reply = self.endpoint.ask(messages, self.stopped)
            except EndpointError as error:
                errors.append(error.kind)
                if not error.retry:
                    return Outcome(None, attempt + 1, errors)
                if attempt + 1 < self.attempts:
                    self.stopped.wait(self._pause(attempt, error.wait))
                continue
            self.heard = True
            value = question.read(reply.text)
            if value is not None:
                self.keep(question, reply.text)
                return Outcome(value, attempt + 1, errors)
            errors.append(CUT_OFF if reply.cut_off else UNREADABLE)
            messages = [
                *first,
                {"role": "assistant", "content": reply.text[:_SHOWN_AGAIN]},
                {"role": "user", "content": question.again},
            ]
        return Outcome(None, self.attempts, errors)

    def _pause(self, attempt: int, asked: float | None) -> float:
        own: float = self.first_wait * 2**attempt * _CHANCE.uniform(1, 1.5)
        return min(_LONGEST_WAIT, own if asked is None else max(asked, own))


def outcomes(
    asking: Asking, questions: Sequence[Question], *, concurrency: int, description: str | None
) -> Iterator[tuple[int, Outcome]]:
    """The number and the outcome of each question, as they come in."""
    bar = tqdm(total=len(questions), desc=description, unit="question", disable=description is None)
    waiting = iter(range(len(questions)))
    running: dict[Future[Outcome], int] = {}
    num_done = 0
    with ThreadPoolExecutor(concurrency) as pool, bar:
        try:
            while True:
                for row in waiting:
                    running[pool.submit(asking.ask, questions[row])] = row
                    if len(running) == concurrency:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
                    num_done += 1
                    bar.update()
                if num_done >= SILENT_AFTER and not asking.heard:
                    asking.stopped.set()
        finally:  # an interrupt, or a reader that has enough: those under way are given up
            asking.stopped.set()


# ---- Replies of the annotator on disk, so that a question is asked once.

VERSION = 1


class ReplyCache:
    """Replies by model, prompt and parameters, one small JSON file each.

    A file holds the key, which is a hash, and the reply: no prompt, no completion, no address and no API key. A file
    that is damaged or not ours is as good as none, and counted.

    Args:
        folder: Made where it does not exist. None: nothing is kept.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self.num_corrupt = 0
        self.num_unsaved = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Make the folder, and see whether it can be written to.

        Raises:
            OSError: It cannot.
        """
        if self._folder is None:
            return
        require_writable(self._folder, f"the annotator's cache {self._folder} cannot be written to")

    def get(self, model: str, prompt: str, parameters: Mapping[str, Any]) -> str | None:
        """The reply, or None."""
        if self._folder is None:
            return None
        key = _key(model, prompt, parameters)
        if not self._path(key).exists():
            return None
        reply = _read(self._path(key), key)
        if reply is None:
            self.ignore()
        return reply

    def put(self, model: str, prompt: str, parameters: Mapping[str, Any], reply: str) -> None:
        """Keep a reply, whole or not at all; one that cannot be written is counted. Several threads may."""
        if self._folder is None:
            return
        key = _key(model, prompt, parameters)
        entry = {"version": VERSION, "key": key, "reply": reply}
        try:
            write_atomically(self._path(key), json.dumps(entry).encode())
        except OSError:  # a full disk costs the replies that cannot be kept, not those that came
            with self._lock:
                self.num_unsaved += 1

    def ignore(self) -> None:
        """Count an entry that is of no use."""
        self.num_corrupt += 1

    def _path(self, key: str) -> Path:
        return Path(self._folder or "") / key[:2] / f"{key}.json"


def _read(path: Path, key: str) -> str | None:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # bytes that are no text are a ValueError too
        return None
    if not isinstance(entry, dict) or entry.get("version") != VERSION or entry.get("key") != key:
        return None
    reply = entry.get("reply")
    return reply if isinstance(reply, str) else None


def _key(model: str, prompt: str, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([model, prompt, dict(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


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
