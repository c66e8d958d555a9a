"""What `meds watch` draws: any size of terminal, nothing that moves the cursor."""

import io
import json
import os
import re

import pytest
from rich.console import Console

from meds_rl.report.live.follow import Follower
from meds_rl.report.live.terminal import chart, largest_error_line, screen, status_line, total_steps

from ..runs import RIGHT, WRONG, write_run

CURSOR = "\x1b[2J\x1b[10;10H\x07\r\n\u202eevil\x9b31m"
BATCH = [("p", CURSOR, WRONG), ("p", CURSOR, WRONG), ("p", "1", RIGHT), ("q", None, WRONG)]


def drawn(follower, width, height, colours=False):
    console = Console(file=io.StringIO(), width=width, force_terminal=colours, color_system="256" if colours else None)
    console.print(screen(follower, width, height, note="the end"))
    return console.file.getvalue()


@pytest.fixture
def follower(tmp_path):
    write_run(tmp_path, [BATCH] * 4, fields={"max_steps": 9})
    found = Follower(tmp_path)
    found.poll()
    return found


def test_everything_is_there(follower):
    text = drawn(follower, 120, 60)
    assert "step 4 of 9" in text
    assert "2 s a step · 0:10 left" in text
    assert "12 of 16 completions wrong" in text
    for words in (
        "Reward: raw",
        "Right answers",
        "Repeated errors",
        "Wrong-answer entropy",
        "Penalty",
        "the end",
    ):
        assert words in text
    assert re.search(r"question p +\[2J \[10;10H evil 31m +8 +0–3", text)
    assert re.search(r"question q +no answer +4 ", text)


@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
@pytest.mark.parametrize("height", [5, 24, 50, None])
def test_any_size(follower, width, height):
    lines = drawn(follower, width, height).splitlines()
    assert max(map(len, lines)) <= width
    if height is not None and height >= 24:
        assert len(lines) <= height


def test_hostile_text_moves_nothing(follower):
    text = drawn(follower, 100, None, colours=True)
    # Rich's own colours are all that is left of escapes.
    rest = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert not [letter for letter in rest if not letter.isprintable() and letter != "\n"]


def test_a_run_without_a_memory_has_no_empty_charts(tmp_path):
    write_run(tmp_path, [BATCH] * 2, memory=False)
    follower = Follower(tmp_path)
    follower.poll()
    text = drawn(follower, 120, None)
    assert "Penalty" not in text
    assert "Memory size" not in text
    assert "shaped" not in text


def test_a_title_with_two_figures_is_not_cut_off(tmp_path):
    write_run(tmp_path, [[("p", "1", RIGHT), ("q", "1", RIGHT)] * 2] * 2, memory=False)
    follower = Follower(tmp_path)
    follower.poll()
    text = drawn(follower, 40, None)
    assert "Right answers: pass@1 100 %, pass@4 100 % " in " ".join(text.split())  # groups of 4, by the recipe
    assert "pass@4 100 %" in text  # on one line
    assert "pass@4 100 %" in status_line(follower)
    (tmp_path / "recipe.yaml").unlink()
    follower = Follower(tmp_path)
    follower.poll()
    assert "pass@2 100 %" in drawn(follower, 40, None)  # by the rollouts


def test_a_line_for_a_log(follower):
    line = status_line(follower)
    assert line.startswith("step 4/9, reward 0.25, shaped ")
    assert line.endswith("2 s a step, 0:10 left")
    assert "\n" not in line


def test_a_line_is_of_one_step_though_the_next_batch_is_there(tmp_path):
    right, wrong = [("p", "1", RIGHT)] * 2, [("p", "2", WRONG)] * 2
    write_run(tmp_path, [wrong, right + wrong, right], memory=False)
    follower = Follower(tmp_path)
    follower.poll()
    rewards = [re.search(r"reward ([\d.]+)", status_line(follower, step)).group(1) for step in (1, 2, 3)]
    assert rewards == ["0", "0.5", "1"]


def test_a_run_that_writes_nothing_any_more_may_have_been_stopped(follower):
    long_ago = follower.folder.metrics_path.stat().st_mtime - 1000
    for path in (follower.folder.metrics_path, *follower.folder.rollouts_path.iterdir()):
        os.utime(path, (long_ago, long_ago))
    again = Follower(follower.folder.path)
    again.poll()
    assert "nothing new for 16:" in status_line(again)
    assert "stopped?" in drawn(again, 120, None)


def test_an_error_that_came_once(tmp_path):
    write_run(tmp_path, [[("p", "2", WRONG), ("p", "1", RIGHT)]], memory=False)
    follower = Follower(tmp_path)
    follower.poll()
    (error,) = follower.largest_errors(3)
    assert largest_error_line(follower, error) == "once “2” to “question p”, steps 0 to 0"


def test_nothing_yet(tmp_path):
    assert "step 0" in drawn(Follower(tmp_path), 80, 24)


def test_steps_of_a_run_by_epochs(tmp_path):
    run = write_run(tmp_path, [BATCH], fields={"max_steps": -1, "num_train_epochs": 3.0}, metrics=False)
    follower = Follower(tmp_path)
    follower.poll()
    assert total_steps(follower) is None
    run.metrics_path.write_text(json.dumps({"step": 5, "epoch": 0.5}) + "\n")
    follower.poll()
    assert total_steps(follower) == 30


@pytest.mark.parametrize("points", [{0: 1.0}, {0: 0.0, 1: 0.0}, {5: 1e300, 9: -1e300}, {0: 1e-12, 10_000: 2e-12}])
def test_a_chart_of_any_values(points):
    lines = chart([points], 40, 8).plain.splitlines()
    assert len(lines) <= 8
    assert max(map(len, lines)) <= 40
