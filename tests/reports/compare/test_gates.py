"""What counts as a regression, what cannot be compared, and what is only worth a note."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.errors import UsageError
from bench.record import Layer
from reports.compare.comparing import compare
from reports.compare.findings import NOT_COMPARABLE, NOTE, REGRESSION, Comparison
from reports.compare.margins import Margin, parse
from tests.factories import make_failure
from tests.reports.compare.cells import (
    EXAMPLES,
    Measured,
    cell,
    changed,
    elsewhere,
    fewer,
    grid,
    side,
    with_values,
)  # fmt: skip


def compared(base: list[Measured], head: list[Measured], **margins: float) -> Comparison:
    return compare(side(base), side(head, "head"), {name: Margin(size) for name, size in margins.items()})


def only(found: Comparison, verdict: str) -> str:
    (finding,) = found.of(verdict)
    return finding.sentence


def swapped(cells: list[Measured], index: int, by: Measured) -> list[Measured]:
    return [*cells[:index], by, *cells[index + 1 :]]


def test_unchanged_cells_pass_and_nothing_is_called_the_same():
    found = compared(grid(), grid())
    assert (found.exit_code, found.of(REGRESSION), found.of(NOTE)) == (0, [], [])
    assert {finding.said for finding in found.findings if finding.gate == "quality"} == {
        "no evidence of a difference beyond the margin"
    }


def test_a_deleted_cell_is_a_regression():
    found = compared(grid(), grid()[:-1])
    assert found.exit_code == 3
    assert only(found, REGRESSION) == "toy-news linear random at 0.9, seed 2: missing in HEAD"


def test_a_new_cell_is_a_note():
    found = compared(grid()[:-1], grid())
    assert found.exit_code == 0
    assert "new in HEAD" in only(found, NOTE)


def test_a_newly_failed_cell_is_a_regression_and_a_mended_one_a_note():
    failed = Measured(replace(make_failure("grasp", 0.5), key=cell("grasp", 0.5).record.key), dict)
    found = compared([cell("grasp", 0.5)], [failed])
    assert found.exit_code == 3
    assert only(found, REGRESSION).endswith("fails in HEAD: the loss became NaN at step 7")
    assert "is done in HEAD" in only(compared([failed], [cell("grasp", 0.5)]), NOTE)
    assert compared([failed], [failed]).exit_code == 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"task_version": 2}, "task version 1 is now 2"),
        ({"data": {"name": "toy", "kind": "subset", "digest": "cd" * 32}}, "digest abababababab is now cdcdcdcdcdcd"),
        ({"data": {"name": "toy", "kind": "whole", "digest": "ab" * 32}}, "kind subset is now whole"),
    ],
)
def test_another_task_version_or_other_data_is_not_comparable(fields, said):
    head = [changed(cell(), key="f" * 64, **fields)]
    found = compared([cell()], head)
    assert found.exit_code == 4
    assert said in only(found, NOT_COMPARABLE)


def test_a_regression_outweighs_what_is_not_comparable():
    head = [changed(cell(), key="f" * 64, task_version=2)]
    assert compared([cell(), cell("grasp", 0.5)], head).exit_code == 3


def test_a_key_that_differs_is_explained_by_what_the_cell_declares():
    before = cell("grasp", 0.5)
    steps = [{**step, "version": 2} if step["step"] == "Score" else step for step in before.record.path]
    found = compared([before], [changed(before, key="f" * 64, path=steps, mask_digest="another")])
    assert only(found, REGRESSION) == (
        "toy-news linear grasp at 0.5, seed 0: the key differs (1 Score.version 1 is now 2)"
    )
    hidden = compared([before], [changed(before, key="f" * 64)])
    assert "the harness's semantics or a plug-in's source changed" in only(hidden, REGRESSION)


def test_cells_that_share_a_name_are_matched_by_their_path():
    short, long = (cell("grasp", 0.5, schedule={"steps": steps}) for steps in (100, 500))
    found = compared([short, long], [changed(long, mask_digest="another"), short])
    assert "toy-news linear grasp at 0.5 [steps=500], seed 0: other masks" in only(found, REGRESSION)


def test_two_data_sets_in_one_folder_are_never_mixed():
    def both(version: int) -> list[Measured]:
        kinds = [{"name": "toy", "kind": kind, "digest": kind * 4} for kind in ("subset", "sample")]
        found = [cell("grasp", 0.5, seed, data=data) for data in kinds for seed in (0, 1)]
        return [changed(one, key=f"{index}{version}" * 32) for index, one in enumerate(found)]

    found = compared(both(1), both(2))
    assert {finding.gate for finding in found.of(REGRESSION)} == {"exact"}  # the keys differ, no cell is missing
    assert [finding.subject for finding in found.findings if finding.gate == "quality"] == [
        "toy-news linear grasp at 0.5 [data=toy sample samplesample], seeds 0-1, accuracy",
        "toy-news linear grasp at 0.5 [data=toy subset subsetsubset], seeds 0-1, accuracy",
    ]


def test_an_option_that_is_new_does_not_hide_the_cell():
    found = compared([cell("grasp", 0.5)], [cell("grasp", 0.5, options={"dim": 8, "extra": 1})])
    assert "extra absent is now 1" in only(found, REGRESSION)


def test_other_masks_under_one_key_are_a_regression_and_elsewhere_a_note():
    before = cell("grasp", 0.5)
    after = changed(before, mask_digest="another")
    assert "other masks under the same key (as many weights in every layer)" in only(
        compared([before], [after]), REGRESSION
    )
    away = compared([before], [elsewhere(after)])
    assert away.exit_code == 0
    assert only(away, NOTE).endswith("not comparable here (device_name Toy CPU is now Other CPU)")


@pytest.mark.parametrize(("kept", "code"), [(519, 0), (521, 3)])
def test_elsewhere_a_layer_may_keep_two_in_a_hundred_more(kept, code):
    """Of 1,000 weights 500 were kept: 519 lies within 0.02 of the density, 521 beyond."""
    before = cell("grasp", 0.5, sparsity=0.5)
    after = elsewhere(
        changed(before, mask_digest="another", layers=(Layer("body.weight", "Linear", 1000, kept),), flops=2000 * kept)
    )
    found = compared([before], [after])
    assert found.exit_code == code
    if code:
        assert "body.weight keeps 521 of 1,000 weights, kept 500" in only(found, REGRESSION)


def test_sparsity_is_exact_on_any_machine():
    before = cell("grasp", 0.5, sparsity=0.5)
    found = compared([before], [elsewhere(changed(before, sparsity=0.501))])
    assert only(found, REGRESSION).endswith("sparsity 0.5 is now 0.501")


@pytest.mark.parametrize("away", [False, True])
def test_a_layer_whose_flops_are_miscounted_is_named(away):
    layers = (Layer("body.weight", "Linear", 900, 450, 1_800_000), Layer("head.weight", "Linear", 100, 50, 200_000))
    before = cell("grasp", 0.5, layers=layers)
    twice = (layers[0], replace(layers[1], flops=400_000))
    after = changed(before, layers=twice, dense_flops=2_200_000, flops=1_100_000)
    found = compared([before], [elsewhere(after) if away else after])
    assert found.exit_code == 3
    assert only(found, REGRESSION) == (
        "toy-news linear grasp at 0.5, seed 0: dense FLOPs 2,000,000 is now 2,200,000 (+10.0 %): "
        "layer head.weight 200,000 is now 400,000 (+100.0 %)"
    )


def test_a_metric_lower_by_twice_its_margin_is_a_regression_and_named():
    """Accuracy's margin is a point: 20 of 1,000 examples fewer, in each of three seeds."""
    head = [
        with_values(one, fewer(one.examples()["accuracy"], 20))
        if (one.record.pruner, one.record.target_sparsity) == ("grasp", 0.9)
        else one
        for one in grid()
    ]
    found = compared(grid(), head)
    assert found.exit_code == 3
    sentence = only(found, REGRESSION)
    assert sentence.startswith("toy-news linear grasp at 0.9, seeds 0-2, accuracy: ")
    assert "worse by 2.00 points, beyond the margin of 1.00 points" in sentence
    away = compared(grid(), [elsewhere(one) for one in head])
    assert away.exit_code == 3
    assert "paired over examples and seeds" in only(away, REGRESSION)


