"""Sampling: the order of the work, seeds of its own, ends of sequences; with a tiny random model."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from meds_rl.evaluation.engines import TransformersEngine
from meds_rl.evaluation.sampling import (
    SamplingSettings,
    chunk_seed,
    encode,
    plan,
    refuses_system,
)

END = 1


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=12, n_positions=32, n_embd=8, n_layer=1, n_head=1, bos_token_id=END, eos_token_id=END)
    )


@pytest.fixture(scope="module")
def tokenizer():
    words = {word: i for i, word in enumerate(["<pad>", "<eos>", *"abcdefghij"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="a"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


def test_training_is_not_disturbed(model, tokenizer):
    engine = TransformersEngine(model, tokenizer)
    model.train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    engine.sample([engine.encode("ab")] * 2, SamplingSettings(3), 0)
    assert torch.equal(torch.rand(3), expected)
    assert model.training


def test_a_chunk_is_the_same_whatever_was_sampled_before(model, tokenizer):
    engine = TransformersEngine(model, tokenizer)
    settings = SamplingSettings(8)
    ids = [engine.encode("abc")] * 4
    alone = engine.sample(ids, settings, chunk_seed(0, 7))
    engine.sample(ids, settings, chunk_seed(0, 6))
    assert engine.sample(ids, settings, chunk_seed(0, 7)) == alone
    assert engine.sample(ids, settings, chunk_seed(0, 6)) != alone


TASTE = [
    {"repetition_penalty": 9.0, "top_k": 2, "min_p": 0.5, "no_repeat_ngram_size": 1, "temperature": 0.1},
    {"min_new_tokens": 8},
    {"min_length": 12},
    {"suppress_tokens": [END, 3]},
    {"begin_suppress_tokens": [2, 3, 4, 5]},
    {"bad_words_ids": [[3]]},
    {"epsilon_cutoff": 0.2},
    {"eta_cutoff": 0.3},
    {"top_h": 0.3},
    {"exponential_decay_length_penalty": [1, 9.5]},
    {"forced_eos_token_id": 4},
    {"forced_bos_token_id": 4},
    {"guidance_scale": 2.0},
    {"encoder_repetition_penalty": 1.5},
    {"sequence_bias": [[[3], -10.0]]},
    {"watermarking_config": {"greenlist_ratio": 0.25, "bias": 5.0}},
    {"max_time": 1e-6},
    {"num_return_sequences": 2},
    {"return_dict_in_generate": True},
    {"stop_strings": ["a"]},
    {"prompt_lookup_num_tokens": 3},
    {"token_healing": True},
    {"dola_layers": "low"},
    {"num_beams": 3},
    {"penalty_alpha": 0.6, "top_k": 4},
]


@pytest.mark.parametrize("taste", TASTE, ids=lambda taste: next(iter(taste)))
def test_a_models_own_taste_in_sampling_is_not_asked(model, tokenizer, taste):
    engine = TransformersEngine(model, tokenizer)
    ids, settings = [engine.encode("ab")] * 16, SamplingSettings(8)
    plain = engine.sample(ids, settings, 0)
    own = model.generation_config
    try:
        model.generation_config = GenerationConfig(eos_token_id=END, bos_token_id=END)
        for name, value in taste.items():
            setattr(model.generation_config, name, value)
        given = model.generation_config
        assert engine.sample(ids, settings, 0) == plain
        assert model.generation_config is given
    finally:
        model.generation_config = own


def test_a_models_own_ends_are_kept(model, tokenizer):
    engine = TransformersEngine(model, tokenizer)
    own = model.generation_config
    try:
        model.generation_config = GenerationConfig(eos_token_id=[END, 3])
        completions = engine.sample([engine.encode("ab")] * 64, SamplingSettings(6), 0)
    finally:
        model.generation_config = own
    assert {completion.token_ids[-1] for completion in completions if completion.finished} == {END, 3}


def test_behind_adapters_too(model, tokenizer):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(copy.deepcopy(model), peft.LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True))
    adapted.generation_config.min_new_tokens = 8
    given = adapted.generation_config
    engine, plain = TransformersEngine(adapted, tokenizer), TransformersEngine(model, tokenizer)
    ids = [engine.encode("ab")] * 16
    assert engine.sample(ids, SamplingSettings(8), 0) == plain.sample(ids, SamplingSettings(8), 0)
    assert adapted.generation_config is given
    assert adapted.get_base_model().generation_config is given


def test_positions_under_another_name(model, tokenizer):
    assert TransformersEngine(model, tokenizer).context_length == 32  # GPT-2's n_positions


NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ m['content'] }}{% endfor %}"
)


def test_a_template_without_a_system_role_gets_it_with_the_question(tokenizer):
    chat = copy.deepcopy(tokenizer)
    chat.chat_template = NO_SYSTEM
    prompt = [{"role": "system", "content": "ab"}, {"role": "user", "content": "cd"}]
    assert refuses_system(chat, prompt)
    assert not refuses_system(chat, prompt[1:])
    # "ab", two line breaks (unknown to this tokenizer, so "a"), "cd"
    assert encode(chat, prompt) == encode(chat, [{"role": "user", "content": "ab\n\ncd"}])
    with pytest.raises(ValueError, match="chat template refuses the prompt: System role not supported"):
        encode(chat, [{"role": "system", "content": "ab"}])
    chat.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert not refuses_system(chat, prompt)
    assert encode(chat, prompt) == encode(tokenizer, "abcd")


def test_tokens_are_counted_to_the_end_and_what_was_cut_off_is_known(model, tokenizer):
    engine = TransformersEngine(model, tokenizer)
    completions = engine.sample([engine.encode("ab")] * 64, SamplingSettings(6), 0)
    assert {completion.finished for completion in completions} == {True, False}
    for completion in completions:
        assert completion.finished == (END in completion.token_ids)
        assert END not in completion.token_ids[:-1]
        assert completion.finished or len(completion.token_ids) == 6
        visible = [token for token in completion.token_ids if token > END]
        assert completion.text == tokenizer.decode(visible)


def test_chat_messages_need_a_template(model, tokenizer):
    with pytest.raises(ValueError, match="no chat template"):
        TransformersEngine(model, tokenizer).encode([{"role": "user", "content": "ab"}])


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 5), st.integers(1, 20))
def test_the_plan_holds_each_completion_once_long_prompts_first(lengths, num_samples, size):
    chunks = plan(lengths, num_samples, size)
    rows = [tuple(row) for chunk in chunks for row in chunk]
    assert sorted(rows) == [(p, s) for p in range(len(lengths)) for s in range(num_samples)]
    assert all(len(chunk) == size for chunk in chunks[:-1])
    order = [lengths[prompt] for prompt, _ in rows]
    assert order == sorted(order, reverse=True)


def test_seeds_of_chunks_differ():
    seeds = {chunk_seed(seed, chunk) for seed in range(20) for chunk in range(200)}
    assert len(seeds) == 4_000
    assert max(seeds) < 2**32
    assert np.random.default_rng(chunk_seed(0, 0)).random() != np.random.default_rng(chunk_seed(0, 1)).random()
    with pytest.raises(ValueError, match="seed must be 0 or more"):
        chunk_seed(-1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"temperature": 0.0},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
)
def test_bad_settings(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplingSettings(**{"max_new_tokens": 1, **wrong})


@pytest.mark.parametrize(("num_samples", "chunk_size", "named"), [(0, 1, "num_samples"), (1, 0, "batch_size")])
def test_a_plan_of_nothing_is_refused(num_samples, chunk_size, named):
    with pytest.raises(ValueError, match=named):
        plan([1], num_samples, chunk_size)
