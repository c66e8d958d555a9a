"""A line chart of characters, by plotext."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

COLOURS = (32, 208, 36)
"""Of the lines, of a terminal's 256: blue, orange and green after Okabe and Ito, told apart by the colour-blind."""

MARKERS = ("hd", "dot", "braille")
"""And told apart without colours."""


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
