"""The tree: equal prefixes are one node, and its cost is what a hand count gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import pytest

from bench.errors import DataError, UsageError
from bench.foresight.forecast import Forecast
from bench.grid import Request
from bench.plan import make
from bench.steps import Cut, Evaluate, Init, Schedule, Score, Train, keys, stretches
from bench.tree import Node, Plan, tree_of
from pruners.base import Budget, Pruner

FIVE = ("random", "magnitude", "snip", "grasp", "synflow")
GRID = (0.5, 0.8, 0.9, 0.95, 0.98)
TRAIN, RECOVER = 40, 20  # the toy's smoke preset


def request(**changes: object) -> Request:
    return Request(**{"tasks": ("toy",), "pruners": FIVE, "sparsities": GRID, "seeds": (0, 1, 2), **changes})  # type: ignore[arg-type]


def kinds(plan) -> Counter:
    return Counter(type(node.step).__name__ for root in plan.roots for node in root.node.walk() if node.step)


def test_at_init_every_cell_trains_for_itself_and_scores_are_shared() -> None:
    plan = make(request())
    assert len(plan.cells) == 3 * (1 + 5 * 5)
    assert plan.train_steps_shared == 3 * (1 + 25) * TRAIN
    counted = kinds(plan)
    assert counted["Init"] == 3
    # Four pruners score once for all sparsities; SynFlow's 100 iterations head for each sparsity apart.
    assert counted["Score"] == 3 * (4 + 5)
    assert counted["Cut"] == 3 * 25


def test_after_training_the_dense_model_is_trained_once_a_seed_for_all_pruners() -> None:
    plan = make(request(when="trained"))
    assert plan.train_steps_shared == 3 * (TRAIN + 25 * RECOVER)
    assert plan.train_steps_cell_by_cell == 3 * (TRAIN + 25 * (TRAIN + RECOVER))
    trunks = [
        node
        for root in plan.roots
        for node in root.node.walk()
        if isinstance(node.step, Train) and node.step.to == TRAIN
    ]
    assert len(trunks) == 3


def test_target_zero_at_init_is_the_dense_cell() -> None:
    plan = make(request(sparsities=(0.0, 0.5), pruners=("grasp", "snip"), seeds=(0,)))
    assert [(cell.pruner.name, cell.target) for cell in plan.cells] == [("dense", 0.0), ("grasp", 0.5), ("snip", 0.5)]


def steps_left(plan: Plan, done: Collection[str] = (), stored: Collection[str] = ()) -> int:
    return Forecast(plan, [cell.key for cell in plan.cells if cell.key not in done], stored).train_steps


def test_what_is_done_or_stored_costs_nothing_more() -> None:
    plan = make(request(pruners=("magnitude",), when="trained", seeds=(0,)))
    nothing = steps_left(plan)
    assert nothing == plan.train_steps_shared == TRAIN + 5 * RECOVER
    dense = next(node for node in plan.roots[0].node.walk() if isinstance(node.step, Train))
    assert steps_left(plan, stored=[dense.key]) == 5 * RECOVER
    done = {cell.key for cell in plan.cells if cell.target != 0.9}
    assert steps_left(plan, done) == TRAIN + RECOVER
    assert steps_left(plan, [cell.key for cell in plan.cells]) == 0


def test_training_to_a_point_and_beyond_is_one_chain(monkeypatch) -> None:
    """A recipe that stops on the way shares that stretch with one that does not."""
    schedule = Schedule(lr=0.1, batch_size=4, steps=100)

    def early(pruner: Pruner, sparsity: float, budget: Budget):
        return (Train(schedule, 30), Score("magnitude", 1, 0, 0), Cut(sparsity), Train(schedule, 100))

    def late(pruner: Pruner, sparsity: float, budget: Budget):
        return (Train(schedule, 60), Score("magnitude", 1, 0, 0), Cut(sparsity), Train(schedule, 100))

    from bench import plan as planning

    open_ = planning.open_task("toy", request())
    budget_task = type(open_)(
        open_.task, open_.name, "smoke", open_.preset, Budget(schedule, schedule, 1, 1), open_.data
    )
    pruners = [Pruner("early", "magnitude", early), Pruner("late", "magnitude", late)]
    monkeypatch.setattr(planning, "_variant", lambda pruner: "")
    drawn = planning._outlines(budget_task, pruners, (0.5,))
    cells = [replace(cell, key=keys("root", cell.path)[-1]) for cell in drawn]
    tree = tree_of("root", cells)
    trains = [node for node in tree.walk() if isinstance(node.step, Train)]
    # 0-30-60 in one chain, then to the dense model's end, and on to it from each of the two cuts.
    assert sorted(node.train_steps for node in trains) == [30, 30, 40, 40, 70]
    # The dense schedule of this task has 100 steps, and every cell spends as many.
    assert [sum(stretches(cell.path)) for cell in cells] == [100, 100, 100]


def test_paths_are_in_the_order_that_was_asked_for_dense_first() -> None:
    plan = make(request(seeds=(3,), sparsities=(0.9, 0.5), pruners=("snip", "random")))
    assert [(cell.pruner.name, cell.target) for cell in plan.cells] == [
        ("dense", 0.0), ("snip", 0.9), ("snip", 0.5), ("random", 0.9), ("random", 0.5),
    ]  # fmt: skip


def test_evaluation_options_change_the_evaluation_alone() -> None:
    one, two = (make(request(settings={"bins": bins}, seeds=(0,), sparsities=(0.5,))) for bins in ("5", "6"))

    def inner(plan) -> set[str]:
        return {node.key for root in plan.roots for node in root.node.walk() if not isinstance(node.step, Evaluate)}

    assert inner(one) == inner(two)
    assert not {cell.key for cell in one.cells} & {cell.key for cell in two.cells}


@pytest.mark.parametrize(
    "change",
    [{"settings": {"width": "8"}}, {"settings": {"train.lr": "0.5"}}, {"seeds": (7,)}, {"dtype": "bfloat16"}],
)
def test_whatever_changes_a_result_changes_its_key(change: dict) -> None:
    one = {cell.key for cell in make(request(seeds=(0,))).cells}
    other = {cell.key for cell in make(request(**{"seeds": (0,), **change})).cells}
    assert not one & other


def test_every_path_starts_with_init_and_ends_with_evaluate() -> None:
    for cell in make(request()).cells:
        assert isinstance(cell.path[0], Init)
        assert isinstance(cell.path[-1], Evaluate)
        assert not any(isinstance(step, Init | Evaluate) for step in cell.path[1:-1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": ("toi",)}, "unknown task 'toi'. Did you mean 'toy'?"),
        ({"pruners": ("grsp",)}, "unknown pruner 'grsp'. Did you mean 'grasp'?"),
        ({"preset": "smal"}, "Did you mean 'small'?"),
        ({"allocation": "unifrom"}, "Did you mean 'uniform'?"),
        ({"structure": "columns"}, "unknown structure"),
        (
            {"structure": "3:4"},
            "--structure 3:4 cuts to a sparsity of exactly 0.25, not 0.5. Give --grid 0.25.",
        ),
        ({"structure": "4:2"}, "Give N:M with 1 <= N < M"),
        ({"structure": "N:M"}, "Say which, for example 2:4."),
        ({"when": "later"}, "Give init or trained"),
        ({"settings": {"train.steps": "-3"}}, "steps is -3: give 0 or more"),
        ({"data": "/no/such/folder"}, "no such folder"),
    ],
)
def test_bad_input_is_one_clear_line(change: dict, says: str) -> None:
    with pytest.raises(UsageError) as error:
        make(request(**change))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_data_folder_without_the_file_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"lacks toy/points\.tsv"):
        make(request(data=str(tmp_path)))


def test_shared_nodes_have_one_parent() -> None:
    plan = make(request(when="trained"))
    for root in plan.roots:
        nodes: list[Node] = list(root.node.walk())
        assert len({node.key for node in nodes}) == len(nodes)
        assert sum(isinstance(node.step, Score) for node in nodes) == 4 + 5


def test_several_models_of_a_task_are_one_grid_each_with_presets_of_its_own() -> None:
    plan = make(request(models=("mlp", "slow"), pruners=("magnitude",), sparsities=(0.5,), seeds=(0,)))
    assert [(cell.task.model, cell.pruner.name) for cell in plan.cells] == [
        ("mlp", "dense"), ("mlp", "magnitude"), ("slow", "dense"), ("slow", "magnitude"),
    ]  # fmt: skip
    assert [cell.task.budget.train.length for cell in plan.cells] == [40, 40, 60, 60]


def test_a_setting_may_be_one_task_s_alone() -> None:
    settings = {"toy.width": "8", "toy.train.steps": "7"}
    plan = make(request(tasks=("toy", "ag-news"), data="sample", pruner_settings=settings, seeds=(0,)))
    found = {cell.task.name: cell.task for cell in plan.cells}
    assert found["toy"].preset.options.width == 8 and found["toy"].budget.train.length == 7
    assert found["ag-news"].budget.train.length == 160


def test_a_recipe_of_hundreds_of_cuts_is_a_tree_like_any_other() -> None:
    settings = {"imp.rate": "0.01"}
    plan = make(request(pruners=("imp",), sparsities=(0.99,), seeds=(0,), pruner_settings=settings))
    # 0.99^458 is above 0.01, 0.99^459 below it: 458 levels and the last cut.
    assert kinds(plan)["Cut"] == 459
    assert steps_left(plan) == plan.train_steps_shared


@pytest.mark.parametrize("choice", [{"structure": "rows"}, {"allocation": "erk"}])
def test_adaptive_pruning_has_no_structure_and_no_allocation(choice: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="cuts single weights"):
        make(request(pruners=("sap",), seeds=(0,), **choice))
