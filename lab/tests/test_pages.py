"""The lab's pages: marked examples run and print what the page shows, and the files that a page names exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import meds_lab

LAB = Path(meds_lab.__file__).parents[2]
PAGES = [LAB / "README.md", *sorted((LAB / "evidence").glob("*.md"))]
RUN = re.compile(r"^<!-- run -->\n```python\n(.*?)^```\n(?:```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    pytest.param(match[1], match[2], id=f"{path.name}-{number}")
    for path in PAGES
    for number, match in enumerate(RUN.finditer(path.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize(("source", "output"), EXAMPLES)
def test_examples_run_and_print_what_the_page_shows(source, output):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(source, {"__name__": "example"})
    if output is not None:
        assert printed.getvalue().strip() == output.strip()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_recipes_cells_and_links_exist(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"\blab/(?:recipes|evidence|src)/[\w./-]+\w", text)
    assert [name for name in named if not (LAB.parent / name).exists()] == []
    linked = re.findall(r"\]\((?!http)([^)#\s]+)", text)
    assert [name for name in linked if not (path.parent / name).exists()] == []
