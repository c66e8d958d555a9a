"""One question to the annotator, asked until it is answered or there is no hope; and many of them at a time."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import NamedTuple

from tqdm.auto import tqdm

from meds_rl.evaluation.annotator.endpoint import Endpoint
from meds_rl.evaluation.annotator.exchange import EndpointError
from meds_rl.evaluation.annotator.questions import Question

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
