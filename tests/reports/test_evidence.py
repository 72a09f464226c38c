"""Which rows are marked: tested over what lies beside the records, corrected for the table, best among equals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save
from scipy import stats

from reports import text
from reports.evidence import stored
from reports.rows import tables
from tests.factories import make_failure, make_record, make_store

DRAW = np.random.default_rng(0)
BASE = (DRAW.random((3, 500)) < 0.9).astype(np.float32)


def with_examples(tmp_path, cells):
    """A store of cells (pruner, target, seed, values); values None leave no file."""
    store = make_store(tmp_path, [])
    for pruner, target, seed, values in cells:
        accuracy = 0.5 if values is None else float(values.mean())
        record = make_record(pruner, target, seed, metrics={"accuracy": accuracy, "loss": 0.3})
        if values is not None:
            name = store.put_file(record.key, "examples", save({"accuracy": values}), ".safetensors")
            record = replace(record, files={"examples": name})
        store.put_record(record, {})
    return store


def rows(store):
    (table,) = tables([*store.records()], (), stored(store))
    return {(row.pruner, row.target): row for row in table.rows}


def test_one_seed_is_tested_over_its_examples(tmp_path):
    head = np.where(np.arange(500) < 40, 0, BASE[0]).astype(np.float32)
    found = rows(with_examples(tmp_path, [("dense", 0.0, 0, BASE[0]), ("a", 0.5, 0, head)]))["a", 0.5].evidence
    assert found.unadjusted == pytest.approx(stats.ttest_rel(head, BASE[0]).pvalue)
    assert (found.seeds, found.examples, found.significant) == (1, 500, True)


def test_p_values_are_corrected_for_the_tests_of_the_table(tmp_path):
    slight = [np.where(np.arange(500) < cut, 0, BASE[0]).astype(np.float32) for cut in (4, 5, 40)]
    cells = [("a", target, 0, values) for target, values in zip((0.1, 0.2, 0.3), slight, strict=True)]
    found = rows(with_examples(tmp_path, [("dense", 0.0, 0, BASE[0]), *cells]))
    p = [found["a", target].evidence for target in (0.1, 0.2, 0.3)]
    assert p[2].p == pytest.approx(3 * p[2].unadjusted)
    assert p[0].p == pytest.approx(max(p[0].unadjusted, 2 * p[1].unadjusted))


def test_values_missing_at_one_seed_leave_the_seeds_to_compare(tmp_path):
    cells = [("dense", 0.0, seed, BASE[seed]) for seed in range(3)]
    cells += [("a", 0.5, seed, BASE[seed] * 0.9 if seed else None) for seed in range(3)]
    assert rows(with_examples(tmp_path, cells))["a", 0.5].evidence.examples == 1


def test_values_of_other_examples_are_not_paired(tmp_path):
    cells = [("dense", 0.0, 0, BASE[0]), ("a", 0.5, 0, BASE[0][:-1])]
    assert rows(with_examples(tmp_path, cells))["a", 0.5].evidence is None


def test_a_file_that_holds_no_tensors_is_no_evidence(tmp_path):
    store = with_examples(tmp_path, [("dense", 0.0, 0, BASE[0])])
    record = make_record("a", 0.5)
    name = store.put_file(record.key, "examples", b"not tensors", ".safetensors")
    store.put_record(replace(record, files={"examples": name}), {})
    assert rows(store)["a", 0.5].evidence is None


def test_one_seed_without_values_is_not_tested_and_no_star_is_explained():
    (table,) = tables([make_record(), make_record("a", 0.5)])
    assert [row.evidence for row in table.rows] == [None, None]
    assert "Holm" not in text.render([table])


def test_the_footer_says_over_what_was_tested(tmp_path):
    store = with_examples(tmp_path, [("dense", 0.0, 0, BASE[0]), ("a", 0.5, 0, BASE[0] * 0.5)])
    drawn = " ".join(text.render(tables([*store.records()], (), stored(store))).split())
    assert "over per-example values; it speaks for this one seed" in drawn
    assert "*" in next(line for line in text.render(tables([*store.records()], (), stored(store))).splitlines()
                       if line.startswith("a "))  # fmt: skip


def scored(pruner, target, accuracy, loss=0.3, **changes):
    return make_record(pruner, target, metrics={"accuracy": accuracy, "loss": loss}, **changes)


def best(records):
    (table,) = tables(records)
    return {(row.label, row.target): set(row.best) for row in table.rows if row.best}


def test_the_best_of_each_target_is_marked_by_the_direction_of_its_metric():
    records = [scored("a", 0.5, 0.8, 0.4), scored("b", 0.5, 0.7, 0.2), scored("a", 0.9, 0.6), scored("b", 0.9, 0.65)]
    assert best(records) == {
        ("a", 0.5): {"accuracy"},
        ("b", 0.5): {"loss"},
        ("b", 0.9): {"accuracy"},  # both have a loss of 0.3
    }


def test_equal_means_are_equally_good_unless_all_are():
    tied = [scored(name, 0.5, value, 0.1) for name, value in (("a", 0.8), ("b", 0.8), ("c", 0.7))]
    assert best(tied) == {("a", 0.5): {"accuracy"}, ("b", 0.5): {"accuracy"}}


def test_a_pruner_alone_at_its_target_and_the_dense_reference_are_not_marked():
    assert best([scored("dense", 0.0, 0.9), scored("a", 0.5, 0.8), make_failure("b", 0.5)]) == {}


def test_settings_have_winners_of_their_own():
    records = [scored(p, 0.5, v, model=m) for p, m, v in (("a", "x", 0.9), ("b", "x", 0.8), ("a", "y", 0.3),
                                                          ("b", "y", 0.4))]  # fmt: skip
    assert {label for (label, _), metrics in best(records).items() if "accuracy" in metrics} == {"a [x]", "b [y]"}
