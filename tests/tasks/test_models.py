"""Models by name."""

import pytest

from meds_rl.tasks.models import load_language_model, model_location
from meds_rl.tasks.pocket import checkpoint_path


def test_names():
    assert model_location("pocket") == str(checkpoint_path())
    for other in ("org/model", "pocket/model", "pocket-rl/model"):
        assert model_location(other) == other
    for wrong in (
        "pocket:x",
        "pocket:1",
        "pocket-odd",
        "pocket-stuck:9",
        "pocket-stuck:²",
        "pocket-",
        "pocket:",
    ):
        with pytest.raises(ValueError, match="pocket"):
            model_location(wrong)


def test_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert model_location(str(tmp_path / "model")) == str(tmp_path / "model")
    assert model_location("~/model") == str(tmp_path / "model")
    for missing in (str(tmp_path / "none"), "./none", "~/none", "runs/out/none"):
        with pytest.raises(ValueError, match="there is no folder with a model at"):
            model_location(missing)


def test_a_name_without_a_folder_is_said_to_be_looked_for_on_the_hub(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "final").mkdir(parents=True)
    assert [model_location(name) for name in ("out/fnal", "gpt2", "org/model")] == ["out/fnal", "gpt2", "org/model"]
    said = "There is no folder {} here: it is taken for a model's name on the hub."
    assert [record.getMessage() for record in caplog.records] == [
        said.format("out/fnal") + " Did you mean out/final?",
        said.format("gpt2"),
    ]


def test_the_pocket_model_is_loaded():
    model, tokenizer = load_language_model("pocket", device="cpu")
    assert not model.training
    assert str(model.dtype) == "torch.float32"
    assert tokenizer.pad_token_id is not None


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(ValueError, match="no folder with a model"):
        load_language_model(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="cannot load the model"):
        load_language_model(str(tmp_path))
