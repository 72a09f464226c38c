"""The tree cut into what one worker carries out at a stretch."""

from __future__ import annotations

from bench.executors.segments import Segment, divide
from bench.grid import Request
from bench.plan import make
from bench.steps import Cut, Evaluate, Init, Train
from bench.tree import Plan


def planned(**changes: object) -> Plan:
    asked = {"tasks": ("toy",), "pruners": ("random", "magnitude"), "sparsities": (0.5, 0.9), "when": "trained"}
    return make(Request(**{**asked, **changes}))  # type: ignore[arg-type]


def names(segment: Segment) -> list[str]:
    return [type(node.step).__name__ for node in segment.nodes]


def test_the_dense_model_is_one_segment_and_each_branch_another() -> None:
    dense, *others = divide(planned(), lambda key: True)
    assert names(dense) == ["Init", "Train", "Evaluate"]
    assert [names(segment) for segment in others] == 2 * [["Score"], *2 * [["Cut", "Train", "Evaluate"]]]
    assert [segment.parent is dense for segment in others] == [True, False, False, True, False, False]
    assert dense.trunk and not any(segment.trunk for segment in others)
    assert dense.end is not None and isinstance(dense.end.step, Train)
    assert others[1].end is None


def test_a_row_without_a_branch_is_one_segment_with_the_evaluations_on_its_way() -> None:
    plan = planned(pruners=("sap",), pruner_settings={"sap.iterations": "3"})
    (only,) = divide(plan, lambda key: True)
    assert names(only)[:3] == ["Init", "Train", "Evaluate"]
    assert only.cells == tuple(cell.key for cell in plan.cells)
    assert names(only).count("Evaluate") == 4 and names(only).count("AdaptiveCut") == 3
    assert only.end is None


def test_nothing_waits_for_init() -> None:
    segments = divide(planned(when="init"), lambda key: True)
    first = [segment for segment in segments if segment.parent is None]
    assert [names(segment)[0] for segment in first] == ["Train", "Score", "Score"]
    assert all(isinstance(segment.start.step, Init) for segment in first if segment.start)


def test_every_node_stands_in_one_segment_and_parents_come_first() -> None:
    plan = planned(pruners=("random", "imp", "gmp", "synflow", "sap"), seeds=(0, 1))
    segments = divide(plan, lambda key: True)
    nodes = [node for segment in segments for node in segment.nodes]
    assert len(nodes) == len(set(nodes))
    everything = {node for root in plan.roots for node in root.node.walk() if node.step is not None}
    assert everything - set(nodes) == {node for node in everything if isinstance(node.step, Init)} - set(nodes)
    for segment in segments:
        assert segment.parent is None or segment.parent.number < segment.number
        assert segment.start is not None
        assert segment.parent is None or segment.start is segment.parent.end
        for node in segment.nodes[1:]:
            assert node.parent in segment.nodes


def test_what_leads_to_no_wanted_cell_is_left_out() -> None:
    plan = planned()
    wanted = plan.cells[-1]
    (only,) = divide(plan, lambda key: key == wanted.key)
    assert names(only) == ["Init", "Train", "Score", "Cut", "Train", "Evaluate"]
    assert [node.step.sparsity for node in only.nodes if isinstance(node.step, Cut)] == [0.9]
    assert only.cells == (wanted.key,)
    assert divide(plan, lambda key: False) == []


def test_the_work_of_a_segment_is_its_own_and_the_longest_below() -> None:
    dense, score, cut, *_ = divide(planned(), lambda key: True)
    assert (cut.work, score.work, dense.work) == (20, 20, 60)  # recovery, and 40 steps of the dense model
    assert isinstance(cut.nodes[-1].step, Evaluate)
