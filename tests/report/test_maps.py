"""Which prompts get a map, and which points."""

import numpy as np

from meds_rl.report.maps import maps
from meds_rl.report.source import read_run

from .runs import RIGHT, WRONG, write_run


def wrong(prompt, count):
    return [(prompt, str(number % 3), WRONG) for number in range(count)] + [(prompt, "r", RIGHT)]


def test_the_prompts_with_most_errors(tmp_path):
    write_run(tmp_path, [wrong("a", 6) + wrong("b", 8) + wrong("c", 4)], spread=0.05)
    run = read_run(tmp_path)
    found = maps([run], 10, 100, seed=0)
    # c has too few points.
    assert [(drawn.prompt_id, drawn.num_wrong) for drawn in found] == [("b", 8), ("a", 6)]
    shown = found[0].to_dict()
    assert len(shown["x"]) == len(shown["y"]) == len(shown["cluster"]) == len(shown["answer"]) == 8
    assert set(shown["answer"]) == {"0", "1", "2"}
    assert "shown" not in shown["help"]
    assert [drawn.prompt_id for drawn in maps([run], 1, 100, seed=0)] == ["b"]
    assert maps([run], 0, 100, seed=0) == []


def test_more_points_than_wanted_are_drawn_with_the_seed(tmp_path):
    write_run(tmp_path, [wrong("a", 30)], spread=0.05)
    run = read_run(tmp_path)
    first, again, other = (maps([run], 1, 10, seed=seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)
    drawn = first.to_dict()
    assert (drawn["num_points"], drawn["num_wrong"]) == (10, 30)
    assert "30" not in drawn["help"]  # the page says it


def test_several_runs_share_the_maps_and_show_the_same_prompts(tmp_path):
    write_run(tmp_path / "1", [wrong("a", 6) + wrong("b", 20)], spread=0.05)
    write_run(tmp_path / "2", [wrong("a", 12) + wrong("b", 6)], spread=0.05)
    write_run(tmp_path / "3", [wrong("a", 12)], memory=False)
    runs = [read_run(tmp_path / name, number) for number, name in enumerate("123")]
    assert [(drawn.run.id, drawn.prompt_id) for drawn in maps(runs, 2, 50, seed=0)] == [(0, "b"), (1, "b")]
