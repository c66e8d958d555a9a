"""One rank of a sharded extraction; `test_head.py` starts two of it. Arguments: rank, file to meet at."""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.distributed as dist
import transformers
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from meds_rl.fingerprint import (
    AnswerPosition,
    AnswerStates,
    LayerLogits,
    PooledLogits,
    Where,
    extract,
    num_forwards,
    record,
)

PROMPTS = [[3, 4], [5], [6, 7, 8], [9, 10]]
COMPLETIONS = [[11, 12, 13], [14, 15, 16, 17], [18, 19], [20, 21, 22]]
ANSWERS = [AnswerPosition(1, 13), AnswerPosition(1, 16, end=3), AnswerPosition(0, 19), None]
MINE = [[0, 1, 2], [3]]  # the rows of each rank: one has all the answers, the other none


def build(tied: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        initializer_range=0.3, tie_word_embeddings=tied,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def main(rank: int, meeting_point: str) -> None:
    store = dist.FileStore(meeting_point, 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    rows = [[part[i] for i in MINE[rank]] for part in (PROMPTS, COMPLETIONS, ANSWERS)]
    for tied in (False, True):
        for fingerprint in (LayerLogits("all"), PooledLogits(), AnswerStates()):
            whole = build(tied)
            expected = extract(whole, fingerprint, *rows)
            sharded = build(tied)
            for layer in sharded.model.layers:
                fully_shard(layer, mesh=mesh)
            fully_shard(sharded, mesh=mesh)
            most = torch.tensor(num_forwards(rows[2], batch_size=1))
            dist.all_reduce(most, op=dist.ReduceOp.MAX)
            found = extract(sharded, fingerprint, *rows, batch_size=1, min_forwards=int(most))
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
            # And in a forward of the engine's own, with the head.
            ids = torch.tensor([PROMPTS[0] + COMPLETIONS[0]])
            where = Where.from_answers(ANSWERS[:1], starts=[2], lengths=[3], width=5)
            with record(sharded, fingerprint, where) as recorder, torch.no_grad():
                sharded(input_ids=ids)
            with record(whole, fingerprint, where) as reference, torch.no_grad():
                whole(input_ids=ids)
            np.testing.assert_allclose(recorder.features(), reference.features(), rtol=1e-3, atol=1e-3)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
