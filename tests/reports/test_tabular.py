"""Cells for other programs."""

from __future__ import annotations

import csv
import io
import json

from reports import tabular
from tests.factories import make_failure, make_record, make_store


def test_json_lines_give_back_every_field_and_the_seconds(tmp_path):
    record = make_record("grasp", 0.9, metrics={"accuracy": 0.123456789012345, "loss": 1.0})
    store = make_store(tmp_path, [record])
    (line,) = tabular.jsonl(tabular.timed(store, store.records())).splitlines()
    cell = json.loads(line)
    assert cell["metrics"]["accuracy"] == 0.123456789012345
    assert cell["seconds"] == {"Train": 1.5, "Evaluate": 0.25}
    assert cell["layers"] == [{"name": "body.weight", "type": "Linear", "size": 1000, "kept": 100, "flops": 2_000_000}]


def test_csv_has_flat_columns_for_metrics_options_and_seconds(tmp_path):
    records = [make_record("grasp", 0.9, collapsed_layers=["a", "b"]), make_failure("grasp", 0.5)]
    store = make_store(tmp_path, records)
    failed, done = csv.DictReader(io.StringIO(tabular.comma_separated(tabular.timed(store, store.records()))))
    assert (done["metric:accuracy"], done["option:dim"], done["seconds:Train"]) == ("0.9", "8", "1.5")
    assert (done["collapsed_layers"], done["data:kind"], done["error"]) == ("a;b", "subset", "")
    assert (failed["status"], failed["sparsity"], failed["error"]) == ("failed", "", "the loss became NaN at step 7.")


def test_cells_come_in_the_order_of_the_grid_not_of_their_keys(tmp_path):
    cells = (("random", 0.5), ("grasp", 0.9), ("grasp", 0.5), ("dense", 0.0))
    records = [make_record(pruner, target, seed) for pruner, target in cells for seed in (1, 0)]
    store = make_store(tmp_path, records)
    found = [(r.pruner, r.target_sparsity, r.seed) for r, _ in tabular.timed(store, store.records())]
    assert found == [
        ("dense", 0.0, 0),
        ("dense", 0.0, 1),
        ("grasp", 0.5, 0),
        ("grasp", 0.5, 1),
        ("grasp", 0.9, 0),
        ("grasp", 0.9, 1),
        ("random", 0.5, 0),
        ("random", 0.5, 1),
    ]
