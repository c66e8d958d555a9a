"""Make the fixture of lighteval's new form: its command line on a pocket policy and a task of its own.

python tests/rollouts/dumps/make_lighteval.py lab/checkpoints/stuck-0     # with PYTHONPATH=src

It needs lighteval 0.13.0, "huggingface_hub<2" and "xxhash<4", and offline an empty file `tinyBenchmarks.pkl`
beside lighteval's `tiny_benchmarks.py`.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from meds_rl.tasks.pocket.problems import pool
from meds_rl.tasks.pocket.strategies import CORRECT, answers

HERE = Path(__file__).parent

TASK = r"""
import re

import numpy as np
from lighteval.metrics.metrics_sample import AvgAtN
from lighteval.metrics.utils.metric_utils import SampleLevelMetric
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc, SamplingMethod


def to_doc(line, task_name=None):
    return Doc(task_name=task_name, query=line["question"], choices=[line["answer"]], gold_index=0)


def boxed(doc, model_response):
    return float(re.findall(r"\\boxed\{([^{}]*)\}", model_response.final_text[0])[-1:] == doc.get_golds())


average = SampleLevelMetric(
    metric_name="avg@n:n=16",
    sample_level_fn=AvgAtN(n=16, sample_scoring_function=boxed),
    category=SamplingMethod.GENERATIVE,
    corpus_level_fn=np.mean,
    higher_is_better=True,
)
TASKS_TABLE = [
    LightevalTaskConfig(
        name="pocket",
        prompt_function=to_doc,
        hf_repo="FOLDER",
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        generation_size=96,
        metrics=[average],
        stop_sequence=[],
    )
]
"""


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "data").mkdir()
    rows = [
        {"question": problem.prompt, "answer": str(answers(problem)[CORRECT])}
        for problem in (*pool("hard")[:6], *pool("easy")[:2])
    ]
    (folder / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.py").write_text(TASK.replace("FOLDER", str(folder / "data")))
    model = f"model_name={sys.argv[1]},device=cpu,dtype=float32,batch_size=4,max_length=256,cache_dir={folder}/cache,"
    model += "generation_parameters={temperature:1.0,seed:0}"
    command = [str(Path(sys.executable).parent / "lighteval"), "accelerate", model, "pocket"]
    command += ["--custom-tasks", str(folder / "task.py"), "--output-dir", str(folder / "out"), "--save-details"]
    subprocess.run(command, check=True)
    target = HERE / "lighteval" / "details" / "stuck-0"
    shutil.rmtree(target, ignore_errors=True)
    for path in (folder / "out" / "details").rglob("details_*.parquet"):
        (target / path.parent.name).mkdir(parents=True)
        # A "|" in a file's name cannot be checked out everywhere.
        shutil.copy(path, target / path.parent.name / path.name.replace("|", "_"))


if __name__ == "__main__":
    main()
