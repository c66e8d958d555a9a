"""Plans with their outcomes, and texts with a judge's score; both through a training."""

from pathlib import Path

import pandas as pd
import pytest
from datasets import Dataset

from meds_lab.cli import main as lab_main
from meds_lab.tasks.planning import outcome_of, paths_task
from meds_lab.tasks.writing import RIGHT_ABOVE, faults, first_fault, judge, writing_task
from meds_rl.cli.main import main
from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.tasks import Verdict, load_task
from meds_rl.tasks.grading import AccuracyReward
from meds_rl.tasks.pocket.model import load_pocket_model
from meds_rl.train.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
GRID = ["*", "O", "O"], ["X", "O", "#"]
SMALL = {"min_rows": 2, "max_rows": 3, "min_cols": 2, "max_cols": 3, "p_blocked": 0.2}


@pytest.mark.parametrize(
    ("plan", "outcome"),
    [
        ("down", ("into a blocked cell", "move 1")),
        ("right up down", ("off the grid", "move 2")),
        ("right down right right", ("off the grid", "move 4")),
        ("right, down", ("no direction", "move 1")),
        ("right down", ("stops before the goal",)),
        ("", ("stops before the goal",)),
        ("right right left down right", ("a detour", "2 moves too long")),
        ("infeasible", ("gives up where there is a path",)),
    ],
)
def test_what_breaks_first_in_a_plan(plan, outcome):
    # The shortest path has three moves: right, down, right or right, right, down.
    assert outcome_of(plan, GRID, 3) == outcome


def test_a_path_where_there_is_none():
    assert outcome_of("right", GRID, None) == ("a path where there is none",)


def test_the_data_sets_scorer_decides():
    task = paths_task(train_size=6, test_size=2, config=SMALL)
    for row in task.train:
        assert task.grade(f"\\boxed{{{row['answer']}}}", row) == Verdict(True, ("right",))
        assert task.grade("\\boxed{}", row) == Verdict(False, None)
        assert task.grade("\\boxed{$\\text{north}$}", row).outcome[0] in ("no direction", "a path where there is none")


def test_outcomes_come_out_of_the_graders_process():
    task = paths_task(train_size=2, test_size=0, config=SMALL)
    logged = {}
    reward = AccuracyReward(task)
    columns = {name: list(task.train[name]) for name in task.train.column_names if name != "prompt"}
    texts = [f"\\boxed{{{columns['answer'][0]}}}", "up we go"]
    assert reward(texts, log_extra=logged.__setitem__, **columns) == [1.0, 0.0]
    assert logged == {"outcome": [("right",), None]}


def test_the_judge_counts_checks():
    good = "A cat sat on the garden wall,\nand watched the autumn leaves that fall."
    # Passes all but the rhyme: "wall" and "fall" share "ll"; "wall" and "grass" do not.
    assert judge([good, good.replace("that fall", "in grass"), ""], topic=["a cat"] * 3) == [1.0, 0.8, 0.0]
    assert "too long, or a forbidden word" in faults("A very nice cat", "a cat")
    assert first_fault(good.replace("cat", "dog"), {"topic": "a cat"}) == "off the topic"
    assert first_fault(good, {"topic": "a cat"}) == "none"
    task = writing_task(train_size=2)
    assert (len(task.train), len(task.test)) == (2, 4)
    row = task.train[1]
    assert task.grade(good, row)
    assert not task.grade("A cat.", row)  # .6: one line, no rhyme
    assert row["topic"] == "a cat"


@pytest.mark.parametrize(
    ("name", "fingerprint"), [("shortest-path", "outcome"), ("writing", "text"), ("programs", "outcome")]
)
def test_the_recipes_load(name, fingerprint):
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert recipe.training.method == "meds"
    assert recipe.training.fingerprint == fingerprint
    assert len(load_task(recipe.run.task, **recipe.run.options).train) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shortest-path", "writing"])
def test_smollm2_goes_the_whole_way(name, tmp_path, capsys):
    run = str(tmp_path / "run")
    few = ["--max_steps", "1", "--num_generations", "4", "--per_device_train_batch_size", "8"]
    assert lab_main(["train", str(RECIPES / f"{name}.yaml"), "--output_dir", run, *few]) == 0
    assert main(["report", run]) == 0
    assert "wrong completions" in capsys.readouterr().out
    rows = pd.concat(pd.read_parquet(file) for file in sorted((tmp_path / "run" / "rollouts").glob("*.parquet")))
    assert len(rows) == 8
    if name == "shortest-path":
        assert (rows["outcome"].isna() == rows["answer"].isna()).all()


def test_texts_with_a_score_train_on_the_pocket_model(tmp_path, caplog):
    model, tokenizer = load_pocket_model()

    def score(completions, **_):
        # A share of the letters: any number in 0..1, and no place of an answer.
        return [sum(one in "aeiou" for one in text) / max(1, len(text)) for text in completions]

    args = MEDSConfig(
        str(tmp_path / "run"),
        preset="recommended",
        fingerprint="text",
        meds_max_distance=0.6,
        correct_above=RIGHT_ABOVE,
        max_steps=2,
        per_device_train_batch_size=16,
        num_generations=8,
        max_completion_length=16,
        max_generation_batches=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
    )
    data = Dataset.from_list([{"prompt": f"what is {a} + 3 * 2 - 4?"} for a in (5, 6, 7, 8)])
    trainer = MEDSTrainer(model, score, args, data, processing_class=tokenizer)
    trainer.train()
    rows = pd.concat(pd.read_parquet(file) for file in sorted((tmp_path / "run" / "rollouts").glob("*.parquet")))
    assert not rows["is_correct"].any()  # hardly half of the letters of a text are vowels
    assert rows["reward"].between(0, 0.6).all()
    assert rows["reward"].nunique() > 2
    assert (rows["memory_id"] >= 0).any()  # remembered, though no text has an answer
    assert rows["answer"].isna().all()
    assert "have an answer" not in caplog.text
