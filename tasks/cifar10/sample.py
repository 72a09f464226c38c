"""The embedded sample: coloured shapes with a texture, in the files and format of CIFAR-10, the same bytes every time.

A class is one of five shapes, filled or striped. Its colour is only likely, not sure; size, place, tilt, background and
light vary, and noise lies over all: neither the colour nor a few pixels say which class it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

TRAIN, TEST = 2_000, 1_000
SIDE = 32
CLASSES = 10
SHAPES = ("disc", "square", "triangle", "cross", "ring")
SEED = 20090408
HUE = 0.12
"""Standard deviation of a picture's hue around its class's, in turns of the colour circle."""
NOISE = 0.10
"""Standard deviation of the noise, of the range of a pixel."""

Floats = npt.NDArray[np.float32]


@cache
def sample() -> Mapping[str, bytes]:
    """``data_batch_1.bin`` (2,000 rows) and ``test_batch.bin`` (1,000 rows), classes in equal parts."""
    generator = np.random.default_rng(SEED)
    files = {name: _rows(generator, count) for name, count in (("data_batch_1.bin", TRAIN), ("test_batch.bin", TEST))}
    return {**files, "batches.meta.txt": "".join(f"{name}\nstriped {name}\n" for name in SHAPES).encode()}


def _rows(generator: np.random.Generator, count: int) -> bytes:
    labels = generator.permutation(np.arange(count) % CLASSES)
    rows = np.empty((count, 1 + 3 * SIDE * SIDE), dtype=np.uint8)
    rows[:, 0] = labels
    for kind in range(CLASSES):
        rows[labels == kind, 1:] = _draw(generator, kind, int((labels == kind).sum()))
    return rows.tobytes()


def _draw(generator: np.random.Generator, kind: int, count: int) -> npt.NDArray[np.uint8]:
    """``count`` pictures of one class, shape (count, 3 * 1024), planes of red, green and blue."""

    def one(low: float, high: float) -> Floats:
        return generator.uniform(low, high, (count, 1)).astype(np.float32)

    x, y = _places(generator, count)
    shape, striped = divmod(kind, 2)
    inside = _inside(shape, x, y)
    ink = inside * (np.floor(x * one(2.2, 3.2) + one(0.0, 2.0)) % 2 == 0) if striped else inside
    hue = kind / CLASSES + HUE * generator.standard_normal((count, 1))
    front, back = _colour(hue, one(0.55, 1.0)), _colour(one(0.0, 1.0), one(0.1, 0.6))
    light = 1 + one(-0.3, 0.3) * x / 3 + one(-0.3, 0.3) * y / 3
    picture = (back + (front - back) * ink[:, None]) * light[:, None]
    picture += NOISE * generator.standard_normal(picture.shape, dtype=np.float32)
    pixels: npt.NDArray[np.uint8] = (255 * picture).clip(0, 255).astype(np.uint8).reshape(count, -1)
    return pixels


def _places(generator: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Each pixel's place as its shape sees it, (count, 1024) twice: the shape lies within a unit of the middle."""
    down, across = np.divmod(np.arange(SIDE * SIDE, dtype=np.float32), SIDE)
    middle = (SIDE - 1) / 2 + generator.normal(0, 2.5, (2, count, 1)).astype(np.float32)
    radius = generator.uniform(7.0, 12.0, (count, 1)).astype(np.float32)
    tilt = generator.normal(0, 0.25, (count, 1))
    # In double precision: the last bits of single-precision cosines are another processor's own, and would show.
    cosine, sine = np.cos(tilt).astype(np.float32), np.sin(tilt).astype(np.float32)
    x, y = (across - middle[0]) / radius, (down - middle[1]) / radius
    return x * cosine + y * sine, y * cosine - x * sine


def _inside(shape: int, x: Floats, y: Floats) -> Floats:
    """1 within the shape, by its place among ``SHAPES``, 0 outside."""
    far, wide, near = x * x + y * y, np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    found = (
        far < 1,
        wide < 0.85,
        (y < 0.8) & (y > 2 * np.abs(x) - 0.95),
        (wide < 1) & (near < 0.33),
        (far < 1.1) & (far > 0.4),
    )[shape]
    return found.astype(np.float32)


def _colour(hue: npt.NDArray[np.floating], value: Floats) -> Floats:
    """Red, green and blue of a half-saturated colour, shape (count, 3, 1), from 0 to 1."""
    turns = (hue[:, None] + np.array([0, 1 / 3, 2 / 3])[:, None]) * 2 * np.pi
    colour: Floats = (value[:, None] * (0.6 + 0.4 * np.cos(turns))).astype(np.float32)
    return colour
