"""Writes a report's data as one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from meds_rl.files import write_atomically
from meds_rl.report.drawing.errors import COLOURINGS, error_figures, map_figures, ways_figures
from meds_rl.report.drawing.figure import Figure, config
from meds_rl.report.drawing.forest import difference_figures
from meds_rl.report.drawing.lines import course_figures, evaluation_figures
from meds_rl.report.text import drawable, one_line

PAGE = Path(__file__).parent / "page"
SCRIPTS = (
    *("dom", "text", "data", "charts", "detail", "summary", "outlook", "errors", "map", "course", "comparison"),
    "main",
)
GENERATOR = '<meta name="generator" content="meds-rl">'
"""This line marks a file as a report of ours."""


def write_page(data: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the page of ``report_data``'s dictionary.

    Raises:
        FileExistsError: the file exists and is not a report.
        ImportError: vl-convert, which carries the drawing library, is not installed.
    """
    target = Path(path)
    refuse_foreign(target)
    write_atomically(target, page(data).encode("utf-8"))


def refuse_foreign(path: Path) -> None:
    """Raise a FileExistsError unless ``path`` is free or a report of ours."""
    if path.exists() and not is_page(path):
        raise FileExistsError(
            f"{path} exists and is not a report; nothing was changed. Name another file with --output."
        )


def is_page(path: Path) -> bool:
    """Whether it is a report of ours."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(4096)


def page(data: Mapping[str, Any]) -> str:
    """The whole page as text."""
    library, script = _library(), _script()
    template = Template((PAGE / "template.html").read_text(encoding="utf-8"))
    runs = ", ".join(str(run["name"]) for run in data["runs"])
    return template.substitute(
        title=html.escape(one_line(f"meds report: {runs}", 200)),
        policy=_policy(library, script),
        style=(PAGE / "style.css").read_text(encoding="utf-8"),
        data=_packed(_with_figures(data)),
        library=library,
        script=script,
    )


def _policy(*scripts: str) -> str:
    """The content security policy: only these scripts run, nothing is loaded, nothing is sent."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode('utf-8')).digest()).decode()}'" for s in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _script() -> str:
    """All our scripts as one, with one "use strict" at the beginning."""
    parts = [(PAGE / f"{name}.js").read_text(encoding="utf-8").replace('"use strict";\n', "", 1) for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"


def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, from the vl-convert package: nothing is downloaded."""
    try:
        import vl_convert
    except ImportError as error:
        raise ImportError('the report needs vl-convert: pip install "meds-rl[report]"') from error
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _packed(data: Mapping[str, Any]) -> str:
    """Gzipped JSON in base64, which cannot contain the end of its HTML element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "surrogatepass"), 6, mtime=0)).decode("ascii")


def _with_figures(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with figures and themes, without the tables that only the figures need."""
    drawn = {name: value for name, value in data.items() if name not in ("course", "evaluations")}
    return {
        **drawn,
        "themes": {"light": config("light"), "dark": config("dark")},
        "figures": drawable(
            {
                "ways": _by_run_and_kind(ways_figures(data)),
                "errors": _by_run_and_kind(error_figures(data)),
                "maps": _maps(data),
                "course": _dicts(course_figures(data)),
                "evaluations": _dicts(evaluation_figures(data)),
                "differences": _dicts(difference_figures(data)),
            }
        ),
    }


def _dicts(all_: Sequence[Figure]) -> list[dict[str, Any]]:
    return [figure.to_dict() for figure in all_]


def _by_run_and_kind(all_: Sequence[Figure]) -> dict[str, Any]:
    sorted_: dict[str, dict[str, Any]] = {}
    for figure in all_:
        _, kind, run = figure.name.split("-")
        sorted_.setdefault(run, {})[kind] = figure.to_dict()
    return sorted_


def _maps(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of each map once, and a specification for each colouring."""
    drawn = map_figures(data)
    count = len(COLOURINGS)
    return [
        {
            "values": drawn[number * count].values,
            "specs": {
                by: {**drawn[number * count + place].to_dict(), "values": []} for place, by in enumerate(COLOURINGS)
            },
        }
        for number in range(len(data["maps"]))
    ]
