"""A language model that judges completions, behind any OpenAI-compatible endpoint that the user names."""

from meds_rl.evaluation.annotator.annotate import Annotations, annotate
from meds_rl.evaluation.annotator.cache import ReplyCache
from meds_rl.evaluation.annotator.categories import Category, read_categories
from meds_rl.evaluation.annotator.endpoint import Endpoint, Reply
from meds_rl.evaluation.annotator.exchange import EndpointError
from meds_rl.evaluation.annotator.questions import Question, diversity_question, strategy_question

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
