"""The files of lm-evaluation-harness 0.4: results_<time>.json and samples_<task>_<time>.jsonl."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meds_rl.files import write_atomically
from meds_rl.rollouts.samples import read_samples

# ---- A finished evaluation, read back problem by problem.


@dataclass(frozen=True)
class Doc:
    """One problem with its n samples.

    Attributes:
        columns: of the samples table that are the same for all samples: prompt, gold, problem_id, ...
        samples: n rows of the table.
    """

    columns: Mapping[str, Any]
    samples: list[Mapping[str, Any]]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages; a plain text is one of the user's."""
        prompt = self.columns["prompt"]
        if prompt.startswith("["):
            try:
                return [dict(message) for message in json.loads(prompt)]
            except (ValueError, TypeError):
                pass  # a text that begins with a bracket
        return [{"role": "user", "content": prompt}]

    @property
    def share_right(self) -> float:
        """Right samples of all: the problem's pass@1."""
        return sum(bool(row["is_correct"]) for row in self.samples) / len(self.samples)


@dataclass(frozen=True)
class Finished:
    """What `meds eval` left in a folder.

    Attributes:
        results: of results.json.
        tasks: the problems of each group, by a name that other harnesses can use.
        figures: the figures of each group, by the same name.
    """

    results: Mapping[str, Any]
    tasks: dict[str, list[Doc]]
    figures: dict[str, Mapping[str, Any]]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The resolved settings."""
        settings: Mapping[str, Any] = self.results["settings"]
        return settings

    @property
    def date_id(self) -> str:
        """The time of the results, as both harnesses write it into file names: no colons, no underscores."""
        return str(self.results["timestamp"]).partition("+")[0].replace(":", "-")


def read_finished(folder: Path) -> Finished:
    """Read an evaluation's folder.

    Raises:
        FileNotFoundError: it is not finished: a file is missing.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no finished evaluation: it has no {path.name}")
    results = json.loads(path.read_text(encoding="utf-8"))
    names = _names([(group["benchmark"], group["group"]) for group in results["groups"]])
    tasks: dict[str, dict[str, Doc]] = {name: {} for name in names.values()}
    for row in read_samples(folder / "samples.parquet").to_pylist():
        docs = tasks[names[row["benchmark"], row["group"]]]
        docs.setdefault(row["problem_id"], Doc(row, [])).samples.append(row)
    figures = {names[group["benchmark"], group["group"]]: group for group in results["groups"]}
    return Finished(results, {name: list(docs.values()) for name, docs in tasks.items()}, figures)


def _names(groups: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A benchmark of one group has its own name, else benchmark_group; only letters, digits and underscores.

    Names that are equal then are numbered: name, name_2, ...
    """
    alone = {benchmark for benchmark, _ in groups if [b for b, _ in groups].count(benchmark) == 1}
    names: dict[tuple[str, str], str] = {}
    for pair in groups:
        joined = pair[0] if pair[0] in alone else "_".join(pair)
        name = first = "".join(letter if letter.isalnum() else "_" for letter in joined)
        number = 1
        while name.casefold() in {
            taken.casefold() for taken in names.values()
        }:  # file systems may not tell case
            number += 1
            name = f"{first}_{number}"
        names[pair] = name
    return names


def standard_error(values: list[float]) -> float | None:
    """Of a mean over problems; None for a single one."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


FILTER = "none"


def write_lm_eval(folder: Path) -> list[Path]:
    """Write an evaluation in lm-evaluation-harness's layout, to ``folder/lm-eval/<model>/``.

    One line of samples is one problem with all its completions in `resps`. Metrics are those of this project
    (`pass@k`, `maj@k`), written `name,none` as there.

    Returns:
        The files, the results first.

    Raises:
        FileNotFoundError: the folder holds no finished evaluation.
    """
    finished = read_finished(folder)
    model = str(finished.results["model"])
    target = folder / "lm-eval" / re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model)
    settings = _generation(finished.settings)
    files = {
        f"samples_{name}_{finished.date_id}.jsonl": [
            _sample(number, doc, settings) for number, doc in enumerate(docs)
        ]
        for name, docs in finished.tasks.items()
    }
    paths = [target / f"results_{finished.date_id}.json"]
    hashes = {
        name: _hash("".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in samples))
        for name, samples in zip(finished.tasks, files.values(), strict=True)
    }
    write_atomically(paths[0], _dump(_results(finished, model, settings, hashes), indent=2).encode())
    for name, samples in files.items():
        paths.append(target / name)
        write_atomically(paths[-1], "".join(_dump(sample) + "\n" for sample in samples).encode())
    return paths


