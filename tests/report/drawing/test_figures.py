"""The specifications: what they hold, that Vega-Lite compiles each of them, and the pictures made of them."""

import json
import re

import pytest

from meds_rl.report.drawing.errors import error_figures, map_spec, map_values, ways_figures
from meds_rl.report.drawing.figure import CATEGORIES, FAINT, INK, MUTED, PAPER, coloured, config
from meds_rl.report.drawing.forest import difference_figures
from meds_rl.report.drawing.lines import bin_means, course_figures
from meds_rl.report.drawing.pictures import all_figures, write_pictures
from meds_rl.report.text import drawable

from .made_up import SCRIPT, made_up_report


@pytest.fixture(scope="module")
def data():
    return made_up_report(num_runs=4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's ratio of two colours "#rrggbb"."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Brettel, Vienot and Mollon (1997) in the one-matrix form of Vienot et al. (1999), on linear RGB.
BLINDNESS = {
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, -0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, -0.0], [-0.02234, 0.02234, 1.0]],
}


def seen(colour: str, blindness: str | None) -> list[float]:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    if blindness is not None:
        linear = [sum(a * b for a, b in zip(row, linear, strict=True)) for row in BLINDNESS[blindness]]
    return [max(c, 0.0) ** (1 / 2.2) for c in linear]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out_from_the_page(scheme):
    for colour in CATEGORIES[scheme]:
        assert contrast(colour, PAPER[scheme]) >= 3, colour
    for colour in (INK[scheme], FAINT[scheme]):
        assert contrast(colour, PAPER[scheme]) >= 4.5, colour
    assert contrast(MUTED, PAPER[scheme]) >= 3


