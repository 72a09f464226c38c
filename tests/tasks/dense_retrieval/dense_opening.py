"""A small dual encoder on the embedded sample, and a checkpoint in a folder, for the tests of this folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.data import Memory
from tasks.dense_retrieval import DenseRetrieval
from tasks.dense_retrieval.options import PRESETS
from tasks.dense_retrieval.sample import ASK

TINY = replace(PRESETS["smoke"].options, d_model=16, heads=2, d_ff=16, layers=1, vocabulary=300, dropout=0.0)


def sample(**changes: bytes) -> Memory:
    return Memory("dense-retrieval", {**DenseRetrieval.sample(), **changes})


def rephrased() -> Memory:
    """The sample with test queries that ask for train queries' documents in other words."""
    rows = [json.loads(line) for line in DenseRetrieval.sample()["queries.jsonl"].decode().splitlines()]
    train = DenseRetrieval.sample()["qrels/train.tsv"].decode().splitlines()
    asked = dict(row.split("\t")[:2] for row in train[1:])
    again = [{"_id": f"again-{row['_id']}", "text": _otherwise(row["text"])} for row in rows if row["_id"] in asked]
    return sample(
        **{
            "queries.jsonl": "".join(json.dumps(row) + "\n" for row in (*rows, *again)).encode(),
            "qrels/test.tsv": "\n".join(
                [train[0], *(f"again-{query}\t{document}\t1" for query, document in asked.items())]
            ).encode(),
        }
    )


def _otherwise(claim: str) -> str:
    verb = claim.split()[1]
    return claim.replace(verb, ASK[(ASK.index(verb) + 1) % len(ASK)])


def opened(seed: int = 3, files: Memory | None = None, **options: Any) -> tuple[DenseRetrieval, torch.nn.Module]:
    """A task and its model in eval mode."""
    task = DenseRetrieval(files or sample(), replace(TINY, **options))
    torch.manual_seed(seed)
    model = task.build(seed)
    if options.get("model") is None:
        with torch.no_grad():
            for weight in model.parameters():  # far from the near-equal vectors of a fresh encoder
                weight.add_(torch.randn_like(weight) * 0.2)
    return task, model.eval()


def checkpoint(folder: Path, seed: int = 0) -> Path:
    """A BERT of 16 numbers a token whose words are those of the sample's texts, saved as a hub checkpoint is."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from tasks.bm25 import words
    from tasks.dense_retrieval import corpus

    texts = corpus.read(sample())
    known = dict.fromkeys(word for text in (*texts.texts, *texts.train.texts) for word in words(text))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordLevel({token: n for n, token in enumerate([*special, *known])}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(special) + len(known), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder
