"""Run by test_async_grpo.py: RepeatedErrorPenalty in the worker of TRL's AsyncGRPOTrainer, on CPU.

The trainer and its worker are TRL's own. Doubles: the vLLM server, which answers with the completions of
`same_completions`; the transfer of weights to it; and the CUDA kernel of tree attention, as a loop in torch.

    python async_workers.py train OUTPUT     trains for 8 steps, and writes the log's rows to OUTPUT/log.json
    python async_workers.py kill OUTPUT      the worker alone: killed, and started again in the same folder
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from accelerate import PartialState
from datasets import Dataset

from meds_rl import RepeatedErrorPenalty
from meds_rl.tasks.pocket import load_pocket_model
from meds_rl.tasks.pocket.reading import grade

sys.path.append(str(Path(__file__).parents[1] / "same_completions"))

import same_completions as same

GROUPS = same.STEPS * same.PROMPTS_A_STEP
ROWS = same.problems()


def accuracy(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """The pocket task's grades of chat messages."""
    texts = [messages[-1]["content"] for messages in completions]
    return [float(grade(text, {"answer": gold})) for text, gold in zip(texts, answer, strict=True)]


def penalty(folder: Path) -> RepeatedErrorPenalty:
    return RepeatedErrorPenalty(accuracy, all_wrong="shape", folder=folder)


# ---- Doubles ----


class Server(BaseHTTPRequestHandler):
    """Answers the n-th request for a prompt as `same_completions.of_step` does at the prompt's visit n // 4."""

    asked: ClassVar[Counter[tuple[int, ...]]] = Counter()
    lock = threading.Lock()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, request["n"], request["return_token_ids"]) == ("/v1/completions", 1, True)
        key = tuple(request["prompt"])
        with self.lock:
            visit, place = divmod(self.asked[key], same.GROUP)
            self.asked[key] += 1
        number = next(i for i, row in enumerate(ROWS) if tuple(row["prompt_token_ids"]) == key)
        step = (2 * visit + number // same.PROMPTS_A_STEP) % same.STEPS
        ids = ROWS[number]["completions"][same.GROUP * step + place]
        choice = {"token_ids": ids, "logprobs": {"token_logprobs": [-1.0] * len(ids)}}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def server() -> Iterator[str]:
    Server.asked.clear()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()


class NoTransfer:
    """Sends no weights: the server does not read them."""

    def init_weight_transfer(self) -> None: ...

    def pause(self) -> None: ...

    def send_weights(self, iterator: Iterator[Any]) -> None:
        for _ in iterator:
            pass

    def resume(self) -> None: ...

    def destroy(self) -> None: ...


def varlen_attention(q, k, v, starts_q, starts_k, *_: Any, softmax_scale: float, **__: Any) -> torch.Tensor:
    """Causal attention of packed rows (tokens, heads, size); queries are the last tokens of their keys."""
    parts = []
    for row in range(len(starts_q) - 1):
        one_q, one_k, one_v = (
            x[starts[row] : starts[row + 1]].transpose(0, 1)
            for x, starts in ((q, starts_q), (k, starts_k), (v, starts_k))
        )
        num_q, num_k = one_q.shape[1], one_k.shape[1]
        mask = torch.ones(num_q, num_k, dtype=torch.bool).tril(num_k - num_q)
        out = torch.nn.functional.scaled_dot_product_attention(
            one_q, one_k, one_v, attn_mask=mask, scale=softmax_scale, enable_gqa=True
        )
        parts.append(out.transpose(0, 1))
    return torch.cat(parts)


def trl_on_cpu() -> Any:
    """TRL's package of the trainer, with the doubles."""
    from trl.experimental import async_grpo
    from trl.experimental.async_grpo import async_grpo_trainer, async_rollout_worker, packing

    packing._flash_attn = lambda: SimpleNamespace(flash_attn_varlen_func=varlen_attention)
    async_grpo_trainer.get_peak_flops_per_device = lambda *_: 1e12
    async_rollout_worker.is_vllm_available = lambda: True
    return async_grpo


# ---- What is run ----


def data() -> Dataset:
    columns = {name: [row[name] for row in ROWS] for name in ("prompt_id", "answer")}
    chats = [[{"role": "user", "content": row["prompt"]}] for row in ROWS]
    return Dataset.from_dict({"prompt": chats, **columns})


def tokenizer() -> Any:
    found = load_pocket_model()[1]
    found.chat_template = "{{ messages[0]['content'] }}"
    found.response_template = {"defaults": {"role": "assistant"}, "fields": {"content": {"content": "text"}}}
    return found


def train(output: Path) -> None:
    async_grpo = trl_on_cpu()
    load_pocket_model()[0].save_pretrained(output / "model")
    with server() as url:
        args = async_grpo.AsyncGRPOConfig(
            str(output / "trainer"),
            vllm_server_base_url=url,
            num_generations=same.GROUP,
            per_device_train_batch_size=2 * same.GROUP,
            gradient_accumulation_steps=1,
            max_inflight_tasks=4 * same.GROUP,
            max_completion_length=64,
            max_staleness=100,
            token_budget=-1,
            max_steps=GROUPS // 2,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
            model_init_kwargs={"dtype": "float32"},
        )
        trainer = async_grpo.AsyncGRPOTrainer(
            str(output / "model"),
            [accuracy, penalty(output / "run")],
            args,
            data(),
            processing_class=tokenizer(),
            weight_transfer=NoTransfer(),
        )
        trainer.train()
    (output / "log.json").write_text(json.dumps(trainer.state.log_history))


def worker(url: str, folder: Path) -> Any:
    return trl_on_cpu().async_rollout_worker.AsyncRolloutWorker(
        model_name="pocket",
        dataset=data(),
        reward_funcs=[accuracy, penalty(folder)],
        processing_class=tokenizer(),
        eos_token_ids=[tokenizer().eos_token_id],
        num_generations=same.GROUP,
        max_inflight_tasks=4 * same.GROUP,
        max_tokens=64,
        vllm_server_url=url,
    )


def kill(output: Path) -> None:
    """Kill the worker's process after 6 groups reached the trainer; let its successor score 6 more, and stop it."""
    PartialState(cpu=True)
    received = []
    for end in ("kill", "stop"):
        with server() as url:
            running = worker(url, output / "run")
            running.start()
            received += [running.rollout_buffer.get(timeout=60).metrics for _ in range(6 * same.GROUP)]
            if end == "kill":
                os.kill(running._process.pid, signal.SIGKILL)
                running._process.join()
            else:
                threading.Thread(target=drain, args=[running.rollout_buffer], daemon=True).start()
                running.stop()
    (output / "received.json").write_text(json.dumps(received))


def drain(buffer: Any) -> None:
    """Read on, or the worker waits for its queue when it ends."""
    while True:
        buffer.get()


if __name__ == "__main__":
    {"train": train, "kill": kill}[sys.argv[1]](Path(sys.argv[2]))
