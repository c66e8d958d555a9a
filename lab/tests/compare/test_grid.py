"""Grids are checked before anything runs; the shipped ones work."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from meds_lab.compare.cells import make_cells
from meds_lab.compare.checks import check_grid
from meds_lab.compare.command import load_grid
from meds_lab.compare.grid import KEYS, GridError, read_fields

ROOT = Path(__file__).parents[3]
# The policies of the grids `skills` are not shipped; lab/tests/skills checks these grids.
GRIDS = sorted((ROOT / "lab" / "recipes").glob("compare-*.yaml"))
SHIPPED = [path for path in GRIDS if not path.stem.startswith("compare-skills")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_grids_work(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # its recipe stands beside it
    grid = load_grid(path)
    cells = make_cells(grid, tmp_path / "out")
    here = {"use_cpu": True, "bf16": False}  # bfloat16 on a GPU cannot be had where tests run
    check_grid(grid, [replace(cell, fields={**cell.fields, **here}) for cell in cells])
    assert not list(tmp_path.iterdir()), "checking writes nothing"


def test_there_is_a_small_one():
    assert "compare-small" in {path.stem for path in SHIPPED}


def test_seeds_go_first_and_methods_last(make):
    _, cells = make(
        tasks={"a": None, "b": {"checkpoints": {"late": {"model_name_or_path": "pocket:1"}}}},
        checkpoints={"x": {"model_name_or_path": "pocket:0"}, "y": {"model_name_or_path": "pocket:2"}},
        seeds=[3, 1],
    )
    assert [cell.name for cell in cells][:6] == [
        "a/x/seed-3/dapo",
        "a/x/seed-3/meds",
        "a/y/seed-3/dapo",
        "a/y/seed-3/meds",
        "b/late/seed-3/dapo",
        "b/late/seed-3/meds",
    ]
    assert [cell.seed for cell in cells] == [3] * 6 + [1] * 6
    assert cells[4].fields["model_name_or_path"] == "pocket:1"
    assert cells[1].folder.parts[-5:] == ("out", "a", "x", "seed-3", "meds")


def test_later_fields_win(make):
    _, cells = make(
        fields={
            "learning_rate": 1.0,
            "weight_decay": 1.0,
            "warmup_steps": 1,
            "max_steps": 1,
            "eval_samples": 8,
        },
        tasks={"pocket": {"weight_decay": 2.0, "warmup_steps": 2, "max_steps": 2}},
        checkpoints={"c": {"warmup_steps": 3, "max_steps": 3}},
        methods={"dapo": {"method": "dapo", "max_steps": 4}},
    )
    names = (
        "learning_rate",
        "weight_decay",
        "warmup_steps",
        "max_steps",
        "method",
        "seed",
        "num_generations",
    )
    # From the grid (the recipe has another), the task, the checkpoint, the method; num_generations is the recipe's.
    assert [cells[0].fields[name] for name in names] == [1.0, 2.0, 3, 4, "dapo", 0, 8]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": None}, "recipe must be the path"),
        ({"recipe": "nowhere.yaml"}, "There is no recipe at nowhere.yaml"),
        ({"method": {}}, "unknown name 'method'. Did you mean methods"),
        ({"fields": {"max_step": 3}}, "fields: unknown name 'max_step'. Did you mean max_steps"),
        ({"fields": [1]}, "fields must be a mapping"),
        ({"methods": {"dapo": {"alpha": 1}}}, "methods.dapo: unknown name 'alpha'"),
        ({"methods": {"dapo": {"seed": 1}}}, "seed cannot be given here; meds-lab compare sets it"),
        ({"methods": {"dapo": {"task": "math"}}}, "paired by it"),
        ({"methods": {}}, "methods must name at least one"),
        ({"methods": {"../up": {}}}, "cannot be a name"),
        ({"methods": {"a.yaml": {}}}, "cannot be a name"),
        ({"methods": {"dapo": {}, "before": {}}}, "methods: 'before' cannot be a name"),
        ({"tasks": {"t": {"checkpoints": {"c": {"output_dir": "x"}}}}}, "tasks.t.checkpoints.c: output_dir"),
        ({"baseline": "grpo"}, "baseline: unknown name 'grpo'. Allowed: dapo, meds"),
        ({"baseline": None}, "baseline must be one of the methods: dapo, meds"),
        ({"also": "meds"}, "also must be a list of pairs"),
        ({"also": [["meds"]]}, "also must be a list of pairs"),
        ({"also": [["meds", "cuont"]]}, "also: unknown name 'cuont'. Did you mean count"),
        ({"also": [["meds", "meds"]]}, "compares a method with itself"),
        ({"also": [["meds", "dapo"]]}, "every method is compared with dapo"),
        ({"also": [["meds", "count"], ["count", "meds"]]}, "count and meds come twice"),
        ({"seeds": 0}, "seeds must be a number of seeds"),
        ({"seeds": [1, 1]}, "seeds must not repeat"),
        ({"seeds": True}, "seeds must be"),
        ({"seeds": 10**30}, "seeds must be a number of seeds, at most 10,000"),
        ({"seeds": [2**32]}, "seeds must be"),
        ({"recipe": "x" * 300}, "There is no recipe at"),
        ({"k": 0}, "k must be a whole number from 1"),
        ({"groups": 3}, "groups must be a list of names"),
    ],
)
def test_mistakes_are_one_sentence(write_grid, changes, said):
    if "also" in changes:
        changes = {"methods": {"dapo": None, "count": None, "meds": None}} | changes
    with pytest.raises(ValueError, match=r"(?s).*") as raised:
        load_grid(write_grid(**changes))
    assert said in str(raised.value)


def test_the_page_has_every_key_and_its_example_is_a_grid(tmp_path):
    text = (ROOT / "lab" / "evidence" / "comparing.md").read_text()
    assert [key for key in KEYS if f"| `{key}` |" not in text] == []
    path = tmp_path / "grid.yaml"
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    path.write_text(example.replace("pocket.yaml", str(ROOT / "recipes" / "pocket.yaml")))
    grid = load_grid(path)
    assert {task: list(found) for task, found in grid.checkpoints.items()} == {
        "pocket": ["pocket-0"],
        "sums": ["smol"],
    }
    assert grid.seeds == tuple(range(10))


def test_other_pairs_are_read(make):
    methods = {name: {"method": name} for name in ("dapo", "grpo", "meds")}
    assert make(methods=methods, also=[["meds", "grpo"]])[0].also == (("meds", "grpo"),)
    assert make(methods=methods)[0].also == ()


def test_keys_that_come_twice(write_grid):
    path = write_grid()
    path.write_text(path.read_text().replace("methods:\n", "methods:\n  meds:\n    method: grpo\n"))
    with pytest.raises(GridError, match=r"(?s)the key 'meds' comes twice.*line"):
        load_grid(path)
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")  # a merge is no repetition
    assert read_fields(path)["b"] == {"x": 3, "y": 2}


def test_no_yaml(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("a: [")
    with pytest.raises(GridError, match="is not YAML"):
        load_grid(path)
