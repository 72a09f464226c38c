"""Recipes against their papers: when they cut, how much, and what they rewind to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import api, runner
from bench.errors import UsageError
from bench.grid import LEVEL, Request, parse_grid
from bench.plan import make
from bench.state import State
from bench.steps import AdaptiveCut, Cut, Evaluate, Init, Rewind, Schedule, Score, Train, stretches
from bench.store import Store
from bench.tree import Node
from bench.workbench import Workbench
from pruners import catalog, recipes
from pruners.base import Budget

TRAIN = Schedule(lr=0.1, batch_size=8, steps=400)
RECOVER = Schedule(lr=0.01, batch_size=8, steps=200, stream="recover")
BUDGET = Budget(TRAIN, RECOVER, 1, 8)


def steps_of(pruner, target: float):
    return pruner.recipe(pruner, target, BUDGET)


# Train, prune, recover


def test_tpr_spends_the_dense_budget_and_no_more() -> None:
    path = steps_of(catalog.TPR, 0.3)
    assert [type(step) for step in path] == [Train, Score, Cut, Train]
    assert sum(stretches(path)) == TRAIN.length
    assert path[0] == Train(TRAIN, 200)
    assert path[2].sparsity == 0.3


# Gradual


@pytest.mark.parametrize(("target", "cuts"), [(0.9, 10), (0.5, 4), (0.95, 7)])
def test_gmp_cuts_by_the_cubic_formula_and_recovers_after_the_last(target: float, cuts: int) -> None:
    path = steps_of(replace(catalog.GMP, options=recipes.Gradual(cuts=cuts)), target)
    made = [step for step in path if isinstance(step, Cut)]
    span = 150  # three quarters of the recovery schedule
    # Zhu & Gupta's equation 1 with s_i = 0: s_f + (0 - s_f) (1 - (t - t0) / (n dt))^3
    formula = [target + (0 - target) * (1 - i / cuts) ** 3 for i in range(1, cuts + 1)]
    assert [cut.sparsity for cut in made] == pytest.approx(formula, abs=1e-12)
    assert made[-1].sparsity == target
    at = [path[index - 2].to for index, step in enumerate(path) if isinstance(step, Cut)]
    assert at == [i * span // cuts for i in range(1, cuts + 1)]
    assert path[-1] == Train(RECOVER, 200)
    assert stretches(path)[-1] == 50
    assert sum(stretches(path)) == TRAIN.length + RECOVER.length


def test_gmp_at_init_prunes_along_the_dense_schedule() -> None:
    path = steps_of(replace(catalog.GMP, when="init"), 0.9)
    assert sum(stretches(path)) == TRAIN.length
    assert isinstance(path[0], Train)


# Iterative magnitude pruning


def test_imp_levels_are_powers_of_what_a_level_leaves() -> None:
    path = steps_of(catalog.IMP, 0.9)
    cuts = [step.sparsity for step in path if isinstance(step, Cut)]
    # 1 - 0.8^10 = 0.893 is the last level below 0.9; a smaller cut reaches the target
    assert cuts == pytest.approx([*(1 - 0.8**level for level in range(1, 11)), 0.9], abs=1e-12)
    assert all(step == Rewind(20) for step in path if isinstance(step, Rewind))
    assert sum(stretches(path)) == 400 + 11 * 380


def test_a_target_that_is_a_level_needs_no_smaller_cut() -> None:
    (target,) = parse_grid("l=5")
    assert target == pytest.approx(1 - LEVEL**5)
    assert sum(isinstance(step, Cut) for step in steps_of(catalog.IMP, target)) == 5


def test_iterative_pruning_recovers_on_other_batches_each_time() -> None:
    path = steps_of(catalog.ITERATIVE, 0.5)
    streams = [step.schedule.stream for step in path if isinstance(step, Train)]
    assert streams == ["train", "recover 1", "recover 2", "recover 3", "recover 4"]
    assert not any(isinstance(step, Rewind) for step in path)


@pytest.mark.parametrize("rewind", [0, 7])
def test_after_a_rewind_every_surviving_weight_is_what_it_was_bit_for_bit(tmp_path: Path, monkeypatch, rewind) -> None:
    states: list[tuple[Node, State]] = []
    apply = runner.apply

    def remembered(bench: Workbench, node: Node, before: State | None, origin: State | None = None) -> State:
        states.append((node, apply(bench, node, before, origin)))
        return states[-1][1]

    monkeypatch.setattr(runner, "apply", remembered)
    request = Request(("toy",), ("imp",), parse_grid("l=1:4:1"), pruner_settings={"rewind": str(rewind)})
    api.execute(make(request), Store(tmp_path, create=True), api.Execution(threads=1), "float32", api.Silent())
    point = next(
        state for node, state in states
        if (isinstance(node.step, Init) if rewind == 0 else isinstance(node.step, Train) and node.step.to == rewind)
    )  # fmt: skip
    rewound = [(node, state) for node, state in states if isinstance(node.step, Rewind)]
    assert len(rewound) == 4
    for _, state in rewound:
        assert state.masks
        for name, weight in state.weights.items():
            mask = state.masks.get(name, torch.ones_like(weight, dtype=torch.bool))
            assert torch.equal(weight[mask], point.weights[name][mask])
            assert not weight[~mask].any()
        if rewind:
            assert state.position.step == rewind
            for name, value in point.position.optimizer.items():
                assert torch.equal(state.position.optimizer[name], value)


def test_imp_level_l_has_density_a_fifth_less_to_one_weight(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    request = Request(("toy",), ("imp",), parse_grid("l=1:10:1"))
    plan = make(request)
    api.execute(plan, store, api.Execution(threads=1), "float32", api.Silent())
    for level, cell in enumerate(plan.cells[1:], start=1):
        record = store.record(cell.key)
        assert record.status == "done", record.failure
        assert abs(sum(layer.kept for layer in record.layers) - 0.8**level * record.prunable) <= 0.5
    # one trajectory: the dense training, then each level once from the rewind point (a twentieth of 40 steps)
    assert plan.train_steps_shared == 40 + 10 * 38


def test_eight_pruners_share_more_than_half_of_their_training() -> None:
    pruners = ("random", "magnitude", "snip", "grasp", "gmp", "imp", "tpr", "movement")
    levels = parse_grid("l=1:10:1")
    seeds = (0, 1, 2)
    first = make(Request(("toy",), pruners[:4], levels, seeds, when="trained"))
    rest = make(Request(("toy",), pruners[4:], levels, seeds))
    both = make(Request(("toy",), pruners, levels, seeds, when="trained"))
    n, r, k, half = 40, 20, 2, 20  # dense and recovery steps of the toy, rewind point, where tpr cuts
    # All of gmp's targets share the way to the first cut, one step into the schedule.
    one_shot, gmp, movement = 4 * 10 * r, 1 + 10 * (r - 1), 10 * r
    imp, tpr = 10 * (n - k), 10 * (n - half)
    assert first.train_steps_shared == 3 * (n + one_shot)
    assert rest.train_steps_shared == 3 * (n + gmp + imp + tpr + movement)
    assert both.train_steps_shared == 3 * (n + one_shot + gmp + imp + tpr + movement)
    alone = n + 4 * 10 * (n + r) + 10 * (n + r) + sum(n + level * (n - k) for level in range(1, 11)) + 10 * n
    assert both.train_steps_cell_by_cell == 3 * (alone + 10 * (n + r))
    assert both.train_steps_shared <= both.train_steps_cell_by_cell / 2


# SAP


def test_sap_evaluates_every_iteration_of_one_trajectory(tmp_path: Path) -> None:
    request = Request(("toy",), ("sap",), (0.5,), pruner_settings={"sap.iterations": "3", "sap.scope": "layer"})
    plan = make(request)
    assert [(cell.target, cell.iteration) for cell in plan.cells] == [(0.0, None), (None, 1), (None, 2), (None, 3)]
    assert plan.train_steps_shared == 40 * 4
    store = Store(tmp_path, create=True)
    api.execute(plan, store, api.Execution(threads=1), "float32", api.Silent())
    records = [store.record(cell.key) for cell in plan.cells[1:]]
    for number, record in enumerate(records, start=1):
        assert record.status == "done", record.failure
        assert len(record.trace) == number
        assert 0 < record.trace[-1]["pqi"] < 1
        assert record.sparsity == pytest.approx(1 - record.trace[-1]["density"])
    assert records[0].sparsity < records[1].sparsity < records[2].sparsity
    assert [type(step).__name__ for step in plan.cells[2].path] == [
        "Init", "Train", "AdaptiveCut", "Rewind", "Train", "AdaptiveCut", "Rewind", "Train", "Evaluate",
    ]  # fmt: skip
    assert isinstance(plan.cells[1].path[2], AdaptiveCut)
    assert isinstance(plan.cells[1].path[-1], Evaluate)


# One-shot variants


def test_scoring_after_a_warm_up_goes_on_under_the_same_schedule() -> None:
    plan = make(Request(("toy",), ("snip",), (0.5,), pruner_settings={"score_after": "10"}))
    path = plan.cells[1].path
    assert [type(step) for step in path[1:-1]] == [Train, Score, Cut, Train]
    assert stretches(path)[1:] == [10, 0, 0, 30, 0]
    assert plan.train_steps_shared == 40 + 30
    assert plan.cells[1].variant == "score_after=10"


def test_calibration_only_trains_nothing_after_the_cut() -> None:
    plan = make(Request(("toy",), ("magnitude",), (0.5,), when="trained", settings={"recover.steps": "0"}))
    assert [type(step) for step in plan.cells[1].path[1:-1]] == [Train, Score, Cut]


def test_what_is_excluded_is_neither_scored_nor_cut_nor_counted(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    plan = make(Request(("toy",), ("magnitude", "gmp", "movement", "sap"), (0.5,), exclude=("0.*",),
                        pruner_settings={"sap.iterations": "1"}))  # fmt: skip
    api.execute(plan, store, api.Execution(threads=1), "float32", api.Silent())
    for cell in plan.cells[1:]:
        record = store.record(cell.key)
        assert record.status == "done", record.failure
        assert [layer.name for layer in record.layers] == ["3.weight", "5.weight"]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(("toy",), ("imp",), (0.5,), pruner_settings={"rewind": "40"}), "beyond the budget of 40"),
        (Request(("toy",), ("snip",), (0.5,), pruner_settings={"score_after": "99"}), "beyond the budget of 40"),
        (Request(("toy",), ("snip",), (0.5,), pruner_settings={"rewind": "3"}), "no setting 'rewind'"),
        (Request(("toy",), ("snip",), (0.5,), pruner_settings={"imp.rate": "3"}), "none of the asked pruners"),
        (Request(("toy",), ("imp",), (0.5,), pruner_settings={"imp.rate": "1.5"}), "between 0 and 1"),
        (Request(("toy",), ("sap",), (0.5,), pruner_settings={"sap.p": "2"}), "0 < p < q"),
        (Request(("toy",), ("sap",), (0.5,), pruner_settings={"sap.scope": "model"}), "none of neuron, layer, global"),
        (Request(("toy",), ("tpr",), (0.5,), pruner_settings={"tpr.cut_at": "1"}), "between 0 and 1"),
        (Request(("toy",), ("gmp",), (0.5,), pruner_settings={"gmp.cuts": "0"}), "at least one cut"),
        (Request(("toy",), ("movement",), (0.5,), settings={"recover.steps": "0"}), "needs recovery steps"),
    ],
)
def test_settings_that_cannot_be_are_one_clear_line(request_: Request, says: str) -> None:
    with pytest.raises(UsageError) as error:
        make(request_)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pattern_that_fits_nothing_is_named(tmp_path: Path) -> None:
    plan = make(Request(("toy",), ("magnitude",), (0.5,), exclude=("encoder.*",)))
    with pytest.raises(UsageError, match=r"--exclude encoder\.\*: fits no prunable parameter"):
        api.execute(plan, Store(tmp_path, create=True), api.Execution(threads=1), "float32", api.Silent())
