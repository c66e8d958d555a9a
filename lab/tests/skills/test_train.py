"""`meds-lab train` on the task, and the checks of its grids."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from meds_lab.cli import main
from meds_lab.compare.cells import make_cells
from meds_lab.compare.checks import check_grid
from meds_lab.compare.command import load_grid
from meds_lab.compare.grid import GridError
from meds_lab.skills.models import PolicyConfig, build_tokenizer, new_model, rule_ids, save_policy, train

RECIPES = Path(__file__).parents[2] / "recipes"
GRIDS = sorted(RECIPES.glob("compare-skills*.yaml"))
TINY = PolicyConfig(steps=2, batch_size=8, hidden_size=32, num_layers=1)


def write_policy(seed, folder, config=TINY):
    tokenizer = build_tokenizer(seed)
    model = new_model(seed, tokenizer, config)
    list(train(model, tokenizer, seed, config))
    save_policy(model, tokenizer, folder)
    return tokenizer


def options(tmp_path, seed=0):
    return [
        "train",
        str(RECIPES / "skills.yaml"),
        *("--model_name_or_path", str(tmp_path / "policies/0")),
        *("--task_options", f'{{"seed": {seed}}}'),
        *("--output_dir", str(tmp_path / "run")),
    ]


def test_two_updates(tmp_path):
    config = replace(TINY, steps=100, warmup_steps=10, batch_size=16)
    tokenizer = write_policy(0, tmp_path / "policies/0", config)
    small = ["--max_steps", "2", "--per_device_train_batch_size", "16", "--eval_samples", "0", "--disable_tqdm", "true"]
    assert main([*options(tmp_path), *small, "--fingerprint", "steps"]) == 0
    rows = pd.read_parquet(tmp_path / "run/skills.parquet")
    assert rows.groupby("step").size().to_dict() == {0: 124, 1: 124, 2: 124}
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("policies/0", "run/model"))
    changed = {name: before[name] != after[name] for name in before}
    assert [name for name, values in changed.items() if values.any()] == ["lm_head.weight"]
    rows = changed["lm_head.weight"].any(1).nonzero().flatten()
    assert rows.tolist() == sorted(rule_ids(tokenizer))


@pytest.mark.parametrize(
    ("seed", "message"),
    [(7, "python -m meds_lab.skills.models --seeds 7 --output"), ("null", "task_options must be {seed: N}")],
)
def test_a_policy_that_is_not_there(seed, message, tmp_path, capsys):
    assert main(options(tmp_path, seed)) == 2
    assert message in capsys.readouterr().err


def test_a_seed_that_is_not_the_policys(tmp_path, capsys):
    write_policy(0, tmp_path / "policies/0")
    assert main(options(tmp_path, 1)) == 2
    assert "give the seed that it was trained with" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_grids_work_once_their_policies_are_trained(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = load_grid(path)
    cells = make_cells(grid, tmp_path / "out")
    with pytest.raises(GridError, match=r"Train it first: python -m meds_lab\.skills\.models --seeds"):
        check_grid(grid, cells)
    for folder, seed in {(one.fields["model_name_or_path"], one.fields["task_options"]["seed"]) for one in cells}:
        assert folder == f"runs/skills-policies/{seed}", "where the command in the recipe writes it"
        tokenizer = build_tokenizer(seed)
        save_policy(new_model(seed, tokenizer, TINY), tokenizer, Path(folder))
    check_grid(grid, cells)
