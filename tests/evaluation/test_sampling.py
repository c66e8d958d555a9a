"""Sampling with a tiny random model."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from meds_rl.evaluation.sampling import sample_completions


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=12, n_positions=32, n_embd=8, n_layer=1, n_head=1, bos_token_id=1, eos_token_id=1
        )
    )


@pytest.fixture(scope="module")
def tokenizer():
    words = {word: i for i, word in enumerate(["<pad>", "<eos>", *"abcdefghij"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="a"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


def test_so_many_of_each_prompt_and_the_same_again(model, tokenizer):
    arguments = {"num_samples": 3, "max_new_tokens": 5, "batch_size": 4}
    texts = sample_completions(model, tokenizer, ["ab", "cdef"], seed=1, **arguments)
    assert [len(samples) for samples in texts] == [3, 3]
    assert texts == sample_completions(model, tokenizer, ["ab", "cdef"], seed=1, **arguments)
    assert texts != sample_completions(model, tokenizer, ["ab", "cdef"], seed=2, **arguments)


def test_training_is_not_disturbed(model, tokenizer):
    model.train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    sample_completions(model, tokenizer, ["ab"], num_samples=2, max_new_tokens=3)
    assert torch.equal(torch.rand(3), expected)
    assert model.training


@pytest.mark.parametrize(
    "wrong", [{"num_samples": 0}, {"max_new_tokens": 0}, {"batch_size": 0}, {"temperature": 0.0}]
)
def test_bad_settings(model, tokenizer, wrong):
    settings = {"num_samples": 1, "max_new_tokens": 1, **wrong}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sample_completions(model, tokenizer, ["ab"], **settings)
