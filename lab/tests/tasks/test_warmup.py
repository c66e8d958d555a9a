import pytest

from meds_lab.tasks.checkpoints import save_half
from meds_lab.tasks.warmup import Warmup, WarmupConfig
from meds_rl.tasks.pocket.model import load_folder, new_model


def _train(seed=0):
    # One thread, so that the sums are taken in the same order whatever else the machine does.
    warmup = Warmup(WarmupConfig(seed=seed, steps=3, batch_size=8, threads=1))
    losses = list(warmup)
    return losses, warmup


def test_three_steps_are_deterministic_to_the_byte(tmp_path):
    losses, one = _train()
    losses_again, other = _train()
    losses_other, _ = _train(seed=1)
    assert losses == losses_again != losses_other
    assert len(losses) == 3
    save_half(one.model, one.tokenizer, tmp_path / "one")
    save_half(other.model, other.tokenizer, tmp_path / "other")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_new_model_is_tiny():
    model, tokenizer = new_model(0)
    assert sum(parameter.numel() for parameter in model.parameters()) < 600_000
    assert model.config.vocab_size == len(tokenizer)


def test_nothing_is_overwritten(tmp_path):
    model, tokenizer = new_model(0)
    with pytest.raises(FileExistsError):
        save_half(model, tokenizer, tmp_path)


def test_saved_and_loaded_it_is_float32_again(tmp_path):
    import torch

    model, tokenizer = new_model(0)
    save_half(model, tokenizer, tmp_path / "model")
    loaded, _ = load_folder(tmp_path / "model")
    assert loaded.dtype == torch.float32
    assert model.dtype == torch.float32  # saving leaves the model as it was
    for one, other in zip(model.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"plain_share": 1.5}, r"plain_share must lie in \[0, 1\]"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        WarmupConfig(**settings)
