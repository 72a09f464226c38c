"""Measured latency in reports: columns of its own, with what it was measured under."""

from __future__ import annotations

import csv
import io
import json

from bench.cli.report import rendered
from bench.store import Store
from tests.factories import make_record, make_store


def measured(median: float, *backends: str) -> dict:
    times = {"median": median, "lower": median - 0.1, "upper": median + 0.2}
    return {
        "latency": {
            "batch_size": 1,
            "threads": 2,
            "device": "Toy CPU",
            "rounds": 30,
            "backends": [{"backend": name, **times} for name in backends],
        }
    }


def folder(tmp_path) -> tuple[Store, list]:
    records = [make_record(), *(make_record("grasp", 0.9, seed) for seed in range(3))]
    store = make_store(tmp_path, records)
    store.put_measurement(records[0].key, measured(4.0, "dense"))
    for seed in range(3):
        store.put_measurement(records[1 + seed].key, measured(1.0 + seed, "dense", "CSR"))
    return store, [*store.records()]


def test_a_table_of_its_own_names_back_end_batch_threads_and_device(tmp_path) -> None:
    store, records = folder(tmp_path)
    text = rendered(store, records, "text")
    table, clock = text.split("toy-news · measured latency")
    assert "latency" not in table
    lines = [line.split() for line in clock.splitlines()]
    assert "batch size 1, 2 threads, Toy CPU, 30 rounds" in clock
    assert "latency ms (dense)" in clock
    assert ["dense", "0.00", "4", "(3.9", "to", "4.2)", "–"] in lines
    assert ["grasp", "0.90", *["2", "(0.9", "to", "3.2)"] * 2] in lines  # median of 1, 2, 3; widest quartiles
    assert "FLOPs" not in clock
    assert "| latency ms (CSR) |" in " ".join(rendered(store, records, "md").split())


def test_reports_without_measurements_are_as_they_were(tmp_path) -> None:
    store = make_store(tmp_path, [make_record()])
    for format in ("text", "md", "csv", "jsonl"):
        assert "latency" not in rendered(store, [*store.records()], format)


def test_json_lines_and_csv_carry_it_cell_by_cell(tmp_path) -> None:
    store, records = folder(tmp_path)
    cells = [json.loads(line) for line in rendered(store, records, "jsonl").splitlines()]
    assert [cell["latency"]["backends"][0]["median"] for cell in cells] == [4.0, 1.0, 2.0, 3.0]
    rows = [*csv.DictReader(io.StringIO(rendered(store, records, "csv")))]
    assert [row["latency ms (CSR):median"] for row in rows] == ["", "1.0", "2.0", "3.0"]
    assert (rows[0]["latency:threads"], rows[1]["latency ms (dense):upper"]) == ("2", "1.2")
