"""A finished evaluation in the file formats of lm-evaluation-harness 0.4 and lighteval 0.13."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meds_rl.files import write_atomically
from meds_rl.rollouts.samples import read_samples

FILTER = "none"


@dataclass(frozen=True)
class Doc:
    """One problem: the columns of the samples table that its n samples have in common, and the rows of the samples."""

    columns: Mapping[str, Any]
    samples: list[Mapping[str, Any]]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages."""
        prompt = self.columns["prompt"]
        if prompt.startswith("["):
            try:
                return [dict(message) for message in json.loads(prompt)]
            except (ValueError, TypeError):
                pass  # a text that begins with a bracket
        return [{"role": "user", "content": prompt}]

    @property
    def pass_at_1(self) -> float:
        """The fraction of right samples."""
        return sum(bool(row["is_correct"]) for row in self.samples) / len(self.samples)


@dataclass(frozen=True)
class Finished:
    """An evaluation's results.json, and problems and metrics of each group by a name that other harnesses can use.

    `date_id` is the time as in both harnesses' file names, without colons and underscores.
    """

    results: Mapping[str, Any]
    settings: Mapping[str, Any]
    date_id: str
    tasks: dict[str, list[Doc]]
    figures: dict[str, Mapping[str, Any]]

    def error(self, name: str) -> float | None:
        """The standard error of a group's pass@1."""
        return standard_error([doc.pass_at_1 for doc in self.tasks[name]])


def read_finished(folder: Path) -> Finished:
    """Read an evaluation's folder; FileNotFoundError if it is not finished."""
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
    date_id = str(results["timestamp"]).partition("+")[0].replace(":", "-")
    docs_of = {name: list(docs.values()) for name, docs in tasks.items()}
    return Finished(results, results["settings"], date_id, docs_of, figures)


