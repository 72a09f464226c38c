"""How good translations are: BLEU by torchmetrics and by sacrebleu, and chrF."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.multi30k.tokens import words

Values = dict[str, float]
PerExample = dict[str, np.ndarray]


def measure(outputs: Sequence[str], references: Sequence[str]) -> tuple[Values, PerExample]:
    """Metrics of the whole as fractions, and per-sentence values, float32 of shape (sentences,).

    ``BLEU``: torchmetrics, n-grams up to 4 with equal weights, on lower-cased ``words`` of both, one reference each.
    ``sacreBLEU``: sacrebleu's 13a tokens of the texts, lower-cased. ``chrF``: sacrebleu's, of the lower-cased texts.
    A sentence's own BLEU (Papineni et al. 2002) leaves out n-grams longer than it is and smooths precisions of zero
    exponentially (Chen & Cherry 2014, method 3), as sacrebleu's sentence BLEU does.
    """
    from sacrebleu.metrics import BLEU, CHRF
    from torchmetrics.functional.text import bleu_score

    made, wanted = ([" ".join(words(text.lower())) for text in texts] for texts in (outputs, references))
    whole, single = BLEU(lowercase=True), BLEU(lowercase=True, effective_order=True)
    tokens = BLEU(tokenize="none", force=True, effective_order=True)
    characters = CHRF(lowercase=True)
    metrics = {
        "BLEU": float(bleu_score(made, [[text] for text in wanted], n_gram=4)),
        "sacreBLEU": whole.corpus_score(list(outputs), [list(references)]).score / 100,
        "chrF": characters.corpus_score(list(outputs), [list(references)]).score / 100,
    }
    pairs = list(zip(outputs, references, strict=True))
    found = {
        "BLEU": [tokens.sentence_score(a, [b]).score for a, b in zip(made, wanted, strict=True)],
        "sacreBLEU": [single.sentence_score(a, [b]).score for a, b in pairs],
        "chrF": [characters.sentence_score(a, [b]).score for a, b in pairs],
    }
    return metrics, {name: np.asarray(values, dtype=np.float32) / np.float32(100) for name, values in found.items()}


def table(sources: Sequence[str], references: Sequence[str], outputs: Sequence[str]) -> str:
    """Tab-separated sentences and their translations, under a header."""
    rows = [("source", "reference", "output"), *zip(sources, references, outputs, strict=True)]
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)
