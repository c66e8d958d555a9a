"""Stopping and going on: what a checkpoint brings back, and which ones are refused."""

from pathlib import Path

import pandas as pd
import pytest

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.checkpoint import save_memory
from meds_rl.rollouts import RunFolder

from .conftest import assert_same_bits, even_length, third_token, train

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"per_device_train_batch_size": 8, "generation_batch_size": 16},
        {
            "meds_capacity": 4,
            "meds_half_life": 2.0,
            "meds_anneal": [0.2, 0.8],
            "dynamic_sampling": False,
        },
    ],
    ids=["between generations", "in the middle of a generation batch", "bounded and aged"],
)
def test_resume_equals_no_interruption(model_path, dataset, make_config, tmp_path, fields):
    fields = {
        "max_steps": 5,
        "save_strategy": "steps",
        "save_steps": 3,
        "lr_scheduler_type": "constant",
        **fields,
    }
    whole = train(model_path, dataset, make_config(output_dir=str(tmp_path / "whole"), **fields))
    resumed = MEDSTrainer(
        model_path,
        even_length,
        make_config(output_dir=str(tmp_path / "resumed"), **fields),
        dataset,
        answer_finder=third_token,
    )
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert_same_bits(resumed, whole)
    for name, trainer in (("whole", whole), ("resumed", resumed)):
        save_memory(trainer, tmp_path / name)
    files = [tmp_path / name / "memory.safetensors" for name in ("whole", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_resume_from_the_last_step_trains_no_further(model_path, dataset, make_config, tmp_path):
    """As after a kill in the evaluation at the end."""
    fields = {"max_steps": 3, "save_strategy": "steps", "save_steps": 3}
    whole = train(model_path, dataset, make_config(output_dir=str(tmp_path / "run"), **fields))
    memory = (tmp_path / "run" / "memory.safetensors").read_bytes()
    args = make_config(output_dir=str(tmp_path / "run"), **fields)
    resumed = MEDSTrainer(model_path, even_length, args, dataset, answer_finder=third_token)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 3
    assert_same_bits(resumed, whole)
    assert (tmp_path / "run" / "memory.safetensors").read_bytes() == memory
    assert [row["step"] for row in RunFolder(tmp_path / "run").metrics() if "loss" in row] == [1, 2, 3]


def test_a_checkpoint_without_a_memory_is_refused(model_path, dataset, make_config, tmp_path):
    fields = {"max_steps": 2, "save_strategy": "steps", "save_steps": 2}
    train(model_path, dataset, make_config(method="dapo", output_dir=str(tmp_path / "dapo"), **fields))
    trainer = MEDSTrainer(model_path, even_length, make_config(**fields), dataset, answer_finder=third_token)
    with pytest.raises(ValueError, match=r"memory\.safetensors: it was saved by GRPOTrainer or by a method without"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "dapo" / "checkpoint-2"))


def test_a_memory_of_another_width_is_refused(model_path, dataset, make_config, tmp_path):
    fields = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "fingerprint": "working_states"}
    train(model_path, dataset, make_config(output_dir=str(tmp_path / "run"), **fields))
    args = make_config(**fields, fingerprint_width=8)
    trainer = MEDSTrainer(model_path, even_length, args, dataset, answer_finder=third_token)
    with pytest.raises(
        ValueError, match=r"16 features, those of this run 8: the file is of another fingerprint or fingerprint_width"
    ):
        trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))


def test_what_is_no_folder_is_no_checkpoint(model_path, dataset, make_config):
    args = make_config(max_steps=1)
    train(model_path, dataset, args)
    with pytest.raises(ValueError, match="must be True or a checkpoint's folder; there is no folder true"):
        MEDSTrainer(model_path, even_length, args, dataset).train(resume_from_checkpoint="true")


def test_a_lost_state_is_said(model_path, dataset, make_config, caplog, capsys):
    args = make_config(max_steps=2, save_strategy="steps", save_steps=1)
    train(model_path, dataset, args)
    first = RunFolder(args.output_dir).rollouts().query("step == 0")
    Path(args.output_dir, "checkpoint-1", "meds_state.json").unlink()
    trainer = MEDSTrainer(model_path, even_length, args, dataset, answer_finder=third_token)
    trainer.train(resume_from_checkpoint=f"{args.output_dir}/checkpoint-1")
    rollouts = RunFolder(args.output_dir).rollouts()
    pd.testing.assert_frame_equal(rollouts.query("step == 0"), first)
    assert list(rollouts["step"].unique()) == [0, 1]
    restored = f"{args.output_dir}/checkpoint-1 is restored: {(first['memory_id'] >= 0).sum()} completions."
    assert f"meds-rl: the memory of {restored}" in capsys.readouterr().out
    assert "checkpoint-1 has no meds_state.json: the resumed run may draw other prompts" in caplog.text


def test_a_method_without_a_memory_does_not_go_on_from_a_checkpoint_that_has_one(
    model_path, dataset, make_config, tmp_path
):
    fields = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    train(model_path, dataset, make_config(output_dir=str(tmp_path / "run"), **fields))
    trainer = MEDSTrainer(model_path, even_length, make_config(method="dapo", **fields), dataset)
    with pytest.raises(ValueError, match=r"has a memory\.safetensors, which method 'dapo' would not use"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))


def test_a_checkpoint_without_the_batch_it_was_training_on_is_refused(model_path, dataset, make_config, tmp_path):
    fields = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    fields |= {"per_device_train_batch_size": 8, "generation_batch_size": 16}
    train(model_path, dataset, make_config(output_dir=str(tmp_path / "run"), **fields))
    (tmp_path / "run" / "checkpoint-1" / "meds_buffer_0.pt").unlink()
    trainer = MEDSTrainer(model_path, even_length, make_config(**fields), dataset, answer_finder=third_token)
    with pytest.raises(ValueError, match="would be remembered twice"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))


def test_a_resume_into_another_runs_folder_is_refused(model_path, dataset, make_config):
    fields = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    first, second = make_config(**fields), make_config(**fields)
    train(model_path, dataset, first)
    train(model_path, dataset, second)
    before = RunFolder(second.output_dir).rollouts()
    again = MEDSTrainer(
        model_path,
        even_length,
        make_config(**{**fields, "output_dir": second.output_dir}),
        dataset,
        answer_finder=third_token,
    )
    with pytest.raises(FileExistsError, match="another run"):
        again.train(resume_from_checkpoint=f"{first.output_dir}/checkpoint-1")
    assert RunFolder(second.output_dir).rollouts().equals(before)
