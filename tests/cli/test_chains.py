"""The lines of ``bench plan``: short where steps repeat, and still true."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bench import cli
from bench.cli.chains import chain_from, line
from bench.grid import Request
from bench.plan import make
from bench.steps import Cut, Train
from bench.tree import Node
from tests.factories import make_record, make_store

SPARSITIES = (0.5, 0.8, 0.9)
REPEAT = re.compile(r"(\d+) x \[(.*?)\](?=,| >|$)(?:, [\d.]+ to [\d.]+)?")


def roots(pruner: str, sparsities: tuple[float, ...]) -> list[Node]:
    settings = {"train.steps": "40", "recover.steps": "20"}
    request = Request(("toy",), (pruner,), sparsities, (0,), settings=settings)
    return [root.node for root in make(request).roots]


def kinds(text: str) -> list[str]:
    """The kinds of steps that a line stands for, its repeats written out."""
    whole = REPEAT.sub(lambda match: " > ".join([match[2]] * int(match[1])), text)
    return [part.split("(")[0].strip() for part in whole.split(" > ")]


def lines(children: list[Node]) -> list[tuple[str, list[Node]]]:
    found = []
    for child in children:
        row, below = chain_from(child)
        found += [(line(row, None), row), *lines(below)]
    return found


@pytest.mark.parametrize("pruner", ["imp", "gmp", "iterative", "sap", "synflow", "movement", "tpr"])
@pytest.mark.parametrize("sparsities", [(0.9,), SPARSITIES])
def test_a_line_written_out_again_is_the_steps_of_the_tree(pruner, sparsities):
    (root,) = roots(pruner, sparsities)
    drawn = lines(root.children)
    for text, row in drawn:
        assert kinds(text) == [type(node.step).__name__ for node in row]
    shown = [node for _, row in drawn for node in row]
    assert {id(node) for node in shown} == {id(node) for node in root.walk()} - {id(root)}
    assert len(shown) == len({id(node) for node in shown})


@pytest.mark.parametrize("pruner", ["imp", "gmp", "iterative", "sap"])
def test_no_line_of_a_recipe_is_longer_than_a_screen_is_wide(pruner):
    (root,) = roots(pruner, SPARSITIES)
    assert max(len(text) for text, _ in lines(root.children)) <= 160


def test_levels_of_iterative_pruning_are_one_block_with_their_first_and_last_sparsity():
    (root,) = roots("imp", (0.9,))
    ((text, row),) = lines(root.children)
    # 0.8^10 = 0.107 is above the density 0.1, so the eleventh level is the last; a twentieth of 40 steps is 2
    assert text == (
        "Init > Train(2 steps) > Train(38 steps) > Evaluate > "
        "11 x [Score(magnitude) > Cut > Rewind(2) > Train(38 steps)], 0.2 to 0.9 > Evaluate"
    )
    cuts = [node.step.sparsity for node in row if isinstance(node.step, Cut)]
    assert (cuts[0], cuts[-1], len(cuts)) == (0.2, 0.9, 11)


def test_trainings_of_unequal_length_are_told_from_shortest_to_longest():
    (root,) = roots("gmp", (0.9,))
    ((text, row),) = lines(root.children)
    # 15 of 20 steps hold ten cuts: stretches of one and two steps
    stretches = [node.train_steps for node in row if isinstance(node.step, Train)]
    assert set(stretches[1:-1]) == {1, 2}
    assert "10 x [Train(1 to 2 steps) > Score(magnitude) > Cut], 0.2439 to 0.9 > Train(5 steps)" in text


def test_iterations_that_are_each_evaluated_are_one_line(capsys):
    (root,) = roots("sap", (0.9,))
    ((text, _),) = lines(root.children)
    level = "Train(40 steps) > Evaluate"
    assert text == f"Init > 15 x [{level} > AdaptiveCut(pqi) > Rewind(0)] > {level}"
    cli.main(["plan", "--task", "toy", "--pruner", "sap"])
    assert "An Evaluate in a row measures the model and leaves it as it was" in capsys.readouterr().out


def test_a_block_counts_the_cells_that_are_done(tmp_path):
    (root,) = roots("sap", (0.9,))
    keys = [cell.key for cell in root.cells()]
    store = make_store(tmp_path, [replace(make_record(), key=key) for key in keys[:3]])
    (child,) = root.children
    assert "Rewind(0)], 3 done > Train(40 steps)" in line(chain_from(child)[0], store)
    finished = make_store(tmp_path, [replace(make_record(), key=key) for key in keys])
    assert line(chain_from(child)[0], finished).endswith(", 15 done > Train(40 steps) > Evaluate [done]")
