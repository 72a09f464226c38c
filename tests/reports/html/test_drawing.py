"""Where points, ticks and bands stand."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reports import curves
from reports.html import axes, charts, heat
from reports.html.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from reports.html.safety import safety
from reports.overview import overview
from reports.rows import tables
from reports.table import MetricInfo
from tests.factories import make_record
from tests.reports.html.pages import iterations

ACCURACY = MetricInfo("accuracy", True, True)
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=12)
COSTS = st.lists(st.floats(0, 1e15), min_size=1, max_size=12)


def flops_axis(values, start, end):
    return axes.cost_axis("FLOPs per example", curves.FLOPS, values, start, end)


def only(found):
    assert len(found) == 1
    return found[0]


def drawn(records, make=curves.against_sparsity):
    table = only(tables(records))
    found = next(chart for chart in make([table]) if chart.metric.name == "accuracy")
    pruners = {name: number for number, name in enumerate(dict.fromkeys(row.pruner for row in table.rows))}
    rows = {cell.key: n for n, row in enumerate(table.rows) for cell in (*row.cells, *row.failures)}
    dashes = charts.dashes((row.line, row.pruner) for row in table.rows if not row.dense)
    return found, charts.chart(found, pruners, rows, dashes)


def sound(axis: axes.Axis, values: list[float], start: float, end: float) -> None:
    """Places grow with values and lie inside; ticks do so as well, apart from one another."""
    places = [axis.place(value) for value in sorted(values)]
    assert all(start - 1e-6 <= place <= end + 1e-6 for place in places)
    assert places == sorted(places)
    spans = [(tick.at, len(tick.text) * axes.CHARACTER / 2) for tick in axis.ticks]
    assert all(start - 0.1 <= at <= end + 0.1 for at, _ in spans)
    for (a, half), (b, wide) in itertools.pairwise(spans):
        assert b - a >= half + wide


@given(SHARES)
def test_sparsities_stand_in_order_and_their_ticks_apart(values):
    sound(axes.sparsity_axis(values, 40.0, 440.0), values, 40.0, 440.0)


@given(COSTS)
@example([0.0, 5e-324])
@example([5e-324])
@example([0.0, 5e-324, 1e9])
def test_costs_stand_in_order_and_their_ticks_apart(values):
    sound(flops_axis(values, 40.0, 440.0), values, 40.0, 440.0)


@given(SHARES, st.lists(st.floats(-10, 10), max_size=5))
def test_means_are_inside_however_wide_their_intervals(means, ends):
    axis = axes.metric_axis(ACCURACY, means, ends, 250.0, 12.0)
    assert all(12 - 1e-6 <= axis.place(mean) <= 250 + 1e-6 for mean in means)
    assert all(a.at < b.at for a, b in zip(axis.ticks, axis.ticks[1:], strict=False))


def test_densities_a_tenth_apart_are_equally_far_apart():
    axis = axes.sparsity_axis([0.0, 0.999], 0.0, 300.0)
    place = axis.place
    assert (
        place(0.9) - place(0.0) == pytest.approx(place(0.99) - place(0.9)) == pytest.approx(place(0.999) - place(0.99))
    )
    assert {"0", "0.9", "0.99", "0.999"} <= {tick.text for tick in axis.ticks}


def test_costs_are_by_their_logarithm_where_they_range_widely_and_in_their_unit():
    narrow, wide = flops_axis([1e6, 2e6], 0.0, 300.0), flops_axis([0, 1e3, 1e6], 0.0, 300.0)
    assert narrow.title == wide.title == "FLOPs per example (MFLOPs)"
    assert narrow.place(1.5e6) == pytest.approx(150)
    assert wide.place(1e6) - wide.place(1e5) == pytest.approx(wide.place(1e5) - wide.place(1e4))
    assert next(tick.text for tick in wide.ticks) == "0"


def test_a_line_goes_through_its_points_and_its_band_around_it(records):
    found, drawing = drawn(records)
    line = next(line for line in drawing.lines if line.label == "magnitude (trained)")
    series = next(one for one in found.series if one.label == line.label)
    assert [(m.x, m.y) for m in line.marks] == [
        (round(drawing.x.place(p.x), 1), round(drawing.y.place(p.mean), 1)) for p in series.points
    ]
    assert line.path == "M" + "L".join(f"{m.x:g} {m.y:g}" for m in line.marks)
    corners = [tuple(map(float, corner.split(","))) for corner in line.band.split()]
    places = [(p.x, p.low) for p in series.points] + [(p.x, p.high) for p in reversed(series.points)]
    assert corners == [(round(drawing.x.place(x), 1), round(drawing.y.place(y), 1)) for x, y in places]
    assert [m.kind for m in line.marks] == ["point", "hollow"]  # a layer collapsed at 0.968
    assert "1 layer collapsed" in line.marks[1].said


def test_failed_cells_are_crosses_below_and_break_the_line(records):
    _, drawing = drawn(records)
    grasp = next(line for line in drawing.lines if line.label == "grasp")
    points, crosses = ([m for m in grasp.marks if (m.kind == "failed") is failed] for failed in (False, True))
    assert [m.said for m in crosses] == ["grasp at 0.9: 1 cell failed", "grasp at 0.968: 3 cells failed"]
    assert all(m.y > max(p.y for line in drawing.lines for p in line.marks if p.kind != "failed") for m in crosses)
    assert len(points) == 2 and grasp.path.count("L") == 1
    assert all(m.row is not None for m in grasp.marks)


def test_where_the_middle_failed_the_line_is_in_two():
    cells = [make_record(), *(make_record("snip", t, metrics={"accuracy": 0.9 - t / 9}) for t in (0.1, 0.2, 0.4, 0.5))]
    gone = make_record("snip", 0.3, status="failed", metrics={}, sparsity=None)
    _, drawing = drawn([*cells, gone])
    line = only([line for line in drawing.lines if line.pruner == "snip"])
    assert re.fullmatch(r"M[\d.]+ [\d.]+L[\d.]+ [\d.]+M[\d.]+ [\d.]+L[\d.]+ [\d.]+", line.path)


def test_dense_is_a_level_and_off_the_sparsity_axis_a_point_as_well(records):
    for make, points in ((curves.against_sparsity, 0), (curves.against_flops, 1), (curves.against_bytes, 1)):
        found, drawing = drawn(records, make)
        (dense,) = [level for level in drawing.levels if level.name == "dense"]
        assert dense.y == round(drawing.y.place(found.dense.mean), 1)
        assert dense.band[0] < dense.y < dense.band[1]
        assert len([line for line in drawing.lines if line.label == "dense"]) == points


def test_a_front_goes_in_steps_over_points_by_themselves(records):
    found, drawing = drawn(records, curves.against_bytes)
    assert len(found.front) > 1
    assert drawing.front.count("H") == drawing.front.count("V") == len(found.front) - 1
    assert all(not line.path and not line.band and line.bars for line in drawing.lines)


def test_all_that_is_drawn_lies_in_the_box(records):
    for make in (curves.against_sparsity, curves.against_flops, curves.against_bytes):
        _, drawing = drawn(records, make)
        for mark in (m for line in drawing.lines for m in line.marks):
            assert LEFT <= mark.x <= WIDTH - RIGHT
            assert TOP <= mark.y <= HEIGHT - BOTTOM


def test_recipes_of_one_pruner_have_one_colour_and_other_dashes():
    found = charts.dashes([("a", "p"), ("a", "p"), ("b", "q"), ("a (x)", "p"), *((f"a {i}", "p") for i in range(9))])
    assert found["a"] == found["b"] == ""
    assert len({found["a"], found["a (x)"], found["a 0"], found["a 1"]}) == 4


def test_iterations_have_index_density_and_metric():
    cells = [make_record(seed=0), make_record(seed=1), *iterations("toy-news")]
    (found,) = curves.trajectories(tables(cells))
    shares, metric = charts.trajectory(found, {"sap": 1}, {})
    assert [line.name for line in shares.lines] == ["PQ Index", "density"]
    first = shares.lines[0].marks[0]
    assert first.said.startswith("sap (trained) #1: PQ Index 0.2050 ±")  # 0.20 and 0.21
    assert [tick.text for tick in shares.x.ticks] == ["1", "2", "3"]
    assert len(only(metric.lines).marks) == 3 and only(metric.levels).name == "dense"


def test_no_layer_that_keeps_a_weight_has_the_shade_of_an_empty_one():
    assert [heat.shade(value)[:2] for value in (0.0, 1e-5, 0.004, 0.04, 0.96, 1.0, None)] == [
        (0, "0.00"), (1, "1e-5"), (1, "4e-3"), (1, "0.04"), (10, "0.96"), (10, "1.00"), (None, "–"),
    ]  # fmt: skip


def test_chance_is_drawn_where_it_leaves_room_for_the_means(records):
    found, drawing = drawn(records)
    assert found.chance == 0.25 and [level.name for level in drawing.levels] == ["dense"]
    near = replace(found, chance=0.65)
    assert [level.name for level in charts.chart(near, {}, {}, {}).levels] == ["dense", "chance"]


def test_what_keeps_the_lower_share_alone_has_a_hollow_marker_and_none():
    cells = [make_record(metrics={"accuracy": 0.8})]
    for name, metric in (("always", 0.8), ("never", 0.1), ("nearly", 0.77)):
        cells += [make_record(name, target, metrics={"accuracy": metric}) for target in (0.5, 0.9)]
    (panel,) = overview(tables(cells))
    strips = {strip.label: strip for strip in safety(panel, {}, {}).strips}
    there = {name: tuple(at is not None for at in (s.strict, s.lenient, s.nowhere)) for name, s in strips.items()}
    assert there == {"always": (True, True, False), "never": (False, False, True), "nearly": (False, True, True)}


@pytest.mark.parametrize("dense", [0.9, 0.5, 0.26, 0.2501, 0.1])
@pytest.mark.parametrize("pruned", [0.95, 0.25, 0.02])
def test_the_names_of_dense_and_chance_stand_apart(dense, pruned):
    floor = {"notes": {"floor": {"accuracy": 0.25}}}
    cells = [make_record(metrics={"accuracy": dense}, **floor), make_record("a", 0.5, metrics={"accuracy": pruned})]
    _, drawing = drawn(cells)
    levels = drawing.levels
    assert levels[0].name == "dense"
    named = [level.named for level in levels]
    assert all(TOP <= at <= HEIGHT for at in named)
    assert len(named) == 1 or abs(named[0] - named[1]) >= 12
