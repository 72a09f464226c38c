"""Tokens and ids, against cases worked out by hand from the substitution rules of ``basic_english``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text import Vocabulary, basic_english, build_vocabulary, encode

CASES = {
    "You can now install TorchText": ["you", "can", "now", "install", "torchtext"],
    "don't": ["don", "'", "t"],
    'say "hi"': ["say", "hi"],
    'a"b': ["ab"],
    "U.S. oil": ["u", ".", "s", ".", "oil"],
    "one<br />two": ["one", "two"],
    "one<br/>two": ["one<br/>two"],
    'one<br" />two': ["one", "two"],
    "one<BR />two": ["one", "two"],
    "a,b(c)d!e?": ["a", ",", "b", "(", "c", ")", "d", "!", "e", "?"],
    "a;b:c": ["a", "b", "c"],
    "#39;s  quot;Our\t\n goal\\team": ["#39", "s", "quot", "our", "goal\\team"],
    "data-storage $10 100%": ["data-storage", "$10", "100%"],
    "a\u00a0b\u2028c": ["a", "b", "c"],
    "...": [".", ".", "."],
    " \t ": [],
    "": [],
}


@pytest.mark.parametrize("text", CASES)
def test_basic_english_gives_the_tokens_that_the_rules_give(text: str) -> None:
    assert basic_english(text) == CASES[text]


@given(st.text(alphabet="aB'\".,;:!?()<br />\n\u00a0"))
def test_tokens_hold_no_space_no_quote_and_no_capital_and_punctuation_stands_alone(text: str) -> None:
    for token in basic_english(text):
        assert token == token.lower()
        assert not any(mark in token for mark in '" \n\u00a0;:')
        assert len(token) == 1 or not any(mark in token for mark in "'.,()!?")


def test_the_vocabulary_has_specials_first_then_frequent_words_then_equal_ones_in_code_point_order() -> None:
    texts = [["b", "a", "c"], ["c", "B", "b"], ["c", "é", "z"]]
    # c 3, b 2, then once each: 'B' (66) < 'a' (97) < 'z' (122) < 'é' (233)
    assert build_vocabulary(texts).tokens == ("<unk>", "c", "b", "B", "a", "z", "é")


def test_a_special_token_that_occurs_in_the_text_is_not_listed_twice() -> None:
    vocabulary = build_vocabulary([["<unk>", "<unk>", "x", "<pad>"]], specials=("<unk>", "<pad>"))
    assert vocabulary.tokens == ("<unk>", "<pad>", "x")


def test_rare_words_are_left_out_and_encode_as_unknown() -> None:
    vocabulary = build_vocabulary([["a", "a", "b"]], min_frequency=2)
    assert vocabulary.tokens == ("<unk>", "a")
    assert vocabulary.encode(["b", "a", "never seen"]) == [0, 1, 0]


def test_unknown_words_take_the_place_of_the_unknown_token_wherever_it_is() -> None:
    assert Vocabulary(("<pad>", "<unk>", "a")).encode(["x", "a"]) == [1, 2]


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), max_size=8), st.data())
def test_taken_rows_are_the_rows_that_were_encoded(texts: list[list[str]], data: st.DataObject) -> None:
    vocabulary = build_vocabulary([list("abcd")])
    rows = encode(texts, vocabulary)
    assert len(rows) == len(texts)
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=10)) if texts else []
    taken = rows.take(np.array(chosen, dtype=np.int64))
    bounds = list(zip(taken.offsets, taken.offsets[1:], strict=False))
    assert [taken.tokens[a:b].tolist() for a, b in bounds] == [vocabulary.encode(texts[row]) for row in chosen]
