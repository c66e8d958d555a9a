"""lm-evaluation-harness and lighteval: a document of theirs has several samples, and often one figure for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from meds_rl.rollouts.blocks import Block
from meds_rl.rollouts.compare import Reference, figure_of, reference_answers
from meds_rl.rollouts.rows import Rows, Values, at, float_of

# ---- lm-evaluation-harness


def read_lm_eval(block: Block) -> Rows:
    given_names = (name for each in block.column("metrics") if isinstance(each, list) for name in each)
    names = list(dict.fromkeys(name for name in given_names if isinstance(name, str) and name in block.names))
    columns = {name: block.column(name) for name in ("arguments", "resps", "filtered_resps", "filter", "target")}
    metrics = {name: block.column(name) for name in names}
    rows = Rows([], [], {name: [] for name in names}, _metric(names), _metric(names))
    references: list[Reference | None] = []
    for place, responses in enumerate(columns["resps"]):
        given = _texts(responses)
        grades = {name: _each(values[place], len(given)) for name, values in metrics.items()}
        num_graded = max((len(values) for values in grades.values()), default=0)
        answers = _each(_first(columns["filtered_resps"][place]), len(given))
        if len(answers) < len(given):  # of those after it the filter says nothing
            answers = answers[:num_graded]
        right = reference_answers([columns["target"][place]]) if num_graded < len(given) else ()
        for number, text in enumerate(given):
            document = len(references) if number < num_graded else None
            references.append(Reference(right, document) if right else None)
            rows.prompts.append(at(columns["arguments"][place], "gen_args_0", "arg_0"))
            rows.completions.append(text)
            rows.filters.append(columns["filter"][place])
            rows.golds.append(columns["target"][place])
            rows.answers.append(_read_answer(answers[number] if number < len(answers) else None, text))
            for name, values in grades.items():
                rows.rewards[name].append(values[number] if number < len(values) else None)
    return replace(rows, references=references)


def _metric(names: Sequence[str]) -> str:
    preferred = ("exact_match", "extractive_match", "acc", "pass@1", "pass_at_1")
    return next((name for name in (*preferred, *names) if name in names), "")


def _texts(responses: Any) -> list[str]:
    """The completions of the first request; those of multiple choice are numbers and no texts."""
    first = _first(responses)
    given = first if isinstance(first, list) else [first]
    return [text for text in given if isinstance(text, str)]


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else None


def _each(value: Any, count: int) -> Values:
    """At most ``count`` values, one for each completion; a single value is the first one's."""
    return list(value[:count]) if isinstance(value, list) else [value][:count]


def _read_answer(answer: Any, text: str) -> str | None:
    """What a filter read in a completion; a filter that keeps the whole text reads nothing."""
    return answer if isinstance(answer, str) and answer.strip() != text.strip() else None


# ---- lighteval


def read_lighteval(block: Block) -> Rows:
    columns = zip(block.column("doc"), block.column("model_response"), block.column("metric"), strict=True)
    return _documents((at(doc, "query"), at(response, "text"), metric, _gold(doc)) for doc, response, metric in columns)


def _gold(doc: Any) -> Values:
    """The choices that are right."""
    choices, given = at(doc, "choices"), at(doc, "gold_index")
    places = given if isinstance(given, list) else [given]
    if not isinstance(choices, list):
        return []
    return [choices[place] for place in places if isinstance(place, int) and 0 <= place < len(choices)]


def read_old_lighteval(block: Block) -> Rows:
    prompts = block.column("example" if "example" in block.names else "full_prompt")
    columns = (block.column(name) for name in ("predictions", "metrics", "gold"))
    return _documents(zip(prompts, *columns, strict=True))


def _documents(documents: Iterable[tuple[Any, Any, Any, Any]]) -> Rows:
    """Rows of documents. One figure for several samples grades each of them only if it is 0: all are wrong.

    Args:
        documents: prompt, samples, metrics and right answers of each.
    """
    listed = [(prompt, _texts([texts]), metric, gold) for prompt, texts, metric, gold in documents]
    names = list(dict.fromkeys(name for _, _, metric, _ in listed if isinstance(metric, Mapping) for name in metric))
    grade = _metric(sorted(names, key=lambda name: figure_of(name, MANY) is None))
    rows = Rows([], [], {name: [] for name in names}, grade, grade)
    references: list[Reference | None] = []
    for number, (prompt, texts, metric, gold) in enumerate(listed):
        num = len(texts)
        rows.prompts += [prompt] * num
        rows.completions += texts
        rows.golds += [_first(gold) if isinstance(gold, list) else gold] * num
        figures = {name: figure_of(name, num) for name in names}
        for name, values in rows.rewards.items():
            values += _grades(at(metric, name), num, figures[name])
        references += _references(gold, number, float_of(at(metric, grade)), num, figures.get(grade))
    return replace(rows, references=references)


MANY = 1 << 30
"""More samples than a document has."""


def _grades(value: Any, num: int, figure: tuple[int, int] | None) -> Values:
    """The grades of the samples of a document, as far as its figure says them."""
    num_wrong = figure[1] if figure is not None and value == 0 else 0
    return [value] * num if num == 1 else [0.0] * num_wrong + [None] * (num - num_wrong)


def _references(
    gold: Any, number: int, value: float | None, num: int, figure: tuple[int, int] | None
) -> list[Reference | None]:
    right = reference_answers(gold if isinstance(gold, list) else [gold]) if num > 1 else ()
    if not right:
        return [None] * num
    k, n = (1, 0) if figure is None or value is None else figure
    return [Reference(right, number, value, k) if place < n else Reference(right) for place in range(num)]
