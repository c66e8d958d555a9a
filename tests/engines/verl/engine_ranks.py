"""One rank of verl's real actor worker on CPU; `test_capture_engines.py` starts as many as a case needs.

Arguments: rank, number of ranks, a file to meet at, a JSON file with the cases, a folder for results.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import cpu_platform  # noqa: F401  (first: verl asks for its platform while it is imported)
import flash_double
import numpy as np
import torch
import torch.distributed as dist
from capture_rows import ROWS, tensors
from tensordict import TensorDict
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.workers.config import (
    FSDPEngineConfig,
    FSDPOptimizerConfig,
    HFModelConfig,
    TrainingWorkerConfig,
)
from verl.workers.engine_workers import TrainingWorker

from meds_rl.engines.verl.fingerprints import FEATURES, FingerprintSource, features_from
from meds_rl.engines.verl.worker import CapturingWorker
from meds_rl.fingerprint import answer_finder, make_fingerprint


def build(case: dict[str, Any]) -> CapturingWorker:
    """verl's worker with our capture, for a case's model, layout and precision."""
    packed = case["remove_padding"]
    model = HFModelConfig(
        path=case["model"],
        use_remove_padding=packed,
        override_config={"attn_implementation": flash_double.NAME if packed else "sdpa"},
        lora_rank=2 if case["adapter"] else 0,
        lora_adapter_path=case["adapter"],
    )
    precision = case.get("precision", "fp32")
    engine = FSDPEngineConfig(
        strategy="fsdp2",
        mixed_precision={"param_dtype": precision, "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        ulysses_sequence_parallel_size=case.get("ulysses", 1),
        pad_to_length=case.get("pad_to_length", False),
        pad_to_length_bucket=32,
        infer_max_token_len_per_gpu=40,
        infer_micro_batch_size_per_gpu=2,
        max_token_len_per_gpu=40,
        micro_batch_size_per_gpu=2,
        use_torch_compile=False,
    )
    config = TrainingWorkerConfig(
        model_type="language_model",
        model_config=model,
        engine_config=engine,
        optimizer_config=FSDPOptimizerConfig(lr=1e-3, total_training_steps=10),
        checkpoint_config=CheckpointConfig(),
    )
    settings = {
        "fingerprint": "layer_logits",
        "fingerprint_layers": None,
        "fingerprint_width": None,
        "answer_marker": "boxed",
    }
    worker = CapturingWorker(config=config, settings=settings)
    worker.reset()
    return worker


def batch(worker: CapturingWorker, *, dynamic: bool, **extra: Any) -> TensorDict:
    """This rank's share of the rows."""
    size, rank = worker.engine.get_data_parallel_size(), worker.engine.get_data_parallel_rank()
    share = len(ROWS) // size
    mine = ROWS[rank * share : (rank + 1) * share]
    data = TensorDict(tensors(mine), batch_size=len(mine))
    tu.assign_non_tensor(
        data, temperature=1.0, compute_loss=False, calculate_entropy=True, use_dynamic_bsz=dynamic, **extra
    )
    return data


def run(worker: CapturingWorker, case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Features and log-probabilities with each fingerprint; log-probabilities without any."""
    results = {}
    for dynamic in case["dynamic"]:
        plain = TrainingWorker.infer_batch(worker, batch(worker, dynamic=dynamic))
        if case["adapter"]:  # LoRA's reference is the actor without its adapters
            reference = worker.infer_batch(batch(worker, dynamic=dynamic, no_lora_adapter=True))
            assert reference is None or FEATURES not in reference
        for name, layers in case["fingerprints"]:
            fingerprint = make_fingerprint(name, layers)
            worker._source = FingerprintSource(
                worker.engine, fingerprint, answer_finder("boxed"), worker.model_config.tokenizer
            )
            data = batch(worker, dynamic=dynamic)
            found = worker.infer_batch(data)
            assert "forward_step" not in worker.engine.__dict__
            assert "meds_places" not in data
            assert not any(module._forward_pre_hooks for module in own_modules(worker))
            if found is None:  # not the rank that returns the output of its Ulysses group
                assert plain is None
                continue
            for key in ("log_probs", "entropy"):
                assert torch.equal(found[key].values(), plain[key].values()), key
            results[f"{name}:{layers}:{dynamic}"] = features_from(found)
    return results


def refusal(worker: CapturingWorker) -> dict[str, np.ndarray]:
    """The message of a forward that fails; it leaves nothing behind."""
    data = batch(worker, dynamic=True)
    try:
        worker.infer_batch(data)
    except ValueError as error:
        message = str(error)
    assert "forward_step" not in worker.engine.__dict__
    assert "meds_places" not in data
    assert not any(module._forward_pre_hooks for module in own_modules(worker))
    return {"error": np.array([message])}


def own_modules(worker: CapturingWorker) -> list[torch.nn.Module]:
    """The model without its outermost module and layers, on which FSDP has hooks of its own."""
    return [m for m in worker.engine.module.modules() if type(m).__name__ == "Qwen3Model"]


def main(rank: int, size: int, meeting_point: str, cases: str, results: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="localhost", MASTER_PORT="0")
    dist.init_process_group("gloo", store=dist.FileStore(meeting_point, size), rank=rank, world_size=size)
    flash_double.install()
    for name, case in json.loads(Path(cases).read_text()).items():
        worker = build(case)
        found = refusal(worker) if case.get("refused") else run(worker, case)
        if found:
            np.savez(Path(results) / f"{name}.{worker.engine.get_data_parallel_rank()}.npz", **found)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
