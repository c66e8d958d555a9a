"""A report's data by hand, hostile where it can be: what the page is tested on."""

from typing import Any

import numpy as np

SCRIPT = "<script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"
HOSTILE = [
    f"a script {SCRIPT} in a completion",
    "closes everything </script></pre></dialog><h1>Hacked</h1> --> ]]> ${window.hacked = true} {{7*7}}",
    "bell \x07 escape \x1b[31mred\x1b[0m null \x00 backspace \x08 return \r next line \x85",
    "right to left \u202etxet sdrawkcab\u202c and שלום and مرحبا, zero\u200bwidth",
    "long " + "x" * 1_000_000 + " END",
    "emoji 🙂 combining e\u0301\u0301\u0301\u0301 'quotes\" &amp; &lt;b&gt;",
]
BINS = 20


def made_up_report(*, num_runs: int = 2, num_errors: int = 60, seed: int = 0) -> dict[str, Any]:
    """Runs of 40 steps with 5 prompts; the first prompt and the first completions are hostile."""
    rng = np.random.default_rng(seed)
    prompts = [{"id": "0", "text": f"hostile prompt {SCRIPT} \u202e", "gold": "<b>1</b>"}]
    prompts += [{"id": str(i), "text": f"what is {i} + {i} * 3?", "gold": str(4 * i)} for i in range(1, 5)]
    names = ["dapo, seed 0", "meds, seed 0", "dapo, seed 1", "meds, seed 1"][:num_runs]
    runs = [_run(number, name) for number, name in enumerate(names)]
    columns = _completions(rng, num_runs)
    with_memory = [run for run in runs if run["has_memory"]]
    return {
        "schema": 1,
        "made": "2026-01-02 03:04 UTC",
        "version": "0.0.0",
        "runs": runs,
        "course": _course(rng, runs),
        "evaluations": _evaluations(rng, runs),
        "completions": columns,
        "prompts": prompts,
        "errors": [
            error
            for run in runs
            for kind in (["cluster", "answer"] if run["has_memory"] else ["answer"])
            for error in _errors(rng, run, kind, num_errors)
        ],
        "states": {
            "growing": "more often",
            "steady": "as often",
            "fading": "less often",
            "died out": "no more",
        },
        "errors_left_out": [3] * len(runs),
        "ways": [
            _way(rng, run, name, share) for run in runs for name, share in (("left_to_right", 0.6), (SCRIPT, 0.4))
        ],
        "ways_help": f"What a way is {SCRIPT}.",
        "ways_note": {str(run["id"]): f"why {SCRIPT}" for run in runs[:1]},
        "verdicts": [f"meds is better than dapo {SCRIPT}."] if num_runs > 1 else [],
        "outlooks": [_outlook(run) for run in runs],
        "outlook_help": f"From the rollouts {SCRIPT}.",
        "headlines": [
            {"run": run["id"], "text": f"The most repeated error is left_to_right {SCRIPT}."} for run in runs
        ],
        "maps": [_map(rng, run, prompt) for run in with_memory for prompt in (0, 1)],
        "differences": _differences(rng) if num_runs > 1 else None,
        "side_by_side": _side_by_side() if num_runs > 1 else None,
    }


def _side_by_side() -> dict[str, Any]:
    shares = [[0.4, 0.5, 0.1], [0.12, 0.2, None]]
    return {
        "by": "steps",
        "num_prompts": 5,
        "columns": [
            {"name": name, "runs": [place, place + 2], "wrong": [0.5, 0.6, 0.4]}
            for place, name in enumerate(("dapo", "meds"))
        ],
        "errors": [
            {"name": f"a+b=x {SCRIPT}", "written": "1 + 2 = 3", "prompt": 0, "shares": shares},
            {"name": "no answer", "written": None, "prompt": None, "shares": shares},
        ],
    }


def _run(number: int, name: str) -> dict[str, Any]:
    method = name.split(",")[0]
    return {
        "id": number,
        "name": name,
        "path": f"runs/{name}",
        "variant": method,
        "method": method,
        "seed": number // 2,
        "task": "pocket",
        "model": "pocket",
        "num_steps": 40,
        "max_steps": 40,
        "num_completions": 7680,
        "num_prompts": 5,
        "num_wrong": 3500,
        "num_graded": 7680,
        "has_memory": method == "meds",
        "memory_size": 3400,
        "num_clusters": 200,
        "group_size": 8,
        "stretches": list(range(0, 40, 2)),
        "wrong_course": [60] * 20,
        "settings": {"meds_alpha": 0.1, "task": "pocket"},
        "notes": [f"a note {SCRIPT}"],
    }


