"""How fast workings are read: completions a second on one core, beside only finding their words and numbers.

Texts of the pocket task's strategies in three wordings, of about 100 characters; with --repeat 10 each is ten times as
long, with ten times the steps.

    python benchmarks/steps.py
    python benchmarks/steps.py --completions 2000
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import time
from collections.abc import Callable, Sequence

from meds_rl.fingerprint.steps import read_steps, step_vectors
from meds_rl.fingerprint.text import text_vectors
from meds_rl.tasks.pocket.strategies import STRATEGIES, plans

WORDINGS = ("so {} {} {} is {}, step by step. ", "next we see that {} {} {} = {}; ", "\nhere {} {} {} gives {}")
_WORDS = re.compile(r"\w+")


def texts(count: int, repeat: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Prompts and completions, `count` each."""
    rng = random.Random(seed)
    prompts, completions = [], []
    for strategy, number in zip(itertools.cycle(STRATEGIES), range(count), strict=False):
        terms, ops = [rng.randint(2, 99) for _ in range(4)], tuple(rng.choices("+-*", k=3))
        prompts.append(f"what is {terms[0]} {ops[0]} {terms[1]} {ops[1]} {terms[2]} {ops[2]} {terms[3]}?")
        text = ""
        for shift in range(repeat):  # other numbers, so that every step is a new one
            moved = [term + shift for term in terms]
            for step in plans(strategy, ops)[0].steps(moved):
                text += WORDINGS[number % 3].format(step.left, step.op, step.right, step.result)
        completions.append(text + "\n\\boxed{0}")
    return prompts, completions


def rate(what: Callable[[Sequence[str], Sequence[str]], object], prompts: Sequence[str], done: Sequence[str]) -> float:
    """Completions a second, the best of three."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        what(prompts, done)
        times.append(time.perf_counter() - begin)
    return len(done) / min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--completions", type=int, default=20_000, metavar="N")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="steps and length, times N")
    parsed = parser.parse_args()
    prompts, done = texts(parsed.completions, parsed.repeat)
    words = rate(lambda _, texts: [_WORDS.findall(text) for text in texts], prompts, done)
    print(f"{len(done):,} completions of {sum(map(len, done)) / len(done):.0f} characters\n")
    print("| | completions a second | times finding the words |\n|---|--:|--:|")
    print(f"| finding the words | {words:,.0f} | 1.0 |")
    cases: dict[str, Callable[[Sequence[str], Sequence[str]], object]] = {
        "reading the steps": lambda prompts, texts: [read_steps(*pair) for pair in zip(prompts, texts, strict=True)],
        "`step_vectors`": step_vectors,
        "`text_vectors`": lambda _, texts: text_vectors(texts),
    }
    for name, what in cases.items():
        found = rate(what, prompts, done)
        print(f"| {name} | {found:,.0f} | {words / found:.1f} |", flush=True)


if __name__ == "__main__":
    main()
