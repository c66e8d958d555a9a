"""`meds report` and `meds watch` from the command line."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meds_rl.cli import main
from meds_rl.cli.report import default_output
from meds_rl.cli.watch import watch_lines, watch_live
from meds_rl.report.live.follow import Follower
from meds_rl.rollouts import RunFolderError
from meds_rl.rollouts.dumps import find_sources

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from runs import RIGHT, WRONG, write_batch, write_run

BATCH = [*[("p", "2", WRONG)] * 3, *[("p", "3", WRONG)] * 3, ("p", "1", RIGHT), ("p", None, WRONG)]


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs" / "demo"
    write_run(folder / "dapo", [BATCH] * 2, memory=False)
    write_run(folder / "meds", [BATCH] * 2, spread=0.02)
    return folder


def test_runs_are_found_by_path_folder_and_pattern(runs):
    both = [runs / "dapo", runs / "meds"]
    assert find_sources([str(runs)]) == both
    assert find_sources([str(runs / "m*"), str(runs)]) == both[::-1]  # each once
    assert find_sources([str(runs / "meds")]) == both[1:]
    assert find_sources([str(runs.parent / "*")]) == both
    for path in ("nowhere", "nowhere*"):
        with pytest.raises(RunFolderError, match="does not exist, and as a pattern it matches nothing"):
            find_sources([str(runs / path)])
    with pytest.raises(RunFolderError, match="is a part of the run folder"):
        find_sources([str(runs / "meds" / "rollouts")])


def test_a_run_brings_the_later_runs_in_it(tmp_path, capsys):
    out = tmp_path / "out"
    for place in (out, out / "run-2", out / "run-10"):
        write_run(place, [BATCH], memory=False, given=[])
    (out / "run-3").mkdir()
    three = [out, out / "run-2", out / "run-10"]
    assert find_sources([str(out)]) == find_sources([str(tmp_path)]) == three
    assert find_sources([str(out / "run-10")]) == three[2:]
    assert find_sources([str(out / "run-2"), str(out)]) == [three[1], three[0], three[2]]  # each once
    assert default_output(three) == out / "report.html"
    assert main(["report", str(out)]) == 0
    said = capsys.readouterr().out
    for name in ("dapo, seed 0 (out):", "dapo, seed 0 (run-2):", "dapo, seed 0 (run-10):"):
        assert name in said


def test_a_folder_of_several_runs_is_watched_where_it_was_written_last(tmp_path, capsys):
    out = tmp_path / "out"
    write_run(out, [BATCH] * 3, memory=False)
    (out / "run-2").mkdir()
    assert main(["watch", str(out), "--once"]) == 0
    assert "run-2" not in capsys.readouterr().out
    (out / "run-2" / "environment.json").write_text("{}")  # it has just begun
    assert main(["watch", str(out), "--once"]) == 0
    assert f"{out / 'run-2'}: written last of the runs in {out}." in capsys.readouterr().out
    later = time.time() + 9
    os.utime(out / "metrics.jsonl", (later, later))  # the first one is resumed
    assert main(["watch", str(out), "--once"]) == 0
    assert "run-2" not in capsys.readouterr().out


def test_where_a_report_goes(runs):
    assert default_output([runs / "meds"]) == runs / "meds" / "report.html"
    assert default_output([runs / "meds", runs / "dapo"]) == runs / "report.html"
    assert default_output([runs / "meds", runs.parent / "other" / "run"]) == runs.parent / "report.html"


def test_an_earlier_report_among_the_paths_is_skipped(runs, capsys):
    for _ in range(2):  # as a shell writes `meds report runs/demo/* --json runs/demo/data.json`
        paths = sorted(map(str, runs.iterdir()))
        assert main(["report", *paths, "--json", str(runs / "data.json")]) == 0
        assert f"Report: {runs / 'report.html'}" in capsys.readouterr().out
    assert (runs / "report.html").as_posix() in paths
    (runs / "other.html").write_text("<p>no report</p>")
    for given in (["other.html", "meds"], ["report.html"]):
        assert main(["report", *(str(runs / name) for name in given)]) == 2
        assert f"{given[0]} is no .parquet" in capsys.readouterr().err


def test_a_page_pictures_and_data(runs, capsys, tmp_path):
    figures, data = tmp_path / "figures", tmp_path / "data.json"
    options = ["--figures", str(figures), "--json", str(data), "--map-points", "5"]
    assert main(["report", str(runs), *options]) == 0
    printed = capsys.readouterr().out
    assert "The largest single error: to “question p” the policy gave the answer “2” 6 times" in printed
    assert printed.splitlines()[-1] == f"Report: {runs / 'report.html'}"
    assert json.loads(data.read_text())["schema"] == 1
    assert list(figures.glob("*.svg"))
    # Again: what is ours is replaced.
    assert main(["report", str(runs), "--json", str(data), "--map-prompts", "0"]) == 0
    assert json.loads(data.read_text())["maps"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "{runs}"], "--output must be a file"),
        (["--output", "{runs}/notes.html"], "is not a report; nothing was changed"),
        (["--json", "{runs}/notes.html"], "is no report's data; nothing was changed"),
        (["--figures", "{runs}/notes.html"], "--figures must be a folder"),
        (["--baseline", "nothing"], "--baseline must be one of: dapo; meds"),
        (["--map-points", "0"], "map_points must be 1 or more"),
        (["--seed", "-1"], "seed must be 0 to 4,294,967,295; got -1"),
        (["--output", "{runs}/x", "--json", "{runs}/x"], "--output and --json must be different"),
        (["--output", "{runs}/x", "--json", "{runs}/meds/../x"], "--output and --json must be different"),
        (["--json", "{runs}/report.html"], "--output and --json must be different"),
        (["--output", "{runs}/link", "--json", "{runs}/target"], "--output and --json must be different"),
        (["--output", "{runs}/x", "--figures", "{runs}/x"], "--output and --figures must be different"),
        (["--json", "{runs}/x", "--figures", "{runs}/x"], "--figures and --json must be different"),
        (["--output", "{runs}/x", "--json", "{runs}/x/y"], "--output is a file, and --json cannot lie in it"),
        (
            ["--output", "{runs}/x", "--figures", "{runs}/x/y"],
            "--output is a file, and --figures cannot lie in it",
        ),
        (["--json", "{runs}/notes.html/x/y"], "notes.html is a file"),
        (["--figures", "{runs}/notes.html/x"], "notes.html is a file"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(runs, capsys, options, message):
    (runs / "notes.html").write_text("mine")
    (runs / "link").symlink_to(runs / "target")
    before = sorted(runs.rglob("*"))
    assert main(["report", str(runs), *(option.format(runs=runs) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert (runs / "notes.html").read_text() == "mine"
    assert sorted(runs.rglob("*")) == before


def test_a_hostile_completion_does_not_reach_the_terminal(tmp_path, capsys):
    write_run(tmp_path, [[("p", "\x1b[2J\x07evil", WRONG), ("p", "1", RIGHT)]], memory=False)
    assert main(["report", str(tmp_path)]) == 0
    assert "\x1b[2J" not in capsys.readouterr().out


def test_page_and_data_may_lie_among_the_pictures(runs, tmp_path):
    folder = tmp_path / "figures"
    given = ["--output", f"{folder}/page.html", "--json", f"{folder}/data.json", "--figures", str(folder)]
    assert main(["report", str(runs / "dapo"), *given]) == 0
    assert {"page.html", "data.json"} < {path.name for path in folder.iterdir()}


def test_escapes_in_paths_do_not_reach_the_terminal(tmp_path, capsys):
    run = tmp_path / "r\x1b[31m\x07\n"
    write_run(run, [BATCH], memory=False)
    data, figures = tmp_path / "d\x1b[2J.json", tmp_path / "f\x9b2J"
    assert main(["report", str(run), "--json", str(data), "--figures", str(figures)]) == 0
    for command in (
        ["report", str(tmp_path / "no\x1b[2J")],
        ["watch", str(run / "no\x1b[2J"), "--once"],
        ["watch", str(run / "recipe.yaml")],
        ["report", str(run), "--json", str(run / "recipe.yaml")],
    ):
        assert main(command) == 2
    assert main(["watch", str(run), "--once"]) == 0
    from meds_rl.cli.tables import console

    watch_lines(Follower(tmp_path / "no\x1b[2J"), console(), 1.0, sleep=interrupt)
    printed = "".join(capsys.readouterr())
    assert "Waiting for" in printed
    assert not [letter for letter in printed if not letter.isprintable() and letter not in "\n\r"]  # a bar returns


def test_a_folder_whose_name_is_no_utf8(tmp_path, capsys):
    try:
        write_run(tmp_path / os.fsdecode(b"b\xff"), [BATCH], memory=False)
    except OSError:
        pytest.skip("this file system takes no such names")
    given = [
        "--json",
        str(tmp_path / os.fsdecode(b"d\xff.json")),
        "--figures",
        str(tmp_path / os.fsdecode(b"f\xff")),
    ]
    assert main(["report", os.fsdecode(bytes(tmp_path / os.fsdecode(b"b\xff"))), *given]) == 0
    assert "b\\udcff" in capsys.readouterr().out


def interrupt(_):
    raise KeyboardInterrupt


def log(path, *lines):
    with (path / "metrics.jsonl").open("a") as file:
        file.write("".join(line + "\n" for line in lines))


def test_watch_once(runs, capsys):
    assert main(["watch", str(runs / "meds"), "--once"]) == 0
    printed = capsys.readouterr().out
    assert "step 2 of 2" in printed
    assert "question p" in printed
    assert main(["watch", str(runs / "nowhere"), "--once"]) == 2
    for every in ("0", "-1", "inf", "nan", "1e10"):
        assert main(["watch", str(runs / "meds"), "--every", every]) == 2
        assert "--every must be above 0 and at most 86,400" in capsys.readouterr().err
    assert main(["watch", str(runs / "meds" / "recipe.yaml")]) == 2


def test_watch_without_a_terminal_prints_a_line_a_step_and_ends_with_the_run(tmp_path, capsys):
    path = tmp_path / "later"
    events = [
        lambda: path.mkdir(),
        lambda: write_run(path, [BATCH], memory=False, fields={"max_steps": 2}),
        lambda: None,
        lambda: write_batch(Follower(path).folder, 1, BATCH, None),
        lambda: log(path, '{"step": 2}', '{"step": 2, "train_runtime": 5.0}'),
    ]
    later = iter(events)
    from meds_rl.cli.tables import console

    watch_lines(Follower(path), console(), 1.0, sleep=lambda _: next(later)())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("there is no such folder yet …")
    assert [line.partition(",")[0] for line in lines[1:3]] == ["step 1/2", "step 2/2"]
    assert "ended after 0:05" in lines[2]
    assert lines[3].startswith("6 times “2” to “question p”")


def test_a_damaged_last_batch_neither_keeps_watch_busy_nor_hides_what_is_new(tmp_path, capsys):
    from meds_rl.cli.tables import console

    write_run(tmp_path, [BATCH] * 2, memory=False)
    (tmp_path / "rollouts" / "generation-000001.parquet").write_bytes(b"PAR1")
    sleeps = []

    def sleep(seconds):
        sleeps.append(seconds)
        if len(sleeps) == 3:
            log(tmp_path, '{"step": 2, "train_runtime": 5.0}')

    watch_lines(Follower(tmp_path), console(), 1.0, sleep=sleep)
    lines = capsys.readouterr().out.splitlines()
    assert len(sleeps) == 3
    assert [line.partition(",")[0] for line in lines[:2]] == ["step 2/2", "step 2/2"]
    assert "ended after 0:05" in lines[1]


def test_watch_live_draws_anew_when_the_size_changes_and_leaves_the_last_figures(tmp_path):
    import io

    from rich.console import Console

    write_run(tmp_path, [BATCH], memory=False)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    sizes = iter([60, 60, 30])

    def sleep(_):
        console.width = next(sizes, 100)
        if console.width == 100:
            log(tmp_path, '{"step": 1, "train_runtime": 5.0}')

    watch_live(Follower(tmp_path), console, 1.0, sleep=sleep)
    text = console.file.getvalue()
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1  # another screen, and back
    last = text.rpartition("\x1b[?1049l")[2]
    assert "ended after 0:05" in last
    assert "question p" in last


def test_watch_is_left_with_ctrl_c(tmp_path):
    import io

    from rich.console import Console

    write_run(tmp_path, [BATCH], memory=False)

    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30)
    watch_live(Follower(tmp_path), console, 1.0, sleep=interrupt)
    assert "question p" in console.file.getvalue().rpartition("\x1b[?1049l")[2]
    plain = Console(file=io.StringIO(), width=80)
    watch_lines(Follower(tmp_path), plain, 1.0, sleep=interrupt)
    assert "6 times" not in plain.file.getvalue().splitlines()[0]


@pytest.mark.parametrize(
    ("missing", "command"),
    [("plotext", ["watch", "--once"]), ("vl_convert", ["report"]), ("pandas", ["report"])],
)
def test_a_missing_extra_is_named_with_the_command(runs, missing, command):
    # In a process of its own: modules imported twice would not be those that other tests have hold of.
    code = f"import sys; sys.modules[{missing!r}] = None; from meds_rl.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", code, command[0], str(runs / "meds"), *command[1:]]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "meds-rl[report]"' in done.stderr