@pytest.mark.parametrize("blindness", [None, "protanopia", "deuteranopia"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_four_colours_differ_for_colour_blind_readers(scheme, blindness):
    first = [seen(colour, blindness) for colour in CATEGORIES[scheme][:4]]
    for number, one in enumerate(first):
        for other in first[number + 1 :]:
            assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.12


def test_every_figure_compiles(data):
    vl_convert = pytest.importorskip("vl_convert")
    drawn = all_figures(data)
    names = [figure.name for figure in drawn]
    assert len(names) == len(set(names)) > 20
    for figure in drawn:
        assert figure.values, figure.name
        compiled = vl_convert.vegalite_to_vega(figure.whole(config("light")))
        assert compiled["marks"], figure.name
        json.dumps(figure.to_dict(), allow_nan=False)


def test_a_course_leaves_out_what_is_not_known_and_keeps_the_lines_apart(data):
    reward = next(figure for figure in course_figures(data) if figure.name == "course-reward")
    assert {row["line"] for row in reward.values} == {"raw", "shaped"}
    assert {row["variant"] for row in reward.values} == {"dapo", "meds"}
    assert len(reward.values) == 4 * 2 * 39  # 4 runs, 2 lines, 40 steps of which one has no value
    assert reward.spec["encoding"]["color"]["scale"]["domain"] == ["dapo", "meds"]
    assert [layer["mark"].get("opacity") for layer in reward.spec["layer"]] == [
        0.28,
        None,
        None,
    ]  # two seeds and a mean


def test_strips_are_one_row_an_error_the_largest_first(data):
    strips = next(figure for figure in error_figures(data) if figure.name == "errors-answer-1")
    domain = strips.spec["encoding"]["y"]["scale"]["domain"]
    assert len(domain) == 24
    assert domain[1] == "2. what is 1 + 1 * 3? = 1"
    first = [row for row in strips.values if row["error"] == domain[1]]
    error = [e for e in data["errors"] if e["run"] == 1 and e["by"] == "answer"][1]
    assert sum(row["count"] for row in first) == sum(error["course"])
    assert all(row["next"] - row["step"] == 2 for row in first)  # 20 stretches of 40 steps


def test_a_strip_shows_in_what_its_prompt_differs_from_others(data):
    for number, prompt in enumerate(data["prompts"]):
        prompt["text"] = f"In how many ways can a committee of {number} people be chosen from 10 people?"
    strips = next(figure for figure in error_figures(data) if figure.name == "errors-answer-1")
    names = [name.partition(". ")[2] for name in strips.spec["encoding"]["y"]["scale"]["domain"][:5]]
    assert {name.partition(" = ")[0] for name in names} == {f"…{n} people be chosen from 10 pe…" for n in range(5)}


def test_ways_are_shares_of_their_stretch(data):
    course = [sum(counts) for counts in zip(*(w["course"] for w in data["ways"] if w["run"] == 0), strict=True)]
    runs = [{**run, "wrong_course": course} for run in data["runs"]]
    ways = ways_figures({**data, "runs": runs})[0]
    by_step: dict[float, float] = {}
    for row in ways.values:
        by_step[row["step"]] = by_step.get(row["step"], 0) + row["share"]
    assert all(total == pytest.approx(1) for total in by_step.values())
    assert {row["way"] for row in ways.values} == {"left_to_right", SCRIPT}


def test_a_map_has_a_colour_for_the_commonest_and_none_for_noise(data):
    of = data["maps"][0]
    values = map_values(of)
    assert len({row["answer"] for row in values}) == 10  # eight, "no answer", "other"
    spec = map_spec(values, "cluster")
    scale = spec["encoding"]["color"]["scale"]
    assert sorted(scale["domain"][:3]) == ["cluster 0", "cluster 1", "cluster 2"]
    assert scale["domain"][3:] == ["in no cluster"]
    assert scale["range"] == ["@0", "@1", "@2", MUTED]
    assert coloured(spec, CATEGORIES["dark"])["encoding"]["color"]["scale"]["range"][0] == CATEGORIES["dark"][0]
    assert [row["completion"] for row in values] == of["completion"]


def test_differences_keep_the_colours_of_the_course(data):
    forest = difference_figures(data)[0]
    encoding = forest.spec["layer"][1]["encoding"]
    assert encoding["color"]["scale"]["domain"] == ["dapo", "meds"]
    assert [row["group"] for row in forest.values] == ["train hard", "test hard"]


def test_long_lines_are_averaged():
    rows = [{"run": "a", "step": step, "value": float(step % 2)} for step in range(1000)]
    short = bin_means(rows, ["run"], 10)
    assert [row["step"] for row in short] == [49.5 + 100 * place for place in range(10)]
    assert {row["value"] for row in short} == {0.5}
    assert bin_means(rows[:10], ["run"], 10) == rows[:10]
    with pytest.raises(ValueError, match="at least 1; got 0"):
        bin_means(rows, ["run"], 0)


@pytest.mark.long
@pytest.mark.parametrize(("format_", "magic"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_pictures(data, tmp_path, format_, magic):
    pytest.importorskip("vl_convert")
    few = {**data, "maps": data["maps"][:1], "errors": [], "ways": data["ways"][:2], "course": data["course"]}
    paths = write_pictures(few, tmp_path / "figures", format_)
    assert {path.name for path in paths} | {"figures.json"} == {path.name for path in (tmp_path / "figures").iterdir()}
    assert f"course-reward.{format_}" in {path.name for path in paths}
    for path in paths:
        assert re.fullmatch(r"[A-Za-z0-9@._-]+", path.name)
        assert path.read_bytes().startswith(magic)
    if format_ == "svg":
        ways = (tmp_path / "figures" / "ways-strategy-0.svg").read_text(encoding="utf-8")
        assert "<script" not in ways
        assert "&lt;script&gt;" in ways


def test_characters_that_xml_cannot_hold_stop_no_picture(data, tmp_path):
    pytest.importorskip("vl_convert")
    ways = [{**data["ways"][0], "name": "6\x0c\x00\ufffe\udc00"}]
    few = {**data, "maps": [], "errors": [], "ways": ways, "evaluations": None, "differences": None}
    (path,) = [path for path in write_pictures(few, tmp_path, "svg") if path.name.startswith("ways")]
    assert "6\ufffd" in path.read_text(encoding="utf-8")


def test_a_label_shortened_within_an_emoji_stops_no_picture(data, tmp_path):
    pytest.importorskip("vl_convert")
    ways = [{**data["ways"][0], "name": "\U0001f642" * 60}]
    few = {**data, "maps": [], "errors": [], "ways": ways, "evaluations": None, "differences": None}
    (path,) = [path for path in write_pictures(few, tmp_path, "svg") if path.name.startswith("ways")]
    assert "\ufffd\ufffd" in path.read_text(encoding="utf-8")


def test_labels_that_turn_text_around_or_hide_it_are_not_drawn(data):
    ways = [{**data["ways"][0], "name": "a\u202eb\u2066\x9b\U000e0041 \u0645\u06cc\u200c\u0631"}]
    (drawn,) = [drawable(figure.to_dict()) for figure in ways_figures({**data, "ways": ways})]
    label = "a\ufffdb\ufffd\ufffd\ufffd \u0645\u06cc\u200c\u0631"  # U+200C joins Persian letters
    assert drawn["spec"]["encoding"]["color"]["scale"]["domain"] == [label]
    assert {row["way"] for row in drawn["values"]} == {label}


def test_pictures_replace_pictures_and_nothing_else(data, tmp_path):
    pytest.importorskip("vl_convert")
    few = {**data, "maps": [], "errors": [], "ways": [], "evaluations": None, "differences": None}
    first = write_pictures(few, tmp_path, "svg")
    assert write_pictures(few, tmp_path, "svg") == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "course-pass.svg").write_text("mine")
    with pytest.raises(FileExistsError, match=r"course-pass\.svg exists and is no picture of a report"):
        write_pictures(few, tmp_path / "mine", "svg")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["course-pass.svg"]
    assert (tmp_path / "mine" / "course-pass.svg").read_text() == "mine"


def test_ways_are_shares_of_all_that_was_wrong_not_of_those_listed(data):
    listed = [way for way in data["ways"] if way["run"] == 0][:1]
    runs = [{**run, "wrong_course": [10 * count for count in listed[0]["course"]]} for run in data["runs"]]
    ways = ways_figures({**data, "runs": runs, "ways": listed})[0]
    assert {row["share"] for row in ways.values} == {0.1}


def test_pictures_of_another_format_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="svg or png; got 'gif'"):
        write_pictures(data, tmp_path / "figures", "gif")
    assert not (tmp_path / "figures").exists()
