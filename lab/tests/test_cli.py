"""The command line of the lab, as a user meets it."""

import subprocess
import sys

import pytest

from meds_lab.cli import COMMANDS, main


def test_help_and_parsing_import_nothing_heavy():
    code = (
        "import sys; from meds_lab.cli import _parser; text = _parser().format_help(); "
        f"assert all(name in text for name in {list(COMMANDS)!r}); "
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'pandas', 'pyarrow', 'sklearn', 'rich'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage: meds-lab" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["compare", "train"])
def test_bad_input_is_one_sentence_and_status_2(command, tmp_path, capsys):
    assert main([command, str(tmp_path / "none.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"meds-lab {command}: There is no recipe at")
    assert "Traceback" not in error


def test_unknown_arguments_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pocket", "--colour", "red"])
    assert ended.value.code == 2
    assert "--colour" in capsys.readouterr().err


def test_a_recipe_of_the_lab_names_a_rival_and_a_starting_policy(tmp_path):
    from meds_lab.tasks import checkpoint_path
    from meds_lab.train import load_fields

    fields = {
        "task": "pocket",
        "model_name_or_path": "pocket-scatter:6",
        "output_dir": str(tmp_path),
        "rival": "kmeans",
        "rival_options": {"num_clusters": 3},
        "use_cpu": True,
        "bf16": False,
    }
    recipe = load_fields(fields, ["--seed", "3"])
    assert recipe.model.model_name_or_path == str(checkpoint_path(6, "scatter"))
    assert recipe.training.seed == 3
    assert recipe.given == {**fields, "seed": "3"}, "the names as they were given, whatever machine it is"
