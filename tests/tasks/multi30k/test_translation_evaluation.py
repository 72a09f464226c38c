"""What an evaluation measures and leaves behind, and the embedded sample."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench.cli import main
from bench.store import Store
from tasks.multi30k import Multi30k
from tasks.multi30k.scores import measure, table
from tests.tasks.multi30k.opening import SMOKE, given, sampled, trained

CAT = "the cat is on the mat today"


def test_bleu_is_the_formula_of_its_paper() -> None:
    """Papineni et al. 2002: 6 of 7 words, 4 of 6 pairs, 2 of 5 triples, 1 of 4 fours; no brevity penalty."""
    metrics, values = measure(["The cat is on a mat today"], [CAT])
    # Words: the, cat, is, on, mat, today; pairs: "the cat", "cat is", "is on", "mat today"; then two and one.
    expected = (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25
    assert metrics["BLEU"] == pytest.approx(expected, abs=1e-6)
    assert metrics["sacreBLEU"] == pytest.approx(expected, abs=1e-6)
    assert values["BLEU"][0] == pytest.approx(expected, abs=1e-6)


def test_a_short_translation_pays_and_the_whole_is_no_mean() -> None:
    outputs, references = ["the cat is on the mat", CAT], [CAT, CAT]
    metrics, values = measure(outputs, references)
    assert metrics["BLEU"] == pytest.approx(np.exp(1 - 14 / 13), abs=1e-6)  # all n-grams match; 13 words of 14
    assert values["BLEU"] == pytest.approx([np.exp(1 - 7 / 6), 1.0], abs=1e-6)


def test_without_any_match_of_four_words_bleu_is_zero_and_a_sentence_s_own_is_not() -> None:
    metrics, values = measure(["a cat on mats"], ["the cat sat on it"])
    assert metrics["BLEU"] == 0.0
    assert 0 < values["BLEU"][0] < 0.5


def test_sacrebleu_sees_the_written_text_and_torchmetrics_the_words() -> None:
    metrics, _ = measure(["he wears a t-shirt now"], ["he wears a t - shirt now"])
    assert metrics["BLEU"] == pytest.approx(1.0)
    assert metrics["sacreBLEU"] < 0.9


def test_the_table_has_a_header_and_a_line_a_sentence() -> None:
    assert table(["a\tb"], ["c"], ["d"]) == "source\treference\toutput\na b\tc\td\n"


def test_losses_are_means_over_tokens_and_a_cut_line_is_counted() -> None:
    task = given(options=replace(SMOKE.options, max_length=7, max_output=5))
    torch.manual_seed(0)
    model = task.build(0).eval()
    found = task.evaluate(model, "test")
    (batch,) = task.batches("test", seed=0, size=3)
    with torch.no_grad():
        whole = task.loss(task.forward(model, batch), batch)
    assert found.metrics["loss"] == pytest.approx(whole.item(), rel=1e-5)
    tokens = (batch["labels"] != -100).sum(1).numpy()
    assert (found.examples["loss"] * tokens).sum() / tokens.sum() == pytest.approx(whole.item(), rel=1e-5)
    assert found.notes["truncated"] == {"train": {"source": 2, "target": 2}, "test": {"source": 2, "target": 2}}
    assert (
        found.files["translations"].splitlines()[2].startswith("Zwei Katzen sehen einen Hund.\tTwo cats see a dog.\t")
    )
    assert found.n == 3 == len(found.examples["BLEU"]) == len(found.examples["chrF"])


def test_smoothing_is_training_s_alone() -> None:
    task = given(options=replace(SMOKE.options, label_smoothing=0.1, max_output=2))
    torch.manual_seed(0)
    model = task.build(0).eval()
    (batch,) = task.batches("test", seed=0, size=3)
    with torch.no_grad():
        logits = task.forward(model, batch)
        smoothed = task.loss(logits, batch).item()
        logp = logits.log_softmax(-1)
    there = batch["labels"] != -100
    plain = -logp.gather(2, batch["labels"].clamp(min=0).unsqueeze(2)).squeeze(2)[there].mean()
    uniform = -logp.mean(-1)[there].mean()
    assert smoothed == pytest.approx((0.9 * plain + 0.1 * uniform).item(), rel=1e-5)
    assert task.evaluate(model, "test").metrics["loss"] == pytest.approx(plain.item(), rel=1e-5)


# The record


def test_a_record_keeps_all_translations_and_show_prints_the_first_twenty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"train.steps": 2, "max_output": 4, "d_model": 16, "d_ff": 16, "layers": 1, "decoder_layers": 1}
    result = bench.run("multi30k", "random", "0.5", settings=settings, data="sample", out=tmp_path, threads=1)
    record = next(record for record in result.records if record.pruner == "dense")
    text = gzip.decompress(Store(tmp_path).file(record.files["translations"])).decode().splitlines()
    assert len(text) == 401
    capsys.readouterr()
    assert main(["show", record.key, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    start = shown.index("translations: the first 20 of 400")
    source, reference, output = text[1].split("\t")
    assert shown[start + 1 : start + 4] == [
        f"  source     {source}",
        f"  reference  {reference}",
        f"  output     {output}".rstrip(),
    ]
    assert sum(line.startswith("  source     ") for line in shown[start:]) == 20
    assert record.metrics["sacreBLEU"] < 0.2


# The embedded sample


def test_the_sample_is_the_same_bytes_every_time() -> None:
    digests = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in Multi30k.sample().items()}
    assert digests == {
        "train.de": "9840354bf7fb",
        "train.en": "ccd31c52e6ad",
        "val.de": "64da9ae7b050",
        "val.en": "0aec7ccd6fea",
        "test_2016_flickr.de": "deb79257b1bb",
        "test_2016_flickr.en": "94a0cb91b584",
    }


def test_no_source_sentence_of_the_sample_stands_twice() -> None:
    files = Multi30k.sample()
    sources = [line for name, content in files.items() if name.endswith(".de") for line in content.splitlines()]
    assert len(sources) == len(set(sources)) == 4_600


def test_a_verb_decides_what_an_ambiguous_noun_of_the_sample_means() -> None:
    """So that words in isolation do not translate: some objects have two translations in the training split."""
    from tasks.multi30k.sample import AMBIGUOUS, SEED, Random, _lexicon

    lexicon = _lexicon(Random(SEED))
    text = Multi30k.sample()["train.en"].decode().split()
    both = [word for word in lexicon.nouns if word.source in lexicon.second]
    assert len(both) == AMBIGUOUS
    assert all(word.target in text and lexicon.second[word.source] in text for word in both)


@pytest.mark.slow
def test_the_sample_is_learnable_and_bleu_falls_with_sparsity() -> None:
    task = sampled()
    model = trained(SMOKE.train.resolved(task.examples()).length)
    dense = task.evaluate(model, "test").metrics["BLEU"]
    weights = {name: model.get_parameter(name) for name in task.prunable(model)}
    order = torch.cat([weight.detach().abs().flatten() for weight in weights.values()]).sort().values
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    found = []
    with torch.no_grad():
        for sparsity in (0.5, 0.8):
            threshold = order[round(sparsity * len(order))]
            for weight in weights.values():
                weight *= weight.abs() >= threshold
            found.append(task.evaluate(model, "test").metrics["BLEU"])
        for name, weight in weights.items():
            weight.copy_(before[name])
    assert dense > 0.75
    assert dense - 0.03 > found[0] > found[1] + 0.1
