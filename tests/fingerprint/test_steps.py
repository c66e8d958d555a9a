"""The steps of a working: what they are called, which workings are the same, and what hostile text does."""

import ast
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meds_rl.fingerprint.steps import question, read_steps, step_vectors
from meds_rl.fingerprint.text import TEXT_FINGERPRINTS, text_fingerprints, text_vectors
from meds_rl.tasks.pocket.expression import apply
from meds_rl.tasks.pocket.strategies import STRATEGIES, plans

PROMPT = "what is 7 + 3 * 4 - 2?"


def name(prompt: str, completion: str) -> str | None:
    found = read_steps(prompt, completion)
    return None if found is None else found.name


# ---- Names.


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("7 + 3 = 10\n10 * 4 = 40\n40 - 2 = 38\n\\boxed{38}", "a+b=x, x*c=y, y-d=z"),
        ("First 7 plus 3 is 10; then the product of 10 and 4 makes 40. Take 2 from 40 = 38", "a+b=x, x*c=y, y-d=z"),
        ("$7 + 3 = 10$, so $10 \\times 4 = 40$ and $40 − 2 = 38$ #### 38", "a+b=x, x*c=y, y-d=z"),
        ("\\(10 \\cdot 4\\)", None),  # no result
        ("7 + 3 * 4 - 2 = 10 * 4 - 2 = 40 - 2 = 38", "a+b=x, x*c=y, y-d=z"),  # a chain
        ("3 * 4 = 12. 7 + 12 - 2 = 17", "b*c=x, a+x-d=y"),  # several at once
        ("7 + 3 * 4 - 2 = 17", "a+b*c-d=x"),
        ("7 + 3 * 4 - 2 = 99", "a+b*c-d≠x"),
        ("7 + 3 = 11", "a+b≠x"),  # no operation of 7 and 3 gives 11
        ("7 + 3 = 4", "a-b=x"),  # the operation is the one that gives the result
        ("3 times 4 equals 12, add 7 to get 19", "b*c=x, a+x=y"),  # the last result is not said again
        ("half of 4 is 2", "c/2=x"),
        ("Step 1: 7 + 3 = 10. Step 2: 10 * 4 = 40", "a+b=x, x*c=y"),
        ("7 + 3 = 10, that is 7 + 3 = 10", "a+b=x"),  # said twice
        ("7 + 100 = 107", "a+100=x"),  # a number from nowhere is itself
        ("2x + 3 = 7, x = 2", None),  # algebra is not read
        ("no idea", None),
        ("", None),
        ("\\boxed{7 + 3 = 10}", None),  # the answer is not read
    ],
)
def test_steps_are_named_by_where_their_numbers_are_from(completion: str, expected: str | None) -> None:
    assert name(PROMPT, completion) == expected


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("First 7 plus 3 is 10; then the product of 10 and 4 makes 40", ("7 + 3 = 10", "10 * 4 = 40")),
        ("take 2 from 7 = 5. half of 4 is 2", ("7 - 2 = 5", "4 / 2 = 2")),
        ("7 + 3 = 4", ("7 + 3 = 4",)),  # as written, though another operation gives it
        ("7 + 3 * 4 - 2 = 99; 25% of 1,200 = 300", ("7 + 3 * 4 - 2 = 99", "25 % of 1200 = 300")),
    ],
)
def test_steps_with_their_numbers(completion: str, expected: tuple[str, ...]) -> None:
    found = read_steps(PROMPT, completion)
    assert found is not None
    assert found.written == expected


def test_problems_in_words_money_percent_and_fractions() -> None:
    assert name("Sara has 50 dollars and buys 3 shirts at $11 each.", "3 shirts x 11 = 33, 50 - 33 = 17") == (
        "b*c=x, a-x=y"
    )
    assert name("A shirt of 1,200 is reduced by 25%.", "25% of 1,200 = 300. 1,200 - 300 = 900") == "b%a=x, a-x=y"
    assert name("What is 3/4 of 8?", "\\frac{3}{4} \\times 8 = 6") == "a/b*c=x"
    assert name("She sold 48 clips, then half as many.", "48/2 = <<48/2=24>>24, 48+24 = <<48+24=72>>72") == (
        "a/2=x, a+x=y"
    )
    assert name("It is 5 degrees and falls by 9.", "5 - 9 = -4") == "a-b=x"


