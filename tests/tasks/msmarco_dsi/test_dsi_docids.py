"""Docids of the search index: naive and semantic ones, and the trie of either."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.msmarco_dsi.docids import Trie, digits, trie
from tasks.msmarco_dsi.semantic import hierarchy, semantic

Nested = dict[int, Any]


def nested(docids: np.ndarray) -> Nested:
    """The trie of docids as dictionaries within dictionaries."""
    root: Nested = {}
    for docid in docids.tolist():
        node = root
        for token in docid:
            if token >= 0:
                node = node.setdefault(token, {})
    return root


def read_back(tree: Trie, level: int = 0, node: int = 0) -> Nested:
    """The flat arrays as dictionaries within dictionaries."""
    if level == tree.depth:
        return {}
    first, last = tree.children[level][node : node + 2].tolist()
    return {int(tree.tokens[level][child]): read_back(tree, level + 1, child) for child in range(first, last)}


def walked(tree: Trie, docid: list[int]) -> int:
    """The document that the trie has at a docid."""
    node = 0
    for level, token in enumerate(token for token in docid if token >= 0):
        first, last = tree.children[level][node : node + 2].tolist()
        node = first + tree.tokens[level][first:last].tolist().index(token)
        leaf = tree.leaves[level][node]
    return int(tree.documents[leaf])


def prefix_free(docids: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The docids that begin no other."""
    return [one for one in docids if not any(other != one and other[: len(one)] == one for other in docids)]


def filled(docids: list[tuple[int, ...]]) -> np.ndarray:
    longest = max(map(len, docids))
    return np.array([[*docid, *[-1] * (longest - len(docid))] for docid in docids])


@given(st.lists(st.lists(st.integers(0, 9) | st.integers(30_000, 30_009), min_size=1, max_size=6), min_size=1))
def test_the_flat_arrays_allow_after_each_prefix_what_nested_dictionaries_do(drawn: list[list[int]]) -> None:
    docids = filled(prefix_free(list(dict.fromkeys(map(tuple, drawn)))))
    tree = trie(docids)
    assert read_back(tree) == nested(docids)
    assert [walked(tree, docid) for docid in docids.tolist()] == list(range(len(docids)))


def test_docids_too_long_for_one_integer_are_sorted_by_all_of_their_tokens() -> None:
    generator = np.random.default_rng(0)
    docids = np.repeat(generator.integers(0, 60_000, size=(20, 12)), 50, axis=0)
    docids[:, -1] = np.tile(np.arange(50), 20)
    docids = docids[generator.permutation(len(docids))]
    assert read_back(trie(docids)) == nested(docids)


def test_the_trie_holds_every_docid_once_and_shares_prefixes() -> None:
    tree = trie(np.array([[1, 2], [0, 5], [1, 0], [0, 7], [3, -1]]))
    assert [one.tolist() for one in tree.tokens] == [[0, 1, 3], [5, 7, 0, 2]]
    assert [one.tolist() for one in tree.children] == [[0, 3], [0, 2, 4, 4]]
    assert [one.tolist() for one in tree.leaves] == [[0, 2, 4], [0, 1, 2, 3]]
    assert tree.documents.tolist() == [1, 3, 2, 0, 4]


@pytest.mark.parametrize(
    ("docids", "fault"),
    [
        ([[1, 2], [1, 2]], "same docid"),
        ([[1, -1], [0, 3], [1, -1]], "same docid"),
        ([[1, 2], [1, -1]], "begins another"),
    ],
)
def test_docids_that_cannot_be_told_apart_are_refused(docids: list[list[int]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        trie(np.array(docids))


def test_naive_docids_are_zero_padded_numbers_of_one_width() -> None:
    found = digits(101)
    assert found[[0, 7, 42, 100]].tolist() == [[0, 0, 0], [0, 0, 7], [0, 4, 2], [1, 0, 0]]
    assert digits(1).tolist() == [[0]]


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=200),
    st.integers(2, 12),
    st.integers(1, 4),
)
def test_semantic_docids_are_unique_none_begins_another_and_no_leaf_is_larger_than_k(
    drawn: list[tuple[int, int]], k: int, copies: int
) -> None:
    points = np.array(drawn * copies, dtype=np.float32)
    numbers, docids = hierarchy(points, k), semantic(points, k)
    tree = trie(docids)  # refuses equal ones and such as begin another
    assert len(tree.documents) == len(points)
    assert set(np.unique(docids)) <= set(range(-1, 10))
    inner = [tuple(row[row >= 0][:-1].tolist()) for row in numbers]
    ways = {prefix: [row for row in range(len(points)) if inner[row] == prefix] for prefix in dict.fromkeys(inner)}
    for rows in ways.values():
        own = [int(numbers[row][numbers[row] >= 0][-1]) for row in rows]
        assert own == list(range(len(rows))) and len(rows) <= k, "numbered in index order"
    for prefix in ways:
        for length in range(len(prefix)):
            below = {way[length] for way in ways if way[:length] == prefix[:length] and len(way) > length}
            assert below == set(range(len(below))) and len(below) <= k, "clusters are numbered without gaps"
    assert np.array_equal(semantic(points, k), docids)


@pytest.mark.parametrize(("count", "k", "levels"), [(1_000, 10, 3), (1_001, 10, 4), (900, 30, 2), (1, 2, 1)])
def test_passages_with_one_and_the_same_embedding_are_cut_into_equal_parts(count: int, k: int, levels: int) -> None:
    numbers = hierarchy(np.ones((count, 8), dtype=np.float32), k)
    assert numbers.shape == (count, levels)
    _, sizes = np.unique(numbers[:, 0], return_counts=True)
    assert sizes.max() - sizes.min() <= 1


def test_a_few_outliers_at_a_time_make_no_docid_without_end() -> None:
    """Distances that grow tenfold: k-means sets the farthest one apart each time."""
    points = np.zeros((120, 1), dtype=np.float32)
    points[:30, 0] = 10.0 ** np.arange(30)
    assert hierarchy(points, 2).shape[1] <= 40


def test_passages_near_each_other_share_the_beginning_of_their_docids() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(10, 16)) * 20
    blob = np.repeat(np.arange(10), 30)
    docids = semantic((centres[blob] + generator.normal(size=(300, 16))).astype(np.float32), 10)
    first = [set(docids[blob == one, 0].tolist()) for one in range(10)]
    assert all(len(digits_of) == 1 for digits_of in first) and len(set.union(*first)) == 10


def test_numbers_beyond_nine_take_two_digits_on_every_level() -> None:
    points = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    numbers, docids = hierarchy(points, 30), semantic(points, 30)
    assert docids.shape[1] == 2 * numbers.shape[1] and numbers.max() == 29
    pairs = docids.reshape(400, -1, 2).astype(int)
    there = numbers >= 0
    assert np.array_equal((10 * pairs[..., 0] + pairs[..., 1])[there], numbers[there])
    assert (pairs[~there] == -1).all()
