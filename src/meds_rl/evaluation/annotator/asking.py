"""Asks the annotator many questions: from the cache if possible, and again after failures."""

import hashlib
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from meds_rl.evaluation.annotator.endpoint import Endpoint, EndpointError
from meds_rl.evaluation.annotator.questions import Question
from meds_rl.files import require_writable, write_atomically

UNREADABLE, CUT_OFF = "not of the form asked for", "cut off at the length limit (max_tokens)"
GIVEN_UP = "not sent"
SILENT_AFTER = 8  # questions without any reply: the rest is not sent, as the server is missing or refuses
CACHE_VERSION = 1
_LONGEST_WAIT = 60.0
_SHOWN_AGAIN = 2_000
_CHANCE = random.Random()  # the global random state is not used


@dataclass(frozen=True)
class Annotations:
    """The annotator's answers, one value per question (None where there is none), and counts."""

    values: list[int | None]
    num_cached: int = 0  # questions answered from the cache, or by the reply to an equal question
    num_corrupt: int = 0  # damaged cache entries, which were ignored
    num_unsaved: int = 0  # replies that could not be written to the cache
    num_sent: int = 0  # requests, with repetitions
    num_failed: int = 0  # questions without a value
    errors: dict[str, int] = field(default_factory=dict)  # how often a request failed, by kind

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


class ReplyCache:
    """Replies by model, prompt and parameters, one small JSON file each.

    A file has the key, which is a hash, and the reply: no prompt, no completion, no address and no API key. A damaged
    file counts as missing, and so does a link: others may have put it into a shared folder, and it is neither read nor
    written to. The folder, which may be a link, is created if it does not exist; with None nothing is cached.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self.num_corrupt = self.num_unsaved = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Create the folder; OSError if it cannot be written to."""
        if self._folder is not None:
            require_writable(self._folder, f"the annotator's cache {self._folder} cannot be written to")

    def get(self, model: str, prompt: str, parameters: Mapping[str, Any]) -> str | None:
        """The reply, or None."""
        key = _key(model, prompt, parameters)
        if self._folder is None or not os.path.lexists(self._path(key)):
            return None
        reply = None if _is_link(self._path(key)) else _read(self._path(key), key)
        if reply is None:
            self.num_corrupt += 1
        return reply

    def put(self, model: str, prompt: str, parameters: Mapping[str, Any], reply: str) -> None:
        """Store a reply atomically, from any thread; one that cannot be written is counted."""
        if self._folder is None:
            return
        key = _key(model, prompt, parameters)
        entry = json.dumps({"version": CACHE_VERSION, "key": key, "reply": reply})
        try:
            if _is_link(self._path(key)):
                raise FileExistsError(f"{self._path(key)} leads out of the cache")
            write_atomically(self._path(key), entry.encode())
        except OSError:  # such as a full disk; replies are still returned
            with self._lock:
                self.num_unsaved += 1

    def _path(self, key: str) -> Path:
        return Path(self._folder or "") / key[:2] / f"{key}.json"


def _is_link(path: Path) -> bool:
    """Whether a file of the cache, or its folder in the cache, leads elsewhere."""
    return path.is_symlink() or path.parent.is_symlink()


def _read(path: Path, key: str) -> str | None:
    try:
        if not path.is_file():  # reading a FIFO would wait for a writer
            return None
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # invalid UTF-8 is a ValueError, too
        return None
    if not isinstance(entry, dict) or entry.get("version") != CACHE_VERSION or entry.get("key") != key:
        return None
    reply = entry.get("reply")
    return reply if isinstance(reply, str) else None


