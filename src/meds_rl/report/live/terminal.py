"""Draws a followed run in the terminal: figures over the steps, and the largest errors."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from meds_rl.report.course import OF_THE_MEMORY, PANELS, Line, Panel
from meds_rl.report.live.follow import Follower, GivenError
from meds_rl.report.text import finite, one_line, percent, times

COLOURS = (32, 208, 36)
"""Of the lines, out of a terminal's 256: blue, orange and green after Okabe and Ito, distinct for the colour-blind."""

MARKERS = ("hd", "dot", "braille")
"""Of the lines, distinct without colours."""

ORDER = (
    *("reward", "pass", "repeated", "entropy", "penalty", "distinct"),
    *("memory", "eigenvalue", "length", "time", "time_share"),
)
"""Panels, the most important first: a small terminal shows the first few."""

LOGGED: dict[Line, str] = {
    ("reward", "raw"): "reward",
    ("reward", "shaped"): "shaped",
    ("pass", "pass@1"): "pass@1",
    ("pass", "pass@G"): "pass@G",
    ("repeated", "answer"): "repeated",
    ("entropy", "entropy"): "entropy",
    ("penalty", "mean"): "penalty",
    ("memory", "size"): "memory",
    ("time_share", "share"): "time of the memory",
}
"""Figures of a status line, and their names there."""

CHART_WIDTH, CHART_HEIGHT = 38, 10
"""Smallest size of a chart in characters, without its title."""

OF_ANSWERS = ("repeated", "entropy", "distinct")
"""Panels that compare answers."""

NUM_ERRORS = 8

LONGEST = 1e9
"""Seconds; a longer duration means that the file is damaged."""

LEAST_EPOCH = 1e-9
"""A smaller share of an epoch is too little to estimate the length of the run."""

QUIET, QUIET_STEPS = 120.0, 10
"""A run that wrote nothing for this many seconds, and for the time of this many steps, may have been stopped."""


def screen(follower: Follower, width: int, height: int | None, note: str = "") -> RenderableType:
    """Everything, for a terminal of this size.

    Args:
        follower: The run.
        width: Columns.
        height: Lines; None for as many as it takes.
        note: A line at the end.
    """
    errors = errors_table(follower, width)
    num_errors = min(NUM_ERRORS, len(follower.errors))
    rest = None if height is None else height - HEADER_LINES - 4 - num_errors
    parts: list[RenderableType] = [header(follower, width), charts(follower, width, rest)]
    if num_errors and (rest is None or rest >= 0):
        parts.append(errors)
    if note:
        parts.append(Text(one_line(note, width), style="dim"))
    return Group(*parts)


HEADER_LINES = 3


def header(follower: Follower, width: int) -> RenderableType:
    """The run, how far it is, and how long it will take."""
    total = total_steps(follower)
    name = f"{follower.recipe.method}  {follower.path}"
    left = "" if total is None else f" of {total:,}"
    state = [f"step {_shown(follower, follower.step):,}{left}", *time_words(follower)]
    state.append(f"{follower.num_wrong:,} of {follower.num_completions:,} completions wrong")
    if follower.lacks_answers:
        state.append("no answers found")
    if follower.unread:
        state.append(f"reading: {follower.unread:,} batches to go")
    if follower.damaged:
        state.append(f"{follower.damaged:,} batches cannot be read")
    bar = Table.grid()  # a bar alone would not end with a new line
    bar.add_row(ProgressBar(total=total or 1, completed=min(follower.step, total or 0), width=min(width, 80)))
    return Group(
        Text(one_line(name, width), style="bold", no_wrap=True),
        Text(one_line(" · ".join(state), width), no_wrap=True),
        bar,
    )


def _shown(follower: Follower, done: int) -> int:
    """The step for the reader, once so many are done: another program's number of its last batch."""
    return max(0, done - 1 + follower.done_at)


