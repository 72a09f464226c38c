"""Models with their initial weights, of the task's options."""

from __future__ import annotations

import numpy as np
from torch import nn

from bench.checkpoints import Checkpoint
from bench.data import Files
from tasks.dense_retrieval import indexes, ready
from tasks.dense_retrieval.embed import about, kept, passages
from tasks.dense_retrieval.inputs import Inputs
from tasks.dense_retrieval.model import DualEncoder, Encoder
from tasks.dense_retrieval.options import JPQ, Options
from tasks.dense_retrieval.quantised import Quantised
from tasks.encoders.model import Sizes, pretrained, scratch


def model(options: Options, checkpoint: Checkpoint | None, inputs: Inputs, files: Files) -> nn.Module:
    """The encoders, and under ``index=jpq`` the quantised index of the passages; in train mode, on the CPU."""
    query = encoder(options, checkpoint, inputs)
    if options.index == JPQ:
        return _quantised(query, options, checkpoint, inputs, files)
    alone = options.tied or options.fixed
    return DualEncoder(query, None if alone else encoder(options, checkpoint, inputs)).train()


def encoder(options: Options, checkpoint: Checkpoint | None, inputs: Inputs) -> Encoder:
    """One encoder, drawn or as the checkpoint has it, in train mode."""
    length = max(options.query_length, options.passage_length)
    body: nn.Module
    if checkpoint is None:
        sizes = Sizes(options.layers, options.d_model, options.heads, options.d_ff, length, options.dropout)
        body = scratch(sizes, inputs.tokens.size, inputs.tokens.pad)
    else:
        body = pretrained(checkpoint, length)
    return Encoder(body, options.pooling, options.normalised).train()


def _quantised(
    query: Encoder, options: Options, checkpoint: Checkpoint | None, inputs: Inputs, files: Files
) -> Quantised:
    """JPQ's start: OPQ on the passages' vectors by the encoder as it is. Those of a checkpoint come from the cache."""
    query.eval()
    if checkpoint is None:
        vectors = passages(query, inputs)
        found = indexes.quantised(vectors, options.subvectors, rotated=True)
    else:
        found = indexes.kept(_initial(query, options, inputs, files), options.subvectors, rotated=True)
    made = Quantised(query, found.codes, found.rotation, found.centroids, options.centroid_rate)
    return made.train()


def initial_vectors(options: Options, checkpoint: Checkpoint, inputs: Inputs, files: Files) -> np.ndarray:
    """The passages' vectors by the checkpoint as it is, float32 (passages, d): ready ones, or computed once a machine.

    Raises ``DataError`` where the ready ones are of another encoder or of other texts.
    """
    return _initial(encoder(options, checkpoint, inputs).eval(), options, inputs, files)


def _initial(untrained: Encoder, options: Options, inputs: Inputs, files: Files) -> np.ndarray:
    if options.vectors:
        found = ready.vectors(files, options.vectors, about(untrained, inputs))
        if len(found) != len(inputs.passages.offsets) - 1:
            where = files.where(options.vectors + ready.SUFFIX)
            raise ready.foreign(where, f"{len(found):,} vectors of {len(inputs.passages.offsets) - 1:,} passages")
        return found
    return kept(untrained, inputs)
