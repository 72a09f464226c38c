"""Readers of the BEIR layout."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import Memory
from bench.errors import DataError
from tasks import beir

CORPUS = b'{"_id": "a", "title": "One", "text": "first"}\n{"_id": "b", "text": "second", "metadata": {}}\n'
QUERIES = b'{"_id": "q", "text": "which?"}\n{"_id": "r", "text": "what?"}\n'
QRELS = b"query-id\tcorpus-id\tscore\nq\ta\t1\nr\ta\t0\nr\tb\t2\n"


def files(**contents: bytes) -> Memory:
    names = {"corpus": beir.CORPUS, "queries": beir.QUERIES, "qrels": beir.TEST}
    whole = {"corpus": CORPUS, "queries": QUERIES, "qrels": QRELS} | contents
    return Memory("test", {names[name]: content for name, content in whole.items()})


def all_of(found: Memory) -> dict[str, dict[str, int]]:
    return beir.judgments(found, beir.TEST, beir.queries(found), beir.documents(found))


def test_titles_stand_before_the_text_and_may_be_missing() -> None:
    found = beir.documents(files())
    assert {name: document.whole for name, document in found.items()} == {"a": "One first", "b": "second"}


def test_judgments_keep_their_order_and_only_queries_with_something_relevant_are_asked() -> None:
    assert all_of(files()) == {"q": {"a": 1}, "r": {"a": 0, "b": 2}}
    assert list(beir.relevant({"q": {"a": 0}, "r": {"a": 0, "b": 2}})) == ["r"]


@pytest.mark.parametrize(
    ("where", "content", "said"),
    [
        ("corpus", CORPUS + b'{"_id": "a", "text": "again"}\n', "corpus.jsonl, line 3: document 'a' is there a second"),
        ("corpus", CORPUS + b'{"_id": "c", "text": "cut\n', "line 3: is no JSON"),
        ("corpus", CORPUS + b"\n", "line 3: is no JSON"),
        ("corpus", CORPUS + b"[1]\n", "line 3: a JSON list where an object belongs"),
        ("corpus", b'{"_id": "a", "title": "only"}\n', "line 1: the document's 'text' is missing"),
        ("corpus", b'{"_id": 7, "text": "x"}\n', "line 1: the document's '_id' is 7, where text belongs"),
        ("corpus", b'{"_id": "a b", "text": "x"}\n', "line 1: 'a b' is no id"),
        ("corpus", b'{"_id": "a", "title": " ", "text": ""}\n', "line 1: document 'a' has neither title nor text"),
        ("corpus", b"", "the file holds no document"),
        ("corpus", b'{"_id": "a", "text": "x", "n": ' + b"[" * 100_000 + b"\n", "line 1: is JSON nested too deeply"),
        ("corpus", b'{"_id": "a", "text": "x", "n": NaN}\n', "line 1: is no JSON (NaN is no JSON)"),
        ("corpus", b'{"_id": "a", "text": "x", "n": ' + b"9" * 5000 + b"}\n", "line 1: is no JSON"),
        ("corpus", b'{"_id": "a", "text": "\\ud800"}\n', "line 1: the document's 'text' holds half a character"),
        ("corpus", b'{"_id": "\\udfff", "text": "x"}\n', "line 1: the document's '_id' holds half a character"),
        ("qrels", QRELS + b"q\tb\t9999999999999999999\n", "line 5: '9999999999999999999' is no relevance"),
        ("qrels", QRELS + b"q\tb\t1_0\n", "line 5: '1_0' is no relevance"),
        ("queries", b'{"_id": "q", "text": " "}\n', "queries.jsonl, line 1: query 'q' has no text"),
        ("queries", QUERIES + QUERIES, "line 3: query 'q' is there a second time"),
        ("qrels", b"q\ta\t1\n", "qrels/test.tsv, line 1: no header where one belongs"),
        ("qrels", QRELS + b"s\ta\t1\n", "line 5: names query 's', which is not in queries.jsonl"),
        ("qrels", QRELS + b"q\tz\t1\n", "line 5: names document 'z', which is not in corpus.jsonl"),
        ("qrels", QRELS + b"q\ta\t1\n", "line 5: document 'a' is judged a second time for query 'q'"),
        ("qrels", QRELS + b"q\tb\tmuch\n", "line 5: 'much' is no relevance"),
        ("qrels", QRELS + b"q 0 b 1\n", "line 5: 1 columns where 3 belong"),
        ("qrels", b"query-id\tcorpus-id\tscore\n", "holds no judgment"),
    ],
)
def test_each_defect_is_one_line_with_file_and_line(where: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError) as caught:
        all_of(files(**{where: content}))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
def test_whatever_text_is_written_as_json_is_read_back(rows: list[tuple[str, str]]) -> None:
    lines = [json.dumps({"_id": str(n), "title": title, "text": text}) for n, (title, text) in enumerate(rows)]
    given_files = files(corpus="\n".join(lines).encode())
    if all((f"{title} {text}").strip() for title, text in rows):
        found = beir.documents(given_files)
        assert [(document.title, document.text) for document in found.values()] == rows
    else:
        with pytest.raises(DataError, match="neither title nor text"):
            beir.documents(given_files)
