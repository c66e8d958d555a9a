import argparse

import pytest
import torch

from meds_lab.tasks.command import add_arguments, run
from meds_rl.tasks.pocket.model import load_folder


def _run(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def test_it_builds_and_checks_a_model(tmp_path, capsys):
    sizes = ("--steps", "2", "--batch-size", "4", "--threads", "1", "--samples", "2", "--problems", "2")
    assert _run("--output", str(tmp_path / "model"), "--check", *sizes) == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()
    printed = capsys.readouterr().out
    assert "Written: " in printed
    for label in ("hard (2 x 2)", "pass@1", "left_to_right", "arithmetic slip", "no answer"):
        assert label in printed


def test_it_checks_a_folder_or_a_shipped_model(capsys):
    from meds_lab.tasks import checkpoint_path

    for which in (("--seed", "1"), ("--variant", "guess"), ("--model", str(checkpoint_path(1)))):
        assert _run("--check", *which, "--samples", "2", "--problems", "2") == 0
        assert "pass@1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to do: give --output DIR"),
        (("--check", "--seed", "9"), "no pocket checkpoint with seed 9; there are: 0, 1"),
        (("--check", "--variant", "odd"), "no pocket checkpoint of variant 'odd'"),
        (("--check", "--samples", "0"), "--samples must be at least 1, got 0"),
        (("--check", "--problems", "1000"), "--problems must lie in 1 to 192, got 1000"),
        (("--model", "somewhere"), "--model names a model to look at"),
        (("--base", "somewhere", "--output", "new"), "--base names what a variant continues from"),
        (("--base", "somewhere", "--check", "--variant", "stuck"), "goes with --output and --variant"),
        (
            ("--output", "new", "--variant", "stuck", "--seed", "9"),
            "with seed 9 is not kept. Build it with meds-lab pocket",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        _run(*arguments)


def test_a_variant_goes_on_from_a_model_that_was_just_built(tmp_path):
    plain, stuck = tmp_path / "plain", tmp_path / "stuck"
    sizes = ("--steps", "1", "--batch-size", "4", "--seed", "9")
    assert _run("--output", str(plain), *sizes) == 0
    with pytest.raises(FileNotFoundError, match=r"--base .*no config\.json"):
        _run("--output", str(stuck), "--variant", "stuck", "--base", str(tmp_path), *sizes)
    slow = ("--learning-rate", "1e-9")  # so that what comes out is what went in
    assert _run("--output", str(stuck), "--variant", "stuck", "--base", str(plain), *sizes, *slow) == 0
    (before, _), (after, _) = load_folder(plain), load_folder(stuck)
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_nothing_is_overwritten(tmp_path):
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        _run("--output", str(tmp_path))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        _run("--check", "--model", str(tmp_path))


def test_steps_below_one_are_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        _run("--output", str(tmp_path / "model"), "--steps", "0")
    assert not (tmp_path / "model").exists()
