"""Which figures a task has on the page, as far as there is room for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports import curves, latency_curves
from reports.curves import Chart, Place
from reports.html import charts, grids, heat
from reports.html.charts import Drawing
from reports.html.grids import Grid
from reports.html.heat import Heat
from reports.latency import Measured
from reports.table import Table

POINTS = 8000
"""Points of all figures."""
SHADES = 20_000
"""Cells of all heat maps."""


@dataclass(frozen=True)
class Figure:
    """Drawings that one table of data stands behind."""

    title: str
    drawings: tuple[Drawing, ...]
    data: Grid


class Room:
    """What figures may still take."""

    def __init__(self) -> None:
        self.points, self.shades = POINTS, SHADES
        self._without: dict[str, int] = {}

    def figure(self, points: int) -> bool:
        """Whether there is room for a figure of so many points, which it then takes."""
        if points > self.points:
            return self.refused("figures")
        self.points -= points
        return True

    def heat(self, shades: int) -> bool:
        """As ``figure``."""
        if shades > self.shades:
            return self.refused("tasks' densities of layers")
        self.shades -= shades
        return True

    def refused(self, what: str) -> bool:
        """False; it is counted."""
        self._without[what] = self._without.get(what, 0) + 1
        return False

    @property
    def left_out(self) -> list[str]:
        return [f"{count:,} {what} are left out to keep the file small." for what, count in self._without.items()]


class Gallery:
    """One table's figures. Leading ones of all tables are asked for before others, which have the room that is left."""

    def __init__(
        self, table: Table, numbers: Mapping[str, int], rows: Mapping[str, int], latency: Measured, room: Room
    ) -> None:
        self.table, self.numbers, self.rows, self.latency, self.room = table, numbers, rows, latency, room
        self.dashes = charts.dashes((row.line, row.pruner) for row in table.rows if not row.dense)
        self._sparsity = curves.against_sparsity([table])
        self._flops = {_name(chart): chart for chart in curves.against_flops([table])}

    def leading(self) -> tuple[Figure, ...]:
        """The leading metric against sparsity and FLOPs, a figure a setting."""
        return self._drawn([self._pair(chart) for chart in self._sparsity if self._leads(chart)])

    def more(self) -> tuple[Figure, ...]:
        """The Pareto fronts of the leading metric, iterations, and the other metrics; of a table for which the room is
        too small none."""
        least = sum(1 for row in self.table.rows if not row.dense)
        if least > self.room.points:
            self.room.refused("tasks' further figures")
            return ()
        pareto = [*curves.against_bytes([self.table]), *latency_curves.against_latency([self.table], self.latency)]
        return (
            *self._drawn([[chart] for chart in pareto if self._leads(chart)]),
            *self._trajectories(),
            *self._drawn([self._pair(chart) for chart in self._sparsity if not self._leads(chart)]),
        )

    def heats(self) -> tuple[Heat, ...]:
        """Densities of layers, one a setting and pruner; of a table for which the room is too small none."""
        shades = sum(len(row.cells[0].layers) for row in self.table.rows if row.cells and not row.dense)
        if not shades or not self.room.heat(shades):
            return ()
        return tuple(heat.heat(found, self.numbers, self.rows) for found in curves.densities([self.table]))

    def _leads(self, chart: Chart) -> bool:
        return chart.metric == self.table.metrics[0]

    def _pair(self, chart: Chart) -> list[Chart]:
        flops = self._flops.get(_name(chart))
        return [chart, flops] if flops is not None else [chart]

    def _drawn(self, figures: Sequence[Sequence[Chart]]) -> tuple[Figure, ...]:
        return tuple(self._figure(found) for found in figures if self.room.figure(sum(map(_points, found))))

    def _figure(self, found: Sequence[Chart]) -> Figure:
        drawings = [charts.chart(chart, self.numbers, self.rows, self.dashes) for chart in found]
        kinds = " and ".join(chart.kind for chart in found)
        title = _titled(f"{found[0].metric.name} against {kinds}", found[0].place, found[0].condition)
        return Figure(title, tuple(drawings), grids.of_charts(found, self.numbers, self.rows))

    def _trajectories(self) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                _titled(f"{found.label} over iterations", found.place),
                tuple(charts.trajectory(found, self.numbers, self.rows)),
                grids.of_trajectory(found, self.numbers, self.rows),
            )
            for found in curves.trajectories([self.table])
            if self.room.figure(3 * len(found.scores))
        )


def _points(chart: Chart) -> int:
    return sum(len(one.points) for one in chart.series)


def _name(chart: Chart) -> tuple[str, str]:
    return chart.place.setting, chart.metric.name


def _titled(text: str, place: Place, condition: str = "") -> str:
    aside = "; ".join(part for part in (place.setting, condition) if part)
    return f"{text} ({aside})" if aside else text
