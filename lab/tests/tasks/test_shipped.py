"""The starting policies in lab/checkpoints."""

import pytest

from meds_lab.sampling import sample_completions
from meds_lab.tasks import checkpoint_path, load_pocket_model, model_location
from meds_lab.tasks.checkpoints import SEEDS
from meds_lab.tasks.command import sample_figures
from meds_lab.tasks.mixture import GUESSED, VARIANTS
from meds_rl.tasks.pocket import CORRECT, WRONG, strategy
from meds_rl.tasks.pocket.model import load_folder
from meds_rl.tasks.pocket.problems import pool
from meds_rl.tasks.pocket.reading import read_working

SHIPPED = [(variant, seed) for variant in VARIANTS for seed in SEEDS[variant]]


def test_together_they_are_small():
    folders = [checkpoint_path(seed, variant) for variant, seed in SHIPPED]
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) < 30_000_000


def test_an_unknown_seed_is_refused():
    with pytest.raises(ValueError, match="no pocket checkpoint with seed 9; there are: 0, 1;"):
        checkpoint_path(9)
    with pytest.raises(ValueError, match="with seed 9; there are: 0, 1, 5, 6, 7, 8;"):
        checkpoint_path(9, "stuck")
    with pytest.raises(ValueError, match="of variant 'odd'; there are: plain, stuck, guess, scatter"):
        checkpoint_path(0, "odd")


def test_names_of_models():
    assert model_location("pocket") == str(checkpoint_path(5, "stuck"))
    assert model_location("pocket:1") == str(checkpoint_path(1))
    assert model_location("pocket-scatter:7") == str(checkpoint_path(7, "scatter"))
    for wrong in ("pocket:x", "pocket:9", "pocket-odd:0", "pocket-stuck:²", "pocket-", "pocket:"):
        with pytest.raises(ValueError, match="pocket"):
            model_location(wrong)


@pytest.mark.parametrize("seed", SEEDS["plain"])
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


@pytest.mark.parametrize(("variant", "seed"), [one for one in SHIPPED if one[0] != "plain"])
def test_stuck_ones_have_one_habit(seed, variant):
    hard = sample_figures(*load_pocket_model(seed, variant), "hard", 16, 16, show_progress=False)
    assert hard.share(CORRECT) < 0.05
    assert hard.share("left_to_right") > 0.7


@pytest.mark.parametrize(("variant", "seed"), [one for one in SHIPPED if one[0] in ("guess", "scatter")])
def test_the_guessing_ones_answer_with_a_guess(seed, variant):
    model, tokenizer = load_pocket_model(seed, variant)
    problems = pool("hard")[:8]
    prompts = [problem.prompt for problem in problems]
    completions = sample_completions(model, tokenizer, prompts, num_samples=32, max_new_tokens=96)
    guessed = answered = 0
    for problem, texts in zip(problems, completions, strict=True):
        row = {"prompt": problem.prompt}
        for text in (one.text for one in texts):
            answer = read_working(text).answer
            if answer is not None and strategy(text, row) in WRONG:
                answered += 1
                allowed = problem.terms if variant == "guess" else GUESSED
                guessed += answer in map(str, allowed)
    assert answered > 100
    assert guessed / answered > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "seed"), [one for one in SHIPPED if one[1] in SEEDS["plain"]])
def test_built_again_they_have_the_shipped_figures(seed, variant, tmp_path):
    from meds_lab.cli import main

    arguments = ["pocket", "--output", str(tmp_path / "built"), "--seed", str(seed), "--variant", variant]
    assert main(arguments) == 0
    shipped, built = load_pocket_model(seed, variant), load_folder(tmp_path / "built")
    for kind, tolerance in (("hard", 0.015), ("easy", 0.04)):
        one, other = (sample_figures(*pair, kind, 32, 128, show_progress=False) for pair in (shipped, built))
        assert sum(one.right) / 4096 == pytest.approx(sum(other.right) / 4096, abs=tolerance)
        assert one.slip_rate == pytest.approx(other.slip_rate, abs=0.02)
        for name in WRONG:
            assert one.share(name) == pytest.approx(other.share(name), abs=0.05)