def _dump(value: Any, indent: int | None = None) -> str:
    # As there, but lone surrogates and control characters are escaped: any completion gives valid UTF-8.
    return json.dumps(value, ensure_ascii=True, indent=indent)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _generation(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "do_sample": True,
        "temperature": settings["temperature"],
        "top_p": settings["top_p"],
        "max_gen_toks": settings["max_new_tokens"],
        "until": [],
    }


def _sample(number: int, doc: Doc, settings: Mapping[str, Any]) -> dict[str, Any]:
    texts = [row["completion"] for row in doc.samples]
    content = {name: doc.columns[name] for name in ("problem_id", "group", "prompt", "gold")}
    target = str(doc.columns["gold"])
    return {
        "doc_id": number,
        "doc": content,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": doc.columns["prompt"], "arg_1": dict(settings)}},
        "resps": [texts],
        "filtered_resps": [texts],
        "filter": FILTER,
        "metrics": ["pass@1"],
        "doc_hash": _hash(_dump(content, indent=2)),
        "prompt_hash": _hash(doc.columns["prompt"]),
        "target_hash": _hash(target),
        "pass@1": doc.share_right,
    }


def _results(
    finished: Finished, model: str, generation: Mapping[str, Any], hashes: Mapping[str, str]
) -> dict[str, Any]:
    names = list(finished.tasks)
    settings = finished.settings
    return {
        "results": {name: _metrics(finished, name) for name in names},
        "group_subtasks": {name: [] for name in names},
        "configs": {
            name: {
                "task": name,
                "output_type": "generate_until",
                "repeats": settings["samples"],
                "num_fewshot": 0,
                "generation_kwargs": dict(generation),
                "metadata": {"version": 1},
            }
            for name in names
        },
        "versions": dict.fromkeys(names, 1),
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {name: {"pass@1": True, "pass@k": True, "maj@k": True} for name in names},
        "n-samples": {
            name: {"original": len(docs), "effective": len(docs)} for name, docs in finished.tasks.items()
        },
        "config": {
            "model": "vllm" if settings["engine"] == "vllm" else "hf",
            "model_args": {"pretrained": model},
            "batch_size": str(settings["batch_size"]),
            "batch_sizes": [],
            "limit": settings["problems"],
            "gen_kwargs": dict(generation),
            "random_seed": settings["seed"],
        },
        "git_hash": None,
        "date": finished.results["timestamp"],
        "task_hashes": dict(hashes),
        "model_source": "vllm" if settings["engine"] == "vllm" else "hf",
        "model_name": model,
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": str(finished.results["seconds"]),
    }


def _metrics(finished: Finished, name: str) -> dict[str, Any]:
    docs, figures = finished.tasks[name], finished.figures[name]
    metrics: dict[str, Any] = {"alias": name, "name": name, "sample_len": len(docs)}
    for kind in ("pass@k", "maj@k"):
        for at in figures.get(kind, []):
            metrics[f"{kind[:-1]}{at['k']},{FILTER}"] = at["value"]
    error = standard_error([doc.share_right for doc in docs])
    metrics[f"pass@1_stderr,{FILTER}"] = "N/A" if error is None else error
    return metrics


# ---- The files of lighteval 0.13: details parquet and results JSON.


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
    write_atomically(paths[0], json.dumps(_results_lighteval(finished), indent=2).encode())
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


def _results_lighteval(finished: Finished) -> dict[str, Any]:
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
        "results": {f"{name}|0": _metrics_lighteval(finished, name) for name in finished.tasks},
        "versions": {f"{name}|0": 1 for name in finished.tasks},
        "config_tasks": {f"{name}|0": {"name": name} for name in finished.tasks},
        "summary_tasks": {},
        "summary_general": {},
    }


def _metrics_lighteval(finished: Finished, name: str) -> dict[str, float]:
    """`pass@k:k=8` and the like; maj@k under the name that lighteval gives it."""
    figures = finished.figures[name]
    found = {f"pass@k:k={at['k']}": float(at["value"]) for at in figures["pass@k"]}
    found |= {f"maj@n:n={at['k']}": float(at["value"]) for at in figures.get("maj@k", [])}
    error = standard_error([doc.share_right for doc in finished.tasks[name]])
    return found if error is None else found | {"pass@k:k=1_stderr": error}
