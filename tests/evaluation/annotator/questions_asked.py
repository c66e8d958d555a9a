"""What the tests of the annotator ask."""

from meds_rl.evaluation.annotator import Endpoint, Question, annotate
from meds_rl.evaluation.annotator.questions import read_number

from .server import said

OK = said("Score: 3")


def question(text="how many?"):
    return Question(text, "once more", lambda reply: read_number(reply, "score", 1, 5))


def ask(server, questions, **options):
    endpoint = Endpoint(server.url, "tiny", timeout=options.pop("timeout", 5))
    return annotate(endpoint, questions, **{"first_wait": 0.001, **options})
