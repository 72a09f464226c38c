"""Readers of the MS MARCO layout, and the choice of what is indexed."""

from __future__ import annotations

import pytest

from bench.data import Memory
from bench.errors import DataError, UsageError
from tasks import msmarco
from tasks.msmarco_dsi import corpus

GOOD = {
    "collection.tsv": b"".join(b"%d\tpassage %d\n" % (n, n) for n in (10, 11, 12, 13, 14, 15)),
    "queries.train.tsv": b"1\tone\n2\ttwo\n",
    "qrels.train.tsv": b"1\t0\t11\t1\n2 0 13 1\n",
    "queries.dev.small.tsv": b"7\tseven\n8\teight\n9\tunjudged\n",
    "qrels.dev.small.tsv": b"7\t0\t14\t1\n8\t0\t12\t1\n8\t0\t10\t0\n",
}


NAMES = {
    "collection": "collection.tsv",
    "train": "queries.train.tsv",
    "train_qrels": "qrels.train.tsv",
    "dev": "queries.dev.small.tsv",
    "dev_qrels": "qrels.dev.small.tsv",
}


def read(limit: int = 0, **changes: bytes) -> corpus.Corpus:
    contents = GOOD | {NAMES[name]: content for name, content in changes.items()}
    return corpus.read(Memory("test", contents), limit)


def test_all_passages_are_indexed_in_file_order() -> None:
    found = read()
    assert found.passage_numbers.tolist() == [10, 11, 12, 13, 14, 15]
    assert found.train_pairs.tolist() == [[0, 1], [1, 3]]
    assert found.dev_numbers == (7, 8)
    assert found.dev_grades == ({4: 1}, {2: 1, 0: 0})


def test_a_small_index_holds_what_dev_and_train_queries_need_first() -> None:
    assert read(4).passage_numbers.tolist() == [11, 12, 13, 14]
    assert read(5).passage_numbers.tolist() == [10, 11, 12, 13, 14]


def test_dev_queries_take_half_of_a_small_index_at_most() -> None:
    found = read(2)
    assert found.dev_numbers == (7,)
    assert found.passage_numbers.tolist() == [11, 14]
    assert found.left_out["dev queries"] == 1 and found.left_out["train queries"] == 1


def test_a_train_query_that_reads_like_a_dev_query_is_not_trained_on() -> None:
    found = read(train=b"1\t Seven\n2\ttwo\n")
    assert found.train_texts == ("two",)
    assert found.left_out["train queries that are dev queries"] == 1


@pytest.mark.parametrize(
    ("changes", "place", "what"),
    [
        ({"collection": b"10\ta\nno tab\n"}, "collection.tsv, line 2", "no tab"),
        ({"collection": b"10\ta\nx1\tb\n"}, "collection.tsv, line 2", "no passage number"),
        ({"collection": b"10\ta\n11\t \n"}, "collection.tsv, line 2", "no text"),
        ({"collection": b"10\ta\n11\tb\n12\tc\n11\td\n"}, "collection.tsv, line 4", "second time"),
        ({"collection": b""}, "collection.tsv", "the collection is empty"),
        ({"collection": b"10\ta\n9223372036854775808\tb\n"}, "collection.tsv, line 2", "no passage number"),
        ({"collection": b"10\ta\n" + b"9" * 5000 + b"\tb\n"}, "collection.tsv, line 2", "no passage number"),
        ({"collection": b"10\ta\n011\tb\n"}, "collection.tsv, line 2", "no passage number"),
        ({"train": b"1\tone\n18446744073709551616\ttwo\n"}, "queries.train.tsv, line 2", "no query number"),
        ({"dev_qrels": b"7\t0\t14\t9999999999\n"}, "qrels.dev.small.tsv, line 1", "no relevance"),
        ({"dev_qrels": b"7\t0\t14\t1001\n"}, "line 1", "'1001' is no relevance: a whole number from -1,000 to 1,000"),
        (
            {"dev_qrels": b"7\t0\t14\t1\n8\t0\t12\t1\n7\t0\t14\t0\n"},
            "qrels.dev.small.tsv, line 3",
            "passage 14 has relevance 0 for query 7, and 1 in line 1",
        ),
        ({"dev_qrels": b"7\t0\t14\t1_0\n"}, "qrels.dev.small.tsv, line 1", "no relevance"),
        ({"dev_qrels": "7\t0\t14\t\u0661\n".encode()}, "qrels.dev.small.tsv, line 1", "no relevance"),
        ({"collection": b"10\ta\n\xff\tb\n"}, "collection.tsv, line 2", "UTF-8"),
        ({"train": b"1\tone\n1\tuno\n"}, "queries.train.tsv, line 2", "second time"),
        ({"train": b""}, "queries.train.tsv", "no query"),
        ({"dev_qrels": b"7\t0\t14\n"}, "qrels.dev.small.tsv, line 1", "3 columns where 4 belong"),
        ({"dev_qrels": b"7\t0\t14\tyes\n"}, "qrels.dev.small.tsv, line 1", "no relevance"),
        ({"dev_qrels": b"7\t0\t14\t1\n7\t0\t99\t1\n8\t0\t98\t1\n"}, "qrels.dev.small.tsv, line 2", "passage 99"),
        ({"train_qrels": b"1\t0\t11\t1\n5\t0\t11\t1\n"}, "qrels.train.tsv, line 2", "query 5"),
    ],
)
def test_bad_input_is_one_line_that_names_file_and_line(changes: dict[str, bytes], place: str, what: str) -> None:
    with pytest.raises(DataError) as caught:
        read(**changes)
    message = str(caught.value)
    assert place in message and what in message and "\n" not in message


def test_a_judgment_may_come_again_as_it_was() -> None:
    assert read(dev_qrels=b"7\t0\t14\t1\n7\t0\t14\t1\n").dev_grades == ({4: 1},)


def test_judgments_of_a_larger_collection_say_how_many_rows_are_meant_and_how_to_mend() -> None:
    with pytest.raises(DataError) as caught:
        read(dev_qrels=b"7\t0\t14\t1\n7\t0\t99\t1\n8\t0\t98\t1\n")
    assert "1 more" in str(caught.value) and "keep only the rows" in str(caught.value)


def test_an_index_without_room_for_a_dev_query_is_refused() -> None:
    with pytest.raises(UsageError, match="no room"):
        read(1, dev_qrels=b"7\t0\t14\t1\n7\t0\t12\t1\n")


def test_the_identity_tells_sample_from_subset_and_counts() -> None:
    memory = Memory("test", GOOD)
    found = corpus.identity(memory, corpus.read(memory, 0))
    assert found.kind == "sample"
    assert found.counts == {"passages": 6, "train queries": 2, "dev queries": 2}
    assert corpus.identity(Memory("test", GOOD, kind="real"), corpus.read(memory, 0)).kind == "subset"


def test_queries_keep_file_order() -> None:
    assert msmarco.queries(Memory("test", GOOD), "queries.dev.small.tsv").numbers == (7, 8, 9)
