"""Greedy and beam search over a cache, against doing it word by word and against trying everything."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from tasks.multi30k.decode import Search, translate
from tasks.multi30k.model import Seq2SeqTransformer
from tests.tasks.multi30k.opening import sampled, tiny, trained
from tests.tasks.multi30k.slowly import stepwise

GREEDY = Search(begin=2, end=3, most=12)


def sentences(count: int, vocabulary: int, longest: int = 11) -> Tensor:
    """Random sentences between their marks, padded."""
    generator = torch.Generator().manual_seed(count)
    ids = torch.full((count, longest), 1)
    for row in ids:
        length = int(torch.randint(1, longest - 1, (1,), generator=generator))
        row[: length + 2] = torch.tensor([2, *torch.randint(4, vocabulary, (length,), generator=generator).tolist(), 3])
    return ids


def alone(row: Tensor) -> Tensor:
    """A sentence without its padding."""
    return row[row != 1]


@pytest.mark.parametrize(("pre_norm", "seed"), [(False, 2), (False, 4), (True, 3), (True, 5)])
def test_a_batch_with_a_cache_gives_what_sentence_by_sentence_without_one_does(pre_norm: bool, seed: int) -> None:
    model = tiny(pre_norm=pre_norm, vocabulary=8, seed=seed)
    source = sentences(40, 11)
    found = translate(model, source, GREEDY)
    assert found == [stepwise(model, alone(row), GREEDY) for row in source]
    assert len({len(row) for row in found}) > 2  # some end early and leave the batch, others reach the limit


def test_so_it_does_with_trained_weights() -> None:
    task, model = sampled(), trained(120)
    (batch, *_) = task.batches("test", seed=0, size=60)
    search = Search(begin=2, end=3, most=30)
    found = translate(model, batch["source"], search)
    assert found == [stepwise(model, alone(row), search) for row in batch["source"]]
    assert 8 < sum(map(len, found)) / len(found) < 25


def log_probability(model: Seq2SeqTransformer, source: Tensor, tokens: tuple[int, ...]) -> float:
    target = torch.tensor([[2, *tokens]])
    with torch.no_grad():
        logp = model(source.unsqueeze(0), target[:, :-1]).log_softmax(-1)
    return float(logp[0, range(len(tokens)), list(tokens)].sum())


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_that_holds_everything_finds_the_best_of_all_translations(penalty: float) -> None:
    model = tiny(pre_norm=False, vocabulary=6, seed=4)
    most, end = 3, 3
    source = sentences(6, 9)
    search = Search(2, end, most, beams=200, length_penalty=penalty)
    found = translate(model, source, search)
    others = [token for token in range(6) if token != end]
    complete = [(*body, end) for length in range(most) for body in product(others, repeat=length)]
    everything = [*complete, *product(others, repeat=most)]
    for row, tokens in zip(source, found, strict=True):
        ranked = {one: log_probability(model, alone(row), one) / len(one) ** penalty for one in everything}
        best = max(ranked, key=lambda one: ranked[one])
        assert tokens == [token for token in best if token != end]


def test_a_wider_beam_finds_likelier_translations_than_greedy_and_a_beam_of_one_is_greedy() -> None:
    model = tiny(pre_norm=True, vocabulary=12, seed=1)
    source = sentences(30, 15)

    def likelihood(found: list[list[int]]) -> float:
        pairs = zip(source, found, strict=True)
        closed = [(alone(row), (*tokens, 3) if len(tokens) < 12 else tuple(tokens)) for row, tokens in pairs]
        return sum(log_probability(model, row, tokens) for row, tokens in closed)

    wide = translate(model, source, Search(2, 3, 12, beams=6, length_penalty=0.0))
    greedy = translate(model, source, GREEDY)
    assert likelihood(wide) > likelihood(greedy) + 1

    from tasks.multi30k.decode import beam

    narrow = beam(model, source, Search(2, 3, 12, beams=1)).tolist()
    assert [row[: row.index(3)] if 3 in row else row for row in narrow] == greedy


def test_each_sentence_has_the_beam_that_it_has_alone() -> None:
    model, search = tiny(pre_norm=False, vocabulary=9, seed=2), Search(2, 3, 10, beams=4)
    source = sentences(25, 12)
    together = translate(model, source, search)
    assert together == [translate(model, alone(row).unsqueeze(0), search)[0] for row in source]
