"""Hostile completions, answers, prompts and names through the page in Chromium, the pictures and the terminal."""

import contextlib
import functools
import io
import json
import re
import resource
import signal
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from meds_rl import RewardShaper
from meds_rl.cli import main
from meds_rl.cli.watch import watch_live
from meds_rl.report.data import report_data
from meds_rl.report.drawing import html
from meds_rl.report.drawing.pictures import write_pictures
from meds_rl.report.live.follow import Follower
from meds_rl.rollouts import RunFolder
from meds_rl.rollouts.samples import samples_table, write_samples

from .campaign import run_trials
from .texts import hostile_text

pytestmark = pytest.mark.hostile

REPORTS = 10
WIDTHS = {"light": 390, "dark": 1280}
"""Of the window, which nothing may exceed."""
VISIT_SECONDS = 120
"""Bound for a page, with all that is opened in it."""
PROMPTS, BATCHES = 5, 5
"""Of a run: 50 completions, two a prompt and batch."""


def write_runs(place: Path, seed: int) -> list[Path]:
    """Two runs of one task and seed, 50 hostile completions each; every text in them is hostile."""
    rng = np.random.default_rng(seed)

    def some(count, large=0.0):
        return [hostile_text(rng, large=large) for _ in range(count)]

    prompts = {
        f"{number}{text[:300]}": asked
        for number, (text, asked) in enumerate(zip(some(PROMPTS), some(PROMPTS, 0.05), strict=True))
    }
    if seed % 3 == 1:
        prompts = {name: json.dumps([{"role": "user", "content": asked}]) for name, asked in prompts.items()}
    model, task, groups, gold = hostile_text(rng), hostile_text(rng), some(2), some(PROMPTS)
    methods = ("dapo", "meds") if seed % 2 else (f"dapo, {hostile_text(rng)}", *some(1, 0.1))
    paths = []
    for number, method in enumerate(methods):
        run = RunFolder(place / (hostile_text(rng).replace("\0", "").replace("/", "∕")[:60] + str(number)))
        fields = {"method": method, "seed": 0, "task": task, "model_name_or_path": model, "max_steps": BATCHES}
        fields |= {"num_generations": 2, "meds_alpha": 0.1, "meds_beta": 0.2, "preset": hostile_text(rng)}
        fields |= {"temperature": some(1, 0.1)[0], "run_name": some(1, 0.1)[0], hostile_text(rng): hostile_text(rng)}
        _write_recipe(run.path, fields)
        _write_batches(run, rng, prompts, some, with_memory=number == 1, with_outcomes=seed % 4 < 2)
        for name in ("before", "after"):
            _write_evaluation(run, name, rng, prompts, groups, gold, some)
        paths.append(run.path)
    return paths


def _write_recipe(path, fields):
    path.mkdir(parents=True)
    head = "# The resolved recipe: every field, as it was used. What the user gave:\n"
    given = "".join(f"#   {line}\n" for line in yaml.safe_dump(fields).splitlines())
    (path / "recipe.yaml").write_text(head + given + yaml.safe_dump(fields), encoding="utf-8", newline="")


