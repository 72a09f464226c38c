"""Models and tokenizers of checkpoints, whole: what transformers would draw or invent in a missing part's place is an
error here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from bench.checkpoints import Checkpoint, loaded
from bench.errors import UsageError

OPTIONAL = ("tokenizer_file", "tokenizer_config_file", "target_vocab_file")
"""Files of a tokenizer class that one made of its vocabulary does without."""
NAMED = 3
"""Tensors that an error names; of the others it says how many there are."""


def weights(checkpoint: Checkpoint, load: Callable[..., Any], unread: Sequence[str] = ()) -> Any:
    """The model of a ``from_pretrained``, each of its weights out of the checkpoint, of its shape and finite. Those
    that begin with one of ``unread`` may be missing.

    Raises ``UsageError``.
    """
    model, report = loaded(
        checkpoint,
        lambda folder, **trust: load(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, weights_only=True, **trust
        ),
    )
    read = {name: weight for name, weight in model.named_parameters() if not name.startswith(tuple(unread))}
    missing = [name for name in report["missing_keys"] if not name.startswith(tuple(unread))]
    if missing:
        there = f"; it has {_few(report['unexpected_keys'])} instead" if report["unexpected_keys"] else ""
        raise _incomplete(checkpoint, f"its weights lack {_few(missing)}{there}")
    shapes = [(name, found, asked) for name, found, asked in report["mismatched_keys"] if name in read]
    if shapes:
        said = [f"{name} of shape {tuple(found)} where config.json asks for {tuple(asked)}"
                for name, found, asked in shapes]  # fmt: skip
        raise _incomplete(checkpoint, f"its weights hold {_few(said)}")
    broken = [name for name, weight in read.items() if not bool(torch.isfinite(weight).all())]
    if broken:
        raise _incomplete(checkpoint, f"NaN or infinite numbers in {_few(broken)}")
    return model


def tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's own tokenizer, from its own vocabulary. Raises ``UsageError``."""
    from transformers import AutoTokenizer

    found = loaded(checkpoint, AutoTokenizer.from_pretrained)
    folder = checkpoint.folder
    if any(folder.glob("tokenizer.*json")):
        return found
    names: dict[str, str] = found.vocab_files_names
    needed = [name for part, name in names.items() if part not in OPTIONAL]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing or (names and not needed):
        raise _incomplete(checkpoint, f"it has no tokenizer.json{''.join(f', no {name}' for name in missing)}")
    return found


def _few(names: Iterable[str]) -> str:
    """The first of them in order, and how many more there are."""
    every = sorted(names)
    more = f" and {len(every) - NAMED:,} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more


def _incomplete(checkpoint: Checkpoint, what: str) -> UsageError:
    return UsageError(
        f"not a whole checkpoint: {what}",
        where=f"--model {checkpoint.label}",
        mend="Copy or save it again: config.json, weights and tokenizer that belong together.",
    )
