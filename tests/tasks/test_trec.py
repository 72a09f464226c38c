"""Run files of other systems."""

from __future__ import annotations

import pytest

from bench.data import Memory
from bench.errors import DataError
from tasks.trec import read_run, require_known

GOOD = b"7 Q0 100 1 2.5 bm25\n7 Q0 101 2 2.5 bm25\n7 Q0 102 3 9 bm25\n8\tQ0\t100\t1\t-1e-3\tbm25\n"


def files(content: bytes) -> Memory:
    return Memory("toy", {"run": content})


def test_scores_rank_and_equal_ones_stay_in_the_order_of_the_file() -> None:
    run = read_run(files(GOOD), "run")
    assert {query: [row.document for row in rows] for query, rows in run.items()} == {7: [102, 100, 101], 8: [100]}
    assert run[8][0].score == -1e-3


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (b"7 Q0 100 1 2.5\n", "5 columns where 6 belong"),
        (b"7 Q0 100 1 2.5 bm25 more\n", "7 columns where 6 belong"),
        (b"\n", "0 columns where 6 belong"),
        (b"q7 Q0 100 1 2.5 bm25\n", "'q7' is no query number"),
        (b"7 Q0 D100 1 2.5 bm25\n", "'D100' is no passage number"),
        (b"9 Q0 100 1 high bm25\n", "'high' is no score"),
        (b"9 Q0 100 1 nan bm25\n", "the score 'nan' ranks nothing"),
        (b"9 Q0 100 1 -Infinity bm25\n", "the score '-Infinity' ranks nothing"),
        (b"9 Q0 100 1 1e999 bm25\n", "the score '1e999' ranks nothing: it is beyond float32"),
        (b"9 Q0 100 1 3.5e38 bm25\n", "the score '3.5e38' ranks nothing: it is beyond float32"),
        (b"9 Q0 100 1 1_0 bm25\n", "'1_0' is no score"),
        ("9 Q0 100 1 \uff11 bm25\n".encode(), "is no score"),
        (b"9 Q0 9223372036854775808 1 1 bm25\n", "'9223372036854775808' is no passage number"),
        (b"9" * 5000 + b" Q0 1 1 1 bm25\n", "is no query number"),
        (b"09 Q0 100 1 1 bm25\n", "'09' is no query number"),
        ("9\u00a0Q0 100 1 1 bm25\n".encode(), "5 columns where 6 belong"),
        (b"7 Q0 102 4 1.5 bm25\n", "query 7 ranks passage 102 a second time"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(row: bytes, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        read_run(files(GOOD + row), "run")
    assert complaint in str(caught.value) and "run, line 5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_run_is_an_error() -> None:
    with pytest.raises(DataError, match="the run holds no line"):
        read_run(files(b""), "run")


def test_unknown_ids_are_named_with_their_line() -> None:
    run = read_run(files(GOOD), "run")
    require_known(files(GOOD), "run", run, {7, 8}, {100, 101, 102})
    with pytest.raises(DataError, match=r"run, line 4: names query 8, which is not in the queries file"):
        require_known(files(GOOD), "run", run, {7}, {100, 101, 102})
    with pytest.raises(DataError, match=r"run, line 3: names passage 102.*and 1 more of query 7"):
        require_known(files(GOOD), "run", run, {7, 8}, {100})
