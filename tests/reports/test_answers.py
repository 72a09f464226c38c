"""The cross-task answer: curves with known crossings, areas and ranks."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from reports import summary, text
from reports.answers import answers, mean_ranks
from reports.rows import tables
from tests.factories import make_failure, make_record

ACCURACY = ({"name": "accuracy", "higher_is_better": True, "percent": True},)
LOSS = ({"name": "loss", "higher_is_better": False, "percent": False},)


def curve(pruner, points, *, dense=(0.8,), info=ACCURACY, **changes):
    """Dense cells and one pruner's, each sparsity with one value a seed."""
    name = info[0]["name"]

    def cells(pruner, target, values):
        return [
            make_record(pruner, target, seed, metric_info=info, metrics={name: value}, **changes)
            for seed, value in enumerate(values)
            if value is not None
        ]

    return [
        *cells("dense", 0.0, dense),
        *(r for target, values in points.items() for r in cells(pruner, target, values)),
    ]


def answer(records, pruner=None):
    found = [entry for entry in answers(tables(records)) if pruner in (None, entry.pruner)]
    assert len(found) == 1
    return found[0]


def test_the_crossing_is_linear_between_measured_sparsities():
    # retention 1, 0.975, 0.9: 99 % is 0.4 of the way from 0.2 to 0.4; 95 % a third of the way from 0.4 to 0.7
    found = answer(curve("a", {0.2: [0.8], 0.4: [0.78], 0.7: [0.72]}))
    assert found.kept[0.99].sparsity == pytest.approx(0.2 + 0.4 * 0.2)
    assert found.kept[0.95].sparsity == pytest.approx(0.4 + 0.3 / 3)
    # the factory's FLOPs are the density
    assert found.kept[0.99].flops == pytest.approx(1 - 0.28)
    assert found.kept[0.95].flops == pytest.approx(1 - 0.5)
    assert found.kept[0.99].sparsity_interval is None
    # areas: 0.2 at 1, 0.2 at 0.9875, 0.3 at 0.9375
    assert found.area == pytest.approx((0.2 + 0.2 * 0.9875 + 0.3 * 0.9375) / 0.7)


def test_what_never_falls_is_at_least_and_what_never_holds_is_none():
    always = answer(curve("a", {0.5: [0.8], 0.9: [0.81]})).kept[0.99]
    assert (always.bound, always.sparsity, always.flops) == ("at least", 0.9, pytest.approx(0.1))
    never = answer(curve("a", {0.5: [0.7], 0.9: [0.6]})).kept[0.99]
    assert (never.bound, never.sparsity, never.flops) == ("none", 0.0, 1.0)


def test_a_dip_ends_what_is_safe_even_where_the_curve_recovers():
    found = answer(curve("a", {0.2: [0.8], 0.4: [0.6], 0.6: [0.8]})).kept[0.95]
    assert found.sparsity == pytest.approx(0.2 + 0.2 * 0.2)  # retention 1 to 0.75: 0.95 is a fifth of the way


def test_lower_is_better_is_turned_round():
    found = answer(curve("a", {0.2: [0.5], 0.4: [0.625]}, dense=(0.5,), info=LOSS)).kept[0.95]
    assert found.sparsity == pytest.approx(0.2 + 0.2 * 0.25)  # retention 0.5 / 0.625 = 0.8: a quarter of the way


def test_where_all_cells_fail_the_last_measured_sparsity_counts_and_the_area_falls():
    records = [*curve("a", {0.4: [0.8]}), make_failure("a", 0.8, metric_info=ACCURACY), *curve("b", {0.8: [0.8]})[1:]]
    found = answer(records, "a")
    assert (found.kept[0.99].sparsity, found.kept[0.99].bound) == (pytest.approx(0.4), "failed")
    assert found.area == pytest.approx((0.4 * 1 + 0.4 * 0.5) / 0.8)


def test_the_interval_is_that_of_all_samples_of_seeds():
    # two seeds, retention at 0.5 of 1 and 0.9: samples (1, 1), (1, 0.9) twice, (0.9, 0.9)
    found = answer(curve("a", {0.5: [0.8, 0.72]}, dense=(0.8, 0.8)))
    ends = [1.0, 0.95, 0.95, 0.9]
    areas = [(1 + end) / 2 for end in ends]
    assert found.area == pytest.approx(0.975)
    assert found.area_interval == pytest.approx(tuple(np.quantile(areas, (0.025, 0.975))))


