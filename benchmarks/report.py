"""What a report of a large run costs: reading it, writing the page, opening it, searching it.

Makes a run of many completions (random text, random fingerprints in groups, a real memory), then times the parts of
`meds report` on it and, where Playwright and Chromium are there, the page in a headless browser.

    python benchmarks/report.py
    python benchmarks/report.py --completions 20000 --characters 4000
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from meds_rl import ErrorMemory, RewardShaper
from meds_rl.report.data import report_data
from meds_rl.report.drawing.html import write_page
from meds_rl.rollouts import RunFolder

GROUP, PROMPTS_A_BATCH, NUM_PROMPTS, NUM_FEATURES, NUM_ERRORS = 16, 32, 512, 14, 6
WORDS = np.array(["so", "we", "first", "add", "the", "next", "term", "then", "carry", "subtract", "=", "3", "7", "42"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--completions", type=int, default=100_000)
    parser.add_argument("--characters", type=int, default=1_500, help="mean length of a completion")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", args.completions, args.characters, np.random.default_rng(args.seed))
        text_mb = run.rollouts()["completion"].str.len().sum() / 1e6
        print(f"{args.completions:,} completions of {NUM_PROMPTS} prompts, {text_mb:,.0f} MB of text")
        data, seconds = timed(lambda: report_data([run]))
        print(f"read, clustered errors, maps      {seconds:7.1f} s")
        page = Path(folder) / "report.html"
        _, seconds = timed(lambda: write_page(data, page))
        print(f"page written                      {seconds:7.1f} s  {page.stat().st_size / 1e6:.1f} MB")
        look_at(page)


def make_run(path: Path, num_completions: int, characters: int, rng: np.random.Generator) -> RunFolder:
    """A run with a memory; a third of the completions is right."""
    run, shaper = RunFolder(path), RewardShaper(memory=ErrorMemory())
    run.write_environment({"seed": 0})
    (path / "recipe.yaml").write_text("method: meds\ntask: made up\nseed: 0\n", encoding="utf-8")
    errors = rng.normal(size=(NUM_PROMPTS, NUM_ERRORS, NUM_FEATURES)).astype(np.float32)
    batch = GROUP * PROMPTS_A_BATCH
    for step in range(-(-num_completions // batch)):
        chosen = np.repeat(rng.choice(NUM_PROMPTS, PROMPTS_A_BATCH, replace=False), GROUP)[
            : num_completions - step * batch
        ]
        columns = rollouts(shaper, step, chosen, errors, characters, rng)
        run.write_rollouts(step, columns)
        accuracy = float(np.mean(columns["is_correct"]))
        row = {
            "step": step + 1,
            "dynamic_sampling/raw_accuracy": accuracy,
            "meds/memory_size": len(shaper.memory),
        }
        with run.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    shaper.memory.save(path / "memory.safetensors")
    return run


def rollouts(
    shaper: RewardShaper,
    step: int,
    prompts: np.ndarray,
    errors: np.ndarray,
    characters: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """One batch: completions with an error each, shaped and remembered."""
    n = len(prompts)
    kind = rng.choice(NUM_ERRORS, n, p=np.array([8, 4, 2, 1, 1, 1]) / 17)
    is_correct = rng.random(n) < 1 / 3
    features = errors[prompts, kind] + rng.normal(scale=0.05, size=(n, NUM_FEATURES)).astype(np.float32)
    rewards = is_correct.astype(float)
    names = [f"p{prompt}" for prompt in prompts]
    shaped = shaper.shape(rewards, prompt_ids=names, features=features, is_correct=is_correct)
    answers = [str(p) if right else str(1000 * k + p) for p, k, right in zip(prompts, kind, is_correct, strict=True)]
    return {
        "step": [step] * n,
        "generation": [step] * n,
        "prompt_id": names,
        "prompt": [f"Problem {prompt}: how many ways are there?" for prompt in prompts],
        "completion": [f"{_text(characters, rng)} \\boxed{{{answer}}}" for answer in answers],
        "num_tokens": rng.integers(50, 500, n),
        "reward": rewards,
        "shaped_reward": shaped.rewards,
        "advantage": shaped.rewards - shaped.rewards.mean(),
        "is_correct": is_correct,
        "answer": answers,
        "strategy": [None if right else f"error {k}" for k, right in zip(kind, is_correct, strict=True)],
        "cluster": shaped.clusters,
        "cluster_size": shaped.cluster_sizes.astype(float),
        "penalty": shaped.penalties,
        "reason": list(shaped.reasons),
        "memory_id": shaped.memory_ids,
        "in_loss": [True] * n,
    }


def _text(characters: int, rng: np.random.Generator) -> str:
    return " ".join(WORDS[rng.integers(len(WORDS), size=max(1, int(rng.exponential(characters) / 5)))])


def look_at(page: Path) -> None:
    """Open the page as a reader would and time what is waited for."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("(playwright is not installed: the page was not opened)")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})

        def opened() -> None:
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready]")

        def searched() -> None:
            tab.fill("#search", "Problem 77:")
            tab.wait_for_selector("#errors tr.row mark")

        for what, action in (
            ("opened in Chromium", opened),
            ("searched", searched),
            ("sorted", lambda: tab.click("th button[data-sort=born]")),
        ):
            _, seconds = timed(action)
            print(f"{what:33s} {seconds:7.2f} s")
        browser.close()


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = action()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
