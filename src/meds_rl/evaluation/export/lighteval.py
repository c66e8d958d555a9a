"""The files of lighteval 0.13: details parquet and results JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meds_rl.evaluation.export.finished import Doc, Finished, read_finished, standard_error
from meds_rl.runs.folder import write_atomically


def write_lighteval(folder: Path) -> list[Path]:
    """Write an evaluation in lighteval's layout, under ``folder/lighteval/``.

    ``details/<model>/<time>/details_<task>|0_<time>.parquet`` has one row for each problem: `doc`, `metric` and
    `model_response`, the structs of lighteval's own classes, with the problem's completions in `model_response.text`.
    Token ids are not kept, so the lists of tokens are empty.

    Returns:
        The files, the results first.

    Raises:
        FileNotFoundError: the folder holds no finished evaluation.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    finished = read_finished(folder)
    root, date = folder / "lighteval", finished.date_id
    model = str(finished.results["model"]).strip("/").replace(":", "-")
    model = "/".join(part for part in model.split("/") if part not in (".", "..", ""))
    paths = [root / "results" / model / f"results_{date}.json"]
    write_atomically(paths[0], json.dumps(_results(finished), indent=2).encode())
    for name, docs in finished.tasks.items():
        rows = [_detail(name, doc, finished) for doc in docs]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), sink)
        paths.append(root / "details" / model / date / f"details_{name}|0_{date}.parquet")
        write_atomically(paths[-1], sink.getvalue())
    return paths


def _schema() -> Any:
    """Typed, as lists that are empty everywhere would else have no type that a reader knows."""
    import pyarrow as pa

    text, texts, number, flag = pa.string(), pa.list_(pa.string()), pa.int64(), pa.bool_()
    numbers = pa.list_(pa.int64())
    doc = {
        "query": text,
        "choices": texts,
        "gold_index": number,
        "instruction": text,
        "images": texts,
        "specific": pa.struct([("problem_id", text), ("group", text)]),
        "unconditioned_query": text,
        "original_query": text,
        "id": text,
        "task_name": text,
        "fewshot_samples": texts,
        "sampling_methods": texts,
        "fewshot_sorting_class": text,
        "generation_size": number,
        "stop_sequences": texts,
        "use_logits": flag,
        "num_samples": number,
        "generation_grammar": text,
    }
    response = {
        "input": pa.list_(pa.struct([("role", text), ("content", text)])),
        "input_tokens": numbers,
        "text": texts,
        "output_tokens": pa.list_(numbers),
        "text_post_processed": texts,
        "reasonings": texts,
        "logprobs": pa.list_(pa.float64()),
        "argmax_logits_eq_gold": pa.list_(flag),
        "logits": pa.list_(pa.list_(pa.float64())),
        "unconditioned_logprobs": pa.list_(pa.float64()),
        "truncated_tokens_count": number,
        "padded_tokens_count": number,
    }
    return pa.schema(
        {
            "doc": pa.struct(list(doc.items())),
            "metric": pa.struct([("pass@k:k=1", pa.float64())]),
            "model_response": pa.struct(list(response.items())),
        }
    )


def _detail(name: str, doc: Doc, finished: Finished) -> dict[str, Any]:
    messages = doc.messages
    system = [message["content"] for message in messages if message["role"] == "system"]
    gold = doc.columns["gold"]
    return {
        "doc": {
            "query": messages[-1]["content"],
            "choices": [] if gold is None else [gold],
            "gold_index": 0,
            "instruction": system[0] if system else None,
            "specific": {"problem_id": doc.columns["problem_id"], "group": doc.columns["group"]},
            "id": doc.columns["problem_id"],
            "task_name": f"{name}|0",
            "fewshot_samples": [],
            "sampling_methods": ["GENERATIVE"],
            "generation_size": finished.settings["max_new_tokens"],
            "use_logits": False,
            "num_samples": len(doc.samples),
        },
        "metric": {"pass@k:k=1": doc.share_right},
        "model_response": {
            "input": messages,
            "input_tokens": [],
            "text": [row["completion"] for row in doc.samples],
            "output_tokens": [],
            "reasonings": [],
            "logprobs": [],
            "argmax_logits_eq_gold": [],
            "truncated_tokens_count": 0,
            "padded_tokens_count": 0,
        },
    }


def _results(finished: Finished) -> dict[str, Any]:
    settings = finished.settings
    return {
        "config_general": {
            "lighteval_sha": "?",
            "num_fewshot_seeds": 1,
            "max_samples": settings["problems"],
            "model_name": finished.results["model"],
            "model_config": {
                "model_name": finished.results["model"],
                "generation_parameters": {
                    "temperature": settings["temperature"],
                    "top_p": settings["top_p"],
                    "max_new_tokens": settings["max_new_tokens"],
                    "seed": settings["seed"],
                },
            },
            "total_evaluation_time_secondes": str(finished.results["seconds"]),
        },
        "results": {f"{name}|0": _metrics(finished, name) for name in finished.tasks},
        "versions": {f"{name}|0": 1 for name in finished.tasks},
        "config_tasks": {f"{name}|0": {"name": name} for name in finished.tasks},
        "summary_tasks": {},
        "summary_general": {},
    }


def _metrics(finished: Finished, name: str) -> dict[str, float]:
    """`pass@k:k=8` and the like; maj@k under the name that lighteval gives it."""
    figures = finished.figures[name]
    found = {f"pass@k:k={at['k']}": float(at["value"]) for at in figures["pass@k"]}
    found |= {f"maj@n:n={at['k']}": float(at["value"]) for at in figures.get("maj@k", [])}
    error = standard_error([doc.share_right for doc in finished.tasks[name]])
    return found if error is None else found | {"pass@k:k=1_stderr": error}
