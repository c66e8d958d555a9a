"""Makes what samples, and checks that the problems fit it."""

from __future__ import annotations

from collections.abc import Sequence

from meds_rl.evaluation.problems import Problem
from meds_rl.evaluation.sampling import SamplingEngine


def make_engine(location: str, name: str, seed: int) -> SamplingEngine:
    """An engine with its model loaded.

    Args:
        location: what is loaded (`evaluation.subject`).
        name: "transformers" or "vllm".
        seed: of vLLM itself.

    Raises:
        ValueError: there is no such model.
        ImportError: a package is missing; the message holds the pip command.
    """
    from meds_rl.tasks.models import load_language_model, model_location

    if name == "vllm":
        from meds_rl.evaluation.vllm_engine import VLLMEngine

        return VLLMEngine(model_location(location), seed=seed)
    from meds_rl.evaluation.transformers_engine import TransformersEngine

    return TransformersEngine(*load_language_model(location))


def check_context(engine: SamplingEngine, problems: Sequence[Problem], wanted: int) -> None:
    """Refuse what the model has no positions for; vLLM says so itself.

    Raises:
        ValueError: the longest prompt and `wanted` tokens are more than the model has positions.
    """
    from meds_rl.evaluation.transformers_engine import TransformersEngine

    context = engine.context_length if isinstance(engine, TransformersEngine) else None
    longest = max(len(engine.encode(problem.row["prompt"])) for problem in problems)
    if context is not None and longest >= context:
        raise ValueError(
            f"the model has {context} positions, the longest prompt {longest} tokens: nothing is left"
        )
    if context is not None and longest + wanted > context:
        raise ValueError(
            f"the model has {context} positions, the longest prompt {longest} tokens: --max-new-tokens can be at most "
            f"{context - longest}, got {wanted}"
        )


def notes(engine: SamplingEngine, problems: Sequence[Problem]) -> tuple[str, ...]:
    """What the engine does otherwise than the prompts say, as sentences for the user."""
    from meds_rl.evaluation.chat import refuses_system
    from meds_rl.evaluation.transformers_engine import TransformersEngine
    from meds_rl.evaluation.vllm_engine import VLLMEngine

    if not isinstance(engine, TransformersEngine | VLLMEngine):
        return ()
    if any(refuses_system(engine.tokenizer, problem.row["prompt"]) for problem in problems):
        return ("The chat template refuses system messages: their text stood before the question.",)
    return ()
