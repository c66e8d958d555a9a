"""What other programs saved, read: files that the real programs wrote, and files in their documented form."""

import shutil
from pathlib import Path

import pytest

from meds_rl import rollouts
from meds_rl.rollouts import ROLLOUT_COLUMNS, RunFolderError

DUMPS = Path(__file__).parent / "dumps"

DATA = (".jsonl", ".parquet")

# Dump -> what is said of it, then its most repeated error: a part of the prompt, the answer, how often. The numbers are
# those of FORMATS.md, counted there by other means.
KNOWN = {
    "trl": ("TRL completions, 6 files, 384 completions of 8 prompts in 6 batches", "9 * 3 - 6 * 2", "42", 42),
    "trl_chat": ("TRL completions, 6 files, 192 completions of 4 prompts in 6 batches", "7 - 4 * 5 + 3", "18", 38),
    "trl_tools": ("TRL completions, 2 files, 16 completions of 1 prompt in 2 batches", "6 * 7 + 1", "42", 10),
    "trl_images": ("TRL completions, 1 file, 4 completions of 1 prompt in 1 batch", "the picture?", "a cat", 3),
    "verl/rollouts": ("verl, 6 files, 192 completions of 8 prompts in 6 batches", "9 * 3 - 6 * 2", "42", 20),
    "verl/validation": ("verl validation, 1 file, 64 completions of 8 prompts in 1 batch", "9 * 3 - 6 * 2", "42", 8),
    "verl_old": ("verl, 2 files, 128 completions of 8 prompts in 2 batches", "9 * 3 - 6 * 2", "42", 15),
    "prime_rl": ("verifiers traces, 2 files, 30 completions of 3 prompts in 2 batches", "9 * 3 - 6 * 2", "42", 9),
    "prime_rl_06": ("verifiers rollouts, 2 files, 48 completions of 3 prompts in 2 batches", "9 * 3 - 6 * 2", "42", 15),
    "verifiers/0.1.5": ("verifiers rollouts, 1 file, 40 completions of 5 prompts", "9 * 3 - 6 * 2", "42", 8),
    "verifiers/0.1.14": ("verifiers rollouts, 1 file, 40 completions of 5 prompts", "9 * 3 - 6 * 2", "42", 8),
    "verifiers/0.4.0": ("verifiers traces, 1 file, 40 completions of 5 prompts", "9 * 3 - 6 * 2", "42", 8),
    "lighteval": ("lighteval details, 1 file, 128 completions of 8 prompts", "7 - 4 * 5 + 3", "18", 15),
    "lighteval_old": ("lighteval details, 1 file, 96 completions of 8 prompts", "9 * 3 - 6 * 2", "42", 11),
    "lm_eval": ("lm-evaluation-harness samples, 2 files, 128 completions of 8 prompts", "3 + 7 * 6 - 2", "58", 16),
}
RIGHT = {
    "trl": "Right: accuracy_reward is 1. Reward: accuracy_reward + format_reward. Answers: \\boxed{...}, in 95 %",
    "verl/rollouts": "Right: score is 1, the larger of its two values (-1 and 1).",
    "verl/validation": "Right: acc is 1. Answers: as the file has them",
    "prime_rl": "Right: correct_answer is 1.",
    "verifiers/0.1.5": "Right: correct_answer is 1.",
    "lm_eval": "Right: exact_match is 1, or the answer equals the reference where the program gives no grade.",
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_format_and_the_most_repeated_error(name):
    said, prompt, answer, times = KNOWN[name]
    table = rollouts.read(DUMPS / name)
    assert list(table.columns) == list(ROLLOUT_COLUMNS)
    assert f": {said}. Right: " in table.attrs["source"][0]
    assert RIGHT.get(name, "") in table.attrs["source"][0]
    wrong = table[table["reward"].notna() & ~table["is_correct"].astype(bool)]
    sizes = wrong.groupby(["prompt", "answer"]).size()
    assert sizes.max() == times
    found = sizes[sizes == times].index
    assert any(prompt in text and given == answer for text, given in found)


def test_every_dump_is_read_by_a_test():
    folders = {path.relative_to(DUMPS) for path in DUMPS.rglob("*") if path.is_file() and path.suffix in DATA}
    assert [path for path in folders if not any(path.is_relative_to(name) for name in KNOWN)] == []


def test_groups_are_verls_uid_and_prime_rls_group():
    # verl: four groups of eight in each of six steps, and each group is of one prompt.
    table = rollouts.read(DUMPS / "verl" / "rollouts")
    assert table.groupby("group_id")["prompt_id"].nunique().eq(1).all()
    assert table["group_id"].nunique() == 24
    assert rollouts.read(DUMPS / "prime_rl")["group_id"].nunique() == 6
    assert rollouts.read(DUMPS / "trl")["group_id"].isna().all()


def test_samples_that_the_program_did_not_grade_are_compared_with_the_reference():
    # Counted in the fixtures' texts: of the 16 completions of two documents 9 and 12, and 9 and 13, box the reference.
    table = rollouts.read(DUMPS / "lm_eval")
    notes = " ".join(table.attrs["source"])
    assert (
        "120 completions that the program did not grade were compared with the reference; the comparison agrees with "
        "the program's grade in 8 of 8 cases."
    ) in notes
    assert "Filters: boxed, flexible-extract; boxed is read, which found the most answers." in notes
    assert table["is_correct"].sum() == 9 + 12
    table = rollouts.read(DUMPS / "lighteval")
    assert "32 completions that the program did not grade were compared" in " ".join(table.attrs["source"])
    assert table["is_correct"].sum() == 9 + 13
    assert not table["reward"].isna().any()


def test_steps_are_numbered_as_the_program_does():
    def steps(name, **options):
        return sorted(rollouts.read(DUMPS / name, **options)["step"].unique().tolist())

    assert steps("trl") == steps("verl/rollouts") == [1, 2, 3, 4, 5, 6]
    assert steps("verl/validation") == [6]
    assert steps("prime_rl") == steps("prime_rl_06") == [1, 2]
    assert steps("trl", columns={"step": "step"}) == [1, 2, 3, 4, 5, 6]  # as the user says


def test_a_folder_of_several_dumps_is_not_one_run(tmp_path):
    for name in ("verl", "trl"):
        shutil.copytree(DUMPS / name, tmp_path / name)
    shutil.rmtree(tmp_path / "verl" / "validation")
    with pytest.raises(RunFolderError, match="leads to 2 runs; read each by itself"):
        rollouts.read(tmp_path)


def test_of_a_training_and_its_validation_the_training_is_read():
    table = rollouts.read(DUMPS / "verl")
    assert table.equals(rollouts.read(DUMPS / "verl" / "rollouts"))
    assert [note.partition(":")[0] for note in table.attrs["source"]] == ["verl/rollouts/", "verl/validation/"]


def test_a_metric_is_named_as_the_reward():
    table = rollouts.read(DUMPS / "prime_rl_06", {"reward": "reward"}, correct_above=0.05)
    assert "Right: reward is above 0.05." in table.attrs["source"][0]
    table = rollouts.read(DUMPS / "prime_rl", {"reward": "correct_answer"})
    assert "Right: correct_answer is 1." in table.attrs["source"][0]
    assert set(table["reward"]) == {0.0, 1.0}
    with pytest.raises(
        RunFolderError, match=r"has no column nothing; the columns are .*, and the rewards reward, correct"
    ):
        rollouts.read(DUMPS / "prime_rl", {"reward": "nothing"})
    with pytest.raises(RunFolderError, match=r"a row may hold several completions: leave --answer out\."):
        rollouts.read(DUMPS / "prime_rl", {"answer": "id"})