def _completions(rng: np.random.Generator, num_runs: int) -> dict[str, list[Any]]:
    texts = HOSTILE + [f"{i} times 3 makes {3 * i}\n\\boxed{{{i}}}" for i in range(100)]
    n = len(texts)
    penalty = np.minimum(0.1 * np.log(np.arange(n) % 9 + 1), 0.2).tolist()
    return {
        "run": (np.arange(n) % num_runs).tolist(),
        "prompt": (np.arange(n) % 5).tolist(),
        "step": (np.arange(n) % 40).tolist(),
        "text": texts,
        "answer": [None if i == 2 else str(i % 7) for i in range(n)],
        "outcome": [SCRIPT if i == 0 else None for i in range(n)],
        "is_correct": [False] * n,
        "reward": [0.0] * n,
        "shaped_reward": [-p for p in penalty],
        "advantage": rng.normal(size=n).round(3).tolist(),
        "penalty": penalty,
        "cluster": (np.arange(n) % 6 - 2).tolist(),
        "cluster_size": (np.arange(n) % 9).tolist(),
        "reason": ["cluster"] * n,
        "why": [f"{SCRIPT} {p:.3f} taken away: {i % 9} like it are remembered." for i, p in enumerate(penalty)],
        "strategy": ["left_to_right" if i % 2 else None for i in range(n)],
        "num_tokens": [30] * n,
    }


def _course(rng: np.random.Generator, runs: list[dict[str, Any]]) -> dict[str, Any]:
    panels = [
        {
            "id": "reward",
            "title": "Reward",
            "unit": "",
            "percent": False,
            "help": "Mean reward.",
            "lines": [{"id": "raw", "label": "raw"}, {"id": "shaped", "label": "shaped"}],
        },
        {
            "id": "pass",
            "title": "pass@k",
            "unit": "",
            "percent": True,
            "help": "Over all groups.",
            "lines": [{"id": "1", "label": "pass@1"}, {"id": "8", "label": "pass@8"}],
        },
        {
            "id": "entropy",
            "title": "Entropy of wrong answers",
            "unit": "nats",
            "percent": False,
            "help": "Per prompt.",
            "lines": [{"id": "entropy", "label": "entropy"}],
        },
    ]
    values: dict[str, list[Any]] = {name: [] for name in ("run", "panel", "line", "step", "value")}
    for run in runs:
        for panel in panels:
            for line in panel["lines"]:
                path = np.cumsum(rng.normal(0.01, 0.02, 40)) + 0.3
                for step, value in enumerate(path.clip(0, 1).tolist()):
                    row = (run["id"], panel["id"], line["id"], step, None if step == 7 else value)
                    for name, item in zip(values, row, strict=True):
                        values[name].append(item)
    return {"panels": panels, "values": values}


def _evaluations(rng: np.random.Generator, runs: list[dict[str, Any]]) -> dict[str, Any]:
    groups = [{"id": "train-hard", "label": "train hard"}, {"id": "test-hard", "label": "test hard"}]
    panel = {
        "id": "pass1",
        "title": "pass@1",
        "unit": "",
        "percent": True,
        "help": "Sampled anew.",
        "lines": groups,
    }
    values: dict[str, list[Any]] = {name: [] for name in ("run", "panel", "line", "step", "value")}
    for run in runs:
        for group in groups:
            for step in (0, 20, 40):
                row = (run["id"], "pass1", group["id"], step, float(rng.uniform()))
                for name, item in zip(values, row, strict=True):
                    values[name].append(item)
    return {"panels": [panel], "values": values}


