"""The tables that ship, and what a file must hold."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bench.errors import UsageError
from reports.papers import published

SMALL = """
title = "T"
source = "S"
rows = [[0.5, 90.0]]

[[grid]]
task = "toy-news"

[[column]]
name = "sparsity"
row = "sparsity"

[[column]]
name = "accuracy"
metric = "accuracy"
pruner = "grasp"
"""


@pytest.mark.parametrize("name", published.names())
def test_each_table_says_what_it_is_and_where_it_was_read(name):
    paper = published.load(name)
    assert paper.title and paper.source and paper.rows
    assert any(column.metric for column in paper.columns)
    assert paper.grids or paper.doubt


def test_the_published_figures_are_those_of_the_papers():
    vgg = {row[0]: row[1:] for row in published.load("synflow-fig6-vgg16").rows}
    assert vgg[2] == (79.1, 89.8, 89.2, 87.5, 90.1)  # Tanaka et al. 2020, figure 6: random .. synflow
    assert published.load("ag-news").rows[-1] == (2, 71.85, 48.17, 0.023, 0.023)
    assert ("soft movement", 84.9, 82.3) in published.load("bert-squad-movement").rows


@pytest.mark.parametrize("name", published.names())
def test_the_pruners_and_grids_of_a_table_are_ones_that_there_are(name):
    from bench import registry
    from bench.grid import parse_grid, parse_seeds

    for grid in published.load(name).grids:
        named = grid["pruner"] if isinstance(grid["pruner"], list) else [grid["pruner"]]
        assert {*named} <= {*registry.names("pruners")}
        assert parse_grid(grid["grid"])
        assert len(parse_seeds(grid["seeds"])) >= 2  # an interval needs two


def test_the_files_are_inside_the_package():
    assert Path(published.__file__).parent == published.FOLDER
    packaged = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert "reports" in packaged["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_a_name_that_there_is_not_suggests():
    with pytest.raises(UsageError, match="Did you mean 'multi30k'"):
        published.load("multi30")
    with pytest.raises(UsageError, match="bench paper list"):
        published.load("../../../etc/passwd")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("title", "titel"), "titel"),
        (("[[0.5, 90.0]]", "[[0.5]]"), "a row of 1 values under 2 columns"),
        (("90.0]", '"high"]'), "'high' is no figure"),
        (('row = "sparsity"', ""), "needs a row or a metric, and not both"),
        (('task = "toy-news"', ""), "a grid without a task"),
        (('[[grid]]\ntask = "toy-news"\n', ""), "figures without a grid need a doubt"),
        (("rows = [", "rows = "), "is no published table"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(change, said):
    assert published.read("toy", SMALL).rows == ((0.5, 90.0),)
    with pytest.raises(UsageError, match=said):
        published.read("toy", SMALL.replace(*change))