def test_a_seed_that_failed_is_left_out_of_its_sparsity_alone():
    points = {0.2: [0.8, 0.8], 0.4: [0.78, None]}
    found = answer(curve("a", points, dense=(0.8, 0.8)))
    assert found.kept[0.99].sparsity == pytest.approx(0.2 + 0.4 * 0.2)


def test_ranks_are_by_area_and_ties_share_theirs():
    records = [
        *curve("a", {0.5: [0.7]}),
        *curve("b", {0.5: [0.8]})[1:],
        *curve("c", {0.5: [0.7]})[1:],
        *curve("short", {0.3: [0.8]})[1:],
    ]
    ranks = {entry.pruner: entry.rank for entry in answers(tables(records))}
    assert ranks == {"b": 1, "a": 2.5, "c": 2.5, "short": None}


def test_the_mean_rank_is_over_all_tasks_that_rank_or_not_at_all():
    first = [*curve("a", {0.5: [0.7]}), *curve("b", {0.5: [0.8]})[1:]]
    second = [*curve("a", {0.5: [0.8]}, task="other"), *curve("c", {0.5: [0.7]}, task="other")[1:]]
    assert mean_ranks(answers(tables([*first, *second]))) == {"a": 1.5}


def test_a_pruner_that_ran_alone_somewhere_is_not_ranked_there():
    def cells(setting, **areas):
        lines = [curve(pruner, {0.5: [at]}, model=setting) for pruner, at in areas.items()]
        return [*lines[0], *(record for line in lines[1:] for record in line[1:])]

    found = answers(tables([*cells("deep", loser=0.6, winner=0.7), *cells("flat", loser=0.7)]))
    assert {(entry.setting, entry.pruner): entry.rank for entry in found} == {
        ("deep", "winner"): 1, ("deep", "loser"): 2, ("flat", "loser"): None
    }  # fmt: skip
    assert mean_ranks(found) == {"winner": 1, "loser": 2}
    by_task, by_family = summary.blocks(found)
    assert by_task.columns[-1].best == {0}
    assert by_family.columns[0].cells == ("winner", "loser") and by_family.columns[-1].best == {0}


def test_settings_of_one_task_count_as_one_task():
    def cells(a, b, **more):
        return [*curve("a", {0.5: [a]}, **more), *curve("b", {0.5: [b]}, **more)[1:]]

    settings = [record for model in ("x", "y", "z") for record in cells(0.8, 0.4, task="many", model=model)]
    found = answers(tables([*settings, *cells(0.4, 0.8, task="one")]))
    assert mean_ranks(found) == {"a": 1.5, "b": 1.5}
    areas = summary.blocks(found)[1].columns[2]
    # the retention 1 and 0.5 at 0.5: areas of 1 and 0.75
    assert areas.title == "unspecified: area" and areas.values == pytest.approx((0.875, 0.875))


def test_a_dense_model_at_chance_is_marked_and_left_out_of_ranks():
    floor = {"notes": {"floor": {"accuracy": 0.25}}}
    found = answers(tables([*curve("a", {0.5: [0.25]}, dense=(0.26,), **floor)]))
    assert [(entry.informative, entry.rank) for entry in found] == [(False, None)]
    drawn = " ".join(text.block(summary.blocks(found)[0]).split())
    assert (
        "not informative: the dense model does not clearly beat chance, is 0, or missing; left out of ranks: toy"
        in drawn
    )


BLEU = ({"name": "BLEU", "higher_is_better": True, "percent": False},)


@pytest.mark.parametrize("notes", [{}, {"floor": {"BLEU": 0.0}}])
def test_a_dense_model_at_zero_is_not_informative_whether_chance_is_known_or_not(notes):
    (table,) = tables(curve("a", {0.5: [0.0]}, dense=(0.0,), info=BLEU, notes=notes))
    found = answers([table])
    assert [(entry.informative, entry.rank) for entry in found] == [(False, None)]
    drawn = " ".join(text.block(summary.blocks(found)[0]).split())
    assert "is 0, or missing; left out of ranks: toy-news (subset)." in drawn
    assert "–: no dense metric above 0 to compare to" in drawn
    assert "not informative: dense reaches BLEU 0.0000, not above 0: no share of it can be told" in " ".join(
        text.render([table]).split()
    )