def _write_batches(run, rng, prompts, some, *, with_memory, with_outcomes):
    shaper = RewardShaper(all_wrong="shape")
    pool, strategies, outcomes = [None, *some(8), *some(2, 0.5)], [None, *some(3, 0.05)], some(4, 0.05)
    directions = rng.normal(size=(len(pool), 4))
    directions[0] = np.nan
    names = list(prompts)
    for number in range(BATCHES):
        ids = [name for name in names for _ in range(2)]
        places = rng.integers(0, len(pool), len(ids))
        right = rng.random(len(ids)) < 0.1
        features = directions[places] + 0.01 * rng.normal(size=(len(ids), 4))
        n = len(ids)
        columns = {"cluster": [-4] * n, "cluster_size": [0.0] * n, "penalty": [0.0] * n, "memory_id": [-1] * n}
        columns |= {"reason": some(n) if number == 4 else ["no_memory"] * n, "shaped_reward": right.astype(float)}
        if with_memory:
            shaped = shaper.shape(right.astype(float), prompt_ids=ids, features=features, is_correct=right)
            columns |= {"cluster": shaped.clusters, "cluster_size": shaped.cluster_sizes.astype(float)}
            columns |= {"penalty": shaped.penalties, "memory_id": shaped.memory_ids, "shaped_reward": shaped.rewards}
            columns |= {"reason": shaped.reasons}
        columns |= {"step": [number] * n, "generation": [number] * n, "prompt_id": ids, "num_tokens": [10] * n}
        columns |= {
            "prompt": [prompts[name] for name in ids],
            "completion": some(n, 0.03),
            "reward": right.astype(float),
        }
        columns |= {"answer": [pool[place] for place in places], "is_correct": right, "advantage": [0.0] * n}
        columns |= {"strategy": [strategies[place] for place in rng.integers(0, 4, n)], "in_loss": [True] * n}
        if with_outcomes:
            columns |= {"outcome": [outcomes[place] for place in rng.integers(0, 4, n)]}
        run.write_rollouts(number, columns)
        row = {"step": number + 1, "reward": 0.5, "step_time": 2.0, some(1)[0]: 1.0, some(1)[0]: some(1)[0]}
        row |= {"train_runtime": 1.0} if number == BATCHES - 1 else {}
        with run.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    if with_memory:
        shaper.memory.save(run.path / "memory.safetensors")


def _write_evaluation(run, name, rng, prompts, groups, gold, some):
    answers = some(4)
    rows = [
        {
            "benchmark": groups[0],
            "group": groups[number % 2],
            "problem_id": prompt,
            "sample": sample,
            "completion": some(1)[0],
            "answer": answers[int(rng.integers(4))],
            "gold": gold[number],
            "is_correct": bool(rng.random() < 0.3),
        }
        for number, prompt in enumerate(prompts)
        for sample in range(4)
    ]
    run.evaluation_path.mkdir(parents=True, exist_ok=True)
    write_samples(run.evaluation_path / f"{name}.parquet", samples_table(rows))


VISIT = (Path(__file__).parent / "visit.js").read_text(encoding="utf-8")
READ_BACK = """(node) => [...node.childNodes].map((child) => {
  if (child.nodeType === 3 || !child.classList.contains("control-character")) return child.textContent;
  const name = child.textContent;
  if (name.startsWith("U+")) return String.fromCodePoint(parseInt(name.slice(2), 16));
  return String.fromCodePoint(name === "\\u2421" ? 0x7f : name.codePointAt(0) - 0x2400);
}).join("")"""
"""A shown text with the names of unseen characters turned back into these."""