@pytest.mark.parametrize(
    ("prompt", "completion", "name"),
    [
        ("8 * 3 + 6 / 2?", "8 * 3 + 6 / 2 = 24 + 3 = 27", "a*b=x, c/d=y, x+y=z"),
        ("8 * 3 - 6 / 2?", "8 * 3 - 6 / 2 = 24 - 6 = 18", "a*b=x, c/d≠y, x-y=z"),  # 6 / 2 is 3
        ("2 + 3 + 4 + 6?", "2 + 3 + 4 + 6 = 5 + 10 = 15", "a+b=x, c+d=y, x+y=z"),
        ("sides 12 and 5", r"\sqrt{12^2 + 5^2} = \sqrt{144 + 25} = \sqrt{169} = 13", "a^2=x, b^2=y, x+y=z"),
        ("sides 12 and 5", "12² + 5² = 169", "a^2+b^2=x"),
        ("3 boxes of 4 red and 5 blue", "3(4 + 5) = 27", "a*(b+c)=x"),
        ("3 boxes of 4 red and 5 blue", "3 * 4 + 5 = 27", "a*b+c≠x"),
        ("$12 an hour, 50 minutes", "50/60 = 0.8333, and 12 * 0.8333 = 10", "b/60=x, a*x=y"),
        ("$12 an hour, 50 minutes", "50/60 = 0.8333, and 12 * 0.8333 = 11", "b/60=x, a*x≠y"),
        ("3 and 4", "3 + 4 = 2 + 5 = 7", "2+5=x"),  # nothing says what gave the 2
    ],
)
def test_sides_of_several_numbers(prompt: str, completion: str, name: str) -> None:
    working = read_steps(prompt, completion)
    assert working is not None
    assert working.name == name


JACKET = "A jacket costs $360. It is 45% off. What is the sale price?"
CHOOSE = "How many ways are there to choose 4 of 10?"
ROOTS = "Let r, s be the roots of $x^2 - 23x + 8 = 0$. Find r^2 + s^2."


