"""Records to rows: what is averaged, what is paired, and what is never mixed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from reports.estimates import estimate
from reports.rows import tables
from reports.table import uninformative
from tests.factories import make_failure, make_record

T_2 = math.sqrt(0.95**2 * 2 / (1 - 0.95**2))
"""t(2, 0.975) = 4.3027: with two degrees of freedom F(t) = 1/2 + t / (2 sqrt(2 + t^2)), solved for F(t) = 0.975."""


def scored(pruner: str, target: float, values: list[float], **changes):
    return [
        make_record(pruner, target, seed, metrics={"accuracy": value}, **changes) for seed, value in enumerate(values)
    ]


def only_row(records, pruner):
    (table,) = tables(records)
    (row,) = [row for row in table.rows if row.pruner == pruner]
    return row


def test_the_interval_is_students_t_over_seeds():
    found = estimate([0.90, 0.92, 0.94])
    assert found is not None
    assert found.mean == pytest.approx(0.92)
    # s = sqrt((0.02^2 + 0 + 0.02^2) / 2) = 0.02, half width = t s / sqrt(3)
    assert found.half_width == pytest.approx(T_2 * 0.02 / math.sqrt(3), rel=1e-9)


def test_one_seed_has_no_interval_and_no_seed_no_estimate():
    found = estimate([0.5])
    assert found is not None
    assert (found.mean, found.half_width, found.n) == (0.5, None, 1)
    assert estimate([]) is None


def test_differences_are_paired_by_seed():
    dense = scored("dense", 0.0, [0.90, 0.92, 0.94])
    pruned = scored("grasp", 0.9, [0.85, 0.86, 0.90])
    difference = only_row([*dense, *pruned], "grasp").differences["accuracy"]
    # by seed -0.05, -0.06, -0.04: mean -0.05, s = 0.01
    assert difference.mean == pytest.approx(-0.05)
    assert difference.half_width == pytest.approx(T_2 * 0.01 / math.sqrt(3), rel=1e-9)


def test_a_difference_uses_only_the_seeds_that_both_have():
    dense = scored("dense", 0.0, [0.9, 0.8])
    pruned = scored("grasp", 0.9, [0.7, 0.7, 0.1])
    difference = only_row([*dense, *pruned], "grasp").differences["accuracy"]
    assert (difference.mean, difference.n) == (pytest.approx((-0.2 - 0.1) / 2), 2)


def test_without_a_dense_cell_there_is_no_difference():
    assert only_row(scored("grasp", 0.9, [0.7, 0.8]), "grasp").differences == {}


def test_failed_seeds_are_counted_and_left_out_of_the_mean():
    row = only_row([*scored("grasp", 0.9, [0.7, 0.8]), make_failure("grasp", 0.9, 2)], "grasp")
    assert row.seeds == (0, 1)
    assert [record.seed for record in row.failures] == [2]
    assert row.metrics["accuracy"].mean == pytest.approx(0.75)
    assert row.sparsity == 0.9


def test_collapsed_layers_are_those_of_any_seed():
    records = [
        make_record("grasp", 0.9, 0, collapsed_layers=["a", "b"]),
        make_record("grasp", 0.9, 1, collapsed_layers=["b", "c"]),
    ]
    assert only_row(records, "grasp").collapsed == ("a", "b", "c")


def test_times_fewer_is_dense_flops_over_flops():
    row = only_row([make_record("grasp", 0.75)], "grasp")
    assert (row.dense_flops, row.flops, row.times_fewer) == (2_000_000, 500_000, 4.0)
    assert only_row([make_record("grasp", 0.9, flops=0)], "grasp").times_fewer == math.inf


def test_a_pruner_at_target_zero_stands_beside_the_dense_row():
    """After training it is the dense model and its recovery: the control for longer training."""
    (table,) = tables([make_record("grasp", 0.0, 0), make_record("dense", 0.0, 0)])
    assert [(row.label, row.seeds) for row in table.rows] == [("dense", (0,)), ("grasp", (0,))]


def test_other_data_or_another_version_is_another_table():
    data = make_record().data
    records = [
        make_record(),
        make_record(task_version=2),
        make_record(data={**data, "digest": "cd" * 32}),
        make_record(data={**data, "kind": "whole"}),
        make_record(task="other"),
    ]
    assert [len(table.rows) for table in tables(records)] == [1, 1, 1, 1, 1]


def test_what_varies_between_settings_labels_the_rows_and_is_never_averaged():
    records = [
        make_record("dense", model="linear", metrics={"accuracy": 0.9}),
        make_record("dense", model="deep", metrics={"accuracy": 0.8}),
        make_record("grasp", 0.9, model="deep", metrics={"accuracy": 0.7}),
    ]
    (table,) = tables(records)
    assert [row.label for row in table.rows] == ["dense [deep]", "grasp [deep]", "dense [linear]"]
    assert table.rows[1].differences["accuracy"].mean == pytest.approx(-0.1)


def test_an_option_that_varies_is_named_and_a_constant_one_is_not():
    (table,) = tables([make_record(options={"dim": dim, "classes": 4}) for dim in (8, 64)])
    assert sorted(row.label for row in table.rows) == ["dense [dim=64]", "dense [dim=8]"]


def test_another_training_length_is_another_row_with_its_own_dense():
    (table,) = tables(
        [
            make_record(
                pruner, 0.5 * (pruner == "grasp"), schedule={"steps": steps}, metrics={"accuracy": steps / 1000}
            )
            for pruner in ("dense", "grasp")
            for steps in (100, 500)
        ]
    )
    assert {row.label: row.metrics["accuracy"].mean for row in table.rows} == {
        "dense [steps=100]": 0.1,
        "grasp [steps=100]": 0.1,
        "dense [steps=500]": 0.5,
        "grasp [steps=500]": 0.5,
    }
    assert all(row.differences["accuracy"].mean == 0 for row in table.rows if not row.dense)


def test_another_path_to_the_same_target_is_another_row():
    first = make_record("synflow", 0.5)
    steps = [{**step, "iterations": 100} if step["step"] == "Score" else step for step in first.path]
    (table,) = tables([first, replace(first, key="f" * 64, path=steps)])
    assert [row.label for row in table.rows] == ["synflow [iterations=100]", "synflow [no iterations]"]


def test_unusual_recipes_are_named():
    (table,) = tables(
        [make_record("magnitude", 0.5, when="trained", allocation="uniform"), make_record("magnitude", 0.5)]
    )
    assert [row.label for row in table.rows] == ["magnitude", "magnitude (trained, uniform)"]


def test_rows_come_dense_first_then_by_pruner_and_target():
    records = [make_record("random", 0.9), make_record("grasp", 0.9), make_record("grasp", 0.5), make_record()]
    (table,) = tables(records)
    assert [(row.pruner, row.target) for row in table.rows] == [
        ("dense", 0.0),
        ("grasp", 0.5),
        ("grasp", 0.9),
        ("random", 0.9),
    ]


def test_targets_that_differ_in_the_last_bit_are_one_row():
    (table,) = tables([make_record("grasp", 0.1 + 0.2, 0), make_record("grasp", 0.3, 1)])
    assert [row.seeds for row in table.rows] == [(0, 1)]


def test_metrics_keep_the_tasks_order_even_if_a_record_does_not_list_them():
    (table,) = tables([make_record(metrics={"zz": 1.0, "loss": 0.2, "accuracy": 0.9})])
    assert [info.name for info in table.metrics] == ["accuracy", "loss", "zz"]
    assert table.metrics[2].higher_is_better is None


def test_baselines_join_the_table_of_their_data_and_options():
    reference = {
        "task": "toy-news",
        "data_digest": "ab" * 32,
        "references": [{"name": "BM25", "metrics": {"accuracy": 0.5}}],
    }
    records = [make_record(options={"sizes": (8, 4)})]
    assert [b.label for b in tables(records, [reference])[0].baselines] == ["BM25"]
    assert tables(records, [{**reference, "data_digest": "00"}])[0].baselines == ()
    assert tables(records, [{**reference, "options": {"sizes": [9]}}])[0].baselines == ()
    assert len(tables(records, [{**reference, "options": {"sizes": [8, 4]}}])[0].baselines) == 1


def test_a_baseline_stands_once_unless_settings_give_it_several_values():
    def measured(size: int, accuracy: float) -> dict:
        entry = {"name": "BM25", "metrics": {"accuracy": accuracy}}
        shared = {"task": "toy-news", "data_digest": "ab" * 32, "options": {"size": size}}
        return {**shared, "references": [entry, {"name": "chance", "metrics": {"accuracy": 0.1}}]}

    records = [make_record(options={"size": size}) for size in (1, 2, 3)]
    (alike,) = tables(records, [measured(size, 0.5) for size in (1, 2, 3)])
    assert [b.label for b in alike.baselines] == ["BM25", "chance"]
    (apart,) = tables(records, [measured(1, 0.5), measured(2, 0.4), measured(3, 0.5)])
    assert [b.label for b in apart.baselines] == ["BM25 [size=1; size=3]", "chance", "BM25 [size=2]"]


@pytest.mark.parametrize(
    ("accuracy", "floor", "informative"),
    [
        (0.91, 0.25, True),
        (0.30, 0.25, False),  # less than a tenth of the way from chance to 1: 0.325
        (0.006, 0.0018, False),  # below five times chance
        (0.012, 0.0018, True),
    ],
)
def test_a_dense_model_near_chance_is_not_informative(accuracy, floor, informative):
    (table,) = tables([make_record(metrics={"accuracy": accuracy}, notes={"floor": {"accuracy": floor}})])
    assert (uninformative(table) == []) is informative


def test_the_worse_end_of_the_interval_decides_whether_chance_is_beaten():
    notes = {"floor": {"accuracy": 0.25}}
    (table,) = tables(scored("dense", 0.0, [0.30, 0.50, 0.70], notes=notes))  # 0.5 +- 0.497
    assert [row.label for row in uninformative(table)] == ["dense"]


def test_without_a_floor_nothing_is_said():
    (table,) = tables([make_record(metrics={"accuracy": 0.0001})])
    assert uninformative(table) == []
