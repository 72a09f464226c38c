"""The page's numbers are those of the tables and the CSV, wherever they stand."""

from __future__ import annotations

import csv
import io
import math
import re

import pytest

from bench.cli.report import summarised
from bench.record import Record
from bench.store import Store
from reports import figures
from reports.estimates import estimate
from reports.html.drawers import NUMBERS
from reports.layout import layout
from reports.rows import tables
from reports.table import MetricInfo
from tests.reports.html import pages
from tests.reports.html.pages import HTML, SVG, Page, said

FIELDS = {"sparsity": "sparsity", "total": "total_sparsity", "MFLOPs": "flops", "steps": "train_steps"}
METRICS = {"accuracy % ↑": "accuracy", "loss ↓": "loss"}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return pages.rich(tmp_path_factory.mktemp("numbers") / "results")


@pytest.fixture(scope="module")
def page(store: Store) -> Page:
    return pages.page(store)


@pytest.fixture(scope="module")
def lines(store: Store) -> dict[str, dict[str, str]]:
    return pages.comma_separated(store)


def mean(lines: list[dict[str, str]], field: str) -> float:
    values = [float(line[field]) for line in lines if line["status"] == "done"]
    return math.fsum(values) / len(values)


def test_every_cell_of_the_csv_has_its_row_and_its_numbers(page, lines):
    assert page.cells.keys() == lines.keys()
    for key, cell in page.cells.items():
        line = lines[key]
        numbers = {name: value for (name, _), value in zip(NUMBERS, cell["numbers"], strict=True)}
        assert {name: "" if value is None else str(value) for name, value in numbers.items()} == {
            name: line[name] for name in numbers
        }
        assert {f"metric:{name}": str(value) for name, value in cell["metrics"].items()} == {
            name: value for name, value in line.items() if name.startswith("metric:") and value
        }
        assert {f"seconds:{kind}": str(value) for kind, value in cell["seconds"].items()} == {
            name: value for name, value in line.items() if name.startswith("seconds:") and value
        }
        assert str(cell["seed"]) == line["seed"]
        assert ("failure" in cell) == (line["status"] == "failed")


def test_each_row_shows_the_mean_of_its_cells_lines_in_the_csv(page, lines):
    checked = 0
    for table in page.tables:
        for row, cells in page.rows(table):
            if row.get("data-r") is None:
                continue
            behind = [lines[cell["key"]] for cell in page.data["rows"][int(row.get("data-r"))]["cells"]]
            done = [line for line in behind if line["status"] == "done"]
            for title, field in (*FIELDS.items(), *((t, f"metric:{name}") for t, name in METRICS.items())):
                if title not in cells or not done:
                    continue
                assert float(cells[title].get("data-v")) == pytest.approx(mean(done, field), rel=1e-12), (title, behind)
                checked += 1
            if done:
                values = [float(line["metric:accuracy"]) for line in done]
                info = MetricInfo("accuracy", True, True)
                shown = said(cells["accuracy % ↑"]).removesuffix("*")
                assert shown == figures.metric(estimate(values), info)
    # 12 rows with a done cell, of which 6 show steps, and five figures each.
    assert checked == 60


def test_each_tables_cells_read_as_the_text_table_does(page, store):
    records = [*store.records()]
    found = tables(records, store.references())
    assert len(page.tables) == len(found)
    for drawn, table in zip(page.tables, found, strict=True):
        shown = layout(table)
        columns = [*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost]
        texts = [
            tuple(" ".join(cell.split()) for cell in line) for line in zip(*(c.cells for c in columns), strict=True)
        ]
        assert [tuple(said(cell).removesuffix("*") for cell in row) for row, _ in page.rows(drawn)] == texts
        best = [{t for t, c in cells.items() if c.find(f"{HTML}strong") is not None} for _, cells in page.rows(drawn)]
        assert best == [{c.title for c in columns if line in c.best} for line in range(len(texts))]


