"""The page in a real browser: headless Chromium. Skipped where there is none ('apt-get install chromium')."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from bench.cli import main
from bench.store import Store
from reports import figures
from reports.estimates import estimate
from reports.html.colors import DARK, LIGHT
from reports.table import MetricInfo
from tests.reports.html import pages
from tests.reports.html.test_page import NASTY, stored_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: 'apt-get install chromium'"),
]
GRID = ["--task", "toy", "--pruner", "random,magnitude,sap", "--grid", "0.5,0.9", "--seeds", "0-1"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 800}
PATIENCE = 180_000
"""Milliseconds: a machine may be busy."""
ACCURACY = MetricInfo("accuracy", True, True)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Cells that were really computed, and beside them written ones with what those lack: failures, samples."""
    folder = tmp_path_factory.mktemp("browser") / "results"
    place = ["--data", "sample", "--threads", "1", "--device", "cpu", "--set", "sap.iterations=3"]
    assert main(["run", *GRID, *place, "--out", str(folder)]) == 0
    return pages.rich(folder)


@pytest.fixture(scope="module")
def lines(store: Store) -> dict[str, dict[str, str]]:
    return pages.comma_separated(store)


@pytest.fixture(scope="module")
def file(store: Store, tmp_path_factory) -> Path:
    written = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", str(store.root), "--format", "html", "--output", str(written)]) == 0
    return written


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # A sandbox is not to be had by root; the page is our own.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


def opened(context: BrowserContext, file: Path) -> SimpleNamespace:
    """A tab with the file, and what it asked for or complained about."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    seen = SimpleNamespace(page=page, requests=[], said=[], dialogs=[])
    page.on("request", lambda request: seen.requests.append((request.url, request)))
    page.on("console", lambda message: seen.said.append((message.type, message.text)))
    page.on("pageerror", lambda error: seen.said.append(("error", str(error))))
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    return seen


@pytest.fixture
def tab(browser: Browser, file: Path) -> Iterator[SimpleNamespace]:
    """A tab of the report; whatever a test does, nothing is loaded and nothing goes wrong."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    seen = opened(context, file)
    yield seen
    assert [url for url, _ in seen.requests] == [file.as_uri()]
    assert seen.said == seen.dialogs == []
    context.close()


def section(page: Page, task: str) -> Locator:
    return page.locator("section.task").filter(has=page.locator("h2", has_text=task)).first


def column(table: Locator, number: int) -> list[str]:
    """Texts of a column of the rows that are seen."""
    # Their content, not what is drawn: sections out of sight are not.
    cells = table.locator(f"tbody > tr:not([hidden]) > :nth-child({number})")
    return [text.strip() for text in cells.all_text_contents()]


def values(table: Locator, number: int) -> list[float]:
    cells = table.locator(f"tbody > tr:not([hidden]) > :nth-child({number})").all()
    return [float(value) for cell in cells if (value := cell.get_attribute("data-v"))]


def test_the_policy_stops_what_would_be_loaded_or_run(tab):
    stopped = tab.page.evaluate(
        """async () => {
            const found = [];
            document.addEventListener("securitypolicyviolation", (event) => found.push(event.violatedDirective));
            const image = new Image();
            image.src = "https://example.org/x.png";
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(image, script);
            const fetched = await fetch("https://example.org/").then(() => "fetched", () => "refused");
            await new Promise((done) => setTimeout(done, 100));
            return [found.sort(), window.ran === true, fetched];
        }"""
    )
    assert stopped == [["connect-src", "img-src", "script-src-elem"], False, "refused"]
    # What was refused is told and counted as asked for, and went no further.
    assert [request.failure for _, request in tab.requests[1:]] == ["csp"]
    del tab.said[:], tab.requests[1:]


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_column_sorts_up_down_and_back(tab, by):
    table = section(tab.page, "Classification of toy news").locator("> .scroll > table")
    titles = table.locator("thead th")
    names = titles.all_text_contents()
    number = next(i for i, name in enumerate(names) if name.startswith("accuracy")) + 1
    heading = titles.nth(number - 1)
    button = heading.get_by_role("button")
    before, order = column(table, 1), []
    for state in ("ascending", "descending", None):
        if by == "mouse":
            button.click()
        else:
            button.focus()
            tab.page.keyboard.press("Enter" if state == "ascending" else "Space")
        assert heading.get_attribute("aria-sort") == state
        order.append(values(table, number))
    assert order[0] == sorted(order[0]) and len(order[0]) > 4
    assert order[1] == order[0][::-1]
    assert column(table, 1) == before
    # What has no value comes last, whichever way.
    button.click()
    assert column(table, number)[-1] == "failed"
    button.click()
    assert column(table, number)[-1] == "failed"
    texts = titles.nth(0).get_by_role("button")
    texts.click()
    assert column(table, 1) == sorted(column(table, 1))
    assert heading.get_attribute("aria-sort") is None


