"""What every engine must find in the same completions: the core's answer, from the plain model.

    python tests/engines/same_completions/same_completions.py     # writes expected.json anew; completions.json stays

`completions.json` has what the pocket model said to eight problems, with some right answers, some that are cut off
before their answer, and one problem without a right answer. Four steps of four prompts and four completions each are
made of it: at step s (from 0) the k-th completion of a prompt is the one at place 4 s + k. The model does not learn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STEPS, PROMPTS_A_STEP, GROUP = 4, 4, 4
SETTINGS: dict[str, Any] = {
    "preset": "recommended",
    "alpha": 0.3,
    "max_distance": 0.6,
    "anneal": [0.25, 1.0],
    "fingerprint_width": 64,
}
"""Under `meds:` in verl; the same fields under TRL."""


def problems() -> list[dict[str, Any]]:
    """Of each: prompt, prompt_id, answer, prompt_token_ids and completions, a list of lists of token ids."""
    rows: list[dict[str, Any]] = json.loads((HERE / "completions.json").read_text())
    return rows


def of_step(step: int) -> list[tuple[dict[str, Any], list[int]]]:
    """The problem and token ids of each completion of a step, from 0."""
    rows = problems()
    start = step * PROMPTS_A_STEP
    asked = [rows[(start + i) % len(rows)] for i in range(PROMPTS_A_STEP)]
    return [(row, row["completions"][GROUP * step + k]) for row in asked for k in range(GROUP)]


def expected() -> list[dict[str, Any]]:
    """Of each step: prompt ids, is_correct, fingerprints (16, D) and penalties of its completions."""
    from meds_rl.engines.settings import SETTINGS as ALL
    from meds_rl.engines.settings import make_shaper
    from meds_rl.fingerprint import answer_finder, extract, make_fingerprint
    from meds_rl.tasks.pocket import load_pocket_model
    from meds_rl.tasks.pocket.reading import grade

    values = {name: setting.value(SETTINGS["preset"]) for name, setting in ALL.items()} | SETTINGS
    shaper = make_shaper(values)
    model, tokenizer = load_pocket_model()
    find, steps = answer_finder("boxed"), []
    for step in range(STEPS):
        rows = of_step(step)
        ids = [completion for _, completion in rows]
        is_correct = [grade(tokenizer.decode(one, skip_special_tokens=True), row) for row, one in rows]
        features = extract(
            model,
            make_fingerprint(values["fingerprint"], None, values["fingerprint_width"]),
            [row["prompt_token_ids"] for row, _ in rows],
            ids,
            [find(one, tokenizer) for one in ids],
            pad_token_id=tokenizer.pad_token_id,
        )
        names = [row["prompt_id"] for row, _ in rows]
        shaped = shaper.shape(
            [float(one) for one in is_correct],
            prompt_ids=names,
            features=features,
            is_correct=is_correct,
            progress=step / STEPS,
        )
        steps.append(
            {
                "prompt_ids": names,
                "is_correct": is_correct,
                "features": [[round(float(x), 6) for x in row] if row[0] == row[0] else None for row in features],
                "penalties": [round(float(x), 9) for x in shaped.penalties],
            }
        )
    return steps


if __name__ == "__main__":
    (HERE / "expected.json").write_text(json.dumps(expected(), separators=(",", ":")) + "\n")