def test_the_cross_task_table_has_the_numbers_of_its_csv(page, store):
    made = summarised(store, [*store.records()], "csv")
    expected = list(csv.DictReader(io.StringIO(str(made))))
    (table,) = [t for t in page.all("table") if said(t[0]) == "Which pruner is safe where"]
    fields = {"sparsity 99 %": "sparsity 99%", "sparsity 95 %": "sparsity 95%", "FLOPs 99 %": "flops 99%",
              "FLOPs 95 %": "flops 95%", "area": "area", "rank": "rank"}  # fmt: skip
    rows = [cells for _, cells in page.rows(table)]
    assert len(rows) == len(expected) > 3
    for cells, line in zip(rows, expected, strict=True):
        assert [said(cells[name]) for name in ("family", "pruner")] == [line["family"], line["pruner"]]
        assert said(cells["task"]) == f"{line['task']} (subset)"
        for title, field in fields.items():
            assert cells[title].get("data-v", "") == line[field]


def points(page: Page, kind: str) -> list[tuple[str, str]]:
    """What the points of the leading figures of this kind say, with their rows."""
    charts = [
        svg for svg in page.classed("svg", "chart", space=SVG) if svg.get("aria-label") == f"accuracy against {kind}"
    ]
    found = []
    for chart in charts:
        for point in page.classed("use", "pt", chart, SVG):
            found.append((said(point), point.get("data-r")))
    return found


@pytest.mark.parametrize("kind", ["sparsity", "FLOPs", "bytes"])
def test_points_say_the_values_of_the_csv(page, lines, kind):
    told = points(page, kind)
    info = MetricInfo("accuracy", True, True)
    checked = 0
    for text, row in told:
        behind = [lines[cell["key"]] for cell in page.data["rows"][int(row)]["cells"]]
        done = [line for line in behind if line["status"] == "done"]
        if re.search(r": \d cells? failed$", text):
            assert len(done) < len(behind)
            continue
        values = [float(line["metric:accuracy"]) for line in done]
        assert f"accuracy {figures.metric(estimate(values), info)} %" in text
        assert f"{len(done)} seed" in text
        checked += 1
    # Four rows of magnitude, two of grasp with a value, three iterations; the dense ones off the sparsity axis.
    assert checked == 9 + (0 if kind == "sparsity" else 2)


def test_behind_each_figure_is_a_table_of_its_points(page, lines):
    for figure in page.all("figure"):
        if figure.get("class") == "safe":
            continue
        (table,) = page.all("table", figure)
        rows = [cells for _, cells in page.rows(table)]
        charts = page.classed("svg", "chart", figure, SVG)
        drawn = {said(p) for c in charts for p in page.classed("use", "pt", c, SVG) if "failed" not in p.get("class")}
        assert rows and drawn
        for text in drawn:
            value = re.search(r"(-?[\d.]+)", text.split(": ", 1)[1])
            assert value is not None
            assert any(value[1] == said(cell) or value[1] == said(cell).split(" ")[0]
                       for cells in rows for cell in cells.values()), text  # fmt: skip


def test_heat_maps_have_the_densities_of_the_layers(page):
    maps = page.classed("div", "heat")
    assert [said(table.find(f"{HTML}table/{HTML}caption")) for table in maps] == [
        *("grasp", "magnitude (trained)", "magnitude", "sap (trained)")
    ]
    magnitude = maps[2]
    rows = {said(row[0]): [(said(td), td.get("class"), td.get("data-v")) for td in row[1:]]
            for row in magnitude.find(f"{HTML}table/{HTML}tbody")}  # fmt: skip
    assert rows == {
        "encoder": [("0.12", "d1", "0.12"), ("0.12", "d1", "0.12")],
        "decoder": [("0.00", "d0", "0.0"), ("0.00", "d0", "0.0")],
    }


def test_each_cells_layers_samples_and_latency_are_there(page, store):
    translated: list[Record] = [record for record in store.records() if record.files]
    assert len(translated) == 6
    for record in translated:
        cell = page.cells[record.key]
        shape = page.data["layers"][cell["layers"]]
        assert [name for name, _, _ in shape] == [layer.name for layer in record.layers]
        assert cell["kept"] == [layer.kept for layer in record.layers]
        (samples,) = cell["samples"]
        assert (samples["header"], samples["total"]) == (["source", "reference", "output"], 8)
        assert samples["rows"] == [list(row) for row in pages.TRANSLATIONS[1:6]]
        assert ["latency ms (CSR):median", "1.5"] in cell["latency"]


def test_without_the_tables_the_summary_stands_alone(store):
    page = pages.page(store, summary=True)
    assert not page.classed("section", "task")
    assert not page.all("dialog")
    assert [said(h) for h in page.all("h2")] == [
        "What was found",
        "Beware",
        "What was run",
        "Which pruner is safe where",
    ]
