"""Ready vectors: the passages' vectors in a file beside the data, made where encoding is cheap and used where it isn't.

    python -m tasks.dense_retrieval.ready NAME --data DIR --set model=minilm [--set dataset=trec-covid ...]

writes ``NAME.safetensors`` into the data set's folder; ``bench run ... --set train=query --set vectors=NAME`` reads it.
The file says which encoder, texts and settings its vectors are of. Whoever asks for others gets an error, not a table
of figures that mean nothing, and a file of others is never written over.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.data import Files, find, read
from bench.errors import BenchError, DataError, UsageError
from bench.settings import override
from tasks.dense_retrieval.options import NAME

SUFFIX = ".safetensors"
ABOUT = "about"
SAID = {
    "encoder": "another encoder",
    "texts": "other texts",
    "length": "passages cut at another length",
    "pooling": "another pooling",
    "normalised": "other lengths of the vectors (normalised)",
}
"""How errors call what may differ."""


def vectors(files: Files, name: str, about: Mapping[str, Any]) -> np.ndarray:
    """The vectors in ``name``, float32 (passages, d). Raises ``DataError`` where they are not those of ``about``."""
    where = files.where(name + SUFFIX)
    content = read(files, name + SUFFIX)
    _compare(_about(content, where), about, where, "Give the file of this encoder, or leave vectors out.")
    found = load(content).get("vectors")
    if found is None or found.dtype != np.float32 or found.ndim != 2 or not np.isfinite(found).all():
        raise foreign(where, "vectors are not there, or not finite float32 in rows")
    return np.asarray(found)


def write(path: Path, found: np.ndarray, about: Mapping[str, Any]) -> None:
    """Writes vectors and what they are of. Raises ``DataError`` where the file is there with others; the same again
    is no matter."""
    if path.exists():
        _compare(_about(path.read_bytes(), str(path)), about, str(path), "Give another name; nothing was overwritten.")
    content = save({"vectors": np.ascontiguousarray(found, dtype=np.float32)}, metadata={ABOUT: json.dumps(about)})
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _about(content: bytes, where: str) -> Mapping[str, Any]:
    try:
        load(content)
        length = int.from_bytes(content[:8], "little")
        found: Mapping[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][ABOUT])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise foreign(where, type(error).__name__) from error
    if not isinstance(found, Mapping):
        raise foreign(where, "it does not say of what")
    return found


def foreign(where: str, why: str) -> DataError:
    """The line about a file that is none of ready vectors."""
    mend = "Make one with 'python -m tasks.dense_retrieval.ready'."
    return DataError(f"is no file of ready vectors ({why})", where=where, mend=mend)


def _compare(found: Mapping[str, Any], asked: Mapping[str, Any], where: str, mend: str) -> None:
    for name in sorted({*found, *asked}):
        if found.get(name) != asked.get(name):
            there, here = (str(side.get(name))[:12] for side in (found, asked))
            raise DataError(
                f"holds vectors of {SAID.get(name, f'another {name}')} ({name} {there}, asked for is {here})",
                where=where,
                mend=mend,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Encodes the passages and writes the file; the exit code is 2 where something cannot be."""
    parser = argparse.ArgumentParser(prog="python -m tasks.dense_retrieval.ready", description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--data", required=True, help="the folder that holds the data sets")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=VALUE")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    try:
        path = _written(given.name, given.data, dict(one.split("=", 1) for one in given.settings), given.device)
    except ValueError:
        parser.error("--set wants NAME=VALUE")
    except BenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(path)
    return 0


def _written(name: str, data: str, settings: Mapping[str, str], device: str) -> Path:
    from tasks.dense_retrieval import DenseRetrieval, building, embed

    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is no name", mend="Give letters, digits, '.', '-' and '_', and no folder.")
    options = override(DenseRetrieval.presets["small"], settings).options
    dataset, required = DenseRetrieval.source(options)
    files = find(dataset, required, data)
    if files is None:
        raise UsageError(
            "the embedded sample has no folder", where=f"--data {data}", mend="Give a folder of data sets."
        )
    task = DenseRetrieval(files, options)
    checkpoint, inputs = task.checkpoint(), task.inputs
    if checkpoint is None:
        raise UsageError(
            "a drawn encoder has no vectors worth keeping", where="model=scratch", mend="Give a checkpoint."
        )
    path = Path(files.where(required[0])).parent / (name + SUFFIX)
    encoder = building.encoder(options, checkpoint, inputs).eval().to(device)
    write(path, embed.kept(encoder, inputs), embed.about(encoder, inputs))
    return path


if __name__ == "__main__":
    sys.exit(main())
