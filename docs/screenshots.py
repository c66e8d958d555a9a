"""Takes the pictures of the report in docs/images: of the demo's report, in headless Chromium.

make demo && make screenshots
python docs/screenshots.py runs/demo/report.html
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
LAPTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    report = parser.parse_args().report.resolve()
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])

        def opened(scheme: Any, viewport: Any) -> Any:
            page = browser.new_page(color_scheme=scheme, viewport=viewport, offline=True)
            page.goto(report.as_uri())
            page.wait_for_selector("html[data-ready]")
            return page

        page = opened("light", LAPTOP)
        save(page, "report-light")
        save_section(page, "errors", "report-errors")
        choose_point(page)
        save_section(page, "map", "report-map")
        page = opened("dark", LAPTOP)
        save(page, "report-dark")
        page = opened("light", PHONE)
        show_section(page, "errors")
        save(page, "report-narrow")
        browser.close()


def choose_point(page: Any) -> None:
    """A point of the map by keyboard, so that its completion is read beside it."""
    show_section(page, "map")
    page.locator("#map .stage").focus()
    page.keyboard.press("ArrowRight")


def save_section(page: Any, section: str, name: str) -> None:
    show_section(page, section)
    save(page, name)


def show_section(page: Any, section: str) -> None:
    page.evaluate("id => document.getElementById(id).scrollIntoView({behavior: 'instant'})", section)
    page.wait_for_timeout(800)  # figures are drawn as they come into view


def save(page: Any, name: str) -> None:
    page.wait_for_timeout(400)
    page.screenshot(path=IMAGES / f"{name}.png")
    print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
