"""A corpus as ids: cached by content, and torchtext's where that imports."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks import tokenized
from tasks.text import Vocabulary, basic_english, build_vocabulary, encode

TEXTS = {"train": ["The oil, the sea", "oil!"], "test": ["sea\u2028of oil", ""]}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tokenized._torchtext.cache_clear()
    yield tmp_path
    tokenized._torchtext.cache_clear()


def test_rows_are_ids_of_the_vocabulary_of_the_training_texts() -> None:
    found = tokenized.tokenize(TEXTS, digest="a", specials=("<unk>", "<pad>"))
    # "oil" and "the" twice, then "!", "," and "sea" once each, in code point order.
    assert found.vocabulary.tokens == ("<unk>", "<pad>", "oil", "the", "!", ",", "sea")
    assert found.rows["train"].tokens.tolist() == [3, 2, 5, 3, 6, 2, 4]
    assert (found.rows["test"].tokens.tolist(), found.rows["test"].offsets.tolist()) == ([6, 0, 2], [0, 3, 3])


def test_the_second_time_they_come_from_the_cache_and_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tokenized.tokenize(TEXTS, digest="a")
    monkeypatch.setattr(tokenized, "basic_english", None)
    second = tokenized.tokenize(TEXTS, digest="a")
    assert second.vocabulary == first.vocabulary
    for split in TEXTS:
        assert np.array_equal(first.rows[split].tokens, second.rows[split].tokens)
        assert np.array_equal(first.rows[split].offsets, second.rows[split].offsets)
        assert isinstance(second.rows[split].tokens.base, np.memmap)


@pytest.mark.parametrize("other", [{"digest": "b"}, {"min_frequency": 2}, {"specials": ("<unk>", "<s>")}])
def test_other_texts_or_settings_are_made_anew(other: dict[str, object], cache: Path) -> None:
    tokenized.tokenize(TEXTS, digest="a")
    tokenized.tokenize(TEXTS, **{"digest": "a", **other})  # type: ignore[arg-type]
    assert len(list((cache / "prunebench" / "derived").iterdir())) == 2


def library() -> types.ModuleType:
    """What of torchtext is used, with the shape of 0.18; ``make test-compat`` runs the real one."""
    top, data, utils, vocab = (types.ModuleType(name) for name in ("torchtext", "data", "utils", "vocab"))
    top.__version__, top.data, top.vocab, data.utils = "0.18.0", data, vocab, utils  # type: ignore[attr-defined]
    utils.get_tokenizer = {"basic_english": basic_english}.__getitem__  # type: ignore[attr-defined]

    class Built:
        def __init__(self, words: Vocabulary) -> None:
            self.words = words

        def get_itos(self) -> list[str]:
            return list(self.words.tokens)

    def build(texts: Iterator[list[str]], min_freq: int, specials: list[str]) -> Built:
        return Built(build_vocabulary(texts, min_frequency=min_freq, specials=specials))

    vocab.build_vocab_from_iterator = build  # type: ignore[attr-defined]
    return top


def test_torchtext_is_used_where_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    top = library()
    monkeypatch.setattr(tokenized, "find_spec", lambda name: object())
    parts = {"": top, ".data": top.data, ".data.utils": top.data.utils, ".vocab": top.vocab}
    for name, module in parts.items():
        monkeypatch.setitem(sys.modules, f"torchtext{name}", module)
    assert tokenized.provider() == "torchtext 0.18.0"
    assert tokenized.basic().of is basic_english
    found = tokenized.tokenize(TEXTS, digest="a")
    own = build_vocabulary(map(basic_english, TEXTS["train"]))
    assert found.vocabulary == own
    assert np.array_equal(found.rows["test"].tokens, encode(map(basic_english, TEXTS["test"]), own).tokens)


@pytest.mark.parametrize("body", ["raise OSError('undefined symbol')", "import a_module_that_is_not_there"])
def test_one_that_does_not_import_is_done_without(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchtext.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert tokenized.provider() == "prunebench"
    assert tokenized.basic().of is basic_english
