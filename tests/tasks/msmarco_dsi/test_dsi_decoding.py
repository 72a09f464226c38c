"""The search index: docids, trie, exact and beam decoding, and what an evaluation leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.errors import UsageError
from tasks.msmarco_dsi import MsMarcoDsi
from tasks.msmarco_dsi.docids import trie
from tests.tasks.msmarco_dsi.opening import TINY, opened, sample


def brute_force(task: MsMarcoDsi, model: Any, batch: Any, docids: np.ndarray) -> torch.Tensor:
    """Teacher forcing of each docid by itself."""
    scores = torch.empty(len(batch["input_ids"]), len(docids))
    for number, docid in enumerate(torch.from_numpy(docids).long()):
        labels = docid[docid >= 0].expand(len(scores), -1)
        logp = task.forward(model, {**batch, "labels": labels}).log_softmax(-1)
        scores[:, number] = logp.gather(2, labels[:, :, None]).sum((1, 2))
    return scores


def decoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[MsMarcoDsi, Any, Any, np.ndarray]:
    from tasks.msmarco_dsi import decode

    monkeypatch.setattr(decode, "ROWS", 7)  # many chunks, none of them even
    task, model = opened(replace(TINY, docids=kind, decoder_layers=2))
    batch = next(task.batches("test", seed=0, size=5))
    return task, model, batch, task._tokens.docids[::13]


@pytest.mark.parametrize("kind", ["atomic", "naive", "semantic"])
def test_exact_scores_are_those_of_teacher_forcing_each_docid(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.msmarco_dsi import decode

    task, model, batch, docids = decoding(kind, monkeypatch)
    with torch.no_grad():
        found = decode.exact(model, batch["input_ids"], batch["attention_mask"], trie(docids))
        expected = brute_force(task, model, batch, docids)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.std(dim=1).min() > 0.05  # the docids' scores do differ


def test_a_whole_docid_keeps_its_place_among_the_beams_until_better_ones_push_it_out() -> None:
    """Docids of 1 and 3 tokens under two beams; the scores of the longer ones fall token by token."""
    from tasks.msmarco_dsi import decode
    from tests.tasks.msmarco_dsi.scripted import Scripted

    docids = np.array([[5, -1, -1], [6, 7, 8], [6, 7, 9], [6, 5, 5]])
    for first, second, expected in ((0.6, 0.8, [0, 1]), (0.05, 0.5, [1, 3])):
        told = {(): {5: first, 6: 0.9 - first}, (6,): {7: second, 5: 0.9 - second}, (6, 7): {8: 0.9}, (6, 5): {5: 0.9}}
        model = Scripted(told)
        ones = torch.ones(1, 1, dtype=torch.long)
        numbers, scores = decode.beam(model, ones, ones, trie(docids), beams=2)
        exact = decode.exact(model, ones, ones, trie(docids))[0]
        assert sorted(numbers[0].tolist()) == expected
        torch.testing.assert_close(scores[0], exact[numbers[0]])


@pytest.mark.parametrize("kind", ["atomic", "naive", "semantic"])
def test_beam_search_with_a_beam_for_each_docid_is_exact(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import ranking
    from tasks.msmarco_dsi import decode

    _, model, batch, docids = decoding(kind, monkeypatch)
    tree = trie(docids)
    with torch.no_grad():
        exact = decode.exact(model, batch["input_ids"], batch["attention_mask"], tree)
        numbers, scores = decode.beam(model, batch["input_ids"], batch["attention_mask"], tree, len(docids) + 3)
    expected = ranking.rank(exact.numpy(), len(docids))
    found = ranking.rank(scores.numpy(), len(docids), numbers.numpy())
    assert np.array_equal(found.documents, expected.documents)
    assert np.allclose(found.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("kind", ["naive", "semantic"])
@pytest.mark.parametrize("beams", [1, 3, 10])
def test_beam_search_never_emits_a_filler_a_duplicate_or_an_unknown_docid(
    kind: str, beams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.msmarco_dsi import decode

    _, model, batch, docids = decoding(kind, monkeypatch)
    with torch.no_grad():
        numbers, scores = decode.beam(model, batch["input_ids"], batch["attention_mask"], trie(docids), beams)
        exact = decode.exact(model, batch["input_ids"], batch["attention_mask"], trie(docids))
    for row, (found, values) in enumerate(zip(numbers.tolist(), scores, strict=True)):
        assert len(set(found)) == beams and min(found) >= 0 and max(found) < len(docids)
        torch.testing.assert_close(values, exact[row, found], rtol=1e-4, atol=1e-4)


def test_padding_changes_no_score() -> None:
    from tasks.msmarco_dsi import decode

    task, model = opened(replace(TINY, docids="naive"))
    batch = next(task.batches("test", seed=0, size=4))
    wide = [torch.nn.functional.pad(batch[key], (0, 5)) for key in ("input_ids", "attention_mask")]
    with torch.no_grad():
        narrow_scores = decode.exact(model, batch["input_ids"], batch["attention_mask"], task._trie)
        torch.testing.assert_close(decode.exact(model, *wide, task._trie), narrow_scores, rtol=1e-4, atol=1e-4)


def test_an_evaluation_leaves_metrics_per_query_values_and_a_run_file() -> None:
    task, model = opened()
    with torch.no_grad():
        found = task.evaluate(model, "test")
    assert list(found.metrics) == [metric.name for metric in task.metrics]
    assert found.n == 160 and all(values.shape == (160,) for values in found.examples.values())
    assert all(found.metrics[name] == pytest.approx(values.mean()) for name, values in found.examples.items())
    rows = [line.split() for line in found.files["run"].splitlines()]
    assert len(rows) == 160 * 400
    scores = np.array([float(row[4]) for row in rows], dtype=np.float32).reshape(160, 400)
    assert (np.diff(scores) < 0).all()
    assert found.notes["floor"]["AP"] == pytest.approx(sum(1 / k for k in range(1, 401)) / 400)


def test_a_beam_caps_the_run_and_is_an_option_of_the_evaluation_only() -> None:
    task, model = opened(replace(TINY, docids="naive", decode="beam", beams=4))
    with torch.no_grad():
        found = task.evaluate(model, "test")
    assert len(found.files["run"].splitlines()) == 160 * 4
    assert found.notes["ranked_at_most"] == 4
    assert task.evaluation_options() == {"decode": "beam", "beams": 4, "depth": 1000}


def test_bm25_cannot_tell_names_in_either_order_apart_on_the_sample() -> None:
    (reference,) = MsMarcoDsi(sample(), TINY).references()
    assert set(reference.metrics) == {metric.name for metric in MsMarcoDsi.metrics}
    assert reference.metrics["Success@10"] == 1.0 and 0.3 < reference.metrics["AP"] < 0.7


def test_options_that_cannot_be_are_refused_in_one_line() -> None:
    for wrong in (
        {"docids": "atomc"},
        {"beams": 0},
        {"query_share": 1.5},
        {"crop_min": 9, "crop_max": 3},
        {"heads": 3},
    ):
        with pytest.raises(UsageError) as caught:
            replace(TINY, **wrong)
        assert "\n" not in str(caught.value)
