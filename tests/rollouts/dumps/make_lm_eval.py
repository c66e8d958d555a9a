"""Make the fixtures of lm-evaluation-harness: its command line with `--log_samples`, on a pocket policy.

python tests/rollouts/dumps/make_lm_eval.py lab/checkpoints/stuck-0     # with lm_eval[hf] 0.4.13, PYTHONPATH=src

`pocket_generate` samples 16 completions for each document and has two filters; `pocket_choice` is multiple choice and
has no completions.
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

GENERATE = r"""
task: pocket_generate
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
repeats: 16
generation_kwargs: {until: [], do_sample: true, temperature: 1.0, max_gen_toks: 96}
filter_list:
  - name: boxed
    filter:
      - {function: regex, regex_pattern: '\\boxed\{(-?\d+)\}'}
      - {function: take_first}
  - name: flexible-extract
    filter:
      - {function: regex, regex_pattern: '(-?\d+)', group_select: -1}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""

CHOICE = """
task: pocket_choice
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}} the answer is"
doc_to_choice: choices
doc_to_target: label
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""


def documents() -> list[dict]:
    rows = []
    for problem in (*pool("hard")[:6], *pool("easy")[:2]):
        by_strategy = {name: str(answer) for name, answer in answers(problem).items()}
        choices = sorted(set(by_strategy.values()))
        right = by_strategy[CORRECT]
        rows.append({"question": problem.prompt, "answer": right, "choices": choices, "label": choices.index(right)})
    return rows


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    data = folder / "problems.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in documents()))
    for name, text in (("generate", GENERATE), ("choice", CHOICE)):
        (folder / f"{name}.yaml").write_text(text.replace("DATA", str(data)))
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu", "--batch_size", "8", "--seed", "1"]
    command += ["--model_args", f"pretrained={sys.argv[1]},dtype=float32"]
    command += ["--tasks", "pocket_generate,pocket_choice", "--include_path", str(folder)]
    subprocess.run([*command, "--log_samples", "--output_path", str(folder / "out")], check=True)
    (samples,) = (folder / "out").iterdir()
    target = HERE / "lm_eval" / "stuck-0"
    shutil.rmtree(HERE / "lm_eval", ignore_errors=True)
    target.mkdir(parents=True)
    for path in samples.glob("samples_*.jsonl"):
        shutil.copy(path, target)


if __name__ == "__main__":
    main()