@pytest.mark.parametrize(
    ("prompt", "completion", "name"),
    [
        # Where LaTeX begins and ends makes no difference. 360 * 45 / 100 is 162.
        (JACKET, r"\( 360 \times 45 / 100 = 162 \). \( 360 - 162 = 198 \)", "a*b/100=x, a-x=y"),
        (JACKET, r"\( 360 \times 45 / 100 = 163 \). \( 360 - 163 = 197 \)", "a*b/100≠x, a-x=y"),
        (JACKET, "\\[\n360 \\cdot 45 \\div 100 = 163\n\\]", "a*b/100≠x"),
        (JACKET, r"$ 360 \cdot \frac{45}{100} = 163 $", "a*b/100≠x"),
        (JACKET, r"\dfrac{45}{100} \times 360 = 162", "b/100*a=x"),
        (JACKET, r"360 \times 45\% = 162", "b%a=x"),
        ("It costs $100 and is 15% off.", "100 * 15 / 100 = 15, 100 - 15 = 85", "a*b/100=x, a-x=y"),
        # Factorials and functions. C(10, 4) = 210, 10! / 6! = P(10, 4) = 5040.
        (CHOOSE, r"\binom{10}{4} = \frac{10!}{4!(10-4)!} = \frac{5040}{24} = 210", "C(b,a)=x"),
        (CHOOSE, r"\binom{10}{4} = \frac{10!}{4!(10-4)!} = 211", "C(b,a)≠x"),
        (CHOOSE, "C(10, 4) = 210", "C(b,a)=x"),
        (CHOOSE, r"\binom{10}{4} = \frac{10!}{(10-4)!} = 5040", "b!/(b-a)!=x"),  # the formula of P
        (CHOOSE, r"$P(10,4) = 10 \cdot 9 \cdot 8 \cdot 7 = 5040$", "P(b,a)=x"),
        (CHOOSE, "4! = 24 and 10 + 4 = 14! So", "a!=x, a+b=y"),  # the last ! is none
        # Chains: the last member decides.
        ("3 red, 5 blue", r"P = \frac{3}{3+5} = \frac{3}{8} = 0.375", "a+b=x, a/x=y"),
        ("3 red, 21 blue", r"\[ 3 + 21 = 24 \] \[ P = \frac{3}{24} \]", "a+b=x, a/x=y"),
        ("3 red, 21 blue", r"P = \frac{21}{24} = \frac{7}{8}", "b/24=x"),
        ("3 and 24", r"\frac{1}{3} + \frac{1}{24} = \frac{8}{24}", "1/a+1/b≠x"),  # 9/24
        ("7, 3 and 4", "Total = (7 + 3) * 4\n= 10 * 4\n= 41", "a+b=x, x*c≠y"),
        ("7, 3 and 4", r"\left( 7 + 3 \right) \times 4 = 41", "(a+b)*c≠x"),
        # Coefficients are numbers of the prompt, exponents are not. 23^2 = 529, 2 * 8 = 16, 529 - 16 = 513.
        (ROOTS, r"$r + s = 23$. $(r+s)^2 - 2 r s = 23^2 - 2 \cdot 8 = 529 - 16 = 513$", "a^2=x, b*2=y, x-y=z"),
        (ROOTS, "23^{2} = 529, 529 - 8 = 521", "a^2=x, x-b=y"),
        # Rounding: to the last digit; a quotient also up or down. 1000 / 3 = 333.3, 1000 / 4 = 250.
        ("1000 for 3", "1000 / 3 = 334", "a/b=x"),
        ("1000 for 3", "1000 / 3 = 335", "a/b≠x"),
        ("1000 for 4", "1000 / 4 = 251", "a/b≠x"),
        ("radius 5", r"3.14 \times 5^2 = 78.54", "3.14*a^2=x"),  # with pi; with 3.14 it is 78.5
        ("radius 5", r"3.14 \times 5^2 \approx 79", "3.14*a^2=x"),
        ("radius 5", r"3.14 \times 5^2 = 88.5", "3.14*a^2≠x"),
        ("5 of 10", "5/10 = 50%", "a/b=x"),
        # A factor pi on both sides: 9 * 14 = 126, 3 * 42 = 126.
        (r"radius 3, height 14", r"$3^2 = 9$, $V = \pi \cdot 9 \cdot 14 = 126\pi$", "a^2=x, x*b=y"),
        (r"radius 3, height 14", r"$V = \pi r^2 h = \pi \cdot 3^2 \cdot 14 = 127 \pi$", "a^2*b≠x"),
        (r"radius 3, height 14", "3π · 14 = 42π", "a*b=x"),
        # A result that is a fraction or a mixed number.
        ("7 and 2", r"7 \div 2 = \frac{7}{2}", "a/b=x"),
        ("7, 3 and 4", r"\frac{7 \times 3}{4} = \frac{21}{4}", "a*b=x, x/c=y"),
        ("10 and 4", r"\frac{10}{4} = \frac{5}{2}", "a/b=x"),
        ("7 and 2", r"7 / 2 = 3\frac{1}{2}", "a/b=x"),
        ("7 and 2", "7 / 2 = 3 1/2", "a/b=x"),
        # Products without a sign, and other brackets.
        ("2, 3 and 4", r"2\left(3 + 4\right) = 14", "a*(b+c)=x"),
        ("2, 3 and 4", "2[3 + 4] = 14, (2)(4) = 8", "a*(b+c)=x, a*c=y"),
        ("2, 3 and 4", r"\left[ 2 + 3 \right] \times \{4\} = 20", "(a+b)*c=x"),
        ("2 and 3", "2**3 = 8. **Step 2** 2 + 3 = 5", "a^b=x, a+b=y"),
        (CHOOSE, r"{10 \choose 4} = C_{10}^{4} = 210", "C(b,a)=x"),
        ("60 km/h for 3 h", r"60 \text{ km/h} \times 3 \text{ h} = 180 \text{ km}", "a*b=x"),
        # What was taken away or divided by together. 12 - 9 = 3, 84 / 21 = 4.
        ("12, 3, 4 and 2", "12 - 3 - 4 - 2 = 12 - 9 = 3", "b+c+d=x, a-x=y"),
        ("84, 7 and 3", "84 / 7 / 3 = 84 / 21 = 4", "b*c=x, a/x=y"),
    ],
)
def test_notation(prompt: str, completion: str, name: str) -> None:
    working = read_steps(prompt, completion)
    assert working is not None
    assert working.name == name


