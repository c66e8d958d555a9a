"""A language model that judges completions, behind any OpenAI-compatible endpoint that the user names."""

from meds_rl.evaluation.annotator.asking import Annotations, ReplyCache, annotate
from meds_rl.evaluation.annotator.endpoint import Endpoint, EndpointError, Reply
from meds_rl.evaluation.annotator.questions import (
    Category,
    Question,
    diversity_question,
    read_categories,
    strategy_question,
)

__all__ = [
    "Annotations",
    "Category",
    "Endpoint",
    "EndpointError",
    "Question",
    "Reply",
    "ReplyCache",
    "annotate",
    "diversity_question",
    "read_categories",
    "strategy_question",
]