def _errors(rng: np.random.Generator, run: dict[str, Any], kind: str, count: int) -> list[dict[str, Any]]:
    errors = []
    for i in range(count):
        course = rng.poisson(3 * np.exp(-i / 20), BINS).tolist()
        size = 200 - 3 * i
        errors.append(
            {
                "run": run["id"],
                "prompt": i % 5,
                "by": kind,
                "kind": kind,
                "name": f"cluster {i}" if kind == "cluster" else str(i % 7),
                "size": size,
                "share": size / 3500,
                "share_of_prompt": size / 700,
                "born": i % 10,
                "last": 39 - i % 5,
                "peak": 20,
                "state": ["growing", "steady", "fading", "died out"][i % 4],
                "course": course,
                "answers": [[SCRIPT if i == 0 else str(i % 7), size]],
                "outcomes": [[SCRIPT, size]] if i == 0 else [],
                "strategies": [["left_to_right", size]] if i % 2 else [],
                "penalty_mean": 0.2 - i / 1000,
                "penalty_last": 0.2,
                "penalty_sum": 0.2 * size,
                "reason_counts": [["cluster", size]],
                "examples": [i % 6, 6 + i % 50, 60],
            }
        )
    return errors


def _way(rng: np.random.Generator, run: dict[str, Any], name: str, share: float) -> dict[str, Any]:
    return {
        "run": run["id"],
        "by": "strategy",
        "name": name,
        "meaning": f"what it means {SCRIPT} \x1b[31m\u202e",
        "is_right": False,
        "state": "growing",
        "examples": [0, 1, 60],
        "prompt_ids": [0, 1],
        "count": int(3500 * share),
        "share": share,
        "prompts": 5,
        "course": (rng.poisson(20, BINS) + 1).tolist(),
    }


def _outlook(run: dict[str, Any]) -> dict[str, Any]:
    estimate = {"value": 0.25, "low": 0.2, "high": 0.3}
    return {
        "run": run["id"],
        "regime": "stuck",
        "sentence": f"Stuck: 31 % of the prompts {SCRIPT} \x07.",
        "num_batches": 40,
        "group_size": 8,
        "groups": {"count": 640, "size": 8, "all_wrong": 0.5, "mixed": 0.4, "all_right": 0.1},
        "commonest": {"prompts": 48, "median": 0.6, "over_half": 0.6, "over_dominant": 0.31},
        "asked_again": 1.0,
        "seen_before": 0.8,
        "errors_by": "answer",
        "live_errors": 2.5,
        "right": {
            "prompts": 48,
            "none": 0.25,
            "few": 0.25,
            "many": 0.5,
            "none_completions": 100,
            "none_rate_at_most": 0.03,
        },
        "pass_at_k": [{"k": k, "first": estimate, "last": estimate, "difference": estimate} for k in (1, 2, 4, 8)],
        "same_prompts": True,
        "num_prompts": [48, 48],
        "notes": [f"a note {SCRIPT}"],
    }


def _map(rng: np.random.Generator, run: dict[str, Any], prompt: int) -> dict[str, Any]:
    n, centres = 100, rng.normal(size=(4, 2)) * 20
    which = np.arange(n) % 4
    points = centres[which] + rng.normal(size=(n, 2))
    return {
        "run": run["id"],
        "prompt": prompt,
        "num_points": n,
        "num_wrong": 120,
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "completion": list(range(n)),
        "cluster": [("cluster 0", "cluster 1", "cluster 2", "in no cluster")[i] for i in which],
        "answer": [None if i == 2 else str(i % 12) for i in range(n)],
        "step": (np.arange(n) % 40).tolist(),
        "perplexity": 30,
        "help": "t-SNE of the fingerprints.",
    }


def _differences(rng: np.random.Generator) -> dict[str, Any]:
    rows = []
    for metric in ("pass@1", "pass@16"):
        for group in ("train hard", "test hard"):
            d = float(rng.normal(0, 0.05))
            rows.append(
                {
                    "variant": "meds",
                    "group": group,
                    "metric": metric,
                    "title": metric,
                    "percent": True,
                    "baseline_value": 0.5,
                    "value": 0.5 + d,
                    "difference": d,
                    "low": d - 0.04,
                    "high": d + 0.04,
                    "num_seeds": 2,
                    "num_agree": 1,
                    "by_seed": [[0, d + 0.02], [1, d - 0.02]],
                    "method": "bootstrap over seeds and problems, 10,000 resamples",
                }
            )
    return {
        "baseline": "dapo",
        "metrics": ["pass@1", "pass@16"],
        "rows": rows,
        "notes": ["Bootstrap over seeds and problems."],
    }
