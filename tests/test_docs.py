"""The pages say what the code does: fields and columns are named, links lead somewhere, examples run, commands parse.

An example runs if `<!-- run -->` is on the line before its ```python block: in a namespace of its own, in an empty
folder. A ```text block that follows directly is what it prints.
"""

import argparse
import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from trl import GRPOConfig

import meds_rl
from meds_rl.cli.main import COMMANDS
from meds_rl.engines.settings import METHODS
from meds_rl.engines.trl import MEDSConfig
from meds_rl.rollouts import ROLLOUT_COLUMNS
from meds_rl.shaping import Reason, RewardShaper
from meds_rl.tasks.code import code_task
from meds_rl.tasks.mathematics import math_task
from meds_rl.tasks.pocket import pocket_task
from meds_rl.tasks.reasoning_gym import reasoning_gym_task
from meds_rl.train.recipe import RunArguments, field_names

ROOT = Path(__file__).parents[1]
NOT_OURS = {"node_modules", "build", "dist", "runs"}  # and everything that begins with a dot
RUN = re.compile(r"^<!-- run -->\n```python\n(.*?)^```\n(?:```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href|srcset)=\"([^\"\s]+)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pages() -> Iterator[Path]:
    for folder, subfolders, names in os.walk(ROOT):
        if "pyvenv.cfg" in names:  # a user's virtual environment in the clone
            subfolders.clear()
            continue
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name not in NOT_OURS]
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(".md"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PAGES = sorted(pages())
GUIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(path.read_text("utf-8")) if language in languages]


# ---- how long they are ----


def test_the_readme_is_short():
    text = page("README.md")
    assert len(text.split()) <= 900
    assert len(text.splitlines()) <= 110


def test_the_pages_are_short():
    words = {path.name: len(path.read_text("utf-8").split()) for path in (ROOT / "docs").glob("*.md")}
    assert sum(words.values()) <= 16_900, words


def test_every_page_is_on_the_map():
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"({path.name})" not in page("docs/README.md")] == [
        "README.md"
    ]


# ---- what must be named ----


def table_cells(text: str, name: str) -> list[str]:
    """The cells of the table row that begins with `name` in backticks."""
    rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1, f"{len(rows)} table rows begin with `{name}`"
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", rows[0])[1:-1]]


def shown_default(field: Any) -> str:
    if field.name == "task":
        return "none, must be given"
    value = field.default_factory() if field.default is MISSING else field.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


TRLS = {field.name for field in fields(GRPOConfig)}


@pytest.mark.parametrize("name", [field.name for field in fields(MEDSConfig) if field.name not in TRLS])
def test_every_field_of_ours_is_among_the_settings(name: str):
    assert f"`{name}`" in page("docs/settings.md")


@pytest.mark.parametrize("field", fields(RunArguments), ids=lambda field: field.name)
def test_every_field_of_a_recipe_is_described_with_its_default(field: Any):
    cells = table_cells(page("docs/start-trl.md"), field.name)
    assert cells[1] == shown_default(field)
    assert all(cells)


@pytest.mark.parametrize(
    ("task", "function", "num_given"),
    [
        ("pocket", pocket_task, 0),
        ("reasoning_gym:<dataset>", reasoning_gym_task, 1),
        ("math", math_task, 0),
        ("code", code_task, 0),
    ],
)
def test_every_option_of_a_task_is_described(task: str, function: Callable[..., Any], num_given: int):
    options = table_cells(page("docs/start-trl.md"), task)[1]
    for parameter in list(inspect.signature(function).parameters.values())[num_given:]:
        shown = f"`{parameter.name}`"
        if isinstance(parameter.default, int):
            shown += f" {parameter.default}"
        assert shown in options


def test_our_environment_variables_are_described():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    names = set(re.findall(r"\"(MEDS_[A-Z_]+)\"", sources))
    assert [name for name in names if f"`{name}`" not in page("docs/start-trl.md")] == []


@pytest.mark.parametrize("column", ROLLOUT_COLUMNS)
def test_every_column_of_the_rollouts_is_in_the_design(column: str):
    assert table_cells(page("docs/design.md"), column)[1] == ROLLOUT_COLUMNS[column][0]


def test_every_reason_is_in_the_design():
    assert all(f"`{reason.value}`" in page("docs/design.md") for reason in Reason)


