"""The files of lm-evaluation-harness 0.4: results_<time>.json and samples_<task>_<time>.jsonl."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meds_rl.evaluation.export.finished import Doc, Finished, read_finished, standard_error
from meds_rl.runs.folder import write_atomically

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
