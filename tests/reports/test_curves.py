"""The data of figures: the tables' numbers, the clock's, the layers', and which points nothing dominates."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.record import Layer
from reports import curves, latency_curves
from reports.answers import answers
from reports.curves import Point
from reports.overview import overview
from reports.rows import tables
from reports.table import MetricInfo
from tests.factories import make_failure, make_record

ROOT = Path(__file__).parents[2]


def only(found):
    assert len(found) == 1
    return found[0]


def test_a_point_has_the_numbers_and_the_cells_of_its_row(records):
    table = only(tables(records))
    rows = {(row.line, row.target): row for row in table.rows if not row.dense}
    for charts, place in (
        (curves.against_sparsity([table]), lambda row: row.sparsity),
        (curves.against_flops([table]), lambda row: row.flops),
        (curves.against_bytes([table]), lambda row: row.compressed_bytes),
    ):
        assert [chart.metric.name for chart in charts] == ["accuracy", "loss"]
        for chart in charts:
            points = {(one.label, p.target): p for one in chart.series for p in one.points}
            assert points.keys() == rows.keys()
            for key, row in rows.items():
                if row.seeds:
                    found = row.metrics[chart.metric.name]
                    assert (points[key].x, points[key].mean) == (place(row), found.mean)
                    assert points[key].high - points[key].mean == pytest.approx(found.half_width)
                    assert points[key].mean - points[key].low == pytest.approx(found.half_width)
                assert points[key].keys == tuple(cell.key for cell in row.cells)
                assert (points[key].seeds, points[key].failed) == (len(row.cells), len(row.failures))
            dense = next(row for row in table.rows if row.dense)
            assert chart.dense.mean == dense.metrics[chart.metric.name].mean
            assert chart.dense.x == place(dense)


def test_where_all_cells_failed_a_point_stands_at_its_target_without_a_mean(records):
    chart = curves.against_sparsity(tables(records))[0]
    (grasp,) = [one for one in chart.series if one.pruner == "grasp"]
    last = grasp.points[-1]
    assert (last.x, last.mean, last.low, last.failed, len(last.failed_keys)) == (0.968, None, None, 3, 3)
    flops = curves.against_flops(tables(records))[0]
    assert [p.x for one in flops.series if one.pruner == "grasp" for p in one.points][-1] is None


def test_collapsed_layers_and_chance_are_told(records):
    accuracy, loss = curves.against_sparsity(tables(records))
    collapsed = {(one.label, p.target): p.collapsed for one in accuracy.series for p in one.points if p.collapsed}
    assert collapsed == {("magnitude (trained)", 0.968): 1}
    assert (accuracy.chance, loss.chance) == (0.25, None)


def test_tasks_settings_and_data_have_charts_of_their_own():
    cells = [
        make_record(pruner, target, task=task, model=model, data={"name": "toy", "kind": "sample", "digest": digest})
        for pruner, target in (("dense", 0.0), ("grasp", 0.5))
        for task, model, digest in (("a", "m", "1"), ("a", "n", "1"), ("a", "m", "2"), ("b", "m", "1"))
    ]
    charts = [chart for chart in curves.against_sparsity(tables(cells)) if chart.metric.name == "accuracy"]
    said = [(chart.place.task, chart.place.setting, chart.place.data["digest"]) for chart in charts]
    assert said == [("a", "m", "1"), ("a", "n", "1"), ("a", "", "2"), ("b", "", "1")]
    assert all(len(chart.series) == 1 and chart.dense for chart in charts)


def test_nothing_pruned_is_no_chart():
    dense = [make_record(seed=seed) for seed in range(2)]
    assert curves.against_sparsity(tables(dense)) == []
    assert curves.against_flops(tables([*dense, make_failure("grasp", 0.5)])) == []
    assert curves.densities(tables(dense)) == curves.trajectories(tables(dense)) == []


POINT = Point(None, None, None, None, 1, 0.5, None, 0, 0, ("key",))
SMALL = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(SMALL, SMALL), max_size=12), st.booleans())
def test_the_front_is_what_no_point_dominates(values, higher):
    points = [replace(POINT, x=x, mean=mean, keys=(str(i),)) for i, (x, mean) in enumerate(values)]

    def dominates(one, other):
        better, worse = (one.mean, other.mean) if higher else (other.mean, one.mean)
        return one.x <= other.x and better >= worse and (one.x < other.x or better > worse)

    expected = {p.keys for p in points if not any(dominates(other, p) for other in points)}
    found = curves.pareto_front(points, MetricInfo("m", higher))
    assert {p.keys for p in found} == expected
    assert len(found) == len(expected)
    assert [p.x for p in found] == sorted(p.x for p in found)


def test_a_metric_of_unknown_direction_has_no_front_and_failed_points_are_on_none():
    there, failed = replace(POINT, x=1.0, mean=0.5), replace(POINT, x=0.5)
    assert curves.pareto_front([there], MetricInfo("m")) == ()
    assert curves.pareto_front([failed, there], MetricInfo("m", True)) == (there,)


def clock(**medians: float) -> dict:
    names = {"masked": "masked dense", "rows": "rows removed", "search": "search, flat"}
    names |= {"half": "2:4 float16", "dense_half": "dense float16"}
    backends = [
        {"backend": names.get(name, name), "median": median, "lower": median - 0.5, "upper": median + 0.5}
        for name, median in medians.items()
    ]
    return {"batch_size": 8, "threads": 1, "device": "Toy", "rounds": 30, "backends": backends}


def pruned(seeds=3):
    return [make_record(), *(make_record("grasp", 0.9, seed) for seed in range(seeds))]


def test_latency_is_that_of_the_fastest_back_end_that_runs_the_pruned_model():
    dense, *cells = pruned()
    latency = {dense.key: clock(dense=4.0)}
    for cell, csr in zip(cells, (1.0, 2.0, 6.0), strict=True):
        # 'dense' has no zeros and is not the pruned model, a search is no model at all
        latency[cell.key] = clock(dense=0.5, masked=4.0, CSR=csr, search=0.1)
    chart = latency_curves.against_latency(tables([dense, *cells]), latency)[0]
    (point,) = chart.series[0].points
    assert (point.x, point.x_low, point.x_high, point.backend) == (2.0, 0.5, 6.5, "CSR")  # median of 1, 2, 6
    assert (chart.dense.x, chart.dense.backend) == (4.0, "dense")
    assert chart.condition == "batch size 8, 1 thread, Toy"
    assert chart.front == (point,)  # as good as dense, and faster


def test_what_was_measured_otherwise_is_another_chart():
    dense, *cells = pruned(2)
    latency = {dense.key: clock(dense=4.0), cells[0].key: clock(CSR=1.0)}
    latency[cells[1].key] = {**clock(CSR=2.0), "batch_size": 64}
    found = latency_curves.against_latency(tables([dense, *cells]), latency)
    by_condition = {chart.condition: chart for chart in found if chart.metric.name == "accuracy"}
    assert list(by_condition) == ["batch size 64, 1 thread, Toy", "batch size 8, 1 thread, Toy"]
    assert [chart.series[0].points[0].x for chart in by_condition.values()] == [2.0, 1.0]
    assert [chart.dense.x for chart in by_condition.values()] == [None, 4.0]


def test_half_precision_is_never_beside_full():
    dense, *cells = pruned(1)
    latency = {dense.key: clock(dense=4.0), cells[0].key: clock(masked=4.0, dense_half=2.0, half=1.5)}
    full, half = (
        c for c in latency_curves.against_latency(tables([dense, *cells]), latency) if c.metric.name == "accuracy"
    )
    assert (full.series[0].points[0].x, full.dense.x) == (4.0, 4.0)
    assert (half.series[0].points[0].x, half.dense.x) == (1.5, 2.0)
    assert half.condition.endswith("float16")


def test_without_measurements_there_is_no_latency_chart(records):
    assert latency_curves.against_latency(tables(records), {}) == []


def layered(target, seed, *kept, names=("a.weight", "b.weight")):
    layers = [Layer(name, "Linear", 100, count) for name, count in zip(names, kept, strict=True)]
    return make_record("grasp", target, seed, layers=tuple(layers), sparsity=1 - sum(kept) / (100 * len(kept)))


def test_densities_are_means_over_seeds_by_layer_and_target():
    cells = [make_record(), layered(0.5, 0, 60, 40), layered(0.5, 1, 80, 20), layered(0.9, 0, 20, 0)]
    found = only(curves.densities(tables(cells)))
    assert found.layers == ("a.weight", "b.weight")
    assert found.values == ((pytest.approx(0.7), 0.2), (pytest.approx(0.3), 0.0))
    assert [(p.target, p.seeds) for p in found.columns] == [(0.5, 2), (0.9, 1)]
    assert [p.mean for p in found.columns] == pytest.approx([0.5, 0.1])
    assert found.columns[0].keys == (cells[1].key, cells[2].key)


def test_a_layer_that_a_cell_does_not_have_is_none():
    cells = [layered(0.5, 0, 50, names=("a.weight",)), layered(0.9, 0, 20, 0)]
    assert only(curves.densities(tables(cells))).values == ((0.5, 0.2), (None, 0.0))


def iterations(seeds=2):
    def cell(number, seed):
        left = 0.8**number
        trace = [{"pqi": 0.2 / n + seed / 100, "density": 0.8**n} for n in range(1, number + 1)]
        return make_record("sap", number, seed, target_sparsity=None, iteration=number, sparsity=1 - left, trace=trace,
                           metrics={"accuracy": 0.9 - number / 100 + seed / 100, "loss": 0.3})  # fmt: skip

    return [make_record(seed=0), *(cell(number, seed) for number in (1, 2, 3) for seed in range(seeds))]


def test_a_trajectory_has_index_density_and_metric_of_each_iteration():
    found = only(curves.trajectories(tables(iterations())))
    assert (found.pruner, found.metric.name) == ("sap", "accuracy")
    assert [p.x for p in found.pqi] == [1, 2, 3]
    assert [p.mean for p in found.pqi] == pytest.approx([0.2 + 0.005, 0.1 + 0.005, 0.2 / 3 + 0.005])
    assert [p.mean for p in found.density] == pytest.approx([0.8, 0.64, 0.512])
    assert [p.mean for p in found.scores] == pytest.approx([0.895, 0.885, 0.875])
    # t(1, 0.975) = tan(0.475 pi); of two values s / sqrt(2) is half their distance
    assert found.pqi[0].high - found.pqi[0].mean == pytest.approx(12.7062 * 0.005, rel=1e-4)
    assert found.dense.mean == 0.9


def test_pruners_without_an_index_have_no_trajectory(records):
    assert curves.trajectories(tables(records)) == []


def test_the_overview_has_the_answers_of_the_cross_task_table_in_its_order(records):
    other = [replace(record, task="another", notes={"family": "IR"}) for record in records]
    found = tables([*records, *other])
    panels = overview(found)
    assert [one.answer for panel in panels for one in panel.safe] == answers(found)
    assert [(panel.task, panel.family) for panel in panels] == [("another", "IR"), ("toy-news", "unspecified")]
    assert {one.pruner for panel in panels for one in panel.safe} == {"grasp", "magnitude"}


def test_retention_is_the_ratio_to_dense_and_nothing_where_all_failed(records):
    (panel,) = overview(tables(records))
    points = {(one.pruner, p.target): p for one in panel.retention for p in one.points}
    assert points["magnitude", 0.968].mean == pytest.approx(0.7 / 0.92)
    assert points["grasp", 0.968].mean == 0
    low, high = points["magnitude", 0.968].low, points["magnitude", 0.968].high
    assert 0.6 / 0.92 < low < 0.7 / 0.92 < high < 0.8 / 0.92
    # by the mean over the two seeds that both have: (0.80 + 0.81) / (0.90 + 0.92)
    assert points["grasp", 0.9].mean == pytest.approx(1.61 / 1.82)


def test_the_data_of_figures_needs_neither_matplotlib_nor_torch():
    code = (
        "import reports.curves, reports.palette, reports.overview, sys; "
        "print([m for m in ('matplotlib', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
