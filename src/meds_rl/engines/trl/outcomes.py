"""What reward functions log by ``log_extra("outcome", ...)``: one outcome for each completion."""

from typing import Any

from accelerate.utils import gather_object

from meds_rl.engines.texts import OUTCOME, outcome_texts


class LoggedOutcomes:
    """Reads the outcomes of each batch from TRL's extra logs. Every process must call both methods equally often.

    Args:
        required: whether the fingerprint is made of outcomes. If not, a user may log something else under this name.
    """

    def __init__(self, *, required: bool) -> None:
        self.required = required
        self._found = False

    def read(self, logged: dict[str, list[Any]], size: int) -> None:
        """Turn the outcomes that this process's reward functions have logged into texts, in place.

        From the first batch with outcomes on, every process logs them in every batch: TRL's columns have one length.

        Args:
            logged: TRL's extra columns.
            size: number of this process's completions.

        Raises:
            TypeError: an outcome is not hashable.
            ValueError: there is not one for each completion.
        """
        self._found |= any(gather_object([OUTCOME in logged]))
        if not self._found:
            return
        logged.setdefault(OUTCOME, [None] * size)
        try:
            logged[OUTCOME] = outcome_texts(logged[OUTCOME], size)
        except (TypeError, ValueError):
            if self.required:
                raise

    def gather(self, logged: dict[str, list[Any]], size: int) -> list[str | None] | None:
        """The outcomes of all processes as texts; None if no function logs any.

        Args:
            logged, size: as in `read`.

        Raises:
            ValueError: there are none, and the fingerprint is made of them.
        """
        if self._found:
            values = logged[OUTCOME]
            are_outcomes = len(values) == size and all(one is None or isinstance(one, str) for one in values)
            outcomes: list[str | None] = gather_object(values if are_outcomes else [None] * size)
            return outcomes
        if self.required:
            raise ValueError(
                'fingerprint="outcome" needs outcomes, and no reward function logged any in this batch. Call '
                'log_extra("outcome", values) with one value for each completion, None for no outcome. A task logs '
                "outcomes if its grade returns a Verdict."
            )
        return None
