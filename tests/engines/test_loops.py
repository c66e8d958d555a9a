"""The blocks of docs/loops.md run, called as their loops call them; the doubles have what the blocks use of a loop."""

import asyncio
import math
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "loops.md").read_text("utf-8")
ONCE = -0.1 * math.log(2)
"""The penalty of an error that was remembered once."""


def run(title: str, monkeypatch: pytest.MonkeyPatch, folder: Path, **modules: dict) -> SimpleNamespace:
    """The names that the block under a heading defines; `modules` are doubles, "__" in a name is a dot."""
    for name, members in modules.items():
        *parents, last = name.split("__")
        for depth in range(len(parents) + 1):
            path = ".".join([*parents, last][: depth + 1])
            monkeypatch.setitem(sys.modules, path, sys.modules.get(path, ModuleType(path)))
        vars(sys.modules[name.replace("__", ".")]).update(members)
    block = re.search(rf"^## {title}$.*?^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert block, title
    monkeypatch.chdir(folder)
    names: dict = {"__name__": "example"}
    exec(block[1], names)
    return SimpleNamespace(**names)


def twice(call) -> list[list[float]]:
    return [call(), call()]


class GRPOAlgorithm:
    """prime-rl's, without what it connects to."""


def trace(text: str, reward: float) -> SimpleNamespace:
    return SimpleNamespace(task=SimpleNamespace(key="k"), last_reply=text, reward=reward, advantage=None)


def test_prime_rl(monkeypatch, tmp_path):
    block = run(
        "prime-rl",
        monkeypatch,
        tmp_path,
        prime_rl__orchestrator__algo__base={"iter_trainable_traces": lambda episodes: ((None, t) for t in episodes)},
        prime_rl__orchestrator__algo__grpo={"GRPOAlgorithm": GRPOAlgorithm},
        prime_rl__orchestrator__algo__routing={"assign_advantages": lambda t, value: setattr(t, "advantage", value)},
    )

    def call():
        traces = [trace(r"\boxed{42}", 1.0), trace(r"\boxed{13}", 0.0)]
        asyncio.run(block.MemoryGRPO().score_group(traces))
        return [one.advantage for one in traces]

    # Rewards 1 and 0, then 1 and -.1 ln 2: half of their difference from the mean.
    first, second = twice(call)
    assert first == [0.5, -0.5]
    assert second == pytest.approx([(1 - ONCE) / 2, (ONCE - 1) / 2])


@pytest.mark.parametrize("divide", [True, False])
def test_slime(monkeypatch, tmp_path, divide):
    block = run("slime", monkeypatch, tmp_path)
    args = SimpleNamespace(n_samples_per_prompt=2, grpo_std_normalization=divide)

    def sample(prompt, response, reward):
        return SimpleNamespace(prompt=prompt, response=response, get_reward_value=lambda _args: reward)

    def call():
        samples = [sample(p, rf"\boxed{{{answer}}}", r) for p in "ab" for answer, r in ((42, 1.0), (13, 0.0))]
        raw, rewards = block.add_penalties(args, samples)
        assert raw == [1.0, 0.0, 1.0, 0.0]
        return rewards

    # Two rewards r and s: (r - s) / 2 from their mean, and a deviation of (r - s) / sqrt 2.
    first, second = twice(call)
    half = math.sqrt(0.5)
    assert first == pytest.approx([half, -half] * 2 if divide else [0.5, -0.5] * 2, abs=1e-5)
    assert second == pytest.approx([half, -half] * 2 if divide else [(1 - ONCE) / 2, (ONCE - 1) / 2] * 2, abs=1e-5)


class Generator:
    """SkyRL's: two completions of two tokens with token rewards, as of an environment that ends in one turn."""

    tokenizer = SimpleNamespace(batch_decode=lambda rows, **_: [rf"\boxed{{{ids[0]}}}" for ids in rows])

    async def generate(self, input_batch, disable_tqdm=False):
        return {"response_ids": [[42, 1], [13, 1]], "rewards": [[0.0, 1.0], [0.0, 0.0]]}


def test_skyrl(monkeypatch, tmp_path):
    module = {"SkyRLGymGenerator": Generator}
    block = run("SkyRL", monkeypatch, tmp_path, skyrl__train__generators__skyrl_gym_generator=module)

    def call(phase="train"):
        prompt = [{"role": "user", "content": "6 * 7 = ?"}]
        batch = {"prompts": [prompt, prompt], "batch_metadata": SimpleNamespace(training_phase=phase)}
        return asyncio.run(block.MemoryGenerator().generate(batch))["rewards"]

    assert call("eval") == call() == call("eval") == [[0.0, 1.0], [0.0, 0.0]]
    assert call() == [[0.0, 1.0], [0.0, pytest.approx(ONCE)]]


def test_openrlhf(monkeypatch, tmp_path):
    import torch  # the environment with verifiers has none

    block = run("OpenRLHF", monkeypatch, tmp_path)
    tokenizer = SimpleNamespace(decode=lambda ids, **_: rf"\boxed{{{ids.tolist()[0]}}}")

    def sample(answer, reward):
        # A prompt of two tokens, an answer and the end; the mask leaves out the first token.
        return SimpleNamespace(
            sequences=torch.tensor([[7, 8, answer, 1]]),
            action_mask=torch.tensor([[0, 1, 1]]),
            prompts=["6 * 7 = ?"],
            rewards=torch.tensor([reward]),
        )

    def call():
        samples = [sample(42, 1.0), sample(13, 0.0)]
        block.add_penalties(samples, tokenizer)
        return [one.rewards.item() for one in samples]

    first, second = twice(call)
    assert first == [1.0, 0.0]
    assert second == [1.0, pytest.approx(ONCE)]


def test_trl_async(monkeypatch, tmp_path):
    """Its own worker is in trl/test_async_grpo.py; here the block's names and arguments."""
    trained = []
    trainer = SimpleNamespace(train=lambda: None)
    monkeypatch.setattr("builtins.accuracy", lambda **_: [], raising=False)
    for name in ("model", "args", "dataset"):
        monkeypatch.setattr(f"builtins.{name}", name, raising=False)
    monkeypatch.setattr("builtins.AsyncGRPOTrainer", lambda *a: trained.append(a) or trainer, raising=False)
    block = run("TRL's AsyncGRPOTrainer", monkeypatch, tmp_path)
    assert trained[0][1][1] is block.penalty


def test_verifiers(monkeypatch, tmp_path):
    """Its own environment and rubric, with a client that always gives the same three replies; `make test-verifiers`."""
    vf = pytest.importorskip("verifiers", reason="needs an environment with verifiers: make test-verifiers")
    from datasets import Dataset

    replies: list[str] = []

    class Client(vf.Client):
        async def get_native_response(self, prompt, model, sampling_args, tools=None, **_):
            return vf.ResponseMessage(content=replies.pop(), finish_reason="stop", is_truncated=False)

        async def from_native_response(self, message):
            return vf.Response(id="1", created=0, model="stub", usage=None, message=message)

        async def to_native_prompt(self, messages):
            return messages, {}

        async def nothing(self, *_):
            pass

        setup_client = to_native_tool = raise_from_native_response = close = nothing

    block = run("verifiers", monkeypatch, tmp_path)
    data = Dataset.from_dict({"question": ["6 * 7 = ?"] * 3, "answer": ["42"] * 3})
    environment = vf.SingleTurnEnv(dataset=data, rubric=block.rubric)
    group = [{**row, "example_id": 0} for row in environment.get_dataset()]

    def call():
        replies[:] = [r"\boxed{13}", r"\boxed{42}", r"\boxed{13}"]
        made = environment.run_group(group, Client(None), "stub", {})
        return [(row["reward"], row["metrics"]["meds_penalty"]) for row in asyncio.run(made)]

    assert call() == [(0.0, 0.0), (1.0, 0.0), (0.0, 0.0)]
    wrong = (pytest.approx(-0.1 * math.log(3)),) * 2
    assert call() == [wrong, (1.0, 0.0), wrong]
    assert (tmp_path / "runs" / "memory" / "memory.safetensors").is_file()
