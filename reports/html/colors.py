"""Colours on light and dark ground: contrast as WCAG 2.2 defines it, and the palette's colours where they lack it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reports.palette import Look

LIGHT, DARK = "#ffffff", "#15181c"
"""The page's ground, as in style.css."""
GRAPHIC, TEXT = 3.0, 4.5
"""Least contrast of what figures are made of (success criterion 1.4.11) and of text (1.4.3)."""
STEPS = 11
"""Shades of a heat map, for densities 0, 0.1, ... 1."""
_RAMP = {LIGHT: ("#f7f8fa", "#0b4f94"), DARK: ("#1d2126", "#9cc9ff")}
_INKS = ("#000000", "#ffffff")


def contrast(one: str, other: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05) of the relative luminances, the larger above: 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(color: str, ground: str, least: float = GRAPHIC) -> str:
    """``color``, mixed with as little black or white as gives it the contrast to ``ground``."""
    end = "#000000" if _luminance(ground) > 0.5 else "#ffffff"
    mixed = (mix(color, end, step / 50) for step in range(51))
    return next(found for found in mixed if contrast(found, ground) >= least)


def mix(one: str, other: str, share: float) -> str:
    """``one`` with a ``share`` of ``other`` in it, by sRGB channel."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def shades(ground: str) -> list[tuple[str, str]]:
    """Background and ink of each shade of a heat map, from an empty layer to a full one."""
    backgrounds = [mix(*_RAMP[ground], step / (STEPS - 1)) for step in range(STEPS)]
    return [(background, max(_INKS, key=lambda ink: contrast(ink, background))) for background in backgrounds]


def css(looks: Iterable[Look]) -> str:
    """Rules that give the n-th look its colour under the class ``sn`` and the n-th shade its own under ``dn``. The
    first look, the dense reference's, has the ink of the page."""
    found = [*looks]

    def rules(ground: str) -> str:
        colors = [readable(look.color, ground) for look in found]
        series = "".join(f".s{number}{{color:{color}}}" for number, color in enumerate(colors) if number)
        heat = "".join(f".d{n}{{background:{back};color:{ink}}}" for n, (back, ink) in enumerate(shades(ground)))
        return series + heat

    return f".s0{{color:var(--ink)}}{rules(LIGHT)}\n@media screen and (prefers-color-scheme:dark){{{rules(DARK)}}}\n"


def order(looks: Mapping[str, Look]) -> dict[str, int]:
    """Number of each pruner's class."""
    return {pruner: number for number, pruner in enumerate(looks)}


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