def _key(model: str, prompt: str, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([model, prompt, dict(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def cached_values(endpoint: Endpoint, questions: Sequence[Question], cache: ReplyCache) -> list[int | None]:
    """The values in the cache, one per question; None for those that would be sent."""
    values: list[int | None] = []
    for question in questions:
        reply = cache.get(endpoint.model, question.prompt, endpoint.parameters)
        value = None if reply is None else question.read(reply)
        cache.num_corrupt += reply is not None and value is None  # only readable replies are stored
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

    A request with an error that may pass (HTTP 408, 409, 425, 429 and 5xx, time out, no connection, an invalid reply)
    is sent again after 1, 2, 4, ... seconds, times a random factor of up to 1.5, or after the time that the server
    names, at most 60 seconds. A reply of the wrong form gets a reminder. If all attempts fail, or the error is
    permanent, the question has no value and the others continue; if the first 8 questions get no reply at all, nothing
    more is sent. Equal questions are asked once. After an interrupt, all replies so far are in the cache.

    `concurrency` is the number of requests at a time, `attempts` the most per question, `first_wait` the seconds before
    the second attempt. A progress bar is shown if it has a `description`.
    """
    if concurrency < 1 or attempts < 1 or not first_wait >= 0:
        got = f"got {concurrency}, {attempts} and {first_wait}"
        raise ValueError(f"concurrency and attempts must be 1 or more and first_wait 0 or more, {got}")
    kept = ReplyCache(None) if cache is None else cache
    corrupt_before, unsaved_before = kept.num_corrupt, kept.num_unsaved
    different = list({question.prompt: question for question in questions}.values())
    values = cached_values(endpoint, different, kept)
    open_rows = [row for row, value in enumerate(values) if value is None]
    asking = _Asking(endpoint, kept, attempts, first_wait)
    outcomes = dict(_outcomes(asking, [different[row] for row in open_rows], concurrency, description))
    for number, outcome in outcomes.items():
        values[open_rows[number]] = outcome.value
    errors = Counter(kind for outcome in outcomes.values() for kind in outcome.errors)
    by_prompt = {question.prompt: value for question, value in zip(different, values, strict=True)}
    found = [by_prompt[question.prompt] for question in questions]
    return Annotations(
        values=found,
        num_cached=len(questions) - len(open_rows),
        num_corrupt=kept.num_corrupt - corrupt_before,
        num_unsaved=kept.num_unsaved - unsaved_before,
        num_sent=sum(outcome.num_sent for outcome in outcomes.values()),
        num_failed=sum(value is None for value in found),
        errors=dict(sorted(errors.items())),
    )


class _Outcome(NamedTuple):
    value: int | None  # None if the question failed
    num_sent: int
    errors: list[str]


@dataclass
class _Asking:
    """Asks one question after the other, in several threads, until `stopped` is set."""

    endpoint: Endpoint
    cache: ReplyCache  # gets each readable reply at once, so that an interrupt loses nothing
    attempts: int
    first_wait: float
    stopped: threading.Event = field(default_factory=threading.Event)
    has_replied: bool = False  # whether the server has ever replied

    def ask(self, question: Question) -> _Outcome:
        errors: list[str] = []
        messages = first = [{"role": "user", "content": question.prompt}]
        for attempt in range(self.attempts):
            if self.stopped.is_set():
                return _Outcome(None, attempt, [*errors, GIVEN_UP])
            try:
                reply = self.endpoint.ask(messages, self.stopped)
            except EndpointError as error:
                errors.append(error.kind)
                if not error.retry:
                    return _Outcome(None, attempt + 1, errors)
                if attempt + 1 < self.attempts:
                    self.stopped.wait(self._pause(attempt, error.wait))
                continue
            self.has_replied = True
            value = question.read(reply.text)
            if value is not None:
                self.cache.put(self.endpoint.model, question.prompt, self.endpoint.parameters, reply.text)
                return _Outcome(value, attempt + 1, errors)
            errors.append(CUT_OFF if reply.cut_off else UNREADABLE)
            shown = {"role": "assistant", "content": reply.text[:_SHOWN_AGAIN]}
            messages = [*first, shown, {"role": "user", "content": question.again}]
        return _Outcome(None, self.attempts, errors)

    def _pause(self, attempt: int, asked: float | None) -> float:
        own: float = self.first_wait * 2**attempt * _CHANCE.uniform(1, 1.5)
        return min(_LONGEST_WAIT, own if asked is None else max(asked, own))


def _outcomes(
    asking: _Asking, questions: Sequence[Question], concurrency: int, description: str | None
) -> Iterator[tuple[int, _Outcome]]:
    """The index and the outcome of each question, as they arrive."""
    bar = tqdm(total=len(questions), desc=description, unit="question", disable=description is None)
    waiting = iter(range(len(questions)))
    running: dict[Future[_Outcome], int] = {}
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
                if num_done >= SILENT_AFTER and not asking.has_replied:
                    asking.stopped.set()
        finally:  # also after an interrupt: running requests are given up
            asking.stopped.set()