@pytest.mark.parametrize(
    ("completion", "unread"),
    [
        (r"\sqrt{16} + 3 = 7", 1),
        (r"1 + 2 + \cdots + 10 = 55", 1),
        (r"\pi \times 5^2 = 78.54", 1),
        ("2x + 3 = 7, x = 2", 1),
        ("sqrt(16) + 3 = 7", 1),
        ("17 % 5 = 2", 1),
        ("7,5 + 3 = 10,5", 1),
        ("3 (4 + 5) = 27", 1),
        ("7½ + 2½ = 10", 1),
        ("so x = 2", 0),
    ],
)
def test_what_is_not_read_is_no_wrong_step(completion: str, unread: int) -> None:
    assert read_steps("Solve.", completion) is None
    found = read_steps("Solve.", completion + "; 4 + 5 = 9")
    assert found is not None
    assert (found.name, found.unread) == ("4+5=x", unread)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("320 * 0.15 = 48, 320 - 48 = 27", "a*0.15=x"),  # cut inside 272
        ("320 * 0.15 = 48, 320 - 48 = 272", "a*0.15=x, a-x=y"),
        ("320 * 0.15 = 48, 320 - 48 = 273", "a*0.15=x, a-x≠y"),
        ("320 * 0.15 = 48, 320 - 48 = 27.", "a*0.15=x, a-x≠y"),
        ("320 * 0.15 = 48, 320 - 48 = 27 \\boxed{27}", "a*0.15=x, a-x≠y"),
        ("320 * 0.15 = 48, \\frac{320 - 48}{4} = 6", "a*0.15=x"),
        ("now 320 times 0.15 is 4", None),
    ],
)
def test_a_result_that_is_cut_off_is_not_wrong(completion: str, expected: str | None) -> None:
    assert name("320 dollars, 15 % less, for 4 friends?", completion) == expected


@pytest.mark.parametrize(
    ("steps", "unused"),
    [
        ("320 * 0.15 = 48, 320 - 48 = 272", ("c",)),
        ("320 * 0.85 = 272", ("c",)),
        ("320 * 1.15 = 368", ("c",)),
        ("320 * 0.25 = 80", ("b",)),  # a quarter for each of 4
        ("320 * 0.5 = 160", ("b", "c")),
        ("320 - 15 = 305", ("c",)),
    ],
)
def test_a_number_is_used_also_as_a_percentage_or_share(steps: str, unused: tuple[str, ...]) -> None:
    found = read_steps("320 dollars, 15 % less, for 4 friends?", steps)
    assert found is not None
    assert found.unused == unused


def test_a_number_that_comes_twice_is_the_one_beside_the_other_operand() -> None:
    """Of 2 * 7 + 5 * 2 the last 2 is d: 5 * 2 is c * d, and 2 * 7 is a * b."""
    assert name("what is 2 * 7 + 5 * 2?", "5 * 2 = 10, 2 * 7 = 14, 14 + 10 = 24") == "c*d=x, a*b=y, y+x=z"


def test_chat_messages_are_asked_by_their_last_user_message() -> None:
    chat = [
        {"role": "system", "content": "Answer in 3 lines."},
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is 7 + 3?"}]},
    ]
    assert question(chat).strip() == "what is 7 + 3?"
    assert name(chat, "7 + 3 = 10") == "a+b=x"
    assert question(None) == ""
    assert question("[{broken") == "[{broken"
    assert question([]) == ""


# ---- The same way, whatever the numbers, the signs of the problem and the words.


def test_the_problems_own_signs_do_not_matter_and_others_do() -> None:
    one = read_steps("what is 7 + 3 * 4?", "7 + 3 = 10, 10 * 4 = 40")
    other = read_steps("what is 9 - 2 + 5?", "9 - 2 = 7, 7 + 5 = 12")
    misread = read_steps("what is 9 - 2 + 5?", "9 + 2 = 11, 11 + 5 = 16")
    assert one is not None
    assert other is not None
    assert misread is not None
    assert one.key == other.key
    assert one.shape == other.shape == "a∘b=x, x∘c=y"
    assert misread.key != one.key
    assert misread.shape == "a+b=x, x∘c=y"


def test_steps_of_which_none_needs_the_other_may_come_in_any_order() -> None:
    prompt = "what is 2 * 3 + 4 * 5?"
    one = read_steps(prompt, "2 * 3 = 6, 4 * 5 = 20, 6 + 20 = 26")
    other = read_steps(prompt, "4 * 5 = 20, 2 * 3 = 6, 6 + 20 = 26")
    assert one is not None
    assert other is not None
    assert one.key == other.key
    assert one.parts == other.parts
    vectors = step_vectors([prompt] * 2, ["2 * 3 = 6, 4 * 5 = 20, 6 + 20 = 26", "4 * 5 = 20, 2 * 3 = 6, 6 + 20 = 26"])
    np.testing.assert_array_equal(vectors[0], vectors[1])


