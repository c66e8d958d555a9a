"""Images, and what is refused at the start."""

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.fingerprint import extract

from .conftest import assert_same_bits, by_trl, by_us, chats, even_length, parameters, rollouts_of, train

pytestmark = pytest.mark.usefixtures("quiet")


# ---- images ----


@pytest.fixture(scope="module")
def vlm_path(tmp_path_factory) -> str:
    """A tiny Llava: images of 8 x 8 pixels are four tokens."""
    folder = tmp_path_factory.mktemp("vlm")
    special = ["<pad>", "<eos>", "<unk>", "<image>"]
    letters = [chr(ord("a") + i) for i in range(20)]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, " ", *letters])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        extra_special_tokens={"image_token": "<image>"},
    )
    template = (
        "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}"
        "{% endif %}{% endfor %}{% endif %}{% endfor %}"
    )
    processor = LlavaProcessor(
        transformers.CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}),
        tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=template,
    )
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"vocab_size": 25, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    vision = {"model_type": "clip_vision_model", "image_size": 8, "patch_size": 4, "projection_dim": 16}
    config = LlavaConfig(
        text_config={"model_type": "llama", "num_key_value_heads": 1, "initializer_range": 0.3, **tokens, **size},
        vision_config={**vision, **size},
        image_token_index=3,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


NO_IMAGE_TOKENS = {"generation_kwargs": {"suppress_tokens": [3]}}  # newer TRL does it itself
COLOURS = ["red", "green", "blue", "white", "black", "yellow", "cyan", "magenta"]


def pictures() -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), colour) for colour in COLOURS]


def questions_about_pictures() -> Dataset:
    """The same words eight times, about different images."""
    return chats(*["abc"] * 8, image=pictures())


@pytest.mark.parametrize("settings", [{}, {"per_device_train_batch_size": 8, "generation_batch_size": 16}])
def test_images_are_read_by_trls_forward(vlm_path, tmp_path, settings):
    data = questions_about_pictures()
    settings = settings | NO_IMAGE_TOKENS
    theirs = by_trl(vlm_path, even_length, tmp_path / "trl", data, **settings)
    ours = by_us(vlm_path, even_length, tmp_path / "meds", data, **settings)
    assert_same_bits(ours, theirs)
    rollouts = rollouts_of(ours)
    assert rollouts["prompt_id"].nunique() == 8, "the same words about other images"
    assert rollouts["prompt"].unique().tolist() == [
        '[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "abc"}]}]'
    ]
    assert len(ours.memory) > 0


def test_fingerprints_see_the_image(vlm_path, tmp_path):
    fields = {"learning_rate": 0.0, "max_steps": 1, "mask_truncated_completions": True, **NO_IMAGE_TOKENS}

    def trained(name, data):
        trainer = by_us(vlm_path, even_length, tmp_path / name, data, **fields)
        source = trainer._source
        given = source._prompt_ids, source._completion_ids, source._answers
        return trainer._batch.features, extract(trainer.model, source._fingerprint, *given)

    seen, blind = trained("images", questions_about_pictures())
    answered = ~np.isnan(blind).any(axis=1)
    assert answered.sum() > 8
    assert (np.isnan(seen).any(axis=1) == ~answered).all()
    assert not np.isclose(seen[answered], blind[answered], atol=1e-3).all(axis=1).any(), "a forward without its images"
    seen, own = trained("text", chats("abc", "bcd", "cde", "def"))
    graded = ~np.isnan(seen).any(axis=1)
    assert graded.any()
    np.testing.assert_allclose(seen[graded], own[graded], atol=1e-5)


def test_images_in_the_messages_count(vlm_path, make_config, tmp_path):
    paths = [str(tmp_path / f"{colour}.png") for colour in COLOURS]
    for path, image in zip(paths, pictures(), strict=True):
        image.save(path)
    data = [
        {"prompt": [{"role": "user", "content": [{"type": "image", "image": path}, {"type": "text", "text": "abc"}]}]}
        for path in paths
    ]
    data = Dataset.from_list(data)
    text, image = data[0]["prompt"][0]["content"][::-1]
    assert text["image"] is None, "Arrow adds the key"
    assert image["text"] is None
    with pytest.raises(ValueError, match=r"cannot be used with images.* Set dynamic_sampling=False"):
        MEDSTrainer(vlm_path, even_length, make_config(method="meds"), data)
    with pytest.raises(ValueError, match="fingerprint_from='reference' cannot be used with images"):
        MEDSTrainer(vlm_path, even_length, make_config(method="trl", fingerprint_from="reference"), data)
    trainer = train(vlm_path, data, make_config(method="meds", dynamic_sampling=False, **NO_IMAGE_TOKENS))
    assert len(trainer.memory) > 0


# ---- refused at the start ----


def test_what_dynamic_sampling_cannot_do_names_the_way_out(model_path, vlm_path, dataset, make_config):
    way_out = "Set dynamic_sampling=False, or use method='trl' or 'grpo'"
    args = make_config(method="dapo")
    for path, data in ((vlm_path, questions_about_pictures()), (model_path, dataset.to_iterable_dataset())):
        with pytest.raises(ValueError, match=way_out):
            MEDSTrainer(path, even_length, args, data)


def test_an_iterable_data_set_trains_without_dynamic_sampling(model_path, dataset, make_config):
    for method in ("trl", "grpo"):
        trainer = train(model_path, dataset.to_iterable_dataset(), make_config(method=method))
        assert len(rollouts_of(trainer)) == 3 * 16


def test_a_checkpoint_of_another_method_is_refused(model_path, dataset, make_config):
    saved = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1}
    with_memory, without = make_config(method="trl", **saved), make_config(method="dapo", **saved)
    for args, other, said in (
        (with_memory, "dapo", "which method 'dapo' would not use.*Start a new run from its model, or resume it with"),
        (without, "trl", "Start a new run from its model, or resume it with the trainer and method that saved it"),
    ):
        train(model_path, dataset, args)
        trainer = MEDSTrainer(model_path, even_length, make_config(method=other), dataset)
        before = parameters(trainer)
        with pytest.raises(ValueError, match=said):
            trainer.train(resume_from_checkpoint=f"{args.output_dir}/checkpoint-1")
        assert before.keys() == parameters(trainer).keys()
