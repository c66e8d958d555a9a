"""The page in headless Chromium: hover, click, search, keys; nothing of a completion runs, nothing is loaded."""

import base64
import gzip
import json
import re
from pathlib import Path

import pytest

from meds_rl.report.drawing.html import page, refuse_foreign, write_page

from .made_up import HOSTILE, SCRIPT, made_up_report

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(made_up_report(num_runs=4), path)
    return path


def scroll_through(page):
    """To the end and until every figure is drawn: they are drawn when they come into view."""
    for _ in range(40):
        charts = page.locator(".chart")
        waiting = [number for number in range(charts.count()) if not charts.nth(number).locator("svg").count()]
        if not waiting:
            return
        charts.nth(waiting[0]).scroll_into_view_if_needed()
        page.wait_for_timeout(100)


def choose_run(page, name):
    page.select_option("#errors .controls select", label=name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_whole_quiet_and_alone(report, watch, scheme):
    seen = watch(color_scheme=scheme).open(report)
    scroll_through(seen.page)
    assert seen.page.locator(".chart svg").count() == seen.page.locator(".chart").count() > 8
    assert seen.messages == []
    assert seen.foreign_requests(report) == []
    assert seen.page.evaluate("document.documentElement.dataset.theme") == scheme


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_nothing_sticks_out_on_any_width(report, watch, width):
    page = watch(viewport={"width": width, "height": 800}).open(report).page
    page.locator("#errors .open").first.click()
    page.locator("#ways .unfold").first.click()
    scroll_through(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = "e.closest('svg, .scroll, pre, .visually-hidden, thead')"
    outside = page.evaluate(
        f"[...document.querySelectorAll('.card *')].filter(e => !{inside} &&"
        " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName)"
    )
    assert outside == []


def test_no_script_of_a_completion_runs_and_all_of_it_is_text(report, watch):
    seen = watch().open(report)
    page = seen.page
    choose_run(page, "meds, seed 0")
    for number in range(6):  # the first six errors have a hostile completion each as their first example
        page.locator("#errors .open").nth(number).click()
    scroll_through(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.locator("script:not([type])").count() == 2
    shown = page.locator("#errors").inner_text()
    assert SCRIPT in shown
    assert "closes everything </script></pre></dialog><h1>Hacked</h1> --> ]]> ${window.hacked = true} {{7*7}}" in shown
    assert page.locator("h1").count() == 1
    assert seen.messages == []


def test_what_cannot_be_seen_has_a_name_and_turns_nothing_around(report, watch):
    page = watch().open(report).page
    choose_run(page, "meds, seed 0")
    for number in (2, 3):
        page.locator("#errors .open").nth(number).click()
    shown = page.locator("#errors").inner_text()
    for name in ("␇", "␛", "␀", "␈", "U+0085", "U+202E", "U+202C", "U+200B"):
        assert name in shown
    text = page.locator("#errors").evaluate("node => node.textContent")
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", text)
    assert "שלום" in text


def test_a_run_with_a_hostile_name_has_a_plain_title_and_is_no_wider_than_a_phone(watch, tmp_path):
    data = made_up_report(num_runs=2)
    for run in data["runs"]:
        run.update(name=f"\x1b\u202e{'x' * 300} {run['name']}", variant=f"\u202e{run['variant']}")
    data["completions"]["text"][0] = "a\U0001bca0b\U0001d173c"
    write_page(data, tmp_path / "named.html")
    seen = watch(viewport={"width": 390, "height": 800}).open(tmp_path / "named.html")
    scroll_through(seen.page)
    assert seen.page.title().isprintable()
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
    assert "\u202e" not in seen.page.locator("body").evaluate("node => node.outerHTML")
    seen.page.locator("#errors .open").first.click()
    assert "aU+1BCA0bU+1D173c" in seen.page.locator("#errors").inner_text()


def test_a_megabyte_line_opens_in_full_when_asked(report, watch):
    page = watch().open(report).page
    choose_run(page, "meds, seed 0")
    page.locator("#errors .open").nth(4).click()
    page.locator("#errors .inside .example").first.get_by_role("button", name="Open in full").click()
    dialog = page.locator("#detail")
    assert "END" not in dialog.inner_text()
    dialog.get_by_role("button", name=re.compile("Show all 1,000,009 characters")).click()
    assert len(dialog.locator("pre").nth(1).evaluate("node => node.textContent")) >= len(HOSTILE[4])
    assert dialog.evaluate("node => node.scrollWidth <= node.clientWidth")


def test_search_finds_in_prompts_answers_and_completions_and_says_how_many(report, watch):
    page = watch().open(report).page
    search, status = page.locator("#search"), page.locator("#errors [role=status]")
    assert status.inner_text().startswith("25 of 60 errors; 3 smaller ones")
    page.keyboard.press("/")
    page.keyboard.type("what is 3")
    assert search.input_value() == "what is 3"
    assert status.inner_text().startswith("12 of 12 errors")
    assert page.locator("#errors tr.row mark").first.inner_text() == "what is 3"
    search.fill("makes 33")  # said by a completion only
    assert status.inner_text().startswith("1 of 1 error with")
    search.fill("no such thing <b>")
    assert status.inner_text().startswith("0 of 0 errors with “no such thing <b>”")
    search.fill("")
    page.get_by_role("button", name="Show more").click()
    assert status.inner_text().startswith("50 of 60 errors")


def test_columns_sort_both_ways_by_mouse_and_key(report, watch):
    page = watch().open(report).page

    def sizes():
        return [
            int(text.replace(",", "")) for text in page.locator("#errors tr.row td[data-label=times]").all_inner_texts()
        ]

    assert sizes() == sorted(sizes(), reverse=True)
    page.locator("th button[data-sort=size]").click()
    assert sizes() == sorted(sizes())
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Times made")
    page.keyboard.press("Enter")  # the focus stayed on the button
    assert sizes() == sorted(sizes(), reverse=True)
    page.locator("th button[data-sort=born]").focus()
    page.keyboard.press("Enter")
    born = [int(text.split("–")[0]) for text in page.locator("#errors tr.row td[data-label=steps]").all_inner_texts()]
    assert born == sorted(born, reverse=True)


def test_errors_by_cluster_or_by_answer(report, watch):
    page = watch().open(report).page
    choose_run(page, "meds, seed 0")
    assert "cluster 0" not in page.locator("#errors tr.row").first.inner_text()
    page.get_by_role("button", name="By cluster").click()
    assert "cluster 0" in page.locator("#errors tr.row").first.inner_text()
    assert page.get_by_role("button", name="By cluster").get_attribute("aria-pressed") == "true"


def test_errors_that_now_grow(report, watch):
    page = watch().open(report).page
    page.get_by_label("Now", exact=True).select_option("growing")
    assert page.locator("#errors [role=status]").inner_text().startswith("15 of 15 errors, now growing")
    assert set(page.locator("#errors td.state").all_inner_texts()) == {"growing"}
    page.get_by_label("Now", exact=True).select_option("all")
    page.locator("th button[data-sort=state]").click()
    states = page.locator("#errors td.state").all_inner_texts()
    assert states == sorted(states, key=["growing", "steady", "fading", "died out"].index)


def point(page):
    """The middle of a point of the map."""
    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_selector("#map .chart svg .mark-symbol path")
    box = page.locator("#map .chart svg g.mark-symbol.role-mark path").nth(7).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def hover(page, place):
    """Move to what `place` gives until the tooltip is there: figures that are drawn late still move the page."""
    tooltip = page.locator("#tooltip")
    for _ in range(50):
        x, y = place()
        page.mouse.move(x, y)
        page.wait_for_timeout(100)
        if tooltip.is_visible():
            break
    tooltip.wait_for(state="visible", timeout=1000)
    return x, y


def test_hover_shows_a_completion_and_a_click_opens_it_with_its_penalty_and_why(report, watch):
    seen = watch().open(report)
    page = seen.page
    x, y = hover(page, lambda: point(page))
    tooltip = page.locator("#tooltip")
    hovered = tooltip.inner_text()
    assert "times 3 makes" in hovered or any(text[:20] in hovered for text in HOSTILE)
    assert "penalty" in hovered
    page.mouse.click(x, y)
    dialog = page.locator("#detail[open]")
    dialog.wait_for()
    assert "taken away" in dialog.locator(".why").inner_text()
    assert "Penalty" in dialog.locator("dl").inner_text()
    assert not tooltip.is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#detail[open]").count() == 0
    assert seen.messages == []


def chosen_point(page):
    """Where the ring is, and where the point is that it should be on: the one whose answer is read beside the map."""
    ring = page.locator("#map .ring").bounding_box()
    middle = ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2
    marks = page.locator("#map .chart svg g.mark-symbol.role-mark path")
    boxes = [marks.nth(number).bounding_box() for number in range(marks.count())]
    distances = [
        max(abs(b["x"] + b["width"] / 2 - middle[0]), abs(b["y"] + b["height"] / 2 - middle[1])) for b in boxes
    ]
    return min(distances)


def ring_is_on_a_point(page):
    """Within five seconds: figures that are drawn late still move the page."""
    for _ in range(50):
        if chosen_point(page) < 1.5:
            break
        page.wait_for_timeout(100)
    return chosen_point(page) < 1.5


def test_the_ring_is_on_its_point_also_when_the_window_changes(report, watch):
    page = watch().open(report).page
    point(page)
    page.locator("#map .stage").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        assert ring_is_on_a_point(page)
    page.set_viewport_size({"width": 1000, "height": 900})
    page.wait_for_timeout(500)
    assert ring_is_on_a_point(page)


def test_hovering_a_line_names_its_run_and_what_it_is(report, watch):
    seen = watch().open(report)
    card = seen.page.locator("[data-figure=course-reward]")
    card.scroll_into_view_if_needed()
    card.locator("svg").wait_for()

    def middle():
        card.locator("svg").scroll_into_view_if_needed()
        box = card.locator("svg").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + 0.6 * box["height"]

    hover(seen.page, middle)
    tooltip = seen.page.locator("#tooltip")
    words = tooltip.inner_text().split("\n")
    assert words[1] in ("dapo, seed 0", "meds, seed 0", "dapo, seed 1", "meds, seed 1")
    assert words[3] in ("raw", "shaped")
    assert "undefined" not in words
    assert seen.messages == []


def test_all_figures_are_drawn_for_printing(report, watch):
    page = watch().open(report).page
    page.wait_for_timeout(3000)  # never scrolled
    assert page.locator(".chart svg").count() == page.locator(".chart").count()


def test_a_narrow_window_sorts_by_a_list(report, watch):
    page = watch(viewport={"width": 390, "height": 800}).open(report).page
    assert not page.locator("th button[data-sort=size]").is_visible()
    page.get_by_label("Sort by").select_option("size up")
    sizes = [int(text) for text in page.locator("#errors tr.row td[data-label=times]").all_inner_texts()]
    assert sizes == sorted(sizes)


NAMES = ("constructor", "toString", "__proto__", "hasOwnProperty", "null", "", " ", "a'b\\\"c", "datum.x")


def test_names_that_every_object_has_are_names_like_others(watch, tmp_path):
    data = made_up_report(num_runs=2)
    for of in data["maps"]:
        of["answer"] = [NAMES[number % len(NAMES)] for number in range(len(of["x"]))]
        of["cluster"] = ["in no cluster"] * len(of["x"])
    for way, name in zip(data["ways"], NAMES, strict=False):
        way["name"] = name
    for run, name in zip(data["runs"], NAMES, strict=False):
        run["variant"] = name
    write_page(data, tmp_path / "names.html")
    seen = watch().open(tmp_path / "names.html")
    scroll_through(seen.page)
    seen.page.locator("#map").get_by_role("button", name="Answer", exact=True).click()
    seen.page.wait_for_timeout(400)
    assert seen.page.locator("#map .chart svg g.mark-symbol.role-mark path").count() >= 100
    assert seen.messages == []


def test_no_character_is_cut_in_two(watch, tmp_path):
    data = made_up_report(num_runs=1)
    text = "x" * 19_999 + "\U0001f642" + "y" * 100 + "\U000e0041\u3164\u2764\ufe0f"
    data["completions"]["text"][0] = text
    write_page(data, tmp_path / "emoji.html")
    page = watch().open(tmp_path / "emoji.html").page
    page.locator("#errors .open").first.click()
    page.locator("#errors .inside .example").first.get_by_role("button", name="Open in full").click()
    page.locator("#detail").get_by_role("button", name=re.compile("Show all")).click()
    shown = page.locator("#detail pre").nth(1)
    assert shown.evaluate("node => node.textContent") == "x" * 19_999 + "\U0001f642" + "y" * 100 + (
        "U+E0041U+3164\u2764\ufe0f"
    )
    assert page.evaluate("document.activeElement.tagName") == "PRE"


def test_the_map_by_keyboard_alone(report, watch):
    page = watch().open(report).page
    page.locator("#map .stage").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#map .reading").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#map .reading").inner_text() != first
    page.keyboard.press("ArrowDown")
    assert page.locator("#map .reading h3").inner_text().split(",")[0] != first.split(",")[0]
    page.keyboard.press("Enter")
    assert page.locator("#detail[open]").count() == 1
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("Enter")
    assert page.locator("#detail[open]").count() == 0
    assert page.evaluate("document.activeElement.className") == "stage"


def test_the_map_has_one_legend_that_tells_what_is_grey(report, watch):
    page = watch().open(report).page
    point(page)
    entries = page.locator("#map .chart svg g.role-legend-label text").all_text_contents()
    assert sorted(entries) == ["cluster 0", "cluster 1", "cluster 2", "in no cluster"]
    grey = page.locator("#map .chart svg g.mark-symbol.role-legend-symbol path").nth(entries.index("in no cluster"))
    assert grey.get_attribute("fill") == "#8a857d"


@pytest.mark.parametrize("by", ["Answer", "Step", "Cluster"])
def test_the_map_changes_its_colours(report, watch, by):
    seen = watch().open(report)
    point(seen.page)
    seen.page.locator("#map").get_by_role("button", name=by, exact=True).click()
    seen.page.wait_for_timeout(400)
    legend = seen.page.locator("#map .chart svg").inner_html()
    assert {"Answer": "all others", "Step": "step", "Cluster": "in no cluster"}[by] in legend
    assert seen.messages == []


def test_everything_is_reached_with_the_tab_key(report, watch):
    page = watch().open(report).page
    reached = set()
    for _ in range(220):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(e => e.id || e.dataset.sort || e.className || e.textContent.slice(0, 20))(document.activeElement)"
            )
        )
    for name in ("theme", "search", "size", "born", "open", "stage", "save"):
        assert name in reached, sorted(reached)


def test_the_theme_follows_the_system_until_it_is_chosen(report, watch):
    seen = watch(color_scheme="dark").open(report)
    page, theme = seen.page, "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.emulate_media(color_scheme="light")
    page.wait_for_selector("html[data-theme=light]")
    page.locator("#theme").click()  # auto -> light -> dark
    page.locator("#theme").click()
    assert page.evaluate(theme) == "dark"
    page.emulate_media(color_scheme="dark")
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(200)
    assert page.evaluate(theme) == "dark"
    assert seen.messages == []


def test_text_stands_out_from_its_background(report, watch):
    script = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
    for scheme in ("light", "dark"):
        page = watch(color_scheme=scheme).open(report).page
        page.locator("#errors .open").first.click()
        assert page.evaluate(script) == [], scheme


def test_a_figure_is_saved_as_svg(report, watch):
    page = watch(accept_downloads=True).open(report).page
    card = page.locator("[data-figure=course-reward]")
    card.scroll_into_view_if_needed()
    card.locator("svg").wait_for()
    with page.expect_download() as download:
        card.locator(".save").click()
    assert download.value.suggested_filename == "course-reward.svg"
    assert Path(download.value.path()).read_text(encoding="utf-8").startswith("<svg")


def test_one_run_without_memory_map_or_comparison(watch, tmp_path):
    data = made_up_report(num_runs=1)
    write_page(data, tmp_path / "one.html")
    seen = watch().open(tmp_path / "one.html")
    scroll_through(seen.page)
    assert seen.page.locator("h1").inner_text().replace("\n", " ") == "What the policy keeps getting wrong"
    assert seen.page.locator("nav a").all_inner_texts() == [
        "Summary",
        "Would a memory help?",
        "Errors",
        "Course of training",
        "Evaluations",
    ]
    assert seen.messages == []


def test_errors_of_several_runs_side_by_side(report, watch):
    page = watch().open(report).page
    rows = page.locator("#side-by-side tr")
    assert rows.nth(0).inner_text().split("\t") == ["Error", "dapo (mean of 2 runs)", "meds (mean of 2 runs)"]
    assert rows.nth(3).locator("td").all_inner_texts() == [
        "no answer",
        "40\u00a0%\n50\u00a0% → 10\u00a0%",
        "12\u00a0%\n20\u00a0% → –",
    ]
    assert SCRIPT[:20] in rows.nth(2).inner_text()


def test_whether_a_memory_would_help(report, watch):
    seen = watch(viewport={"width": 390, "height": 800}).open(report)
    card = seen.page.locator("#outlook article").first
    assert card.locator(".said").inner_text().startswith("Stuck: 31\u00a0% of the prompts <script>")
    shown = card.inner_text().replace("\u00a0", " ")
    for words in ("all wrong 50 %", "mixed 40 %", "none 25 %", "may still be up to 3.0 %", "31 % of 48", "80 %"):
        assert words in shown
    card.locator("summary").click()
    assert card.locator("tbody tr").count() == 4
    assert seen.page.evaluate("window.hacked") is None
    assert seen.messages == []


def test_a_click_anywhere_on_a_row_opens_and_closes_it(report, watch):
    page = watch().open(report).page
    for is_open in ("true", "false"):
        page.locator("#errors tr.row td.number").first.click()
        assert page.locator("#errors .open").first.get_attribute("aria-expanded") == is_open


def test_a_way_opens_and_its_prompts_lead_to_their_errors(report, watch):
    seen = watch().open(report)
    page = seen.page
    way = page.locator("#ways li").first
    assert "what it means <script>" in way.locator(".meaning").inner_text()
    assert "␛[31mU+202E" in way.locator(".meaning").inner_text()
    way.locator("button.unfold").click()
    assert way.locator(".example").count() == 3
    assert way.locator(".example .asked").nth(1).inner_text() == "what is 1 + 1 * 3?"
    way.locator("button.link").nth(1).click()
    status = page.locator("#errors [role=status]")
    assert status.inner_text().startswith("12 of 12 errors")  # 60 errors of 5 prompts
    assert "Only the errors of “what is 1 + 1 * 3?”" in page.locator("#errors .only").inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Show all prompts"
    page.keyboard.press("Enter")
    assert status.inner_text().startswith("25 of 60 errors")
    assert seen.messages == []


def test_ways_are_in_the_colour_of_their_run(report, watch):
    page = watch().open(report).page
    for run, colour in (("dapo, seed 0", "rgb(0, 114, 178)"), ("meds, seed 0", "rgb(213, 94, 0)")):
        choose_run(page, run)
        bar = page.locator("#ways .bar i").first
        assert bar.evaluate("node => getComputedStyle(node).backgroundColor") == colour


STEPS = "a+b=x, x*c=y, y+d=z"


def test_ways_by_steps_beside_strategies_the_right_way_and_a_note(watch, tmp_path):
    data = made_up_report(num_runs=1)
    steps = {**data["ways"][0], "by": "steps", "name": STEPS, "meaning": "", "examples": [], "prompt_ids": []}
    data["ways"] = [{**data["ways"][0], "is_right": True}, steps]
    write_page(data, tmp_path / "ways.html")
    seen = watch(viewport={"width": 360, "height": 800}).open(tmp_path / "ways.html")
    ways = seen.page.locator("#ways")
    assert "left_to_right (the right strategy; the answer is wrong)" in ways.locator("li").inner_text()
    assert "why <script>" in ways.inner_text()
    ways.get_by_role("button", name="By steps").click()
    steps_shown = ways.locator(".name.steps span")
    assert steps_shown.all_inner_texts() == ["a+b=x,", "x*c=y,", "y+d=z"]
    heights = steps_shown.evaluate_all("nodes => nodes.map(node => node.getBoundingClientRect().height)")
    assert len(set(heights)) == 1, "no step is broken over two lines"
    assert "What a way is" in ways.inner_text()  # the help that explains the letters
    assert seen.page.locator("[data-figure=ways-steps-0]").count() == 1
    assert seen.messages == []


def test_why_a_run_has_no_ways(watch, tmp_path):
    data = made_up_report(num_runs=1)
    data["ways"] = []
    write_page(data, tmp_path / "none.html")
    assert watch().open(tmp_path / "none.html").page.locator("#no-ways").inner_text() == f"why {SCRIPT}"


def test_the_current_section_is_seen_in_a_phones_navigation(report, watch):
    page = watch(viewport={"width": 390, "height": 800}).open(report).page
    scroll_through(page)
    page.evaluate("document.getElementById('comparison').scrollIntoView({behavior: 'instant'})")
    # Not wait_for_function, which evaluates a string if it has to wait; the page's policy forbids that.
    current = page.locator("nav a[aria-current]", has_text="Comparison")
    current.wait_for()
    page.wait_for_timeout(400)
    box = current.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert "more-left" in (page.locator("nav").get_attribute("class") or "")


def test_answers_that_were_not_found_are_said_first_and_working_opens(watch, tmp_path):
    data = made_up_report(num_runs=1)
    for error in data["errors"]:
        error.update(by="working", kind="working", name=f"a+b=x {SCRIPT}")
    lead = "The most repeated error is one way of working: 7 of 9"
    data["headlines"] = [
        {"run": 0, "text": f"{lead}, as in “{SCRIPT}”: 7 + 1 = 8, 8 * 5 = 40.", "lead": len(lead), "is_warning": False},
        {"run": 0, "text": f"Answers were not found {SCRIPT}: --answer-pattern.", "lead": 0, "is_warning": True},
    ]
    data["ways"][0].update(by="steps", name="a+b=x", written="7 + 1 = 8")
    data["outlooks"][0].update(errors_known=False, seen_before=None, commonest=None, live_errors=None)
    data["outlooks"][0]["right"].update(none_completions=3, none_rate_at_most=None)
    write_page(data, tmp_path / "unknown.html")
    seen = watch(viewport={"width": 390, "height": 800}).open(tmp_path / "unknown.html")
    page = seen.page
    card = page.locator("#summary article")
    assert card.locator(".warning, .said").first.inner_text() == f"Answers were not found {SCRIPT}: --answer-pattern."
    rest = card.locator(".said.first .rest").inner_text()
    assert rest.replace("\u00a0", " ") == f", as in “{SCRIPT}”: 7 + 1 = 8, 8 * 5 = 40."
    assert "8\u00a0*\u00a05\u00a0=\u00a040" in rest, "no step is broken over two lines"
    weights = [card.locator(name).evaluate("e => getComputedStyle(e).fontWeight") for name in (".first", ".rest")]
    assert weights == ["600", "400"]
    assert "By answer" not in page.locator("#errors").inner_text()
    assert page.locator("#errors tr.row").count() > 0
    assert "7\u00a0+\u00a01\u00a0=\u00a08" in page.locator("#ways li .meaning").first.inner_text()
    shown = page.locator("#outlook").inner_text()
    assert "earlier batch" not in shown
    assert "still allows a rate" not in shown
    assert page.evaluate("window.hacked") is None
    assert seen.messages == []


def test_an_evaluation_of_another_program_says_so(watch, tmp_path):
    data = made_up_report(num_runs=1)
    data["runs"][0].update(is_dump=True, is_evaluation=True, has_memory=False)
    write_page(data, tmp_path / "page.html")
    page = watch().open(tmp_path / "page.html").page
    assert page.locator("#summary h3").inner_text().endswith(" (evaluation)")
    assert page.locator("#summary .lead").inner_text().startswith("Wrong completions of evaluations, grouped by error")
    lead = page.locator("#course .lead").inner_text()
    assert lead == "Rollouts of other programs keep the steps that these count."  # there are no seeds
    assert page.locator("#evaluations .lead").inner_text() == "Samples of each problem."


def test_evaluations_without_steps_have_no_words_for_training(watch, tmp_path):
    data = made_up_report(num_runs=2)
    for run in data["runs"]:
        run.update(is_dump=True, is_evaluation=True, has_memory=False, stretches=[0], num_steps=0, max_steps=None)
    values = data["evaluations"]["values"]
    first = [place for place, step in enumerate(values["step"]) if step == 0]
    data["evaluations"]["values"] = {name: [column[place] for place in first] for name, column in values.items()}
    data["outlooks"] = []
    write_page(data, tmp_path / "page.html")
    seen = watch().open(tmp_path / "page.html")
    assert "how often each was made" in seen.page.locator("#summary .lead").inner_text()
    assert "steps" not in seen.page.locator("#summary .figures dt").all_inner_texts()
    chart = seen.page.locator("#evaluations .card").first
    chart.scroll_into_view_if_needed()
    chart.locator("svg.marks, canvas").wait_for()
    assert "step" not in chart.inner_text()
    assert seen.messages == []


def test_a_single_batch_has_no_course(watch, tmp_path):
    data = made_up_report(num_runs=1)
    data["runs"][0].update(stretches=[0], num_steps=1)
    for table in data["errors"], data["ways"]:
        for row in table:
            row["course"] = [row.get("size", 1)]
    first = [place for place, step in enumerate(data["course"]["values"]["step"]) if step == 0]
    data["course"]["values"] = {name: [column[p] for p in first] for name, column in data["course"]["values"].items()}
    write_page(data, tmp_path / "one-batch.html")
    seen = watch().open(tmp_path / "one-batch.html")
    assert "Course of training" not in seen.page.locator("nav a").all_inner_texts()
    assert [text.split(" ")[0] for text in seen.page.locator("#errors th").all_inner_texts()] == [
        "Error",
        "Times",
        "Of",
    ]
    seen.page.locator("#errors tr.row .open").first.click()
    assert seen.page.locator("#errors .spark").count() == 0
    assert seen.messages == []


def test_a_run_with_nothing_in_it(watch, tmp_path):
    data = made_up_report(num_runs=1)
    empty = {"errors": [], "ways": [], "maps": [], "headlines": [], "prompts": [], "differences": None}
    empty |= {"verdicts": [], "outlooks": [], "ways_note": {}}
    columns = {name: [] for name in data["completions"]}
    data.update(empty, completions=columns)
    for course in ("course", "evaluations"):
        data[course] = {"panels": [], "values": {name: [] for name in data[course]["values"]}}
    write_page(data, tmp_path / "empty.html")
    seen = watch().open(tmp_path / "empty.html")
    assert seen.page.locator("nav a").all_inner_texts() == ["Summary"]
    assert seen.messages == []


def test_a_damaged_page_says_so(report, watch, tmp_path):
    text = report.read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    (tmp_path / "damaged.html").write_text(
        text[: start + 400] + text[text.index("</script>", start) :], encoding="utf-8"
    )
    seen = watch()
    seen.page.goto((tmp_path / "damaged.html").as_uri())
    seen.page.get_by_text("The report cannot be shown").wait_for()


def test_the_data_in_the_page_is_the_data_given(report):
    found = re.search(r'id="data">([A-Za-z0-9+/=]*)</script>', report.read_text(encoding="utf-8"))
    assert found is not None
    data = json.loads(gzip.decompress(base64.b64decode(found.group(1))))
    assert data["completions"] == made_up_report(num_runs=4)["completions"]


def test_the_same_data_gives_the_same_page():
    data = made_up_report(num_runs=2)
    assert page(data) == page(data)


def test_a_report_is_replaced_and_nothing_else_is(tmp_path):
    data = made_up_report(num_runs=1)
    write_page(data, tmp_path / "report.html")
    write_page(data, tmp_path / "report.html")
    (tmp_path / "thesis.html").write_text("<p>my thesis</p>")
    with pytest.raises(FileExistsError, match="is not a report; nothing was changed"):
        write_page(data, tmp_path / "thesis.html")
    with pytest.raises(FileExistsError, match="is not a report"):
        refuse_foreign(tmp_path)
    assert (tmp_path / "thesis.html").read_text() == "<p>my thesis</p>"