numbers = st.lists(st.integers(2, 97), min_size=4, max_size=4, unique=True)
operators = st.lists(st.sampled_from("+-*"), min_size=3, max_size=3)
TEMPLATES = ("{} {} {} = {}\n", "so {} {} {} is {}. ", "now we have {} {} {} → {};", "${}{}{}={}$, ")


@given(numbers, operators, st.sampled_from(STRATEGIES), st.sampled_from(TEMPLATES), st.sampled_from(TEMPLATES))
def test_words_and_repetitions_do_not_matter(
    terms: list[int], ops: list[str], strategy: str, template: str, other: str
) -> None:
    """A planted strategy in two wordings has the same steps, and as many as the plan."""
    prompt = f"what is {terms[0]} {ops[0]} {terms[1]} {ops[1]} {terms[2]} {ops[2]} {terms[3]}?"
    plan = plans(strategy, tuple(ops))[0]
    steps = [(step.left, step.op, step.right, step.result) for step in plan.steps(terms)]
    first = read_steps(prompt, "".join(template.format(*step) for step in steps))
    second = read_steps(prompt, "well, " + "".join(other.format(*step) for step in [steps[0], *steps]))
    assert first is not None
    assert second is not None
    assert first.key == second.key
    assert len(first.name.split(", ")) == len(set(steps))


@given(numbers, numbers, operators)
def test_numbers_do_not_matter(terms: list[int], others: list[int], ops: list[str]) -> None:
    """From left to right, on two problems with other numbers: the same key, unless a result is one of the numbers."""
    keys = []
    for values in (terms, others):
        prompt = f"what is {values[0]} {ops[0]} {values[1]} {ops[1]} {values[2]} {ops[2]} {values[3]}?"
        total, text, seen = values[0], "", set(values)
        for op, value in zip(ops, values[1:], strict=True):
            result = apply(op, total, value)
            if result in seen or total in (0, 1, 2) or abs(result) < 3:
                return  # 4 - 2 = 2 and 2 * 2 = 4 have two readings
            text += f"{total} {op} {value} = {result}\n"
            total = result
            seen.add(result)
        found = read_steps(prompt, text)
        assert found is not None
        keys.append(found.key)
    assert keys[0] == keys[1]


# ---- Programs, and text without numbers.


def test_a_program_is_its_statements_without_names() -> None:
    one = "So:\n```python\ndef second(xs: list) -> int:\n    '''Doc.'''\n    ys = sorted(xs)\n    return ys[-2]\n```\n"
    other = "def f(values):\n    result = sorted(values)\n    return result[-2]"
    wrong = "def f(values):\n    result = sorted(values)\n    return result[-1]"
    first, second, third = (read_steps("the second largest", text) for text in (one, other, wrong))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.name == "def v1(v2): v3 = sorted(v2); return v3[-2]"
    assert first.key == second.key != third.key
    vectors = step_vectors(["p"] * 3, [one, other, wrong])
    assert vectors[0] @ vectors[1] == pytest.approx(1)
    assert vectors[0] @ vectors[2] < 0.9


def test_a_program_that_does_not_parse_is_read_as_text() -> None:
    assert name("2 3", "```python\ndef f(:\n```\n2 + 3 = 5") == "a+b=x"


def test_text_without_numbers_is_the_names_that_it_takes_up() -> None:
    prompt = 'Zoey and Riley meet. Zoey says "Riley is a liar". Who lies?'
    assert name(prompt, "Riley is no liar, so Zoey lies.") == "not b, a"
    assert name("nothing to copy here", "Riley lies") is None
    assert name(prompt, "1. Riley is no liar.\n2. So Zoey lies.") == "not b, a"
    assert name(prompt, "There are 12 liars, and Riley lies.") is None  # the name does not say what became of the 12


# ---- Vectors.


