"""The embedded sample: digits drawn with strokes, in the files and format of MNIST, the same bytes every time.

Each digit is a polyline whose corners are shaken, then turned, slanted, stretched and moved; thickness and ink vary, a
stray stroke crosses the picture now and then, and noise lies over all. Some of them nobody could read for sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

TRAIN, TEST = 2_500, 1_000
SIDE = 28
SEED = 19980101
SHAKE = 0.04
"""Standard deviation of a corner's place; the digit's height is 1."""
NOISE = 25.0
"""Standard deviation of the noise, of 255."""
STRAY = 0.35
"""Share of pictures that a stray stroke crosses."""

Floats = npt.NDArray[np.float32]
Point = tuple[float, float]


def _arc(x: float, y: float, wide: float, high: float, begin: float, end: float, parts: int = 7) -> list[Point]:
    """Points on an ellipse around (x, y), from ``begin`` to ``end`` in quarter turns clockwise from the right."""
    angles = np.linspace(begin, end, parts) * np.pi / 2
    return [(float(x + wide * np.cos(a)), float(y + high * np.sin(a))) for a in angles]


_STROKES: tuple[tuple[Point, ...], ...] = tuple(
    tuple(points)
    for points in (
        _arc(0.0, 0.0, 0.30, 0.48, -1, 3, 9),
        [(-0.16, -0.30), (0.02, -0.48), (0.02, 0.48)],
        [*_arc(0.0, -0.22, 0.27, 0.26, -2.3, 0.5, 6), (-0.30, 0.48), (0.30, 0.48)],
        [*_arc(-0.02, -0.24, 0.26, 0.24, -2.2, 0.9, 6), *_arc(-0.02, 0.23, 0.30, 0.25, -0.9, 2.2, 6)],
        [(0.14, 0.48), (0.14, -0.48), (-0.30, 0.16), (0.32, 0.16)],
        [(0.27, -0.46), (-0.22, -0.46), (-0.25, -0.04), *_arc(-0.02, 0.18, 0.29, 0.29, -1.2, 2.2, 6)],
        [(0.18, -0.47), (-0.12, -0.22), *_arc(0.0, 0.21, 0.27, 0.26, -2, 2, 7)],
        [(-0.29, -0.46), (0.29, -0.46), (-0.06, 0.48)],
        [*_arc(0.0, -0.24, 0.23, 0.23, 1, 5, 7), *_arc(0.0, 0.24, 0.28, 0.25, -1, 3, 7)],
        [*_arc(0.0, -0.21, 0.26, 0.26, 0, 4, 7), (0.22, 0.10), (0.10, 0.48)],
    )
)
"""Corners of each digit, x to the right and y down, within half a unit of the middle."""


@cache
def sample() -> Mapping[str, bytes]:
    """The four files: 2,500 and 1,000 pictures, classes in turn."""
    generator = np.random.default_rng(SEED)
    files = {}
    for split, count in (("train", TRAIN), ("t10k", TEST)):
        labels = np.arange(count) % len(_STROKES)
        pictures = np.empty((count, SIDE, SIDE), dtype=np.uint8)
        for digit, corners in enumerate(_STROKES):
            pictures[labels == digit] = _draw(
                generator, np.array(corners, dtype=np.float32), int((labels == digit).sum())
            )
        order = generator.permutation(count)
        files[f"{split}-images-idx3-ubyte"] = _header(3, count, SIDE, SIDE) + pictures[order].tobytes()
        files[f"{split}-labels-idx1-ubyte"] = _header(1, count) + labels[order].astype(np.uint8).tobytes()
    return files


def _header(dimensions: int, *shape: int) -> bytes:
    return bytes((0, 0, 8, dimensions)) + b"".join(size.to_bytes(4, "big") for size in shape)


def _draw(generator: np.random.Generator, corners: Floats, count: int) -> npt.NDArray[np.uint8]:
    """``count`` pictures of one digit."""
    points = corners + SHAKE * generator.standard_normal((count, *corners.shape), dtype=np.float32)
    angle = generator.normal(0, 0.15, count)
    slant, wide, high = (
        generator.normal(0, 0.2, count),
        generator.uniform(0.7, 1.2, count),
        generator.uniform(0.75, 1.15, count),
    )
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = np.stack([np.stack([wide * cosine, slant - sine], 1), np.stack([wide * sine, high * cosine], 1)], 1)
    moved = generator.normal(0, 1.2, (count, 1, 2)) + SIDE / 2 - 0.5
    points = (points @ turned.transpose(0, 2, 1) * 20 + moved).astype(np.float32)
    ink = _ink(points, generator.uniform(0.8, 1.7, count).astype(np.float32))
    stray = generator.uniform(0, SIDE, (count, 2, 2)).astype(np.float32)
    there = (generator.random(count) < STRAY).astype(np.float32)
    ink = np.maximum(ink, there[:, None] * _ink(stray, np.full(count, 0.8, dtype=np.float32)))
    grey = ink * generator.uniform(140, 255, (count, 1)) + NOISE * generator.standard_normal(ink.shape)
    pictures: npt.NDArray[np.uint8] = grey.clip(0, 255).astype(np.uint8).reshape(count, SIDE, SIDE)
    return pictures


def _ink(points: Floats, radius: Floats) -> Floats:
    """How much ink each pixel holds, 0 to 1, shape (pictures, pixels), of polylines (pictures, corners, 2)."""
    rows, columns = np.divmod(np.arange(SIDE * SIDE, dtype=np.float32), SIDE)
    nearest = np.full((len(points), SIDE * SIDE), np.inf, dtype=np.float32)
    for begin, end in zip(points[:, :-1].swapaxes(0, 1), points[:, 1:].swapaxes(0, 1), strict=True):
        along = end - begin
        across, down = columns - begin[:, :1], rows - begin[:, 1:]
        share = (across * along[:, :1] + down * along[:, 1:]) / ((along**2).sum(1, keepdims=True) + 1e-6)
        share = share.clip(0, 1)
        distance = (across - share * along[:, :1]) ** 2 + (down - share * along[:, 1:]) ** 2
        np.minimum(nearest, distance, out=nearest)
    return (radius[:, None] + 0.5 - np.sqrt(nearest)).clip(0, 1).astype(np.float32)
