"""Which cells stand beside which figure, and the rule of the verdicts."""

from __future__ import annotations

import math

import pytest

from bench.record import Record
from reports import latex, markdown, text
from reports.papers import published, rendering
from reports.papers.beside import CONTRADICTED, NOT_COMPARABLE, REPRODUCED, UNDECIDED, Beside, beside
from tests.factories import make_failure, make_record

T_2 = math.sqrt(0.95**2 * 2 / (1 - 0.95**2))
"""t(2, 0.975), see tests/reports/test_rows.py."""
TABLE = """
title = "Toy & co: 100 %"
source = "Nobody_1 {2026}"
tolerance = 1.0
rows = [[0, 92.0, 92.0, ""], [1, 90.0, 88.5, ""]]

[[grid]]
task = "toy-news"

[[column]]
name = "c"
row = "exponent"

[[column]]
name = "grasp"
metric = "accuracy"
pruner = "grasp"
scale = 100

[[column]]
name = "random"
metric = "accuracy"
pruner = "random"
scale = 100
doubt = "the split is not stated"

[[column]]
name = "left"
metric = "flops"
pruner = "grasp"
"""
PAPER = published.read("toy", TABLE)
WHOLE = {"name": "toy", "kind": "whole", "counts": {}, "digest": "ab" * 32}


def cells(pruner: str = "grasp", target: float = 0.9, accuracy=(0.9, 0.9, 0.9), **changes) -> list[Record]:
    usual = {"data": WHOLE, "preset": "paper"}
    return [
        make_record(pruner, target, seed, metrics={"accuracy": value}, **{**usual, **changes})
        for seed, value in enumerate(accuracy)
    ]


def figure(found: Beside, column: str = "grasp", c: float = 1):
    (one,) = [one for one in found.figures if one.column.name == column and one.labels == (c,)]
    return one


def judged(accuracy, **changes) -> tuple[str, str]:
    one = figure(beside(PAPER, cells(accuracy=accuracy, **changes)))
    return one.verdict, one.reason


def test_a_mean_over_seeds_stands_beside_with_its_interval():
    one = figure(beside(PAPER, cells(accuracy=(0.899, 0.901, 0.903))))
    assert one.published == 90.0
    assert one.measured.mean == pytest.approx(90.1)
    assert one.measured.half_width == pytest.approx(T_2 * 0.2 / math.sqrt(3))  # 89.9, 90.1, 90.3: s = 0.2
    assert one.difference == pytest.approx(0.1)


def test_the_verdicts():
    """Tolerance 1.0; half the interval's width is t s / sqrt(3) = 2.48 s."""
    assert judged((0.899, 0.901, 0.903)) == (REPRODUCED, "")  # 0.1 away, half width 0.5
    assert judged((0.869, 0.871, 0.873)) == (CONTRADICTED, "")  # 2.9 away, 0.5 of that chance
    assert judged((0.886, 0.888, 0.890))[0] == UNDECIDED  # 1.2 away: the interval reaches into the tolerance
    assert judged((0.88, 0.90, 0.92))[0] == UNDECIDED  # right on it, and half as wide as 5 points
    assert judged((0.90,)) == (UNDECIDED, "one seed has no interval")


def test_what_is_not_comparable_says_why():
    same = (0.9, 0.9, 0.9)
    assert judged(same, data={**WHOLE, "kind": "subset"}) == (NOT_COMPARABLE, "measured on a subset of the data")
    assert judged(same, preset="small") == (NOT_COMPARABLE, "measured with the preset small")
    both = judged(same, data={**WHOLE, "kind": "subset"}, preset="small")
    assert both == (NOT_COMPARABLE, "measured on a subset of the data; measured with the preset small")
    doubted = figure(beside(PAPER, cells("random", accuracy=same)), "random")
    assert (doubted.verdict, doubted.reason) == (NOT_COMPARABLE, "the split is not stated")