def test_equal_steps_have_equal_vectors_and_similar_ones_are_near() -> None:
    prompts = ["what is 7 + 3 * 4 - 2?"] * 4
    left_to_right = "7 + 3 = 10, 10 * 4 = 40, 40 - 2 = 38"
    vectors = step_vectors(prompts, [left_to_right, left_to_right, "7 + 3 = 10, 10 * 4 = 40", "nothing"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 128)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_allclose(np.linalg.norm(vectors[:3], axis=1), 1, rtol=1e-6)
    assert 0.4 < vectors[0] @ vectors[2] < 0.95
    assert np.isnan(vectors[3]).all()


def test_vectors_are_the_same_on_every_machine() -> None:
    """Sums of the signs of two hashes: of the tree and of the form of 7 + 3 = 10."""
    vector = step_vectors([PROMPT], ["7 + 3 = 10"])[0]
    assert (vector / np.abs(vector).max() * 2).round().astype(int).tolist()[:16] == [
        2,
        -2,
        2,
        2,
        2,
        -2,
        2,
        -2,
        -2,
        2,
        -2,
        2,
        2,
        2,
        -2,
        2,
    ]


def test_no_completions_and_wrong_lengths() -> None:
    assert step_vectors([], []).shape == (0, 128)
    assert text_vectors([]).shape == (0, 128)
    with pytest.raises(ValueError, match="as many completions as prompts, 1; got 2"):
        step_vectors(["a"], ["b", "c"])
    with pytest.raises(ValueError, match="multiple of 64; got 100"):
        step_vectors(["what is 1 + 2?"], ["1 + 2 = 3"], num_features=100)


def test_text_vectors_tell_wordings_apart() -> None:
    texts = ["take three from twenty", "then take three from twenty", "multiply both sides", "", "  "]
    vectors = text_vectors(texts)
    assert vectors[0] @ vectors[1] > 0.7 > 0.4 > vectors[0] @ vectors[2]
    assert np.isnan(vectors[3:]).all()
    assert not np.isnan(vectors[:3]).any()
    assert np.isnan(text_vectors(["", "  "])).all()


@pytest.mark.parametrize("fingerprint", list(TEXT_FINGERPRINTS))
def test_fingerprints_by_name(fingerprint: str) -> None:
    """Steps that cannot be read are counted by answer."""
    features = text_fingerprints(
        fingerprint,
        prompts=["what is 7 + 3?", None, None],
        completions=["7 + 3 = 11", "no idea", "no idea at all"],
        answers=["11", "4", None],
        outcomes=["lost", "lost by timeout", None],
    )
    assert features.shape == (3, TEXT_FINGERPRINTS[fingerprint])
    assert not np.isnan(features[:2]).any()
    assert np.isnan(features[2]).all() == (fingerprint != "text")


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="one of answer_string, steps, text, outcome; got 'states'"):
        text_fingerprints("states", prompts=[], completions=[], answers=[])


# ---- Hostile text.

HOSTILE = [
    "1,111" * 10_000,
    "9" * 20_000 + " + " + "9" * 20_000 + " = 3",
    "7 ^ 99999999 = 3, 0 / 0 = 0, 5 % 0 = 1, 1 / 0 = 7, 1e999 + 1 = 2",
    "=" * 20_000,
    *(part * 20_000 for part in ("1[", "1 1/", "1 ** ", ",1", "1%", "{1 \\choose", "sqrt(1", "7[3+", "\\{")),
    "7 = " * 5_000,
    "+ 7 " * 5_000 + "= 3",
    "\\frac{" * 4_000,
    "\\frac{1}{2}" * 2_000,
    "def f():\n    return " + "(" * 5_000,
    "```python\ndef f(x):\n    return " + "-" * 8_000 + "x\n```",
    "def f(x):\n    return x" + ".a" * 5_000,
    "def f(x):\n    return x" + "[0]" * 5_000,
    "```" * 6_000,
    "def f(): return '\\d' is 3",
    "‘Ann’" + "\n" * 100_000,
    "\x00\ud800\u202e 7 + 3 = 10",
    "٣ + ٤ = ٧, 7 + 3 = 10",  # other digits are no numbers
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_read_in_no_time(text: str) -> None:
    """Far above what they take, milliseconds: what grows with the square of the length would take minutes."""
    begin = time.process_time()
    for prompt in (PROMPT, text):
        read_steps(prompt, text)
    step_vectors([text], [text])
    text_vectors([text])
    assert time.process_time() - begin < 10


@given(st.text(max_size=200), st.text(alphabet="0123456789+-*/=^%.,;: \nabxis{}\\", max_size=300))
def test_any_text_is_read(prompt: str, completion: str) -> None:
    found = read_steps(prompt, completion)
    assert found == read_steps(prompt, completion)
    vectors = step_vectors([prompt], [completion])
    if found is None:
        assert np.isnan(vectors).all()
    else:
        assert found.name
        assert all(0 <= part < 2**64 for part in found.parts)
        assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)


@given(st.text(max_size=200))
def test_any_program_is_read_or_left(text: str) -> None:
    completion = f"```python\n{text}\n```"
    read_steps("p", completion)
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