def _names(groups: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The benchmark's name, or benchmark_group if it has several groups: letters, digits and underscores only.

    Names that are then equal are numbered: name, name_2, ...
    """
    alone = {benchmark for benchmark, _ in groups if [b for b, _ in groups].count(benchmark) == 1}
    names: dict[tuple[str, str], str] = {}
    for pair in groups:
        joined = pair[0] if pair[0] in alone else "_".join(pair)
        name = first = "".join(letter if letter.isalnum() else "_" for letter in joined)
        taken = {other.casefold() for other in names.values()}  # some file systems ignore case
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{first}_{number}"
        names[pair] = name
    return names


def standard_error(values: list[float]) -> float | None:
    """Of a mean over problems; None for a single one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


# ---- lm-evaluation-harness: results_<time>.json and samples_<task>_<time>.jsonl.


def write_lm_eval(folder: Path) -> list[Path]:
    """Write an evaluation in lm-evaluation-harness's layout, to ``folder/lm-eval/<model>/``; the files, results first.

    One line of samples is one problem with all its completions in `resps`. Metrics are this project's (`pass@k`,
    `maj@k`), with keys of the form `name,none`. FileNotFoundError if the folder has no finished evaluation.
    """
    finished = read_finished(folder)
    target = folder / "lm-eval" / _sanitized(finished)
    generation = {"do_sample": True, **{name: finished.settings[name] for name in ("temperature", "top_p")}}
    generation |= {"max_gen_toks": finished.settings["max_new_tokens"], "until": []}
    samples = {
        name: [_sample(number, doc, generation) for number, doc in enumerate(docs)]
        for name, docs in finished.tasks.items()
    }
    paths = [target / f"results_{finished.date_id}.json"]
    write_atomically(paths[0], _dump(_lm_eval_results(finished, generation, samples), indent=2).encode())
    for name, rows in samples.items():
        paths.append(target / f"samples_{name}_{finished.date_id}.jsonl")
        write_atomically(paths[-1], "".join(_dump(row) + "\n" for row in rows).encode())
    return paths


def _sanitized(finished: Finished) -> str:
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", str(finished.results["model"]))


def _dump(value: Any, indent: int | None = None) -> str:
    # Unlike there, lone surrogates and control characters are escaped: any completion gives valid UTF-8.
    return json.dumps(value, ensure_ascii=True, indent=indent)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _sample(number: int, doc: Doc, generation: Mapping[str, Any]) -> dict[str, Any]:
    texts = [row["completion"] for row in doc.samples]
    content = {name: doc.columns[name] for name in ("problem_id", "group", "prompt", "gold")}
    prompt, target = doc.columns["prompt"], str(doc.columns["gold"])
    return {
        "doc_id": number,
        "doc": content,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": dict(generation)}},
        "resps": [texts],
        "filtered_resps": [texts],
        "filter": FILTER,
        "metrics": ["pass@1"],
        "doc_hash": _hash(_dump(content, indent=2)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(target),
        "pass@1": doc.pass_at_1,
    }


def _lm_eval_results(
    finished: Finished, generation: Mapping[str, Any], samples: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    settings, names = finished.settings, list(finished.tasks)
    source = "vllm" if settings["engine"] == "vllm" else "hf"
    sizes = {name: len(docs) for name, docs in finished.tasks.items()}
    task = {"output_type": "generate_until", "repeats": settings["samples"], "num_fewshot": 0}
    task |= {"generation_kwargs": dict(generation), "metadata": {"version": 1}}
    config = {"model": source, "model_args": {"pretrained": str(finished.results["model"])}}
    config |= {"batch_size": str(settings["batch_size"]), "batch_sizes": [], "limit": settings["problems"]}
    config |= {"gen_kwargs": dict(generation), "random_seed": settings["seed"]}
    return {
        "results": {name: _lm_eval_metrics(finished, name) for name in names},
        "group_subtasks": {name: [] for name in names},
        "configs": {name: {"task": name, **task} for name in names},
        "versions": dict.fromkeys(names, 1),
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {name: {"pass@1": True, "pass@k": True, "maj@k": True} for name in names},
        "n-samples": {name: {"original": size, "effective": size} for name, size in sizes.items()},
        "config": config,
        "git_hash": None,
        "date": finished.results["timestamp"],
        "task_hashes": {
            name: _hash("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))
            for name, rows in samples.items()
        },
        "model_source": source,
        "model_name": str(finished.results["model"]),
        "model_name_sanitized": _sanitized(finished),
        **dict.fromkeys(("system_instruction", "system_instruction_sha", "chat_template", "chat_template_sha")),
        "fewshot_as_multiturn": False,
        "total_evaluation_time_seconds": str(finished.results["seconds"]),
    }


def _lm_eval_metrics(finished: Finished, name: str) -> dict[str, Any]:
    metrics: dict[str, Any] = {"alias": name, "name": name, "sample_len": len(finished.tasks[name])}
    for kind in ("pass@k", "maj@k"):
        for at in finished.figures[name].get(kind, []):
            metrics[f"{kind[:-1]}{at['k']},{FILTER}"] = at["value"]
    error = finished.error(name)
    return metrics | {f"pass@1_stderr,{FILTER}": "N/A" if error is None else error}


# ---- lighteval: details parquet and results JSON.


def write_lighteval(folder: Path) -> list[Path]:
    """Write an evaluation in lighteval's layout, under ``folder/lighteval/``.

    ``details/<model>/<time>/details_<task>|0_<time>.parquet`` has one row for each problem: `doc`, `metric` and
    `model_response`, the structs of lighteval's own classes, with the problem's completions in `model_response.text`.
    The lists of tokens are empty, as evaluations do not store token ids. Returns and errors as `write_lm_eval`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    finished = read_finished(folder)
    root, date = folder / "lighteval", finished.date_id
    model = str(finished.results["model"]).strip("/").replace(":", "-")
    model = "/".join(part for part in model.split("/") if part not in (".", "..", ""))
    paths = [root / "results" / model / f"results_{date}.json"]
    write_atomically(paths[0], json.dumps(_lighteval_results(finished), indent=2).encode())
    for name, docs in finished.tasks.items():
        rows = [_detail(name, doc, finished) for doc in docs]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), sink)
        paths.append(root / "details" / model / date / f"details_{name}|0_{date}.parquet")
        write_atomically(paths[-1], sink.getvalue())
    return paths


_DOC = """query:text choices:texts gold_index:number instruction:text images:texts specific:specific
unconditioned_query:text original_query:text id:text task_name:text fewshot_samples:texts sampling_methods:texts
fewshot_sorting_class:text generation_size:number stop_sequences:texts use_logits:flag num_samples:number
generation_grammar:text"""
_MODEL_RESPONSE = """input:messages input_tokens:numbers text:texts output_tokens:lists text_post_processed:texts
reasonings:texts logprobs:floats argmax_logits_eq_gold:flags logits:float_lists unconditioned_logprobs:floats
truncated_tokens_count:number padded_tokens_count:number"""


def _schema() -> Any:
    """All types, as readers cannot infer them from lists that are empty in every row."""
    import pyarrow as pa

    text, number, flag, floats = pa.string(), pa.int64(), pa.bool_(), pa.list_(pa.float64())
    types = {"text": text, "number": number, "flag": flag, "floats": floats, "texts": pa.list_(text)}
    types |= {"numbers": pa.list_(number), "lists": pa.list_(pa.list_(number)), "flags": pa.list_(flag)}
    types |= {"float_lists": pa.list_(floats), "specific": pa.struct([("problem_id", text), ("group", text)])}
    types |= {"messages": pa.list_(pa.struct([("role", text), ("content", text)]))}

    def struct(fields: str) -> Any:
        pairs = [field.split(":") for field in fields.split()]
        return pa.struct([(name, types[kind]) for name, kind in pairs])

    metric = pa.struct([("pass@k:k=1", pa.float64())])
    return pa.schema({"doc": struct(_DOC), "metric": metric, "model_response": struct(_MODEL_RESPONSE)})


def _detail(name: str, doc: Doc, finished: Finished) -> dict[str, Any]:
    messages, gold, problem_id = doc.messages, doc.columns["gold"], doc.columns["problem_id"]
    system = [message["content"] for message in messages if message["role"] == "system"]
    empty = ("input_tokens", "output_tokens", "reasonings", "logprobs", "argmax_logits_eq_gold")
    return {
        "doc": {
            "query": messages[-1]["content"],
            "choices": [] if gold is None else [gold],
            "gold_index": 0,
            "instruction": system[0] if system else None,
            "specific": {"problem_id": problem_id, "group": doc.columns["group"]},
            "id": problem_id,
            "task_name": f"{name}|0",
            "fewshot_samples": [],
            "sampling_methods": ["GENERATIVE"],
            "generation_size": finished.settings["max_new_tokens"],
            "use_logits": False,
            "num_samples": len(doc.samples),
        },
        "metric": {"pass@k:k=1": doc.pass_at_1},
        "model_response": {
            "input": messages,
            "text": [row["completion"] for row in doc.samples],
            **{field: [] for field in empty},
            "truncated_tokens_count": 0,
            "padded_tokens_count": 0,
        },
    }


def _lighteval_results(finished: Finished) -> dict[str, Any]:
    settings, model = finished.settings, finished.results["model"]
    generation = {name: settings[name] for name in ("temperature", "top_p", "max_new_tokens", "seed")}
    return {
        "config_general": {
            "lighteval_sha": "?",
            "num_fewshot_seeds": 1,
            "max_samples": settings["problems"],
            "model_name": model,
            "model_config": {"model_name": model, "generation_parameters": generation},
            "total_evaluation_time_secondes": str(finished.results["seconds"]),
        },
        "results": {f"{name}|0": _lighteval_metrics(finished, name) for name in finished.tasks},
        "versions": {f"{name}|0": 1 for name in finished.tasks},
        "config_tasks": {f"{name}|0": {"name": name} for name in finished.tasks},
        "summary_tasks": {},
        "summary_general": {},
    }


def _lighteval_metrics(finished: Finished, name: str) -> dict[str, float]:
    """maj@k has lighteval's name, maj@n."""
    figures = finished.figures[name]
    found = {f"pass@k:k={at['k']}": float(at["value"]) for at in figures["pass@k"]}
    found |= {f"maj@n:n={at['k']}": float(at["value"]) for at in figures.get("maj@k", [])}
    error = finished.error(name)
    return found if error is None else found | {"pass@k:k=1_stderr": error}
