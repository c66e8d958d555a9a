"""A stand-in for text generation, which verl does not have on a CPU: it answers each prompt from a list of completions.

It is named in VERL_USE_EXTERNAL_MODULES next to `cpu_platform`. MEDS_TEST_COMPLETIONS is the path of the file with
completions. Everything around it is verl's: servers, router, agent loop. It writes the policy's weights that it gets to
files if MEDS_TEST_WEIGHTS names a folder.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import cpu_platform  # noqa: F401
import ray
import torch
from verl.plugin.platform import get_platform
from verl.workers.rollout import base
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry, TokenOutput

SERVER = "cpu_server"


@ray.remote(num_cpus=0)
class Server:
    """Answers the k-th request of a prompt in a step with entry step * stride + k of the prompt's list."""

    def __init__(self, path: str, stride: int) -> None:
        self._completions = {tuple(row["prompt"]): row["completions"] for row in json.loads(Path(path).read_text())}
        self._stride = stride
        self._step = 0
        self._asked: Counter[tuple[int, ...]] = Counter()

    def at_step(self, step: int) -> None:
        if step != self._step:
            self._asked.clear()
        self._step = step

    async def generate(self, prompt_ids: list[int], **_: Any) -> TokenOutput:
        prompt = tuple(prompt_ids)
        completions = self._completions[prompt]
        place = self._step * self._stride + self._asked[prompt]
        self._asked[prompt] += 1
        ids = completions[place % len(completions)]
        return TokenOutput(
            token_ids=ids,
            log_probs=[-1.0] * len(ids),
            stop_reason="completed",
            extra_fields={"global_steps": self._step},
        )

    async def wake_up(self) -> None: ...

    async def sleep(self) -> None: ...

    async def start_profile(self, **_: Any) -> None: ...

    async def stop_profile(self) -> None: ...


class Replica(RolloutReplica):
    """One address per rank, all of the same server, so that no two ranks give the same completion."""

    async def launch_servers(self) -> None:
        path = os.environ["MEDS_TEST_COMPLETIONS"]
        stride = int(os.environ.get("MEDS_TEST_STRIDE", "1"))
        server = Server.options(name=SERVER, get_if_exists=True).remote(path, stride)
        self.servers = [server]
        self._server_address, self._server_handle = f"{SERVER}_{self.replica_rank}", server


class Rollout(BaseRollout):
    """In the worker's process: takes the policy's weights as a real engine would, all ranks together."""

    async def resume(self, tags: list[str]) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(self, weights: Any, *_: Any, global_steps: int | None = None, **__: Any) -> None:
        state = {name: tensor.detach().clone() for name, tensor in weights}
        rank = torch.distributed.get_rank()
        if rank == 0 and "MEDS_TEST_WEIGHTS" in os.environ:
            torch.save(state, Path(os.environ["MEDS_TEST_WEIGHTS"]) / f"{global_steps}.pt")
        await ray.get_actor(SERVER).at_step.remote(global_steps or 0)


def _one_backend(*args: Any, backend: str | None = None, **options: Any) -> Any:
    """verl names a backend for the CPU and one for the accelerator, here twice the same."""
    return _init_process_group(*args, backend="gloo" if backend == "cpu:gloo,cpu:gloo" else backend, **options)


_init_process_group = torch.distributed.init_process_group
torch.distributed.init_process_group = _one_backend
# What the actor's update asks for besides, to say how busy the accelerator was.
get_platform().device_module.get_device_name = lambda: "cpu"
base._ROLLOUT_REGISTRY[("cpu_double", "async")] = "cpu_generation.Rollout"
RolloutReplicaRegistry.register("cpu_double", lambda: Replica)