def test_no_dash_is_explained_where_there_is_none():
    found = answers(tables([*curve("a", {0.5: [0.7]}), *curve("b", {0.5: [0.8]})[1:]]))
    assert not any(said.startswith("–") for said in summary.blocks(found)[0].below)


def test_without_a_dense_cell_there_is_a_line_and_no_answer():
    (found,) = answers(tables(curve("a", {0.5: [0.7]})[1:]))
    assert (found.kept, found.area, found.rank, found.informative) == ({}, None, None, False)
    assert text.block(summary.blocks([found])[0]).count("–") >= 6


def test_the_family_is_the_records_own_else_what_the_metric_tells():
    ranking = ({"name": "nDCG@10", "higher_is_better": True, "percent": False},)
    records = [
        *curve("a", {0.5: [0.7]}, task="images", notes={"family": "vision"}),
        *curve("a", {0.5: [0.7]}, task="search", info=ranking),
        *curve("a", {0.5: [0.7]}, task="unknown"),
    ]
    found = answers(tables(records))
    assert [(entry.task, entry.family) for entry in found] == [
        ("search", "IR"), ("images", "vision"), ("unknown", "unspecified")
    ]  # fmt: skip
    overview = text.block(summary.blocks(found)[1])
    assert "IR: safe at 99 %" in overview and "vision: area" in overview


def test_settings_of_one_task_are_answered_apart():
    records = [*curve("a", {0.5: [0.8]}, model="deep"), *curve("a", {0.5: [0.4]}, model="flat")]
    assert {entry.setting: entry.kept[0.99].bound for entry in answers(tables(records))} == {
        "deep": "at least",
        "flat": "none",
    }


def on(kind, digest="ab" * 32):
    return {"data": {"name": "toy", "kind": kind, "counts": {}, "digest": digest}}


def test_a_row_says_which_data_it_stands_on():
    sample, whole = curve("a", {0.5: [0.7]}, **on("sample")), curve("a", {0.5: [0.8]}, **on("whole", "cd" * 32))
    for found, said in (
        (answers(tables(whole)), {"toy-news"}),
        (answers(tables(sample)), {"toy-news (sample)"}),
        (answers(tables([*sample, *whole])), {"toy-news (sample)", "toy-news (whole release)"}),
    ):
        by_task, by_family = summary.blocks(found)
        assert set(by_task.columns[1].cells) == said
        explained = "sample: the embedded synthetic sample, not the real data."
        assert (explained in by_task.below) == ("toy-news (sample)" in said)
        assert any("synthetic" in below for below in by_family.below) == ("toy-news (sample)" in said)
    assert by_family.below[-1] == "on embedded synthetic samples, not on real data: toy-news (sample)."


def test_two_data_of_one_kind_are_told_apart_by_their_digest():
    both = [*curve("a", {0.5: [0.7]}, **on("subset")), *curve("a", {0.5: [0.8]}, **on("subset", "cd" * 32))]
    labels = summary.task_labels(answers(tables(both)))
    assert sorted(labels.values()) == ["toy-news (subset, abababab)", "toy-news (subset, cdcdcdcd)"]


def test_every_format_has_the_same_numbers():
    found = answers(tables(curve("a", {0.2: [0.8], 0.4: [0.78]})))
    (line,) = [json.loads(line) for line in summary.jsonl(found).splitlines()]
    assert line["sparsity 99%"] == pytest.approx(0.28)
    assert (line["bound 95%"], line["flops 95%"], line["area low"]) == ("at least", pytest.approx(0.6), None)
    (row,) = csv.DictReader(io.StringIO(summary.comma_separated(found)))
    assert float(row["sparsity 99%"]) == line["sparsity 99%"]
    assert "0.280" in text.block(summary.blocks(found)[0])


def test_more_than_five_seeds_are_drawn_the_same_way_every_time():
    draw = np.random.default_rng(0)
    records = curve("a", {0.5: list(0.7 + 0.02 * draw.random(7))}, dense=[0.8] * 7)
    assert answer(records) == answer([replace(record) for record in records])
    assert answer(records).area_interval[0] < answer(records).area < answer(records).area_interval[1]
