"""Grids under structures: what is cut, what is refused before anything is spent, what is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import api
from bench.errors import UsageError
from bench.grid import Request
from bench.plan import make
from bench.record import dumps
from bench.store import Store

QUICK = {"train.steps": "6", "recover.steps": "4"}
WEIGHTS = 2 * 16 + 16 * 16 + 16 * 4
"""Prunable weights of the toy."""


def run(out: Path, measure: tuple[str, ...] = (), **changes: object) -> list:
    asked = Request(
        **{"tasks": ("toy",), "pruners": ("magnitude",), "sparsities": (0.5,), "settings": QUICK, **changes}  # type: ignore[arg-type]
    )
    plan, store = make(asked), Store(out, create=True)
    api.execute(plan, store, api.Execution("cpu", 1, measure=measure), asked.dtype, api.Silent())
    return [store.record(cell.key) for cell in plan.cells]


@pytest.mark.parametrize("when", ["init", "trained"])
def test_every_pruner_cuts_n_of_m_exactly(tmp_path: Path, when: str) -> None:
    pruners = ("random", "magnitude", "snip", "grasp", "synflow", "toy-tied")
    _, *cells = run(tmp_path / "out", pruners=pruners, structure="1:2", when=when)
    assert len(cells) == 6
    for record in cells:
        assert record.status == "done", record.failure
        assert {layer.density for layer in record.layers} == {0.5}


@pytest.mark.parametrize("allocation", ["global", "uniform", "erk"])
@pytest.mark.parametrize("when", ["init", "trained"])
def test_every_pruner_removes_rows_down_to_the_budget(tmp_path: Path, when: str, allocation: str) -> None:
    pruners = ("random", "magnitude", "snip", "grasp", "synflow", "toy-tied")
    asked = {"pruners": pruners, "structure": "rows", "when": when, "allocation": allocation}
    _, *cells = run(tmp_path / "out", sparsities=(0.5, 0.9), **asked)
    assert len(cells) == 12
    for record in cells:
        assert record.status == "done", record.failure
        kept = sum(layer.kept for layer in record.layers)
        budget = round((1 - record.target_sparsity) * WEIGHTS)
        assert budget - (16 + 16 + 4) < kept <= budget  # the largest unit: a row of 16 inputs, read 4 times, at most
        assert record.sparsity == 1 - kept / WEIGHTS >= record.target_sparsity
        units = {name: int(told.split()[0]) for name, told in record.notes["units"].items()}
        assert kept == 2 * units["0"] + units["0"] * units["3"] + 4 * units["3"]
        gone = WEIGHTS - kept + (16 - units["0"]) + (16 - units["3"])  # and the biases of the units
        assert record.total_sparsity == pytest.approx(gone / record.parameters)


def test_only_weights_of_units_count_as_prunable_where_others_cannot_go(tmp_path: Path) -> None:
    asked = {"tasks": ("msmarco-dsi",), "settings": {"train.steps": "2"}, "structure": "heads"}
    dense, half = run(tmp_path / "out", sparsities=(0.5,), allocation="uniform", **asked)
    # Four attentions of four matrices of 64 x 64, and three feed-forward blocks of two of 64 x 128.
    assert (dense.prunable, half.prunable) == (4 * 4 * 64 * 64 + 3 * 2 * 64 * 128, 4 * 4 * 64 * 64)
    assert half.sparsity == 0.5
    assert set(half.notes["units"].values()) == {"2 of 4"}


def test_a_task_without_units_is_one_clear_line_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        run(tmp_path / "out", tasks=("ag-news",), structure="rows")
    assert str(error.value) == (
        "ag-news, --structure rows: the task's model offers no rows that can be removed. "
        "Give --structure weights or N:M (2:4)."
    )
    assert not (tmp_path / "out").exists()


def test_a_layer_that_the_groups_do_not_fit_is_one_clear_line_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^0\.weight: 2:4 does not fit this layer: its 2 inputs are no multiple of 4"):
        run(tmp_path / "out", structure="2:4")
    assert not list((tmp_path / "out" / "records").iterdir())


def test_a_sparsity_that_leaves_a_layer_nothing_names_it_and_what_is_possible(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        run(tmp_path / "out", sparsities=(0.5, 0.99), allocation="uniform")
    said = str(error.value)
    assert said.startswith("layer 0.weight: a sparsity of 0.99 leaves none of its 32 weights under uniform.")
    assert not list((tmp_path / "out" / "records").iterdir())
    most = float(said.split("at most ")[1].split(",")[0])
    _, done = run(tmp_path / "out", sparsities=(most,), allocation="uniform")
    assert all(layer.kept for layer in done.layers)
    with pytest.raises(UsageError, match="leaves none"):
        run(tmp_path / "out", sparsities=(most + 2 / WEIGHTS,), allocation="uniform")


def test_under_global_a_layer_may_be_left_without_weights(tmp_path: Path) -> None:
    _, record = run(tmp_path / "out", sparsities=(0.99,), allocation="global")
    assert record.status == "done"


def test_more_rows_than_can_go_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one of the rows of each layer stays: 7 of 352 weights where 4 are asked"):
        run(tmp_path / "out", sparsities=(0.99,), structure="rows")


def test_latency_stands_beside_the_record_and_changes_nothing_in_it(tmp_path: Path) -> None:
    asked = {"structure": "rows", "sparsities": (0.5,)}
    plain = run(tmp_path / "plain", **asked)
    timed = run(tmp_path / "timed", ("latency",), **asked)
    assert [dumps(record) for record in plain] == [dumps(record) for record in timed]
    store = Store(tmp_path / "timed")
    dense, rows = (store.measurement(record.key)["latency"] for record in timed)
    assert [entry["backend"] for entry in dense["backends"]] == ["dense"]
    assert [entry["backend"] for entry in rows["backends"]] == ["dense", "masked dense", "CSR", "rows removed"]
    assert (rows["batch_size"], rows["threads"]) == (1, 1)
    assert rows["device"]
    for entry in rows["backends"]:
        assert 0 < entry["lower"] <= entry["median"] <= entry["upper"]


def test_finished_cells_without_latency_are_measured_when_it_is_asked_for_and_once(tmp_path: Path) -> None:
    run(tmp_path / "out")
    assert not list((tmp_path / "out" / "measurements").iterdir())
    run(tmp_path / "out", ("latency",))
    found = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "measurements").iterdir()}
    assert len(found) == 2
    run(tmp_path / "out", ("latency",))
    assert {path: path.stat().st_mtime_ns for path in found} == found


def test_a_damaged_measurement_is_set_aside_and_made_again(tmp_path: Path) -> None:
    records = run(tmp_path / "out", ("latency",))
    path = tmp_path / "out" / "measurements" / f"{records[0].key}.json"
    path.write_text(path.read_text().replace("dense", "tense"))
    assert Store(tmp_path / "out").measurement(records[0].key) == {}
    run(tmp_path / "out", ("latency",))
    assert Store(tmp_path / "out").measurement(records[0].key)


def test_what_cannot_be_measured_is_one_clear_line() -> None:
    for wrong in ("power", "latency:", "latency:0", "latency:x"):
        with pytest.raises(
            UsageError, match=rf"--measure: cannot measure '{wrong}'\. There is: latency, of one example"
        ):
            api.check_measures([wrong])


def test_a_batch_size_can_be_asked_for_and_another_one_is_measured_again(tmp_path: Path) -> None:
    for asked, size in (("latency", 1), ("latency:8", 8)):
        record = run(tmp_path / "out", (asked,))[-1]
        assert Store(tmp_path / "out").measurement(record.key)["latency"]["batch_size"] == size


def test_an_n_of_m_structure_needs_no_grid(tmp_path: Path) -> None:
    import bench

    found = bench.run("toy", "random", structure="1:2", settings=QUICK, out=tmp_path / "out")
    assert [record.target_sparsity for record in found.records] == [0.0, 0.5]
