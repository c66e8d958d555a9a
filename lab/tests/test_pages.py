"""The lab's pages: marked examples run and print what the page shows, and the files that a page names exist."""

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest

import meds_lab
from meds_lab.rivals import rival_names, trainer_of

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


@pytest.mark.parametrize("rival", rival_names())
def test_the_page_lists_every_rival_with_its_options(rival):
    text = (LAB / "evidence" / "rivals.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{rival}` \| .* \| (.*) \|$", text, re.MULTILINE)
    assert row is not None
    kinds = inspect.signature(trainer_of(rival).func).parameters.values()
    options = {one.name: one.default for one in kinds if one.kind is inspect.Parameter.KEYWORD_ONLY}
    assert [name for name, value in options.items() if f"`{name}` ({value}" not in row[1]] == []
    assert (row[1] == "none") == (not options)
