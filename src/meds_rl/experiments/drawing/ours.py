"""Which files of a folder of figures are ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from meds_rl.report.drawing.pictures import INDEX


def foreign_file(folder: Path, names: Sequence[str], format_: str) -> Path | None:
    """The first file of somebody else that figures would be drawn over; None without one.

    Ours is what our ``figures.json`` names, as `meds_rl.report.drawing.pictures.draw_pictures` sees it, which looks
    again when it draws.

    Args:
        folder: need not exist.
        names: of figures.
        format_: svg or png.
    """
    ours = _index(folder)
    wanted = [INDEX, *(f"{name}.{format_}" for name in names)]
    return next((folder / name for name in wanted if name not in ours and (folder / name).exists()), None)


def _index(folder: Path) -> set[str]:
    """``figures.json`` and the names in it; empty where there is none of ours."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names = [str(name) for name in found["figures"]] if found["generator"] == "meds-rl" else []
    except (OSError, ValueError, TypeError, KeyError):
        return set()
    return {INDEX, *names} if names else set()