def test_a_change_within_the_margin_is_no_regression_however_certain():
    before = [cell(seed=seed) for seed in range(3)]
    after = [with_values(one, fewer(one.examples()["accuracy"], 9)) for one in before]
    found = compared(before, after)
    assert (found.exit_code, found.of(NOTE)) == (0, [])
    assert compared(before, after, accuracy=0.005).exit_code == 3


def test_a_change_beyond_the_margin_that_chance_explains_is_no_evidence():
    """Of 40 examples 20 turn wrong and 18 right: 5 points less, and a spread of 97 points an example."""
    before = cell(values=np.repeat([1.0, 0.0], 20))
    found = compared([before], [with_values(before, np.repeat([0.0, 1.0, 0.0], [20, 18, 2]))])
    assert found.exit_code == 0
    assert "50.00 % is now 45.00 %, beyond the margin of 1.00 points, but no evidence (p = 0.75" in only(found, NOTE)


def test_better_is_a_note():
    before = [cell(seed=seed) for seed in range(3)]
    after = [with_values(one, fewer(one.examples()["accuracy"], 50)) for one in before]
    found = compared(after, before)
    assert found.exit_code == 0
    assert "better by 5.00 points" in only(found, NOTE)


def test_without_examples_seeds_are_paired_and_one_seed_is_no_evidence():
    def scored(seed: int, value: float) -> Measured:
        return Measured(replace(cell(seed=seed).record, metrics={"accuracy": value}), dict)

    before, after = ([scored(seed, value + seed / 1000) for seed in range(3)] for value in (0.9, 0.8))
    found = compared(before, after)
    assert "paired over seeds" in only(found, REGRESSION)
    assert "one seed without per-example values is no evidence" in only(compared(before[:1], after[:1]), NOTE)


