import random
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meds_lab.tasks.mixture import Mixture
from meds_lab.tasks.tokenizer import build_tokenizer
from meds_lab.tasks.wording import draw_wording, write
from meds_rl.tasks.pocket.expression import Step
from meds_rl.tasks.pocket.problems import pool
from meds_rl.tasks.pocket.reading import followed, grade, is_exact_trace, read_working, strategy
from meds_rl.tasks.pocket.strategies import CORRECT, STRATEGIES, answers, plans

# Words that say which operation is done: they tell the step, not the wording.
_SAME = {
    r"(?<=\d )[-+*](?= )|\b(plus|minus|times)\b": "OP",
    r"\b(adding|subtracting|multiplying)\b": "DOING",
    r"\b(add|take|multiply)\b": "DO",
    r"\b(sum|difference|product)\b": "NOUN",
    r"\b(and|from|by)\b(?= #)": "WITH",
}


def _skeleton(text: str) -> str:
    """What is left of a text when numbers and operations are masked: the wording."""
    text = re.sub(next(iter(_SAME)), "OP", text)
    text = re.sub(r"-?\d+", "#", text)
    for words, mask in _SAME.items():
        text = re.sub(words, mask, text)
    return text


@given(
    problems=st.tuples(st.sampled_from(pool("hard")), st.sampled_from(pool("hard"))),
    names=st.tuples(st.sampled_from(STRATEGIES), st.sampled_from(STRATEGIES)),
    seed=st.integers(0, 2**32),
)
def test_a_wording_is_the_same_whatever_is_said(problems, names, seed):
    wording = draw_wording(random.Random(seed), no_answer_share=0.1)
    one, other = (
        write(plans(name, problem.ops)[0].steps(problem.terms), wording)
        for problem, name in zip(problems, names, strict=True)
    )
    assert _skeleton(one) == _skeleton(other)


@given(seed=st.integers(0, 2**32))
def test_a_working_with_fewer_steps_says_some_again(seed):
    steps = [Step(7, "+", 3, 10), Step(10, "*", 4, 40)]
    text = write(steps, draw_wording(random.Random(seed)))
    assert [step.operands for step in read_working(text).steps] == [step.operands for step in steps]
    assert len(re.findall(r"\d+", text)) == 3 * 3 + 1  # three numbers a line of arithmetic, and the answer


def test_the_same_steps_have_very_many_texts():
    steps = plans("left_to_right", ("+", "*", "-"))[0].steps((7, 3, 4, 2))
    rng = random.Random(0)
    texts = {write(steps, draw_wording(rng)) for _ in range(2000)}
    assert len(texts) > 1990
    n_tokens = [len(build_tokenizer()(text)["input_ids"]) for text in sorted(texts)[:300]]
    assert min(n_tokens) < 35
    assert max(n_tokens) > 50


def test_neither_words_nor_length_tell_the_strategy():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    mixture = Mixture(0)
    tokenizer = build_tokenizer()
    rng = random.Random(1)
    texts, labels = [], []
    for _ in range(2400):
        problem, label = rng.choice(pool("hard")), rng.randrange(len(STRATEGIES))
        steps = plans(STRATEGIES[label], problem.ops)[0].steps(problem.terms)
        texts.append(write(steps, mixture.draw_wording()))
        labels.append(label)
    fillers = (
        "okay",
        "let us see",
        "hmm",
        "then ",
        "now ",
        "so ",
        "well",
        "after that",
        "answer",
        "\n",
        ";",
        ",",
    )
    words = np.array([[text.count(word) for word in fillers] for text in texts], dtype=float)
    lengths = np.array([[len(tokenizer(text)["input_ids"]), len(text)] for text in texts], dtype=float)

    def accuracy(features):
        scaled = (features - features.mean(axis=0)) / features.std(axis=0)
        return cross_val_score(LogisticRegression(max_iter=500), scaled, labels, cv=4).mean()

    # Chance is 1/8; three standard errors of 2,400 guesses are .02.
    assert accuracy(words) < 1 / 8 + 0.02
    # Numbers with more digits make longer texts: a little above chance is what the task allows.
    assert accuracy(lengths) < 1 / 8 + 0.06


def test_the_wordings_of_a_mixture_do_not_depend_on_its_choices():
    free, held = Mixture(3), Mixture(3, held_out=pool("hard")[:1000])
    skeletons = [[_skeleton(mixture.draw()[2]) for _ in range(50)] for mixture in (free, held)]
    assert skeletons[0] == skeletons[1]


@given(
    problem=st.sampled_from(pool("hard")),
    name=st.sampled_from(STRATEGIES),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_every_strategy_is_read_from_every_wording(problem, name, seed, data):
    plan = data.draw(st.sampled_from(plans(name, problem.ops)))
    completion = write(plan.steps(problem.terms), draw_wording(random.Random(seed)))
    by_strategy = answers(problem)
    row = {"prompt": problem.prompt, "answer": str(by_strategy[CORRECT])}
    assert strategy(completion, row) == name
    assert grade(completion, row) == (name == CORRECT)
    assert is_exact_trace(completion, row) == (name == CORRECT)
    assert read_working(completion).answer == str(by_strategy[name])
    # The answer does not sway the reader.
    working, _, _ = completion.rpartition("\\boxed{")
    assert strategy(working + f"\\boxed{{{row['answer']}}}", row) == name


@given(
    problem=st.sampled_from(pool("hard")),
    name=st.sampled_from(STRATEGIES),
    seed=st.integers(0, 2**32),
    off=st.integers(-9, 9).filter(bool),
)
def test_a_wrong_last_result_is_a_slip_of_that_strategy(problem, name, seed, off):
    steps = plans(name, problem.ops)[0].steps(problem.terms)
    steps[-1] = steps[-1]._replace(result=steps[-1].result + off)
    completion = write(steps, draw_wording(random.Random(seed)))
    row = {"prompt": problem.prompt, "answer": str(answers(problem)[CORRECT])}
    assert strategy(completion, row) == "arithmetic slip"
    found = followed(completion, row)
    assert found is not None
    assert (found.strategy, found.slips) == (name, 1)
