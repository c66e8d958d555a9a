"""Rows as the public data sets store them: the same columns and types, problems of our own."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PREFIX = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
SUFFIX = '\n\nRemember to put your answer on its own line after "Answer:".'


def dapo_row(problem, answer, index="9a9b6eb4-a1cb-49d1-8c1e-62eaf2f74079"):
    """BytedTsinghua-SIA/DAPO-Math-17k: one user message with the instructions around the problem."""
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": PREFIX + problem + SUFFIX, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": index},
    }


def processed_dapo_row(problem, answer):
    """open-r1/DAPO-Math-17k-Processed: the bare problem, the bare answer as `solution`."""
    return {
        "prompt": problem,
        "solution": answer,
        "data_source": "math_dapo",
        "source_prompt": [{"content": PREFIX + problem + SUFFIX, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": "x"},
    }


def eleuther_row(problem, solution, level="Level 5"):
    """EleutherAI/hendrycks_math: seven configurations, the level in words."""
    return {"problem": problem, "level": level, "type": "Algebra", "solution": solution}


def nlile_row(problem, answer, level=5):
    """nlile/hendrycks-MATH-benchmark: the level as a number, the answer extracted."""
    solution = rf"We see that it is $\boxed{{{answer}}}$."
    return {
        "problem": problem,
        "solution": solution,
        "answer": answer,
        "subject": "Algebra",
        "level": level,
        "unique_id": "train/algebra/1.json",
    }


def write(rows, path: Path) -> str:
    """Write parquet or jsonl by the name's ending; neither uses the library under test."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