def test_a_metric_that_is_gone_is_a_regression_and_another_count_of_examples_not_comparable():
    lost = changed(cell(), metrics={})
    assert "the metric accuracy is missing" in only(compared([cell()], [lost]), REGRESSION)
    fewer_examples = with_values(cell(), cell().examples()["accuracy"][:990])
    assert f"{EXAMPLES:,} examples were evaluated and 990 are now" in only(
        compared([cell()], [fewer_examples]), NOT_COMPARABLE
    )


def test_margins_are_read_from_flags():
    assert parse(["accuracy=0.005", "loss=5%", "0.1"]) == {
        "accuracy": Margin(0.005),
        "loss": Margin(0.05, relative=True),
        "": Margin(0.1),
    }
    for text in ("accuracy", "accuracy=", "accuracy=-1", "a=1e999", "%"):
        with pytest.raises(UsageError, match="is no margin"):
            parse([text])
    with pytest.raises(UsageError, match="no metric 'acuracy'"):
        compared([cell()], [cell()], acuracy=0.1)


def test_unchanged_code_under_other_evaluation_noise_raises_few_false_alarms():
    """200 repeats. A third of the examples are answered by chance, anew for base and head.

    Of 1,800 such repeats 32 raised an alarm, 1.8 %: Holm holds better and worse together below 5 %; only worse counts.
    """
    rng = np.random.default_rng(1)

    def noisy(one: Measured) -> Measured:
        share = np.random.default_rng(one.record.seed).choice([0.0, 0.5, 1.0], EXAMPLES)
        return with_values(one, (rng.random(EXAMPLES) < share).astype(np.float64))

    cells = grid()
    alarms = sum(compared([noisy(one) for one in cells], [noisy(one) for one in cells]).exit_code for _ in range(200))
    assert alarms / 3 < 0.05 * 200


def test_a_metric_that_moved_while_no_example_did_is_a_regression_either_way():
    """A metric that is summed up otherwise is no matter of chance."""
    before = cell(values=np.repeat([1.0, 0.0], 20))
    for value in (0.45, 0.55):
        moved = replace(before, record=replace(before.record, metrics={"accuracy": value}))
        found = compared([before], [moved])
        assert found.exit_code == 3
        assert "every example has the value that it had: it is reckoned otherwise" in only(found, REGRESSION)
