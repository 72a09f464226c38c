"""What figures show, read back from what was drawn: the numbers of the tables, marks, and text that can be read."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text

from bench.record import Layer
from reports import curves, latency_curves
from reports.overview import overview
from reports.palette import looks
from reports.plots import book, style
from reports.plots.axes import metric_limits
from reports.plots.charts import curves as drawn_curves
from reports.plots.iterations import trajectory
from reports.plots.layers import heat_map
from reports.plots.pareto import pareto
from reports.plots.safety import retention, safe_sparsities
from reports.rows import tables
from reports.table import MetricInfo
from tests.factories import make_failure, make_record

ACCURACY = ({"name": "accuracy", "higher_is_better": True, "percent": True},)


@pytest.fixture(autouse=True)
def in_style():
    with style.styled():
        yield


def all_looks(found):
    return looks(row.pruner for table in found for row in table.rows)


def artists(axes, gid):
    return [line for line in axes.get_lines() if line.get_gid() == gid]


def values(line):
    return list(zip(*(map(float, axis) for axis in line.get_data()), strict=True))


def test_lines_markers_bands_and_levels_are_the_tables_numbers(records):
    found = tables(records)
    looks_ = all_looks(found)
    for chart in (*curves.against_sparsity(found), *curves.against_flops(found)):
        axes = drawn_curves(chart, looks_).axes[0]
        rows = [row for row in found[0].rows if not row.dense]
        for one, line in zip(chart.series, artists(axes, "line"), strict=True):
            mine = [row for row in rows if row.line == one.label and (row.seeds or chart.kind == "sparsity")]
            name = chart.metric.name
            place = {"sparsity": lambda r: r.target if r.sparsity is None else r.sparsity, "FLOPs": lambda r: r.flops}
            expected = [(place[chart.kind](r), r.metrics[name].mean if r.seeds else math.nan) for r in mine]
            np.testing.assert_array_equal(values(line), expected)
            assert line.get_color() == looks_[one.pruner].color
            (band,) = [b for b in axes.collections if b.get_gid() == "band" and same_color(b, line)]
            ends = [
                (place[chart.kind](r), r.metrics[name].mean + sign * r.metrics[name].half_width)
                for r in mine if r.seeds for sign in (-1, 1)
            ]  # fmt: skip
            corners = np.concatenate([path.vertices for path in band.get_paths()])
            assert all(np.isclose(corners, end).all(axis=1).any() for end in ends)
        marked = [p for gid in ("points", "collapsed") for line in artists(axes, gid) for p in values(line)]
        done = [p for one in chart.series for p in one.points if p.mean is not None]
        assert sorted(marked) == sorted((p.x, p.mean) for p in done)
        (dense,) = [line for line in axes.get_lines() if line.get_label() == "dense"]
        assert set(dense.get_ydata()) == {found[0].rows[0].metrics[chart.metric.name].mean}


def same_color(band, line):
    from matplotlib.colors import to_rgb

    return np.allclose(band.get_facecolor()[0][:3], to_rgb(line.get_color()))


def test_collapsed_points_are_hollow_and_failed_ones_crosses_at_the_bottom(records):
    found = tables(records)
    figure = drawn_curves(curves.against_sparsity(found)[0], all_looks(found))
    axes = figure.axes[0]
    hollow = [line for line in artists(axes, "collapsed") if len(line.get_xdata())]
    assert [values(line) for line in hollow] == [[(pytest.approx(0.968), pytest.approx(0.7))]]
    assert all(line.get_markerfacecolor() == "white" for line in hollow)
    (crosses,) = artists(axes, "failed")
    assert [float(x) for x in crosses.get_xdata()] == pytest.approx([0.9, 0.968])
    figure.draw_without_rendering()
    bottom = axes.transAxes.inverted().transform(crosses.get_transform().transform(crosses.get_xydata()))[:, 1]
    assert (bottom < 0.1).all()
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["dense", "chance", "grasp", "magnitude (trained)", "hollow: layer collapsed", "cells failed"]


def test_percentages_are_labelled_times_a_hundred_and_other_metrics_as_they_are(records):
    accuracy, loss = curves.against_sparsity(tables(records))
    figure = drawn_curves(accuracy, all_looks(tables(records)))
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    assert figure.axes[0].get_ylabel() == "accuracy % ↑"
    assert [float(label.get_text()) for label in axis.get_ticklabels()] == pytest.approx(100 * axis.get_ticklocs())
    figure = drawn_curves(loss, all_looks(tables(records)))
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    assert figure.axes[0].get_ylabel() == "loss ↓"
    assert [float(label.get_text()) for label in axis.get_ticklabels()] == pytest.approx(axis.get_ticklocs())


def grid(targets, pruners=("grasp", "magnitude"), seeds=2):
    cells = [make_record(seed=seed) for seed in range(seeds)]
    for target in targets:
        for rank, name in enumerate(pruners):
            accuracy = 0.9 - 0.3 * target**8 - rank / 50
            cells += [
                make_record(name, target, seed, sparsity=target, metrics={"accuracy": accuracy + seed / 200, "loss": 1})
                for seed in range(seeds)
            ]
    return cells


GRIDS = {
    "usual": (0.5, 0.8, 0.9, 0.95, 0.98, 0.99),
    "narrow": (0.9, 0.91, 0.92),
    "low": (0.05, 0.1, 0.2, 0.3),
    "exponents": tuple(1 - 10**-c for c in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)),
    "levels": tuple(1 - 0.8**level for level in range(1, 21)),
    "one odd target": (0.968,),
    "everything cut": (0.5, 0.99, 1.0),
}


@pytest.mark.parametrize("targets", GRIDS.values(), ids=GRIDS.keys())
def test_the_sparsity_axis_has_ticks_that_stand_apart_and_say_where_they_are(targets):
    found = tables(grid(targets))
    figure = drawn_curves(curves.against_sparsity(found)[0], all_looks(found))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    labels = axes.xaxis.get_ticklabels()
    assert len(labels) >= min(len(targets), 2)
    assert [float(label.get_text()) for label in labels] == pytest.approx(list(axes.xaxis.get_ticklocs()), abs=5e-5)
    assert_apart(labels)
    places = axes.transData.transform([(target, 0.5) for target in targets])[:, 0]
    frame = axes.get_window_extent()
    assert (places >= frame.x0).all() and (places <= frame.x1).all()
    # each target a marker's width from the next, where the grid leaves room for that
    room = 0.8 * frame.width / max(len(targets) - 1, 1) / 4
    assert (np.diff(places) > min(room, style.MARKER * figure.dpi / 72)).all() or len(targets) > 15


def assert_apart(labels):
    boxes = [label.get_window_extent() for label in labels if label.get_text() and label.get_visible()]
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)


def test_an_axis_of_flops_shows_those_that_have_none_left():
    cells = [make_record(), *(make_record("grasp", t, flops=f) for t, f in ((0.5, 1e6), (0.9, 1e4), (1.0, 0)))]
    found = tables(cells)
    figure = drawn_curves(curves.against_flops(found)[0], all_looks(found))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    places = axes.transData.transform([(x, 0.9) for x in (0, 1e4, 1e6, 2e6)])[:, 0]
    frame = axes.get_window_extent()
    assert (np.diff(places) > 10).all() and frame.x0 <= places[0] and places[-1] <= frame.x1
    assert "0" in [label.get_text() for label in axes.xaxis.get_ticklabels()]


def test_intervals_are_shown_unless_they_would_squeeze_the_means_into_a_line():
    info = MetricInfo("m")
    low, high = metric_limits([0.6, 0.9], [(-3.0, 4.0), (-3.0, 4.0)], info)
    assert (0.9 - 0.6) / (high - low) > 0.25
    low, high = metric_limits([0.6, 0.9], [(0.5, 0.7), (0.7, 1.1)], info)
    assert low < 0.5 and high > 1.04
    # one wide interval among narrow ones is cut, the others are not
    low, high = metric_limits([0.6, 0.8, 0.9], [(0.58, 0.62), (0.78, 0.82), (-1.0, 2.8)], info)
    assert 0.4 < low < 0.58 and 0.92 < high < 1.1
    low, high = metric_limits([0.9, 0.99], [(0.6, 1.2)], MetricInfo("m", True, percent=True))
    assert high < 1.02
    assert metric_limits([0.5], [], info)[0] < 0.5 < metric_limits([0.5], [], info)[1]


def test_the_front_is_a_step_line_and_what_it_dominates_is_faint():
    cells = [make_record()]
    for name, target, accuracy in (
        ("grasp", 0.5, 0.92),
        ("grasp", 0.9, 0.7),
        ("random", 0.5, 0.8),
        ("random", 0.9, 0.5),
    ):
        compressed = 4 * (3000 + round(1000 * (1 - target)))
        cells.append(make_record(name, target, metrics={"accuracy": accuracy}, compressed_bytes=compressed))
    found = tables(cells)
    chart = curves.against_bytes(found)[0]
    axes = pareto(chart, all_looks(found)).axes[0]
    (steps,) = artists(axes, "steps")
    assert values(steps)[:-1] == [(12400, 0.7), (14000, 0.92)]  # dense is larger and worse
    assert steps.get_drawstyle() == "steps-post"
    assert values(steps)[-1] == (axes.get_xlim()[1], 0.92)
    assert sorted(p for line in artists(axes, "dominated") for p in values(line)) == [
        (12400, 0.5), (14000, 0.8), (16000, 0.9),
    ]  # fmt: skip
    assert {line.get_alpha() for line in artists(axes, "dominated")} == {0.3}
    assert [text.get_text() for text in axes.texts] == ["0.9", "0.5"]


def test_lines_of_one_pruner_share_its_colour_and_marker_and_are_told_apart_by_dashes_and_rims():
    cells = [make_record(), *(make_record("grasp", t, allocation=a) for t in (0.5, 0.9) for a in ("global", "uniform"))]
    found = tables(cells)
    axes = drawn_curves(curves.against_sparsity(found)[0], all_looks(found)).axes[0]
    first, second = artists(axes, "line")
    assert first.get_color() == second.get_color() == all_looks(found)["grasp"].color
    assert first.get_linestyle() == "-" and second.get_linestyle() == "--"
    edges = [line.get_markeredgewidth() for line in artists(axes, "points")]
    assert edges[0] == 0 < edges[1]
    handles = pareto(curves.against_bytes(found)[0], all_looks(found)).legends[0].legend_handles
    said = {handle.get_label(): handle.get_markeredgewidth() for handle in handles}
    assert said["grasp"] == 0 < said["grasp (uniform)"]


def test_latency_is_in_milliseconds_with_quartiles_of_the_front_and_the_condition_named():
    cells = [make_record(), make_record("grasp", 0.5), make_record("random", 0.5, metrics={"accuracy": 0.2})]
    times = {"batch_size": 8, "threads": 2, "device": "Toy", "rounds": 30}
    backends = [{"backend": name, "median": 0.03, "lower": 0.02, "upper": 0.05} for name in ("dense", "CSR")]
    slow = [{**backends[1], "median": 0.06, "upper": 9.0}]
    latency = {cell.key: {**times, "backends": backends} for cell in cells[:2]}
    latency[cells[2].key] = {**times, "backends": slow}
    found = tables(cells)
    chart = latency_curves.against_latency(found, latency)[0]
    figure = pareto(chart, all_looks(found))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "latency of one batch (ms)"
    assert {tuple(map(float, line.get_xdata())) for line in artists(axes, "quartiles")} == {(0.02, 0.05)}
    assert [values(line) for line in artists(axes, "dominated")] == [[(0.06, 0.2)]]
    assert axes.get_xlim()[1] < 0.1  # of dominated points the quartiles are not drawn
    assert any("batch size 8, 2 threads, Toy" in text.get_text().replace("\n", " ") for text in figure.texts)


def test_a_heat_map_has_each_layers_density_and_crosses_where_nothing_is_left():
    def cell(pruner, target, *kept):
        layers = tuple(Layer(f"{name}.weight", "Linear", 100, count) for name, count in zip("ab", kept, strict=True))
        return make_record(pruner, target, layers=layers)

    cells = [make_record(), cell("grasp", 0.5, 60, 40), cell("grasp", 0.9, 20, 0), cell("random", 0.5, 50, 50)]
    figure = heat_map(curves.densities(tables(cells)))
    drawn = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert drawn.keys() == {"grasp", "random"}
    (mesh,) = drawn["grasp"].collections
    np.testing.assert_allclose(mesh.get_array(), [[0.6, 0.2], [0.4, 0.0]])
    (crosses,) = artists(drawn["grasp"], "empty")
    assert values(crosses) == [(1.5, 1.5)]
    lowest, below = (tuple(mesh.to_rgba(density)) for density in (mesh.norm.vmin, mesh.norm.vmin / 100))
    assert below == lowest  # white is for what is empty
    assert [label.get_text() for label in drawn["grasp"].get_xticklabels()] == ["0.5", "0.9"]
    assert [label.get_text() for label in drawn["grasp"].get_yticklabels()] == ["a", "b"]
    top, bottom = drawn["grasp"].get_ylim()
    assert top > bottom  # the first layer above


def test_iterations_show_metric_density_and_index(iterations):
    (one,) = curves.trajectories(tables(iterations))
    figure = trajectory([one], looks(["sap"]))
    above, middle, below = figure.axes
    for axes, points in ((above, one.scores), (middle, one.density), (below, one.pqi)):
        (line,) = artists(axes, "line")
        assert values(line) == [(p.x, p.mean) for p in points]
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy % ↑", "density left", "PQ Index"]


@pytest.fixture
def iterations():
    def cell(number, seed):
        trace = [{"pqi": 0.2 / n + seed / 100, "density": 0.8**n} for n in range(1, number + 1)]
        return make_record("sap", number, seed, target_sparsity=None, iteration=number, sparsity=1 - 0.8**number,
                           trace=trace, metrics={"accuracy": 0.9 - number / 100 + seed / 100})  # fmt: skip

    return [make_record(), *(cell(number, seed) for number in range(1, 8) for seed in range(2))]


def test_safe_sparsities_are_those_of_the_cross_task_table(records):
    found = tables(records)
    panels = overview(found)
    axes = safe_sparsities(panels, all_looks(found)).axes[0]
    kept = [one for panel in panels for one in panel.safe]
    assert [label.get_text() for label in axes.get_yticklabels()] == [one.answer.pruner for one in kept]
    drawn = {gid: [values(line)[0][0] for line in artists(axes, gid)] for gid in ("strict", "lenient")}
    assert drawn["strict"] == [one.strict.sparsity for one in kept if one.strict.bound != "none"]
    assert drawn["lenient"] == [one.lenient.sparsity for one in kept]
    assert [tuple(map(float, line.get_xdata())) for line in artists(axes, "interval")] == [
        pytest.approx(one.strict.sparsity_interval) for one in kept if one.strict.bound != "none"
    ]


def test_what_is_kept_at_the_lower_share_alone_is_hollow_and_none():
    found = tables([make_record(metrics={"accuracy": 0.8}), make_record("a", 0.5, metrics={"accuracy": 0.77})])
    figure = safe_sparsities(overview(found), all_looks(found))
    axes = figure.axes[0]
    assert [values(line) for line in artists(axes, "lenient")] == [[(0.5, 1.0)]]
    assert not artists(axes, "strict") and not artists(axes, "interval")
    assert {text.get_text() for text in axes.texts} >= {"none", "→"}
    assert "none: not at the lowest" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_what_is_kept_nowhere_everywhere_or_until_cells_fail_is_said():
    cells = [make_record(metrics={"accuracy": 0.8})]
    for name, metric in (("always", 0.8), ("never", 0.1), ("fails", 0.8)):
        cells.append(make_record(name, 0.5, metrics={"accuracy": metric}))
        cells.append(
            make_failure(name, 0.9) if name == "fails" else make_record(name, 0.9, metrics={"accuracy": metric})
        )
    found = tables(cells)
    figure = safe_sparsities(overview(found), all_looks(found))
    axes = figure.axes[0]
    rows = {round(at): label.get_text() for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    said = {rows[round(text.xy[1])]: text.get_text() for text in axes.texts if round(text.xy[1]) in rows}
    assert said == {"always": "→", "never": "none", "fails": "✗"}
    assert {"→ on all of the grid", "✗ the next failed", "none: not at the lowest"} <= {
        text.get_text() for text in figure.legends[0].get_texts()
    }


def test_retention_has_a_panel_a_task_with_its_curves(records):
    other = [replace(record, task="another") for record in records]
    found = tables([*records, *other])
    panels = overview(found)
    figure = retention(panels, all_looks(found))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left").split(" ")[0] for axes in shown] == ["another", "toy-news"]
    for axes, panel in zip(shown, panels, strict=True):
        for one, line in zip(panel.retention, artists(axes, "line"), strict=True):
            assert values(line) == [(p.x, p.mean) for p in one.points]


def test_retention_above_the_dense_metric_is_inside_its_panel():
    cells = [make_record(), make_record("grasp", 0.5, metrics={"accuracy": 1.2}), make_record("grasp", 0.9)]
    found = tables(cells)
    axes = retention(overview(found), all_looks(found)).axes[0]
    assert axes.get_ylim()[1] > 1.2 / 0.9
    assert axes.get_ylim()[1] < 1.5


SPECIAL = r"a$b$ %_&<x> \alpha{^}#~ $\frac{"
LONG = "magnitude-with-a-name-that-nobody-would-choose"


def everything(pruners, task="toy-news", model="linear"):
    """Cells that have every figure, with names of all kinds."""
    names = [f"{part}.weight" for part in ("encoder.block.0.layer.0.SelfAttention.q", "encoder.block.0.layer.1.wi")]
    layers = tuple(Layer(name, "Linear", 1000, 10) for name in names)
    cells = [
        replace(record, task=task, model=model, layers=layers, notes={"floor": {"accuracy": 0.25}})
        for record in grid((0.5, 0.9, 0.99), pruners)
    ]
    for number in range(1, 16):
        trace = [{"pqi": 0.2 / n, "density": 0.9**n} for n in range(1, number + 1)]
        cells.append(make_record("sap", number, 0, target_sparsity=None, iteration=number, sparsity=1 - 0.9**number,
                                 trace=trace, task=task, model=model, layers=layers, flops=2e6 * 0.9**number,
                                 compressed_bytes=round(12e3 + 4e3 * 0.9**number)))  # fmt: skip
    cells.append(make_failure(pruners[0], 0.95, task=task, model=model))
    cells.append(make_failure("only-failures", 0.5, task=task, model=model))
    times = {"median": 1.0, "lower": 0.8, "upper": 1.5}

    def measured(record):
        fast = {"backend": "CSR", **times, "median": 0.5 + (record.target_sparsity or 1)}
        backends = [{"backend": "dense", **times}, fast]
        return {"batch_size": 1, "threads": 1, "device": "Toy", "rounds": 30, "backends": backends}

    latency = {record.key: measured(record) for record in cells}
    found = tables(cells)
    named = [
        *book.of_tasks(found, latency, all_looks(found)).figures, *book.of_summary(found, all_looks(found)).figures
    ]  # fmt: skip
    assert len(named) == 2 * 2 + 2 * 2 + 2 + 2
    return named


FOURTEEN = ("random", "magnitude", "snip", "grasp", "synflow", "wanda", "fisher", "tpr", "gmp", "imp", "iterative",
            "movement", "soft-movement", "another")  # fmt: skip


@pytest.mark.parametrize(
    "pruners", [("grasp",), (LONG, "random", f"{LONG} (trained, uniform, lr=0.001)"), FOURTEEN, (SPECIAL, "grasp")]
)
def test_all_text_is_large_enough_inside_the_figure_and_apart(pruners):
    for named in everything(pruners, model=pruners[0]):
        figure = named.draw()
        figure.draw_without_rendering()
        assert figure.get_figwidth() == 3.3
        texts = drawn_texts(figure)
        assert min(text.get_fontsize() for text in texts) >= 7
        frame = figure.bbox
        for text in texts:
            box = text.get_window_extent()
            inside = box.x0 >= -2 and box.x1 <= frame.x1 + 2 and box.y0 >= -2 and box.y1 <= frame.y1 + 2
            assert inside, (named.name, text.get_text(), box)
        for axes in figure.axes:
            if axes.get_visible():
                assert_apart(tick_labels(axes.xaxis, "labelbottom"))
                assert_apart(tick_labels(axes.yaxis, "labelleft"))
        for axes in figure.axes:
            box = axes.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= frame.x1 and box.y0 >= 0 and box.y1 <= frame.y1, named.name
            for one in figure.legends:
                assert not one.get_window_extent().overlaps(axes.get_window_extent()), named.name


def tick_labels(axis, name):
    """Those that are drawn: none that are switched off or beyond the ends of the axis."""
    if not axis.get_tick_params().get(name, True) or not axis.get_ticklabels():
        return []
    low, high = sorted(axis.get_view_interval())
    labels = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
    return [label for at, label in labels if low <= at <= high and label.get_text()]


def drawn_texts(figure):
    found = [*figure.texts, *(text for one in figure.legends for text in one.get_texts())]
    for axes in figure.axes:
        if axes.get_visible():
            found += [*axes.texts, axes._left_title, axes.title, axes.xaxis.label, axes.yaxis.label]
            found += [*tick_labels(axes.xaxis, "labelbottom"), *tick_labels(axes.yaxis, "labelleft")]
    return [text for text in found if text.get_text().strip()]


def test_special_characters_are_drawn_as_they_stand():
    for named in everything((SPECIAL, "grasp"), task=SPECIAL, model=SPECIAL):
        figure = named.draw()
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        assert not any(text.get_parse_math() for text in texts), named.name
        found = "".join("".join(text.get_text().split()) for text in texts)
        assert "".join(SPECIAL.split()) in found or "…" in found, named.name
        assert len(style.content(figure, "svg", named.title)) > 1000


def test_a_bad_character_cannot_break_a_line():
    records = [make_record(), make_record("a\nb\u202ec", 0.5)]
    found = tables(records)
    figure = drawn_curves(curves.against_sparsity(found)[0], all_looks(found))
    assert "a b c" in [text.get_text() for text in figure.legends[0].get_texts()]