def visit(watch, path, data, scheme, rng):
    """Open a page, and all that is in it; what is wrong."""
    seen = watch(color_scheme=scheme, viewport={"width": WIDTHS[scheme], "height": 800}, accept_downloads=True)
    page, bad = seen.page, []
    page.set_default_timeout(30_000)
    page.on("dialog", lambda dialog: (bad.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("popup", lambda _: bad.append("a window opened"))
    seen.open(path)
    title, loaded = page.title(), page.url
    if page.evaluate("document.documentElement.dataset.theme") != scheme:
        bad.append(f"not {scheme}")
    terms = [hostile_text(rng)[:200] for _ in range(5)]
    runs = page.locator("#errors .controls select").first.locator("option").count()
    for place in range(runs):
        page.locator("#errors .controls select").first.select_option(index=place)
        bad += page.evaluate(VISIT, terms)
    bad += _texts_differ(page, data)
    _draw_all(page)
    bad += page.evaluate("window.__look('all')")
    for save in page.locator(".save").all()[:4]:
        with page.expect_download() as saved:
            save.evaluate("node => node.click()")
        ElementTree.parse(saved.value.path())
    bad += [f"console: {message}" for message in seen.messages]
    bad += [f"asked for {url[:80]}" for url in seen.foreign_requests(path)]
    if page.title() != title or page.url != loaded or len(page.frames) != 1 or len(page.context.pages) != 1:
        bad.append(f"went to {page.url}, {page.title()!r}")
    page.context.close()
    return bad


@contextlib.contextmanager
def at_most(seconds):
    """Raise a TimeoutError after so many seconds: a page that computes for ever answers nothing."""

    def end(*_):
        raise TimeoutError(f"ran longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _draw_all(page):
    """Until every figure is drawn: the page draws them in idle time. `visit` bounds the time."""
    while not page.evaluate("[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('svg'))"):
        page.wait_for_timeout(50)


def _texts_differ(page, data):
    """Each completion that an open error shows, in full, against the text in the data."""
    bad = []
    texts = set(filter(None, data["completions"]["text"]))
    buttons = page.locator("#errors .inside .example button")
    for place in range(min(10, buttons.count())):
        buttons.nth(place).evaluate("node => node.click()")
        for more in page.locator("#detail button", has_text="Show all").all():
            more.evaluate("node => node.click()")
        shown = page.locator("#detail pre").nth(1).evaluate(READ_BACK)
        if shown not in texts:
            bad.append(f"a completion is shown as {shown[:80]!r}")
        page.locator("#detail button").first.evaluate("node => node.click()")
    return bad


def write_dump(path, rng):
    """Rollouts of another program: JSON can hold halves of characters."""
    names = ("prompt", "completion", "answer", "ground_truth")
    rows = [{name: hostile_text(rng, surrogates=True) for name in names} for _ in range(50)]
    for number, row in enumerate(rows):
        row.update(prompt=rows[number % 5]["prompt"], answer=rows[number % 7]["answer"], reward=number % 3 % 2)
    path.write_text("".join(json.dumps({**row, "step": number // 10}) + "\n" for number, row in enumerate(rows)))


def with_names(data):
    """A report's data in which what the library itself names has hostile names, too."""
    rng = np.random.default_rng(0)
    for of in data["maps"]:
        names = [hostile_text(rng) for _ in range(12)]
        of["cluster"] = [names[number % len(names)] for number in range(len(of["x"]))]
    for error in data["errors"]:
        error.update(name=hostile_text(rng)) if error["by"] == "cluster" else None
    data["notes"].append(hostile_text(rng))
    data["verdicts"].append(hostile_text(rng))
    return data


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The data of ten reports of two runs each: 1,000 completions."""
    place = tmp_path_factory.mktemp("hostile")
    folders = [write_runs(place / str(seed), seed) for seed in range(REPORTS)]
    return [(paths, with_names(report_data(paths, map_prompts=1))) for paths in folders]


@pytest.fixture
def one_library(monkeypatch):
    """The drawing library made once: it takes seconds, and is the same in every page."""
    monkeypatch.setattr(html, "_library", functools.cache(html._library))


def pictured(folder, data, format_):
    """Draw the figures of a report. Each must be a picture, and an SVG holds nothing that runs or loads."""
    for path in write_pictures(data, folder, format_):
        assert re.fullmatch(r"[A-Za-z0-9@._-]{1,140}", path.name)
        if format_ == "png":
            with Image.open(path) as picture:
                picture.load()
                assert max(picture.size) < 10_000, f"{path.name} has {picture.size} pixels"
            continue
        tree = ElementTree.fromstring(path.read_bytes())
        width, height = (float(tree.get(side)) for side in ("width", "height"))
        assert max(width, height) < 3_000, f"{path.name} is {width} x {height}"
        for node in tree.iter():
            name = node.tag.rpartition("}")[2]
            assert name not in ("script", "foreignObject", "a", "image", "use", "style", "iframe"), (
                f"{path.name}: <{name}>"
            )
            for key, value in node.attrib.items():
                assert not key.lower().startswith("on")
                assert not key.endswith("href")
                assert not re.search(r"url\((?!#)", value) or key == "aria-label", f"{path.name}: {key}={value}"
            words = "".join([node.text or "", node.get("aria-label", "")])
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", words)


def test_pictures(reports, tally, tmp_path):
    def trial(number):
        data = reports[number % REPORTS][1]
        pictured(tmp_path / str(number), data, "svg" if number < REPORTS else "png")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3e6, "3 GB of memory"

    count = REPORTS + 2
    # The drawing library maps far more addresses than it uses.
    mishandled = run_trials(trial, count, seconds=120, gigabytes=1000)
    tally("completions in pictures, SVG and PNG", 100 * count, mishandled, "120 s, 3 GB")


def typed(*arguments, encoding="utf-8"):
    """Run `meds` with a standard output of an encoding; its status, and what it printed, strict in that encoding."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, write_through=True) for errors in ERRORS
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    printed, said = out.buffer.getvalue().decode(encoding), err.buffer.getvalue().decode(encoding)
    for text in (printed, said.rpartition("\r")[2]):
        strange = {letter for letter in text if not letter.isprintable() and letter != "\n"}
        assert not strange, f"meds {arguments[0]} printed {strange}"
    return status, printed, said.rpartition("\r")[2]


ERRORS = ("strict", "backslashreplace")
"""Python's standard output and standard error, for what an encoding lacks."""


def shown_in_terminal(paths, folder, encoding, rng):
    """Every command that shows runs, in one encoding."""
    one, other = paths
    write_dump(folder / "dump.jsonl", rng)
    prompt = str(RunFolder(other).rollouts(["prompt_id"])["prompt_id"].iloc[0])
    commands = [
        ("report", one, other, "--output", folder / "page.html", "--map-prompts", "0"),
        ("inspect", one),
        ("inspect", other),
        ("inspect", other, f"--prompt-id={prompt}"),
        ("watch", one, "--once"),
        ("watch", other),
        ("diversity", one, other / "evaluation" / "after.parquet"),
        ("report", folder / "dump.jsonl"),
        ("inspect", folder / "dump.jsonl"),
        ("watch", folder / "dump.jsonl", "--once"),
        ("diversity", folder / "dump.jsonl"),
    ]
    for arguments in commands:
        status, printed, said = typed(*arguments, encoding=encoding)
        assert status == 0, said
        assert printed.endswith("\n")
        assert len(printed) < 200_000, f"meds {arguments[0]} printed {len(printed):,} characters"
    hostile = hostile_text(rng).replace("\0", "")
    for arguments in [
        ("inspect", other, f"--prompt-id={hostile}"),
        ("report", one, f"--baseline={hostile}"),
        ("watch", folder / f"no{hostile}"[:200], "--once"),
    ]:
        status, _, said = typed(*arguments, encoding=encoding)
        assert status == 2
        assert said.startswith(f"meds {arguments[0]}: ")
        assert "Traceback" not in said


def watched_live(path):
    """What `meds watch` leaves in a terminal, without Rich's own escapes."""
    out = Console(file=io.StringIO(), force_terminal=True, color_system="256", width=100, height=40)
    watch_live(Follower(path), out, 1.0, sleep=lambda _: None)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.file.getvalue())
    assert not [letter for letter in text if not letter.isprintable() and letter not in "\n\r"]


@pytest.mark.usefixtures("one_library")
def test_terminal(reports, campaign, tmp_path):
    def trial(number):
        (tmp_path / str(number)).mkdir()
        encoding = ("utf-8", "ascii", "latin-1", "cp1252")[number % 4]
        shown_in_terminal(reports[number][0], tmp_path / str(number), encoding, np.random.default_rng(number))
        watched_live(reports[number][0][number % 2])

    campaign("completions in the terminal", trial, REPORTS, seconds=120, gigabytes=8, each=100)


@pytest.mark.usefixtures("one_library")
def test_page(reports, watch, tally, tmp_path):
    mishandled = []
    for number, (_, data) in enumerate(reports):
        path = tmp_path / f"{number}.html"
        html.write_page(data, path)
        for scheme in ("light", "dark"):
            try:
                with at_most(VISIT_SECONDS):
                    bad = visit(watch, path, data, scheme, np.random.default_rng(number))
            except Exception as error:
                bad = [repr(error)]
            mishandled += [f"report {number}, {scheme}: {what}" for what in bad]
    tally("completions on the page, light and dark", REPORTS * 200, mishandled, f"{VISIT_SECONDS} s")