def total_steps(follower: Follower) -> int | None:
    """Optimiser steps of the whole run, of the recipe or estimated from its epochs; None while unknown."""
    if follower.recipe.max_steps is not None:
        return follower.recipe.max_steps
    epochs, epoch = follower.recipe.number("num_train_epochs"), finite(follower.last_row.get("epoch"))
    if not epochs or epoch is None or epoch < LEAST_EPOCH:
        return None
    return max(follower.step, round(follower.step / epoch * epochs))


def time_words(follower: Follower) -> list[str]:
    """Seconds a step and the time that is left, as far as known."""
    if follower.has_ended:
        runtime = finite(follower.last_row["train_runtime"])
        return ["ended" if runtime is None else f"ended after {_duration(runtime)}"]
    seconds = sum(follower.step_times) / len(follower.step_times) if follower.step_times else 0.0
    quiet = follower.quiet_seconds()
    if quiet > max(QUIET, QUIET_STEPS * seconds):
        return [f"nothing new for {_duration(quiet)}: stopped?"]
    if not seconds:
        return []
    total = total_steps(follower)
    left = [] if total is None else [f"{_duration(seconds * max(0, total - follower.step))} left"]
    return [f"{seconds:.3g} s a step", *left]


def charts(follower: Follower, width: int, height: int | None) -> RenderableType:
    """The panels that have values, as many as fit, side by side."""
    course = follower.course
    shown = [(panel, lines) for panel in _in_order() if (lines := _lines(panel, course, follower))]
    columns = max(1, min(len(shown), width // CHART_WIDTH))
    rows = len(shown) if height is None else max(0, height // (CHART_HEIGHT + 1))
    shown = shown[: columns * rows]
    if not shown:
        return Text("")
    grid = Table.grid(expand=False)
    each = width // columns
    cells = [_cell(panel, lines, course, each) for panel, lines in shown]
    for start in range(0, len(cells), columns):
        grid.add_row(*cells[start : start + columns])
    return grid


def errors_table(follower: Follower, width: int) -> RenderableType:
    """The most frequent wrong answers; without any answers the prompts with the most wrong completions."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=width)
    title = "the most wrong completions: prompt" if follower.lacks_answers else "the largest errors: prompt"
    table.add_column(title, ratio=3, no_wrap=True)
    if not follower.lacks_answers:
        table.add_column("wrong answer", ratio=1, no_wrap=True)
    table.add_column("wrong" if follower.lacks_answers else "times", justify="right", no_wrap=True)
    wide = width >= 60
    if wide:
        table.add_column("steps", justify="right", no_wrap=True)
    if wide and follower.has_memory:
        table.add_column("penalty", justify="right", no_wrap=True)
    for error in follower.largest_errors(NUM_ERRORS):
        prompt = one_line(follower.prompt_words(error), width)
        answer = [] if follower.lacks_answers else [Text(_answer(error, width))]
        more = [f"{error.first}–{error.last}"] if wide else []
        more += [f"{error.penalty / error.count:.3f}"] if wide and follower.has_memory else []
        table.add_row(Text(prompt), *answer, f"{error.count:,}", *more)
    return table


def _answer(error: GivenError, width: int) -> str:
    return "no answer" if error.answer is None else one_line(error.answer, width)


def status_line(follower: Follower, step: int | None = None) -> str:
    """The figures of one step in one line, for a log.

    Args:
        follower: The run.
        step: Optimiser steps done; default: the newest that is logged. Rollouts may be a step ahead of it.
    """
    total, step = total_steps(follower), follower.step if step is None else step
    parts = [f"step {_shown(follower, step):,}" + ("" if total is None else f"/{total:,}")]
    # The figures of a step are of the batch sampled before it. A batch may serve several steps.
    course = {
        line: {at: value for at, value in points.items() if at < step} for line, points in follower.course.items()
    }
    shown = {(panel.id, line): panel for panel in PANELS for line, _ in _lines(panel, course, follower)}
    parts += [
        f"{_named(name, follower)} {_newest(shown[line], course[line])}"
        for line, name in LOGGED.items()
        if line in shown
    ]
    return ", ".join([*parts, *(time_words(follower) if step == follower.step else [])])


def largest_error_line(follower: Follower, error: GivenError) -> str:
    """One of the largest errors in one line, for a log."""
    prompt = one_line(follower.prompt_words(error), 80)
    if follower.lacks_answers:
        return f"{error.count:,} wrong completions of “{prompt}”, steps {error.first} to {error.last}"
    answer = "no answer" if error.answer is None else f"“{one_line(error.answer, 40)}”"
    return f"{times(error.count)} {answer} to “{prompt}”, steps {error.first} to {error.last}"


def _in_order() -> list[Panel]:
    return [panel for name in ORDER for panel in PANELS if panel.id == name]


def _lines(panel: Panel, course: dict[Line, dict[int, float]], follower: Follower) -> list[tuple[str, str]]:
    """The panel's lines that have values, but none of a memory or of answers where there are none."""
    if follower.lacks_answers and panel.id in OF_ANSWERS:
        return []
    if not follower.has_memory and panel.id in OF_THE_MEMORY:
        return []
    hidden = set() if follower.has_memory else {"shaped"}
    shown = [line for line in panel.lines if line[0] not in hidden and course.get((panel.id, line[0]))]
    return [(line, _named(label, follower)) for line, label in shown]


def _named(label: str, follower: Follower) -> str:
    return label.replace("pass@G", f"pass@{follower.group_size or 'G'}")


def _cell(
    panel: Panel, lines: Sequence[tuple[str, str]], course: dict[Line, dict[int, float]], width: int
) -> RenderableType:
    newest = ", ".join(
        f"{label} {_newest(panel, course[panel.id, line])}"
        if len(lines) > 1
        else _newest(panel, course[panel.id, line])
        for line, label in lines
    )
    scale = 100.0 if panel.percent else 1.0
    words = re.sub(r" (?=[-\d%])", "\u00a0", one_line(f"{panel.title}: {newest}"))  # a label stays with its number
    title = textwrap.wrap(words, width - 2, max_lines=2, placeholder=" …")
    drawn = chart(
        [{step: scale * value for step, value in course[panel.id, line].items()} for line, _ in lines],
        width - 2,
        CHART_HEIGHT + 1 - len(title),
    )
    return Group(Text("\n".join(title).replace("\u00a0", " "), style="bold", no_wrap=True), drawn)


def _newest(panel: Panel, points: dict[int, float]) -> str:
    value = points[max(points)]
    if panel.percent:
        return percent(value)
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    if abs(seconds) > LONGEST:
        return "years"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def chart(lines: Sequence[Mapping[int, float]], width: int, height: int) -> Text:
    """Draw lines over steps.

    Args:
        lines: For each its values by step, at least one.
        width, height: In characters, axes included.

    Raises:
        ImportError: plotext is not installed.
    """
    try:
        import plotext
    except ImportError as error:
        raise ImportError('charts need plotext: pip install "meds-rl[report]"') from error
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)
    plotext.plot_size(max(width, 12), max(height, 5))
    for points, colour, marker in zip(lines, COLOURS, MARKERS, strict=False):
        steps = sorted(points)
        values = [points[step] for step in steps]
        if len(steps) == 1:
            plotext.scatter(steps, values, color=colour, marker=marker)
        else:
            plotext.plot(steps, values, color=colour, marker=marker)
    every = [step for points in lines for step in points]
    plotext.xticks(*_ticks(min(every), max(every)))
    text = Text.from_ansi(plotext.build(), no_wrap=True)
    plotext.clear_figure()
    return text


def _ticks(first: int, last: int) -> tuple[list[int], list[str]]:
    """First, middle and last step, each once."""
    steps = sorted({first, (first + last) // 2, last})
    return steps, [f"{step:,}" for step in steps]
