"""Hostile grids of the lab's comparison: refused in one sentence before anything is made, or every cell is listed."""

import io
import os
import random
import tempfile
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

pytest.importorskip("meds_lab")

from meds_lab.cli import main
from meds_lab.compare.command import load_grid
from meds_lab.compare.grid import KEYS, Grid

from .test_recipes import LAUGHS, PLAIN, broken

pytestmark = pytest.mark.hostile

RECIPE = (Path(__file__).parents[2] / "recipes" / "pocket.yaml").read_text()
SMALL = {
    "recipe": "common.yaml",
    "baseline": "dapo",
    "seeds": "2",
    "fields": "{eval_samples: 8, eval_k: 4, max_steps: 3, num_generations: 4, per_device_train_batch_size: 8}",
    "groups": "[test hard]",
    "tasks": "{stuck: {}, second: {checkpoints: {base: {learning_rate: 0.001}}}}",
    "checkpoints": "{base: {}}",
    "methods": "{dapo: &d {method: dapo}, meds: {<<: *d, method: meds}, weak: {method: meds, meds_alpha: 0.05}}",
    "also": "[[meds, weak]]",
    "k": "2",
    "budget_may_differ": "[num_threads]",
}
MERGES = "{a: &a {method: meds, seed: 1}, b: &b {<<: [*a,*a,*a,*a,*a,*a,*a,*a]}, c: &c {<<: [*b,*b,*b,*b,*b,*b,*b,*b]}}"
NAMES = [
    "dapo",
    "meds",
    "before",
    "../x",
    "a/b",
    "'a\\0b'",
    '"a\\nb"',
    '"\\ud800"',
    "x.yaml",
    "''",
    "1",
    "null",
    "." * 300,
    "é",
]
OF_GRIDS = {
    "seeds": [
        "0",
        "-1",
        "1",
        "3",
        "[]",
        "[0, 0]",
        "[1, -1]",
        "[1.5]",
        "true",
        "1000000000",
        "9" * 30,
        "[x]",
        "[9999999999]",
    ],
    "baseline": NAMES,
    "recipe": [*NAMES, "FIFO", ".", "grid.yaml", "/dev/zero", "pocket.yaml", "x" * 5_000],
    "k": ["0", "1", "4", "9", "1.5", "true", "[1]", "9" * 30],
    "groups": ["[]", "x", "[test hard, test hard]", "[no such]", "[1]", "[[a]]"],
    "also": [
        "[[meds, meds]]",
        "[[meds, dapo]]",
        "[[meds, weak], [weak, meds]]",
        "[meds, weak]",
        "[[a, b]]",
        "[[meds]]",
        "[[[a], b]]",
    ],
    "methods": [
        *(f"{{dapo: {{method: dapo}}, {name}: {{method: meds}}}}" for name in NAMES),
        MERGES,
        "{dapo: 1}",
        "{dapo: [1]}",
    ],
    "tasks": [
        *(f"{{{name}: {{}}}}" for name in NAMES),
        "{a: {checkpoints: []}}",
        "{a: {seed: 1}}",
        "{a: {task: os.getcwd}}",
    ],
    "checkpoints": [
        *(f"{{{name}: {{}}}}" for name in NAMES),
        "{a: {model_name_or_path: /none}}",
        "{a: {output_dir: x}}",
    ],
    "fields": [
        "{eval_samples: 0}",
        "{seed: 1}",
        "{max_steps: x}",
        "{num_generations: 1}",
        "{no_such: 1}",
        "{task: x.y}",
    ],
    "budget_may_differ": ["[max_steps]", "[x]", "max_steps", "[[x]]", "[1]"],
}
"""By key: values of about the right type."""

INNER = [
    "{rival: x}",
    "{rival: 1}",
    "{rival: replay, rival_options: 1}",
    "{rival_options: {a: 1}}",
    "{rival: count, rival_options: {x: 1}}",
]
INNER += [
    "{max_steps: 5}",
    "{learning_rate: .nan}",
    "{seed: 1}",
    "{meds_alpha: -1}",
    "{method: x}",
    "{fingerprint: [a]}",
    "{rival: [a]}",
]


def hostile_grid(rng: random.Random) -> tuple[bytes, str]:
    """A grid's bytes, and what the refusal must name; empty for a file that is broken as a whole."""
    keys, named = dict(SMALL), rng.choice(list(SMALL))
    kind = rng.randrange(10)
    if kind < 3:
        keys[named] = rng.choice(PLAIN)
    elif kind < 7:
        keys[named] = rng.choice(OF_GRIDS[named])
    elif kind < 8:
        named = "methods"
        keys[named] = f"{{dapo: {{method: dapo}}, meds: {rng.choice([*INNER, rng.choice(PLAIN), LAUGHS])}}}"
    else:
        named = ""
    text = "".join(f"{key}: {given}\n" for key, given in keys.items())
    if not named:
        text = rng.choice(
            [broken(rng, text), text + f"{rng.choice(KEYS)}: 1\n", text + "sedes: 1\n", text.replace("seeds", "seed")]
        )
    return text.encode("utf-8", "surrogatepass"), named


def trial(seed: int) -> str:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, named = hostile_grid(rng)
        (folder / "grid.yaml").write_bytes(data)
        (folder / "common.yaml").write_text(RECIPE if rng.random() < 0.9 else broken(rng, RECIPE), "utf-8", "replace")
        os.mkfifo(folder / "FIFO")
        os.chdir(folder)
        before = sorted(folder.rglob("*"))
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            status = main(["compare", "grid.yaml", "--dry-run", "--output", "runs"])
        assert sorted(folder.rglob("*")) == before
        if status == 0:
            check_cells(load_grid(Path("grid.yaml")), out.getvalue())
            return "accepted"
        assert status == 2, f"status {status}"
        check_sentence(err.getvalue(), named)
        return err.getvalue()[:40].split("'")[0]


def check_sentence(text: str, named: str) -> None:
    lines = [line for line in text.splitlines() if line.startswith("meds-lab compare: ")]
    assert lines, text
    assert "Traceback" not in text
    assert len(text) < 4000, f"{len(text)} characters"
    # An error of a cell names the cell; a method that is gone is missed by `also`.
    hints = (named, "grid.yaml", "common.yaml", "recipe", "seed-", *(["also"] if named == "methods" else []))
    assert any(hint in text for hint in hints), f"does not name {named}: {text}"


def check_cells(grid: Grid, shown: str) -> None:
    number = len(grid.seeds) * len(grid.methods) * sum(map(len, grid.checkpoints.values()))
    assert f"{number} cells, 0 finished." in shown
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in grid.seeds)
    assert grid.baseline in grid.methods


def test_grids(campaign):
    campaign("grids for meds-lab compare", trial, 500, seconds=20, gigabytes=2)
