"""The first sentences of a report say what its tables do."""

from __future__ import annotations

from reports.answers import answers
from reports.headlines import headlines
from reports.rows import tables
from tests.factories import make_record

KEPT = {"good": {0.5: 0.9, 0.9: 0.9}, "fair": {0.5: 0.9, 0.9: 0.6}, "poor": {0.5: 0.5, 0.9: 0.3}}


def cells(task: str, family: str = "NLP", dense: float = 0.9, names=("good", "fair", "poor"), **more):
    data = {"name": "toy", "kind": "whole", "counts": {}, "digest": "ab" * 32}
    notes = {"notes": {"family": family, "floor": {"accuracy": 0.25}}, "task": task, "data": data, **more}
    return [
        make_record(metrics={"accuracy": dense, "loss": 0.3}, **notes),
        *(
            make_record(name, target, metrics={"accuracy": value * dense / 0.9, "loss": 1.0}, **notes)
            for name in names
            for target, value in KEPT[name].items()
        ),
    ]


def said(records) -> list[str]:
    found = tables(records)
    return headlines(found, answers(found))


def test_a_task_is_told_by_its_furthest_pruner_and_those_that_keep_nothing():
    # fair: 0.9 kept at 0.5, 0.6 at 0.9; 99 % of 0.9 is 0.891, crossed at 0.5 + 0.4 * 0.009 / 0.3.
    assert said(cells("a")) == [
        "a: good keeps 99 % of the dense accuracy furthest, to sparsity 0.900 and was measured no further, at 10 % of "
        "the FLOPs; not at the lowest sparsity measured: poor."
    ]
    (only,) = said(cells("a", names=("fair", "good")))
    assert only.endswith("; fair the least far, to 0.512.")
    (nothing,) = said(cells("a", names=("poor",)))
    assert nothing == "a: nothing keeps 99 % of the dense accuracy, not even at the lowest sparsity measured."


def test_tasks_of_several_fields_are_compared():
    found = said([*cells("a"), *cells("b", "IR", names=("fair", "poor")), *cells("c", "IR")])
    assert found[0] == (
        "Mean rank over 3 tasks, by how much of the dense metric is kept along the grid: fair 1.67, poor 2.67."
    )
    assert found[1] == (
        "By field, what keeps 99 % of dense the furthest on all of its tasks: IR (2 tasks) fair to sparsity 0.512; "
        "NLP (1 task) good to sparsity 0.900."
    )
    assert [sentence.split(":")[0] for sentence in found[2:]] == ["b", "c", "a"]


def test_a_task_whose_dense_model_is_at_chance_is_named_and_not_ranked():
    found = said([*cells("a"), *cells("b", dense=0.27)])
    assert found[-1] == (
        "Not informative: the dense model does not clearly beat chance, is 0, or missing; left out of ranks: b."
    )
    assert not any(sentence.startswith("b:") for sentence in found)


def test_of_many_tasks_a_dozen_are_told():
    found = said([record for number in range(15) for record in cells(f"task-{number:02}")])
    assert sum(sentence.startswith("task-") for sentence in found) == 12
    assert "And 3 more tasks, in the tables." in found


def test_significant_differences_are_counted():
    records = [
        make_record(pruner, target, seed, metrics={"accuracy": value + seed / 1000})
        for pruner, target, value in (("dense", 0.0, 0.9), ("good", 0.5, 0.9), ("poor", 0.5, 0.4))
        for seed in range(3)
    ]
    changed = [
        r if r.pruner != "poor" else make_record("poor", 0.5, r.seed, metrics={"accuracy": 0.4 + r.seed / 700})
        for r in records
    ]
    assert said(changed)[-1].startswith("1 of ")
    assert "differ significantly from dense (p ≤ 0.05, paired, Holm's correction a table)." in said(changed)[-1]
