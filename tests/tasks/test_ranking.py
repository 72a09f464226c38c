"""Rankings, runs and metrics."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.errors import CellError
from tasks import ranking

DOCUMENTS = [f"d{number}" for number in range(6)]


def test_equal_scores_stand_in_document_order_and_are_made_strictly_decreasing() -> None:
    found = ranking.rank(np.array([[1.0, 2.0, 2.0, 2.0, 0.5]]), 4)
    assert found.documents.tolist() == [[1, 2, 3, 0]]
    assert (np.diff(found.scores[0]) < 0).all()
    assert found.tie_rate == pytest.approx(2 / 3)


def test_a_collapsed_model_ties_everything_and_says_so() -> None:
    found = ranking.rank(np.zeros((2, 50)), 10)
    assert found.documents.tolist() == [list(range(10))] * 2
    assert found.tie_rate == 1.0


@given(arrays(np.float32, (2, 60), elements=st.sampled_from([0.0, 1.0, 2.0, 3.5, -np.inf])), st.integers(1, 60))
def test_a_cut_ranking_is_the_head_of_the_whole_one(scores: np.ndarray, depth: int) -> None:
    whole, cut = ranking.rank(scores, 60), ranking.rank(scores, depth)
    assert np.array_equal(cut.documents, whole.documents[:, :depth])
    assert np.array_equal(cut.scores, whole.scores[:, :depth])


def test_candidates_without_a_score_are_left_out() -> None:
    found = ranking.rank(np.array([[1.0, -np.inf, 3.0]]), 3, np.array([[7, -1, 5]]))
    assert found.documents.tolist() == [[5, 7, -1]]
    assert len(ranking.run_text(found, ["q"], [f"d{i}" for i in range(8)], "t").splitlines()) == 2


def test_a_nan_score_fails_the_cell() -> None:
    with pytest.raises(CellError, match="NaN"):
        ranking.rank(np.array([[1.0, np.nan]]), 2)


def test_the_run_file_gives_the_metrics_that_were_reported(tmp_path: pytest.TempPathFactory) -> None:
    scores = np.random.default_rng(0).integers(0, 3, size=(4, 6)).astype(np.float32)
    found = ranking.rank(scores, 6)
    queries = ["1", "2", "3", "4"]
    grades = [{0: 1}, {3: 1, 4: 1}, {5: 1, 1: 0}, {2: 1}]
    names = ["AP", "RR@10", "R@1000", "Success@1", "Success@10", "nDCG@10"]
    values = ranking.measure(found, queries, DOCUMENTS, grades, names)
    path = tmp_path / "run"  # type: ignore[operator]
    path.write_text(ranking.run_text(found, queries, DOCUMENTS, "test"))
    qrels = [
        ir_measures.Qrel(query, DOCUMENTS[number], grade)
        for query, graded in zip(queries, grades, strict=True)
        for number, grade in graded.items()
    ]
    again = ir_measures.calc_aggregate(
        [ir_measures.parse_measure(name) for name in names], qrels, ir_measures.read_trec_run(str(path))
    )
    assert {str(measure): value for measure, value in again.items()} == pytest.approx(ranking.means(values))
    # by hand: the reciprocal rank of the first relevant one in our own order
    for row, graded in enumerate(grades):
        places = [p for p, d in enumerate(found.documents[row].tolist(), start=1) if graded.get(d, 0) > 0]
        assert values["RR@10"][row] == pytest.approx(1 / places[0])


def test_a_judged_query_without_any_ranked_document_counts_zero() -> None:
    found = ranking.rank(np.array([[-np.inf, -np.inf], [2.0, 1.0]]), 2)
    values = ranking.measure(found, ["1", "2"], DOCUMENTS, [{0: 1}, {0: 1}], ["AP"])
    assert values["AP"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("relevant", "depth"), [(1, 6), (2, 6), (3, 4)])
def test_expected_ap_of_a_random_ranking_is_the_mean_over_all_rankings(relevant: int, depth: int) -> None:
    from itertools import combinations

    def average_precision(places: tuple[int, ...]) -> float:
        return sum((i + 1) / place for i, place in enumerate(places) if place <= depth) / relevant

    every = [average_precision(places) for places in combinations(range(1, 7), relevant)]
    assert ranking.random_average_precision([relevant], 6, depth) == pytest.approx(np.mean(every))


def test_chunks_of_queries_join_to_the_ranking_of_all() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 9)).astype(np.float32)
    whole = ranking.rank(scores, 4)
    parts = ranking.joined([ranking.rank(scores[:2], 4), ranking.rank(scores[2:], 4)])
    assert np.array_equal(parts.documents, whole.documents) and np.array_equal(parts.scores, whole.scores)
