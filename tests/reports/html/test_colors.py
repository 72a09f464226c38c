"""Contrast of everything that is drawn or written, on light ground and dark, as WCAG 2.2 asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports import palette
from reports.html import colors
from reports.html.colors import DARK, GRAPHIC, LIGHT, TEXT, contrast

STYLE = (Path(colors.__file__).parent / "style.css").read_text(encoding="utf-8")
PRUNERS = (*palette._OURS, *(f"other-{number}" for number in range(30)))


def variables(scheme: str) -> dict[str, str]:
    """The page's colours by name; what the dark scheme does not set is the light one's."""
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return found | (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark)) if scheme == DARK else {})


def test_contrast_is_that_of_wcags_definition():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#ffffff") == 1
    # Relative luminance of #767676: ((118/255 + 0.055) / 1.055) ** 2.4 = 0.1812, so 1.05 / 0.2312.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)
    assert contrast("#ff0000", "#000000") == pytest.approx((0.2126 + 0.05) / 0.05)


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_text_stands_out_from_its_ground(ground):
    named = variables(ground)
    assert named["ground"] == ground
    for ink in ("ink", "soft", "accent"):
        for behind in ("ground", "raised"):
            assert contrast(named[ink], named[behind]) >= TEXT, (ink, behind)
    assert contrast(named["beware-ink"], named["beware-ground"]) >= TEXT
    assert contrast(named["ink"], named["best"]) >= TEXT
    assert contrast(named["soft"], named["ground"]) >= TEXT


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_each_pruners_colour_is_seen_and_keeps_its_hue_where_it_can(ground):
    for name, look in palette.looks(PRUNERS).items():
        shown = colors.readable(look.color, ground)
        assert contrast(shown, ground) >= GRAPHIC, name
        assert (shown == look.color.lower()) == (contrast(look.color, ground) >= GRAPHIC)


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_each_shade_has_an_ink_that_is_read_on_it_and_differs_from_the_next(ground):
    shades = colors.shades(ground)
    assert len(shades) == 11
    assert all(contrast(back, ink) >= TEXT for back, ink in shades)
    lights = [contrast(back, ground) for back, _ in shades]
    assert lights == sorted(lights) and len(set(lights)) == len(lights)


def test_rules_name_every_look_and_shade_in_both_schemes():
    looks = palette.looks(["snip", "grasp"])
    light, dark = colors.css(looks.values()).split("@media screen and (prefers-color-scheme:dark)")
    for rules in (light, dark):
        assert re.findall(r"\.s([1-9]\d*)\{", rules) == ["1", "2"]
        assert re.findall(r"\.d(\d+)\{", rules) == [str(number) for number in range(11)]
    assert ".s0{color:var(--ink)}" in light
