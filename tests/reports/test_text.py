"""The table in a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports import escape, latex, markdown, text
from reports.layout import layout
from reports.rows import tables
from tests.factories import make_failure, make_record

RANKING = ("AP", "RR@10", "Success@1", "Success@10", "nDCG@10", "R@1000")


def ranking(seeds, **changes):
    info = [{"name": name, "higher_is_better": True, "percent": False} for name in RANKING]
    return [
        make_record(p, t, s, task="toy-dsi", metric_info=info, metrics=dict.fromkeys(RANKING, 0.4 + s / 10), **changes)
        for p, t in (("dense", 0.0), ("grasp", 0.5), ("grasp", 0.9))
        for s in range(seeds)
    ]


@pytest.mark.parametrize("width", [100, 140])
@pytest.mark.parametrize("seeds", [1, 3])
def test_six_metrics_fit_any_usual_terminal(seeds, width):
    drawn = text.render(tables(ranking(seeds)), width)
    assert max(map(len, drawn.splitlines())) <= width
    assert all(f"{name} ↑" in drawn for name in RANKING)


def test_one_table_is_enough_where_it_fits():
    assert text.render(tables(ranking(1)), 140).count("pruner ") == 1
    assert text.render(tables(ranking(3)), 140).count("pruner ") == 2


def test_the_leading_metric_and_its_difference_come_first():
    (titles,) = [line for line in text.render(tables(ranking(1)), 140).splitlines() if line.startswith("pruner")]
    assert titles.index("AP ↑") < titles.index("Δ dense") < titles.index("RR@10 ↑")


def test_the_header_says_that_a_sample_is_synthetic():
    sample = {"name": "toy", "kind": "sample", "counts": {"rows": 9}, "digest": "00" * 32}
    assert "the embedded synthetic sample, not the real data" in text.render(tables([make_record(data=sample)]))
    assert "synthetic" not in text.render(tables([make_record()]))


def test_the_header_says_directions_data_and_seeds():
    drawn = text.render(tables([make_record(seed=seed) for seed in (0, 1, 2)]))
    assert "accuracy in %: higher is better; loss: lower is better" in drawn
    assert "400 examples evaluated · 3 seeds (0-2)" in drawn
    assert "toy, a subset of the official release: 1,200 train rows, 400 test rows · digest abababababab" in drawn
    assert "cpu, 1 thread" in drawn


def test_a_dense_model_at_chance_is_announced_above_the_table():
    drawn = text.render(tables([make_record(metrics={"accuracy": 0.26}, notes={"floor": {"accuracy": 0.25}})]))
    assert "not informative: dense reaches accuracy 26.00 %, not clearly above chance (25.00 %)" in drawn
    assert drawn.index("not informative") < drawn.index("pruner")


def test_failed_and_collapsed_cells_are_marked_and_explained():
    records = [make_record("grasp", 0.9, 0, collapsed_layers=["a", "b"]), make_failure("grasp", 0.9, 1)]
    drawn = text.render(tables(records))
    (line,) = [line for line in drawn.splitlines() if line.startswith("grasp")]
    assert line.endswith("1/2  †2 ✗1")
    assert "✗ grasp at 0.9, seed 1: the loss became NaN at step 7 (Train), see logs/toy.txt" in drawn


def test_a_collapsed_cell_is_named_by_the_key_that_shows_it():
    whole = make_record("grasp", 0.98, 0)
    records = [whole, *(make_record("grasp", 0.98, seed, collapsed_layers=["a"]) for seed in (1, 2))]
    drawn = text.render(tables(records))
    assert f"†: grasp at 0.98 seed 1: bench show {records[1].key[:8]}\n" in drawn
    assert drawn.count("bench show") == 1
    assert f"- †: grasp at 0.98 seed 1: bench show {records[1].key[:8]}\n" in markdown.render(tables(records))


def test_of_many_collapsed_lines_five_are_named():
    drawn = text.render(tables([make_record("grasp", t / 10, collapsed_layers=["a"]) for t in range(1, 9)]))
    assert drawn.count("bench show") == 5
    assert "†: and 3 more." in drawn


def test_training_steps_are_a_column_where_lines_differ_in_them():
    same = [make_record(), make_record("grasp", 0.9), make_failure("grasp", 0.95)]
    longer = make_record("imp", 0.9, train_steps=1832)
    for render in (text.render, markdown.render):
        assert "steps:" not in render(tables(same))
        drawn = render(tables([*same, longer]))
        (line,) = [line for line in drawn.splitlines() if line.lstrip("| ").startswith("imp")]
        assert "1,832" in line.replace("|", " ").split()
        assert "steps: training steps on a cell's own path, shared ones included." in drawn


def test_six_metrics_and_steps_fit_one_table_of_140_columns():
    cells = [*ranking(1), make_record("imp", 0.9, train_steps=12345)]
    records = [replace(cell, metric_info=cells[0].metric_info, metrics=cells[0].metrics, task="toy-dsi",
                       title=cells[0].title) for cell in cells]  # fmt: skip
    drawn = text.render(tables(records), 140)
    assert drawn.count("pruner ") == 1
    assert max(map(len, drawn.splitlines())) <= 140
    assert "12,345" in drawn


def test_the_numbers_of_iterations_are_explained_where_there_are_any():
    found = make_record("sap", 0.5, target_sparsity=None, iteration=3)
    assert "#n: the n-th iteration of a pruner that finds its own sparsity." in text.render(tables([found]))
    assert "#n" not in text.render(tables([make_record("grasp", 0.5)]))


def test_where_the_dense_reference_failed_or_is_missing_the_table_says_so():
    pruned = [make_record("grasp", 0.9, seed) for seed in (0, 1)]
    both = [make_record(), make_record(seed=1)]
    missing = "where the dense reference is missing (not computed yet, or its record is damaged)."
    assert f"Δ dense is empty {missing}" in markdown.render(tables(pruned))
    assert f"Δ dense leaves out seeds, or is empty, {missing}" in markdown.render(tables([both[0], *pruned]))
    failed = [make_failure("dense", 0.0, seed) for seed in (0, 1)]
    assert "Δ dense is empty where the dense reference failed." in markdown.render(tables([*failed, *pruned]))
    assert "the dense reference" not in markdown.render(tables([*both, *pruned]))


def test_no_mark_is_explained_that_no_line_carries():
    drawn = text.render(tables([make_record()]))
    assert "†" not in drawn
    assert "✗" not in drawn


def test_a_tiny_total_sparsity_reads_zero_and_is_explained():
    drawn = text.render(tables([make_record("grasp", 0.9, total_sparsity=0.00004)]))
    assert "0.0000" in drawn
    assert "A total of 0.0000 is above zero" in drawn
    assert "Prunable: 1,000 of 4,000 parameters." in drawn


def test_where_random_pruning_loses_nothing_the_table_says_so():
    keeps = make_record("random", 0.5, metrics={"accuracy": 0.895, "loss": 0.3})
    loses = make_record("random", 0.9, metrics={"accuracy": 0.88, "loss": 0.3})
    said = " ".join(text.render(tables([make_record(), keeps, loses, make_record("grasp", 0.9)])).split())
    # 0.895 is 99.4 % of the dense 0.9, 0.88 is 97.8 %
    assert "At 0.5 random pruning keeps 99 % of the dense accuracy or more" in said
    assert "random pruning keeps" not in text.render(tables([make_record(), loses]))
    # A dense model that learned nothing loses nothing either.
    blind = [
        replace(one, metrics={"accuracy": 0.25}, notes={"floor": {"accuracy": 0.25}}) for one in (make_record(), keeps)
    ]
    said = " ".join(text.render(tables(blind)).split())
    assert "random pruning keeps" not in said and "not clearly above chance" in said


def test_flops_are_never_called_a_speed_up():
    flat = " ".join(text.render(tables([make_record()])).split())
    assert "FLOPs are theoretical" in flat
    assert "They are not a speed-up" in flat


def test_notes_of_the_task_stand_below():
    assert "The toy's test rows are its own." in text.render(tables([make_record()]))


def test_markdown_has_one_table_and_escapes_its_delimiter():
    drawn = markdown.render(tables(ranking(3, model="a|b") + ranking(1, model="c")))
    assert r"dense \[a\|b\]" in drawn
    assert drawn.count("|:---") == 1


def test_what_can_be_pruned_is_told_by_model_where_models_differ():
    cells = [make_record(model=model, prunable=prunable) for model, prunable in (("a", 1000), ("b", 500), ("c", 1000))]
    said = " ".join(text.render(tables(cells)).split())
    assert "Prunable: a, c: 1,000 of 4,000 parameters; b: 500 of 4,000 parameters." in said
    assert "Prunable: 1,000 of 4,000 parameters." in " ".join(text.render(tables(cells[:1])).split())


def test_costs_that_a_line_of_latex_has_no_room_for_are_in_a_further_table():
    pruner = "magnitude (trained, uniform)"
    cells = [make_record(seed=seed, metrics={"accuracy": 0.8 + seed / 50, "loss": 0.3}) for seed in range(3)]
    cells += [
        make_record("magnitude", 0.9, seed, when="trained", allocation="uniform", collapsed_layers=["a"],
                    train_steps=1832, metrics={"accuracy": 0.7 + seed / 30, "loss": 0.4 + seed / 50})
        for seed in range(2)
    ]  # fmt: skip
    found = tables([*cells, make_failure("magnitude", 0.9, 2, when="trained", allocation="uniform")])
    drawn = latex.render(found)
    titles = [line.removesuffix(r" \\").split(" & ") for line in drawn.splitlines() if line.startswith("pruner &")]
    shown = layout(found[0])
    everything = [*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost]
    assert sorted({t.strip() for of in titles for t in of}) == sorted({escape.latex(c.title) for c in everything})
    assert titles[0][-1].strip() == "" and len(titles) == 2
    assert "fewer" in titles[1] and "seeds" in titles[1]
    assert pruner in drawn