def test_filters_leave_the_chosen_rows_lines_and_the_dense_reference(tab):
    page = tab.page
    page.get_by_label("magnitude", exact=True).uncheck()
    table = section(page, "Toy clouds").locator("> .scroll > table")
    left = set(column(table, 1))
    assert left == {"dense", "random", "sap (iterations=3)", "nearest corner"}
    chart = section(page, "Toy clouds").locator("svg.chart").first
    number = page.locator("label.chip", has_text="magnitude").locator("input").get_attribute("value")
    assert chart.locator(f'g[data-p="{number}"]').first.is_hidden()
    assert chart.locator("g.marks:not([hidden])").count() == 2
    assert page.locator(".legend li", has_text="magnitude").first.is_hidden()
    summary = page.locator("section[aria-labelledby=safe] table").first
    assert "magnitude" not in column(summary, 3) and "random" in column(summary, 3)
    page.get_by_label("Task").select_option("toy")
    assert [h.inner_text() for h in page.locator("section.task:not([hidden]) > h2").all()] == ["toy · Toy clouds"]
    assert set(column(summary, 2)) == {"toy (sample)"}
    rows = table.locator("tbody > tr:not([hidden])").count()
    assert re.fullmatch(rf"{rows} of \d+ rows shown", page.get_by_role("status").inner_text())
    page.get_by_role("button", name="none", exact=True).click()
    assert set(column(table, 1)) == {"dense", "nearest corner"}
    page.get_by_role("button", name="all", exact=True).click()
    page.get_by_label("Task").select_option("")
    assert page.get_by_role("status").inner_text() == ""
    assert not page.locator("tbody > tr[hidden]").count()


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_row_opens_its_cells_and_focus_comes_back(tab, lines, by):
    page = tab.page
    button = section(page, "Toy clouds").get_by_role("button", name="magnitude").nth(1)
    if by == "mouse":
        button.click()
    else:
        button.focus()
        page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).inner_text() == "magnitude at 0.9 · toy"
    assert page.evaluate("document.activeElement.id") == "cell-name"
    shown = {}
    for row in dialog.get_by_role("group", name="Cells by seed").locator("tbody tr").all():
        name, *cells = [text.strip() for text in row.locator("> *").all_inner_texts()]
        shown[name] = cells
    keys = dialog.locator("code[title]").all()
    behind = [lines[key.get_attribute("title")] for key in keys]
    assert len(behind) == 2
    for name, field in (("accuracy", "metric:accuracy"), ("loss", "metric:loss"), ("sparsity", "sparsity"),
                        ("FLOPs", "flops"), ("bytes, compressed", "compressed_bytes")):  # fmt: skip
        assert list(map(float, shown[name])) == [float(line[field]) for line in behind]
    command = dialog.locator("pre").inner_text()
    assert shlex.split(command)[:6] == ["bench", "run", "--task", "toy", "--pruner", "magnitude"]
    assert command.endswith("--seeds 0")
    dialog.get_by_label("Details of").select_option("seed 1")
    assert dialog.locator("pre").inner_text().endswith("--seeds 1")
    densities = dialog.get_by_role("group", name="Layers").locator("tbody tr > :nth-child(5)").all_inner_texts()
    assert len(densities) == 3 and all(0 <= float(text) <= 1 for text in densities)
    assert dialog.get_by_text("Provenance").count() == 1
    if by == "mouse":
        dialog.get_by_role("button", name="Close").click()
    else:
        page.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert button.evaluate("button => button === document.activeElement")


def test_a_failed_cell_tells_why_and_samples_are_read(tab):
    page = tab.page
    section(page, "Classification of toy news").get_by_role("button", name="grasp").nth(1).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Details of").select_option("seed 2, failed")
    assert "Failed: the loss became NaN at step 7 (Train), see logs/toy.txt" in dialog.inner_text()
    assert "unknown task 'toy-news'" in dialog.inner_text()
    page.keyboard.press("Escape")
    section(page, "toy-translation").get_by_role("button", name="magnitude").first.click()
    assert "The first 5 of 8." in dialog.inner_text()
    for text in (*pages.TRANSLATIONS[1], *pages.TRANSLATIONS[5]):
        assert text in dialog.inner_text()
    assert pages.TRANSLATIONS[6][0] not in dialog.inner_text()


def test_the_command_can_be_copied(tab):
    page = tab.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    section(page, "Toy clouds").get_by_role("button", name="random").first.click()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("dialog pre").inner_text()


def said_by(point: Locator, lines: dict[str, dict[str, str]], data: dict) -> str:
    """What a point of the leading metric has to say, by the CSV."""
    row = data["rows"][int(point.get_attribute("data-r"))]
    behind = [float(lines[cell["key"]]["metric:accuracy"]) for cell in row["cells"]]
    return f"accuracy {figures.metric(estimate(behind), ACCURACY)} %"


