"""Training batches in parts: who gets which rows, and that the parts' losses are the whole's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.ranks import bounds, part_of, part_of_rows
from tests.ranks.opened import SMALL, built, opened


@given(rows=st.integers(0, 200), of=st.integers(1, 17))
def test_every_row_is_in_one_part_in_order_and_the_first_part_is_the_largest(rows: int, of: int) -> None:
    parts = [list(range(rows))[bounds(rows, number, of)] for number in range(of)]
    assert [row for part in parts for row in part] == list(range(rows))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert sizes[0] == max(sizes)


def test_a_part_of_rows_has_them_of_every_tensor_and_their_share() -> None:
    batch = {"images": torch.arange(14.0).view(7, 2), "labels": torch.arange(7)}
    part, share = part_of_rows(batch, 1, 3)
    assert part["labels"].tolist() == [3, 4]
    assert part["images"].tolist() == [[6.0, 7.0], [8.0, 9.0]]
    assert share == 2 / 7
    assert part_of_rows({"labels": torch.arange(1)}, 2, 3)[1] == 0.0


def test_a_batch_whose_tensors_differ_in_length_needs_a_task_that_divides_it() -> None:
    with pytest.raises(UsageError, match=r"cannot be divided among 2 processes.*part\(batch, number, of\)"):
        part_of_rows({"tokens": torch.arange(9), "offsets": torch.arange(3)}, 0, 2)


@pytest.mark.parametrize("case", SMALL)
def test_the_weighted_losses_of_the_parts_sum_to_the_batch_s(case: str) -> None:
    task = opened(case)
    model = built(task).double()
    made = next(task.batches("train", seed=5, size=7))
    batch = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in made.items()}
    with torch.no_grad():
        whole = float(task.loss(task.forward(model, batch), batch))
        parts = [part_of(task, batch, number, 3) for number in range(3)]
        summed = sum(weight * float(task.loss(task.forward(model, part), part)) for part, weight in parts)
    assert sum(weight for _, weight in parts) == pytest.approx(1, rel=1e-12)
    assert summed == pytest.approx(whole, rel=1e-9)
