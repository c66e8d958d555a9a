"""The checkpoints that the package carries."""

import pytest

from meds_rl.cli.pocket import sample_figures
from meds_rl.tasks.pocket import CORRECT, WRONG, checkpoint_path, load_pocket_model
from meds_rl.tasks.pocket.model import SHIPPED_SEEDS, load_folder


def test_together_they_are_small():
    files = [path for seed in SHIPPED_SEEDS for path in checkpoint_path(seed).iterdir()]
    assert sum(path.stat().st_size for path in files) < 4_000_000


def test_an_unknown_seed_is_refused():
    with pytest.raises(ValueError, match="no pocket checkpoint with seed 7; shipped: 0, 1, 2"):
        checkpoint_path(7)


@pytest.mark.parametrize("seed", SHIPPED_SEEDS)
def test_they_do_what_they_were_warmed_up_for(seed):
    model, tokenizer = load_pocket_model(seed)
    hard = sample_figures(model, tokenizer, "hard", 16, 16, show_progress=False)
    easy = sample_figures(model, tokenizer, "easy", 8, 16, show_progress=False)
    # Loose: 256 and 128 completions. The figures on 4,096 stand in the slow test below.
    assert hard.share("left_to_right") > 0.3
    assert sum(hard.share(name) for name in WRONG) > 0.6
    assert hard.share(CORRECT) < 0.12
    assert sum(easy.right) / easy.completions > 0.4
    assert hard.no_answer_share < 0.12
    assert hard.slip_rate < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("seed", SHIPPED_SEEDS)
def test_built_again_they_have_the_shipped_figures(seed, tmp_path):
    from meds_rl.cli import main

    assert main(["pocket", "--output", str(tmp_path / "built"), "--seed", str(seed)]) == 0
    shipped, built = load_pocket_model(seed), load_folder(tmp_path / "built")
    for kind, tolerance in (("hard", 0.015), ("easy", 0.04)):
        one, other = (sample_figures(*pair, kind, 32, 128, show_progress=False) for pair in (shipped, built))
        assert sum(one.right) / 4096 == pytest.approx(sum(other.right) / 4096, abs=tolerance)
        assert one.slip_rate == pytest.approx(other.slip_rate, abs=0.02)
        for name in WRONG:
            assert one.share(name) == pytest.approx(other.share(name), abs=0.05)