def test_methods_and_options_are_in_the_method():
    text = page("docs/method.md")
    options = set(inspect.signature(RewardShaper).parameters) - {"memory", "penalty"}
    assert [name for name in [*METHODS, *sorted(options)] if f"`{name}`" not in text] == []


def test_the_citation_names_this_version():
    citation = yaml.safe_load(page("CITATION.cff"))
    project = re.search(r'^version = "(.+)"$', page("pyproject.toml"), re.MULTILINE)
    assert project is not None
    assert citation["version"] == project[1] == meds_rl.__version__
    assert citation["references"][0]["url"] in page("README.md")


def test_the_forms_for_issues_ask_for_versions():
    for form in ("bug", "rollouts"):
        asked = yaml.safe_load(page(f".github/ISSUE_TEMPLATE/{form}.yml"))["body"]
        assert "`meds --version`" in asked[-1]["attributes"]["description"]


# ---- links ----


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def dead_links(path: Path) -> list[str]:
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    dead = []
    for link in ("".join(groups) for groups in LINK.findall(text)):
        if re.match(r"[a-z][a-z+.-]*:|//", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        file = (path.parent / target) if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_link_is_dead(path: Path):
    assert dead_links(path) == []


def test_the_search_for_dead_links_finds_them(tmp_path: Path):
    (tmp_path / "there.md").write_text("# One thing, `two`\n# Twice\n# Twice\n", encoding="utf-8")
    (tmp_path / "page.md").write_text(
        "[a](there.md#one-thing-two) [b](there.md#twice-1) [c](https://x.y/z) [d](#here) `[e](no.md)` ![f](no.svg)\n"
        '```\n[g](no.md)\n```\n# Here\n[h](gone.md "title") [i](there.md#nowhere) <img src="no.png"> [j](#gone)\n',
        encoding="utf-8",
    )
    assert dead_links(tmp_path / "page.md") == ["no.svg", "gone.md", "there.md#nowhere", "no.png", "#gone"]


# ---- commands ----


def commands(path: Path, program: str) -> list[list[str]]:
    """The words after `program` in each line of the page's shell blocks that begins with it, without comments."""
    lines = "".join(blocks(path, "bash", "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("path", GUIDE, ids=name_of)
def test_every_command_parses(path: Path):
    for name, *arguments in commands(path, "meds"):
        parser = argparse.ArgumentParser(name)
        COMMANDS[name][0].add_arguments(parser)
        _, rest = parser.parse_known_args(arguments)  # ends with SystemExit for a value that is not allowed
        fields_given = {word.lstrip("-").partition("=")[0] for word in rest if word.startswith("--")}
        assert name == "train" or not rest, rest
        assert fields_given <= set(field_names()), fields_given


@pytest.mark.parametrize("path", GUIDE, ids=name_of)
def test_every_make_target_exists(path: Path):
    targets = set(re.findall(r"^([\w-]+):", page("Makefile"), re.MULTILINE))
    assert {word for words in commands(path, "make") for word in words} <= targets
    assert set(re.findall(r"`make ([\w-]+)`", path.read_text("utf-8"))) <= targets


# ---- examples ----


def examples() -> Iterator[Any]:
    for path in GUIDE:
        text = path.read_text(encoding="utf-8")
        for match in RUN.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            yield pytest.param(path, line, match[1], match[2], id=f"{name_of(path)}:{line}")


@pytest.mark.parametrize(("path", "line", "source", "output"), list(examples()))
def test_examples_run_and_print_what_the_page_says(path, line, source, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # The blank lines make a traceback show the page's own line numbers.
        exec(compile("\n" * (line - 1) + source, str(path), "exec"), {"__name__": "example"})
    if output is not None:
        assert printed.getvalue().strip() == output.strip()


@pytest.mark.parametrize("path", GUIDE, ids=name_of)
def test_examples_that_do_not_run_name_what_exists(path: Path):
    """They are Python, and what they import from us is there."""
    for source in blocks(path, "python"):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("meds_rl"):
                module = importlib.import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_every_mark_is_before_a_python_block():
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        marks = re.findall(r"^<!-- run -->$", text, re.MULTILINE)
        assert len(marks) == len(RUN.findall(text)), path