def test_nothing_pruned_is_the_dense_cell_whatever_the_column():
    found = beside(PAPER, [*cells("dense", 0.0, (0.92,)), *cells("grasp", 0.0, (0.5,))])
    assert figure(found, c=0).measured.mean == figure(found, "random", 0).measured.mean == 92.0


def test_the_share_of_flops_left_is_a_figure_of_its_own():
    assert figure(beside(PAPER, cells()), "left").measured.mean == pytest.approx(0.1)


def test_figures_that_were_not_published_get_no_verdict():
    assert figure(beside(PAPER, cells()), "left").verdict == ""


def test_cells_of_other_tasks_targets_and_models_do_not_count():
    others = [*cells(task="other"), *cells(target=0.95), *cells("snip")]
    assert all(one.measured is None for one in beside(PAPER, others).figures)


def test_of_several_data_sets_and_presets_the_nearest_to_the_paper_is_shown():
    small = cells(accuracy=(0.5, 0.5, 0.5), preset="small")
    part = cells(accuracy=(0.6, 0.6, 0.6), data={**WHOLE, "kind": "subset"})
    found = beside(PAPER, [*small, *part, *cells()])
    assert figure(found).measured.mean == pytest.approx(90.0)
    assert (found.settings, found.left_out) == (("toy-news: toy (whole), preset paper, 3 seeds (0-2)",), 6)


def test_of_several_settings_the_one_with_most_seeds_is_shown_and_none_is_averaged():
    longer = cells(accuracy=(0.5,), schedule={"steps": 500})
    assert figure(beside(PAPER, [*longer, *cells()])).measured.n == 3


def test_failed_cells_are_counted():
    failed = make_failure("grasp", 0.9, 2, data=WHOLE, preset="paper")
    one = figure(beside(PAPER, [*cells(accuracy=(0.9, 0.9)), failed]))
    assert (one.measured.n, one.failed) == (2, (failed.key,))
    assert "1 cell failed" in drawn(beside(PAPER, [failed]))


def test_a_model_answers_to_the_last_part_of_its_hub_id():
    by_model = TABLE.replace('name = "grasp"\n', 'name = "grasp"\nmodel = "t5-small"\n')
    found = beside(published.read("toy", by_model), cells(model="google-t5/t5-small"))
    assert figure(found).measured is not None


def test_options_that_a_table_asks_for_are_needed():
    paper = published.read("toy", TABLE.replace("tolerance", "where = { dim = 8 }\ntolerance"))
    assert figure(beside(paper, cells())).measured is not None
    assert figure(beside(paper, cells(options={"dim": 9}))).measured is None


def drawn(found: Beside) -> str:
    return text.block(rendering.block(found))


def test_text_has_a_line_a_figure_and_the_rule():
    shown = drawn(beside(PAPER, cells(accuracy=(0.899, 0.901, 0.903))))
    lines = [line.split() for line in shown.splitlines()]
    assert ["1", "grasp", "90.0", "90.1", "±0.5", "+0.1", "reproduced"] in lines
    assert "1 reproduced, 3 not measured; tolerance 1." in shown and "In %: grasp, random." in shown
    assert "contradicted: the whole interval lies further away" in " ".join(shown.split())


def test_alone_a_table_is_printed_as_it_was_published():
    shown = drawn(beside(PAPER, []))
    assert ["1", "90.0", "88.5", "–"] in [line.split() for line in shown.splitlines()]
    assert "nothing of it is measured here" in shown
    assert "verdict" not in shown


def test_markdown_and_latex_escape_what_is_theirs():
    renamed = TABLE.replace('"grasp"\nmetric', '"gr|a_sp"\nmetric')
    shown = rendering.block(beside(published.read("a|b", renamed), cells()))
    assert "gr\\|a\\_sp" in markdown.block(shown)
    typeset = latex.document([shown])
    assert "gr\\textbar{}a\\_sp" in typeset
    assert "Toy \\& co: 100 \\%" in typeset
    assert "Nobody\\_1 \\{2026\\}" in typeset
