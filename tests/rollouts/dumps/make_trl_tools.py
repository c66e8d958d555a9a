"""Make the fixtures of TRL with tools and images.

python tests/rollouts/dumps/make_trl_tools.py

`trl_tools/` is a GRPOTrainer with a tool and `log_completions=True`; a script stands in for the model, which is random.
`trl_images/` is not a run: the columns are those of TRL 1.16's `log`, and the messages went through its
`strip_images_from_messages`.
"""

import shutil
import tempfile
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

HERE = Path(__file__).parent


def tiny_chat_model() -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """A random 2-layer Qwen3 with a token for each ASCII character, and Qwen3's chat template."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    plain = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
    words = [*special, *plain, "\n", *map(chr, range(32, 127))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "#"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_tokens([AddedToken(word, special=word in special, normalized=False) for word in [*special, *plain]])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    templates = Path(grpo_trainer.__file__).parents[1] / "chat_templates"
    tokenizer.chat_template = (templates / "qwen3.jinja").read_text()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=4096,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    return Qwen3ForCausalLM(config), tokenizer


def multiply(a: int, b: int) -> str:
    """
    Multiply two numbers.

    Args:
        a: a number.
        b: a number.

    Returns:
        The product.
    """
    return str(a * b)


def right_product(completions, answer, **_):
    """1 where the last turn has the answer in a box."""
    return [float("\\boxed{" + a + "}" in turns[-1]["content"]) for turns, a in zip(completions, answer, strict=True)]


CALL = '<tool_call>\n{"name": "multiply", "arguments": {"a": 6, "b": 7}}\n</tool_call>'


def script(row: int, prompt: str) -> str:
    """Five of eight take the tool's 42 for the answer to "6 * 7 + 1?"; two are right; one does not ask the tool."""
    if row % 8 == 7:
        return "no tool needed. \\boxed{44}"
    if "<tool_response>" not in prompt:
        return "let me multiply. " + CALL
    return "42 + 1 = 43. \\boxed{43}" if row % 8 in (2, 5) else "the tool says 42. \\boxed{42}"


def tools() -> None:
    model, tokenizer = tiny_chat_model()
    output = Path(tempfile.mkdtemp())
    arguments = GRPOConfig(
        output_dir=str(output),
        log_completions=True,
        logging_steps=1,
        max_steps=2,
        num_generations=8,
        per_device_train_batch_size=8,
        max_completion_length=400,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
    )
    questions = Dataset.from_list([{"prompt": [{"role": "user", "content": "what is 6 * 7 + 1?"}], "answer": "43"}] * 2)
    trainer = GRPOTrainer(
        model, right_product, arguments, train_dataset=questions, processing_class=tokenizer, tools=[multiply]
    )

    def generate(prompt_ids, *_args, **_kwargs):
        texts = [script(row, tokenizer.decode(ids)) for row, ids in enumerate(prompt_ids)]
        return [tokenizer(text + "<|im_end|>")["input_ids"] for text in texts], None

    trainer._generate_single_turn = generate
    trainer.train()
    target = HERE / "trl_tools" / "completions"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in (output / "completions").glob("*.parquet"):
        shutil.copy(path, target)


def images() -> None:
    image = {"type": "image", "image": "a PIL image"}
    rows = []
    for k, said in enumerate(["a cat", "a cat", "a cat", "a dog"]):
        question = [{"role": "user", "content": [image, {"type": "text", "text": "what is in the picture?"}]}]
        answer = [{"role": "assistant", "content": [{"type": "text", "text": "it is \\boxed{" + said + "}"}]}]
        strip = grpo_trainer.strip_images_from_messages
        rows.append({"step": 1, "prompt": strip(question), "completion": strip(answer), "right": float(k == 3)})
    table = pd.DataFrame(rows).assign(advantage=0.0)
    target = HERE / "trl_images" / "completions"
    target.mkdir(parents=True, exist_ok=True)
    table.to_parquet(target / "completions_00001.parquet")


if __name__ == "__main__":
    tools()
    images()
