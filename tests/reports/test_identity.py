"""The facts by which settings of one table are told apart."""

from __future__ import annotations

from reports.identity import distinguishing, flat, setting
from tests.factories import make_record


def labels(*settings: dict[str, object], most: int = 3) -> list[str]:
    facts = [flat(setting) for setting in settings]
    found = distinguishing(facts, most)
    return [found[one] for one in facts]


def test_what_is_set_tells_settings_apart_before_what_is_not() -> None:
    naive = {"beams": None, "decode": "score", "docids": "naive"}
    assert labels(naive, {"beams": 5, "decode": "beam", "docids": "semantic"}) == [
        "decode=score, docids=naive",
        "decode=beam, docids=semantic",
    ]
    assert labels(naive, {**naive, "beams": 5}) == ["beams=null", "beams=5"]


def test_of_many_differences_the_fewest_are_told() -> None:
    one, other = (dict.fromkeys("abcd", value) for value in (1, 2))
    assert labels(one, other) == ["a=1", "a=2"]
    assert labels(one, other, most=4) == ["a=1, b=1, c=1, d=1", "a=2, b=2, c=2, d=2"]


def test_what_follows_from_the_model_is_not_told() -> None:
    facts = [(("model", name), ("length", length)) for name, length in (("bert", "128"), ("conv-knrm", "200"))]
    assert distinguishing(facts, 3) == {facts[0]: "bert", facts[1]: "conv-knrm"}


def test_a_cell_that_names_no_processes_had_one() -> None:
    many = {"device": "cpu", "dtype": "float32", "processes": 2}
    found = [setting(make_record()), setting(make_record(provenance=many))]
    assert list(distinguishing(found).values()) == ["processes=1", "processes=2"]
