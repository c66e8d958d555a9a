"""Writes every figure of a report as a picture, for papers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from meds_rl.report.drawing.figures import all_figures
from meds_rl.report.drawing.theme import config
from meds_rl.runs.folder import write_atomically

FORMATS = ("svg", "png")
PNG_SCALE = 3.0


def write_pictures(data: Mapping[str, Any], folder: Path, format_: str) -> list[Path]:
    """Draw each figure on white, named by what it shows.

    Args:
        data: what ``report_data`` gives.
        folder: made if need be; pictures of the same name are replaced.
        format_: "svg" or "png" (3 pixels a point).

    Raises:
        ValueError: another format.
        ImportError: vl-convert is not installed.
    """
    if format_ not in FORMATS:
        raise ValueError(f"format must be {' or '.join(FORMATS)}; got {format_!r}.")
    try:
        import vl_convert
    except ImportError as error:
        raise ImportError('pictures need vl-convert: pip install "meds-rl[report]"') from error
    theme, paths = config("light", background=True), []
    for figure in tqdm(all_figures(data), desc="pictures", unit="figure"):
        spec = figure.whole(theme)
        path = folder / f"{_file_name(figure.name)}.{format_}"
        if format_ == "svg":
            write_atomically(path, vl_convert.vegalite_to_svg(spec).encode("utf-8"))
        else:
            write_atomically(path, vl_convert.vegalite_to_png(spec, scale=PNG_SCALE))
        paths.append(path)
    return paths


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9@._-]+", "-", name).strip("-.")[:120]
