import pytest

from meds_lab.tasks.mixture import Mixture
from meds_lab.tasks.tokenizer import build_tokenizer
from meds_rl.tasks.pocket.problems import reserved


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_every_text_comes_back(tokenizer):
    mixture = Mixture(5)
    for _ in range(1000):
        problem, _, completion = mixture.draw()
        for text in (problem.prompt, completion, problem.prompt + completion):
            ids = tokenizer(text)["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == text
        # The prompt's and the completion's tokens do not merge where they meet.
        together = tokenizer(problem.prompt)["input_ids"] + tokenizer(completion)["input_ids"]
        assert tokenizer(problem.prompt + completion)["input_ids"] == together
    for problem in reserved():
        assert tokenizer.decode(tokenizer(problem.prompt)["input_ids"]) == problem.prompt
        plain = mixture.draw(is_plain=True)[2]
        assert tokenizer.decode(tokenizer(plain)["input_ids"]) == plain


def test_digits_and_the_box_are_single_tokens(tokenizer):
    assert tokenizer.tokenize("40 - -17 = 57. the answer is \\boxed{-57}") == [
        *("4", "0", " - ", "-", "1", "7", " = ", "5", "7", ". "),
        *("the ", "answer ", "is ", "\\boxed{", "-", "5", "7", "}"),
    ]


def test_special_tokens(tokenizer):
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer.decode([0, 0, 1], skip_special_tokens=True) == ""
    assert tokenizer.tokenize("perhaps") == ["<unk>"]


def test_saved_and_loaded_it_is_the_same(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "first 7 + 3 makes 10; \\boxed{10}"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert (loaded.pad_token_id, loaded.eos_token_id) == (0, 1)
