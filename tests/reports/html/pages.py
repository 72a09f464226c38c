"""Results folders and their pages, parsed as browsers parse."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib

from bench.cli.report import rendered, summarised
from bench.record import Layer, Record
from bench.store import Store
from tests.factories import make_record, make_store
from tests.reports.conftest import GOLDEN_REFERENCES, golden_records

HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
TRANSLATIONS = [("source", "reference", "output"), *((f"Satz {i}", f"sentence {i}", f"a phrase {i}") for i in range(8))]
LATENCY = {
    "batch_size": 1, "threads": 2, "device": "Toy CPU", "rounds": 30,
    "backends": [{"backend": name, "median": median, "lower": median - 0.1, "upper": median + 0.2}
                 for name, median in (("dense", 4.0), ("masked dense", 4.1), ("CSR", 1.5))],
}  # fmt: skip


def translated(record: Record, store: Store, rows: Sequence[Sequence[str]] = TRANSLATIONS) -> Record:
    """The record with a table of samples beside it."""
    content = gzip.compress("\n".join("\t".join(row) for row in rows).encode(), mtime=0)
    name = store.put_file(record.key, "translations", content, ".gz")
    return replace(record, files={"translations": name}, notes={**record.notes, "samples": ["translations"]})


def iterations(task: str, seeds: Sequence[int] = (0, 1)) -> list[Record]:
    """Cells of an adaptive pruner with their PQ Index."""
    return [
        make_record(
            "sap", 0.0, seed, task=task, target_sparsity=None, iteration=number, when="trained",
            sparsity=1 - 0.8**number - 0.01 * seed, flops=round(2e6 * 0.8**number),
            metrics={"accuracy": 0.9 - 0.02 * number + 0.003 * seed, "loss": 0.3},
            trace=[{"pqi": 0.2 / number + 0.01 * seed, "density": 0.8**number, "cut": 3}],
        )
        for number in (1, 2, 3)
        for seed in seeds
    ]  # fmt: skip


def rich(folder: Path) -> Store:
    """Two tasks: one with failed and collapsed cells, three seeds and a baseline; one translated, with iterations,
    latency and several layers."""
    layers = (Layer("encoder.weight", "Linear", 1000, 120), Layer("decoder.weight", "Linear", 400, 0))
    store = make_store(folder, golden_records(), GOLDEN_REFERENCES)
    for seed in (0, 1):
        cells = [make_record(task="toy-translation", seed=seed, metrics={"accuracy": 0.9 + seed / 50, "loss": 0.31})]
        cells += [
            make_record(
                "magnitude", target, seed, task="toy-translation", layers=layers, collapsed_layers=["decoder.weight"],
                metrics={"accuracy": 0.8 - target / 4 + seed / 40, "loss": 0.5}, notes={"family": "NLP"},
            )
            for target in (0.5, 0.9)
        ]  # fmt: skip
        for record in cells:
            store.put_record(translated(record, store), {"Train": 1.25, "Evaluate": 0.5})
            store.put_measurement(record.key, {"latency": LATENCY})
    for record in iterations("toy-translation"):
        store.put_record(record, {"Train": 3.0})
    return store


@dataclass(frozen=True)
class Page:
    """A page and what its parts are."""

    text: str

    @cached_property
    def tree(self) -> Element:
        """Parsed as HTML5 says; what it would have to mend is an error."""
        tree: Element = html5lib.HTMLParser(strict=True).parse(self.text)
        return tree

    def all(self, name: str, within: Element | None = None, space: str = HTML) -> list[Element]:
        return [*(self.tree if within is None else within).iter(f"{space}{name}")]

    def classed(self, name: str, what: str, within: Element | None = None, space: str = HTML) -> list[Element]:
        return [found for found in self.all(name, within, space) if what in found.get("class", "").split()]

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the script reads."""
        (block,) = [found for found in self.all("script") if found.get("type") == "application/json"]
        return json.loads(block.text or "")

    @cached_property
    def cells(self) -> dict[str, dict[str, Any]]:
        """Cells of all rows by key."""
        return {cell["key"]: cell for row in self.data["rows"] for cell in row["cells"]}

    @cached_property
    def tables(self) -> list[Element]:
        """Each task's table, in the order of the page."""
        sections = self.classed("section", "task")
        return [table for s in sections for table in self.all("table", next(d for d in s if scrolls(d)))]

    def rows(self, table: Element) -> Iterator[tuple[Element, dict[str, Element]]]:
        """Rows of a table, with their cells by title."""
        head, body = (next(part for part in table if part.tag == f"{HTML}{name}") for name in ("thead", "tbody"))
        titles = [said(title) for title in head.iter(f"{HTML}th")]
        for row in body:
            yield row, dict(zip(titles, row, strict=True))


def scrolls(element: Element) -> bool:
    return element.get("class", "") == "scroll"


def said(element: Element) -> str:
    """Text of an element and all in it, white space as one."""
    return " ".join("".join(element.itertext()).split())


def page(store: Store, *, summary: bool = False) -> Page:
    made = (summarised if summary else rendered)(store, [*store.records()], "html")
    assert isinstance(made, str)
    return Page(made)


def comma_separated(store: Store) -> dict[str, dict[str, str]]:
    """The lines of the CSV by key."""
    made = rendered(store, [*store.records()], "csv")
    return {line["key"]: line for line in csv.DictReader(io.StringIO(str(made)))}
