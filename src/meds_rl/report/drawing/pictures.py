"""Writes figures as pictures, for papers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from meds_rl.files import write_atomically
from meds_rl.report.drawing.errors import error_figures, map_figures, ways_figures
from meds_rl.report.drawing.figure import Figure, config
from meds_rl.report.drawing.forest import difference_figures
from meds_rl.report.drawing.lines import course_figures, evaluation_figures
from meds_rl.report.text import drawable

FORMATS = ("svg", "png")
PNG_SCALE = 3.0
INDEX = "figures.json"
"""File beside the pictures that says what each shows. The files it names are ours and may be replaced."""


def all_figures(data: Mapping[str, Any]) -> list[Figure]:
    """Every figure of a report, in the order of the page."""
    return [
        *ways_figures(data),
        *error_figures(data),
        *map_figures(data),
        *course_figures(data),
        *evaluation_figures(data),
        *difference_figures(data),
    ]


def write_pictures(data: Mapping[str, Any], folder: Path, format_: str) -> list[Path]:
    """Draw each figure of a report (``report_data``'s dictionary), as `draw_pictures` does."""
    return draw_pictures(all_figures(data), folder, format_)


def draw_pictures(figures: Sequence[Figure], folder: Path, format_: str) -> list[Path]:
    """Draw each figure on white, in a file named after the figure.

    Args:
        figures: in the order of ``figures.json``.
        folder: made if need be. Pictures that its ``figures.json`` names are replaced, other files never.
        format_: "svg" or "png" (3 pixels a point).

    Raises:
        ValueError: another format.
        FileExistsError: a file that is not one of our pictures has the name of one.
        ImportError: vl-convert is not installed.
    """
    if format_ not in FORMATS:
        raise ValueError(f"format must be {' or '.join(FORMATS)}; got {format_!r}.")
    draw = _drawing(format_)
    theme = config("light", background=True)
    names = _file_names([figure.name for figure in figures], format_)
    _refuse_foreign(folder, names)
    index = {name: " - ".join(filter(None, (of.title, of.group))) for name, of in zip(names, figures, strict=True)}
    paths = [folder / name for name in names]
    known = {**_index(folder), **index}
    write_atomically(folder / INDEX, json.dumps({"generator": "meds-rl", "figures": known}, indent=2).encode())
    for path, figure in zip(paths, tqdm(figures, desc="pictures", unit="figure", disable=None), strict=True):
        spec = figure.whole(theme)
        try:
            picture = draw(drawable(spec))
        except ValueError:  # the library may shorten a label in the middle of a character beyond U+FFFF
            picture = draw(drawable(spec, large_characters=False))
        write_atomically(path, picture)
    return paths


def _drawing(format_: str) -> Callable[[Any], bytes]:
    """The function that draws a specification."""
    try:
        import vl_convert
    except ImportError as error:
        raise ImportError('pictures need vl-convert: pip install "meds-rl[report]"') from error
    if format_ == "svg":
        return lambda spec: str(vl_convert.vegalite_to_svg(spec)).encode("utf-8")
    return lambda spec: bytes(vl_convert.vegalite_to_png(spec, scale=PNG_SCALE))


def _file_names(names: Sequence[str], format_: str) -> list[str]:
    """Names that are valid in any file system; equal ones are numbered."""
    files: list[str] = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9@._-]+", "-", name).strip("-.")[:120] or "figure"
        file, number = f"{stem}.{format_}", 1
        while file in files:
            number += 1
            file = f"{stem}-{number}.{format_}"
        files.append(file)
    return files


def foreign_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The first file that pictures of these names would overwrite and that is not ours; None without one.

    Ours are the files that our ``figures.json`` names. The folder need not exist.
    """
    ours = {*_index(folder), *([INDEX] if _index(folder) else [])}
    return next((folder / name for name in (INDEX, *names) if name not in ours and (folder / name).exists()), None)


def _refuse_foreign(folder: Path, names: Sequence[str]) -> None:
    foreign = foreign_file(folder, names)
    if foreign is not None:
        raise FileExistsError(
            f"{foreign} exists and is no picture of a report; nothing was changed. Name another folder."
        )


def _index(folder: Path) -> dict[str, str]:
    """The content of our ``figures.json``; empty without one."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        ours = found["generator"] == "meds-rl"
        return {str(name): str(title) for name, title in found["figures"].items()} if ours else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
