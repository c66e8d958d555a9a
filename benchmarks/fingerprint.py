"""What a fingerprint costs, next to a full forward on the same completions.

Prints milliseconds and the ratio to a full no-grad forward with the head over the vocabulary, all measured in one run
on a randomly initialised model. Run it while nothing else runs.

    python benchmarks/fingerprint.py --hidden 256 --layers 12 --vocabulary 32000
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import transformers

from meds_rl.fingerprint import (
    AnswerPosition,
    AnswerStates,
    Fingerprint,
    LayerLogits,
    PooledLogits,
    Projected,
    WorkingStates,
    extract,
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=12, help="decoder layers, L")
    parser.add_argument("--hidden", type=int, default=256, help="width of the states, d")
    parser.add_argument("--vocabulary", type=int, default=32_000, help="words, V")
    parser.add_argument("--completions", type=int, default=16, help="completions, B")
    parser.add_argument("--length", type=int, default=256, help="tokens of a completion")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument(
        "--answer-at", type=float, default=0.9, help="where the answer stands, as a share of the length"
    )
    parser.add_argument("--answer-length", type=int, default=3, help="tokens of an answer")
    parser.add_argument("--batch-size", type=int, default=8, help="rows in one forward")
    parser.add_argument("--repeats", type=int, default=5, help="measurements; the median is shown")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    return parser.parse_args()


def median_milliseconds(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The runs take turns, so that a busy moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(1000 * (time.perf_counter() - begin))
    # The first round pays for memory and caches.
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    arguments = parse_arguments()
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=arguments.vocabulary,
        hidden_size=arguments.hidden,
        intermediate_size=4 * arguments.hidden,
        num_hidden_layers=arguments.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=arguments.prompt + arguments.length,
        tie_word_embeddings=True,
    )
    model = transformers.Qwen2ForCausalLM(config).to(arguments.device).eval()
    ids = torch.randint(3, arguments.vocabulary, (arguments.completions, arguments.prompt + arguments.length))
    p = int(arguments.answer_at * (arguments.length - 2))
    prompts = ids[:, : arguments.prompt].tolist()
    completions = ids[:, arguments.prompt :].tolist()
    end = min(p + arguments.answer_length, arguments.length - 1)
    answers = [AnswerPosition(p, completion[p + 1], end) for completion in completions]

    def full(**options: bool) -> None:
        with torch.no_grad():
            for part in ids.to(arguments.device).split(arguments.batch_size):  # type: ignore[no-untyped-call]
                model(input_ids=part, use_cache=False, **options)

    def fingerprint(kind: Fingerprint) -> Callable[[], object]:
        return lambda: extract(model, kind, prompts, completions, answers, batch_size=arguments.batch_size)

    runs: dict[str, Callable[[], object]] = {
        "full forward with head": full,
        "full forward with head and output_hidden_states": lambda: full(output_hidden_states=True),
        "extract, layer_logits": fingerprint(LayerLogits()),
        "extract, layer_logits of all layers": fingerprint(LayerLogits("all")),
        "extract, answer_states": fingerprint(AnswerStates()),
        "extract, pooled_logits": fingerprint(PooledLogits()),
        "extract, working_states": fingerprint(WorkingStates()),
        "extract, working_states at a width of 128": fingerprint(Projected(WorkingStates(), 128)),
    }
    print(f"{arguments.completions} completions of {arguments.length} tokens, answer at token {p}, {arguments.device}")
    costs = median_milliseconds(runs, arguments.repeats)
    for name, cost in costs.items():
        print(f"{name:50s} {cost:9.1f} ms  {cost / costs['full forward with head']:6.3f}")


if __name__ == "__main__":
    main()