def test_points_tell_their_values_under_the_pointer_and_by_keyboard(tab, lines):
    page = tab.page
    data = json.loads(page.locator("#cells").text_content())
    chart = section(page, "Toy clouds").locator("svg.chart").first
    points = chart.locator(".pt")
    tip = page.locator("#tip")
    chart.scroll_into_view_if_needed()
    assert tip.is_hidden()
    for number in range(points.count()):
        points.nth(number).dispatch_event("focusin")
        assert said_by(points.nth(number), lines, data) in tip.inner_text()
    where = points.nth(0).bounding_box()
    page.mouse.move(where["x"] + where["width"] / 2 + 3, where["y"] + where["height"] / 2)
    tip.wait_for(state="visible")
    assert tip.inner_text().startswith("magnitude at 0.5: ")
    assert said_by(points.nth(0), lines, data) in tip.inner_text()
    page.mouse.move(1, 1)
    tip.wait_for(state="hidden")
    # One stop of the Tab key, then arrows.
    assert points.evaluate_all("all => all.filter((one) => one.tabIndex === 0).length") == 1
    points.nth(0).focus()
    said = [tip.inner_text()]
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "End", "Home", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
        said.append(tip.inner_text())
    starts = [text.split(": ")[0] for text in said]
    assert starts == ["magnitude at 0.5", "magnitude at 0.9", "magnitude at 0.9", "random at 0.9", "random at 0.9",
                      "random at 0.5", "magnitude at 0.5", "magnitude at 0.5"]  # fmt: skip
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == said[-1]
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog").get_by_role("heading", level=2).inner_text() == "magnitude at 0.5 · toy"
    page.keyboard.press("Escape")
    at = points.nth(0).bounding_box()
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    assert page.get_by_role("dialog").get_by_role("heading", level=2).inner_text() == "magnitude at 0.5 · toy"


def test_without_javascript_everything_can_be_read(browser, file, store):
    context = browser.new_context(java_script_enabled=False, viewport=WIDE)
    seen = opened(context, file)
    page = seen.page
    assert page.get_by_text("need JavaScript").is_visible()
    assert page.locator(".filters").is_hidden() and page.locator("#tip").is_hidden()
    assert page.locator("dialog").is_hidden()
    table = section(page, "Toy clouds").locator("> .scroll > table")
    assert table.is_visible() and not table.locator("button").count()
    assert column(table, 1)[0] == "dense" and len(column(table, 1)) == 9
    chart = section(page, "Toy clouds").locator("svg.chart").first
    assert chart.is_visible()
    assert chart.locator(".pt title").first.text_content().startswith("magnitude at 0.5: accuracy ")
    details = section(page, "Toy clouds").locator("details.data").first
    details.locator("summary").click()
    assert details.locator("table").is_visible()
    assert [url for url, _ in seen.requests] == [file.as_uri()] and seen.said == []
    context.close()


@pytest.mark.parametrize("text", NASTY[:4])
def test_hostile_text_runs_nothing(browser, tmp_path, text):
    written = tmp_path / "hostile.html"
    written.write_text(stored_page(tmp_path / "results", text).text, encoding="utf-8")
    context = browser.new_context(viewport=WIDE)
    seen = opened(context, written)
    seen.page.locator("section.task .open").nth(2).click()
    assert text in seen.page.get_by_role("dialog").text_content()
    for details in seen.page.locator("dialog details summary").all():
        details.click()
    assert seen.page.locator("script").count() == 2 and seen.page.locator("img").count() == 0
    assert [url for url, _ in seen.requests] == [written.as_uri()] and seen.said == seen.dialogs == []
    context.close()


def test_dark_and_light_follow_the_readers_choice(browser, file):
    grounds = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = opened(context, file).page
        found = page.evaluate("getComputedStyle(document.body).backgroundColor")
        grounds[scheme] = "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", found))
        context.close()
    assert grounds == {"light": LIGHT, "dark": DARK}


def test_a_phone_needs_no_sideways_scrolling_of_the_page(browser, file):
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = opened(context, file).page
    for details in page.locator("details > summary").all():
        if details.is_visible():
            details.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    section(page, "Toy clouds").get_by_role("button", name="random").first.tap()
    assert page.get_by_role("dialog").bounding_box()["width"] <= PHONE["width"]
    context.close()


def test_print_leaves_the_controls_out_and_opens_what_is_folded(browser, file):
    context = browser.new_context(viewport=WIDE, color_scheme="dark")
    page = opened(context, file).page
    folded = section(page, "toy-translation").locator("details.more .heat").first
    assert not folded.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".filters").is_hidden()
    assert folded.bounding_box()["height"] > 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 20_000
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(browser, file, scheme):
    # axe brings a script of its own, which the page's policy would stop.
    context = browser.new_context(viewport=WIDE, color_scheme=scheme, bypass_csp=True)
    page = opened(context, file).page
    for details in page.locator("details > summary").all():
        details.click()

    def complaints() -> list[tuple[str, str]]:
        found = Axe().run(page).response["violations"]
        return [(one["id"], node["html"][:200]) for one in found for node in one["nodes"]]

    assert complaints() == []
    section(page, "toy-translation").get_by_role("button", name="magnitude").first.click()
    for details in page.locator("dialog details > summary").all():
        details.click()
    assert complaints() == []
    context.close()
