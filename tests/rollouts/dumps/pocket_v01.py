"""The pocket task as an environment of verifiers 0.1: `vf-eval pocket_v01 -s`, see `make_verifiers.py`."""

import re

import verifiers as vf
from datasets import Dataset

# Five prompts of `trl/` and their answers.
PROBLEMS = {
    "what is 9 * 3 - 6 * 2?": "15",
    "what is 3 + 7 * 6 - 2?": "43",
    "what is 7 - 4 * 5 + 3?": "-10",
    "what is 7 - 3 * 8 - 6?": "-23",
    "what is 5 * 4 + 8 + 6?": "34",
}


def text_of(completion) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"]


def correct_answer(completion, answer, **_) -> float:
    return float(re.findall(r"\\boxed\{([^{}]*)\}", text_of(completion))[-1:] == [answer])


def has_box(completion, **_) -> float:
    return float("\\boxed{" in text_of(completion))


def load_environment(**_) -> vf.Environment:
    rows = [
        {"prompt": [{"role": "user", "content": prompt}], "answer": answer, "info": {"source": "pocket"}}
        for prompt, answer in PROBLEMS.items()
    ]
    rubric = vf.Rubric(funcs=[correct_answer, has_box], weights=[1.0, 0.1])
    return vf.SingleTurnEnv(eval_dataset=Dataset.from_list(rows), dataset=Dataset.from_list(rows), rubric=rubric)
