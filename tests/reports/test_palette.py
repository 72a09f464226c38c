"""Each pruner keeps one colour and one marker, and no two share both."""

from __future__ import annotations

from reports import palette
from reports.palette import OUTLINES, looks


def ours() -> list[str]:
    from bench import registry

    names = registry.names("pruners")
    return [name for name in names if registry.distribution("pruners", name).startswith("prunebench ")]


def test_each_of_our_pruners_has_a_marker_of_its_own_so_that_grey_prints_can_be_read():
    found = looks(ours())
    assert len(found) == len(ours()) + 1
    markers = [found[name].marker for name in ours()]
    assert len(set(markers)) == len(markers)
    assert set(markers) <= OUTLINES.keys()
    assert len({found[name].color for name in ours()}) == len(ours())


def test_a_look_does_not_depend_on_who_else_is_drawn():
    alone = {name: looks([name])[name] for name in (*ours(), "somebody's", "another")}
    together = looks(alone)
    assert all(together[name] == look for name, look in alone.items())


def test_names_that_hash_alike_still_differ_and_order_does_not_matter():
    many = [f"plug-in-{n}" for n in range(60)]
    found = looks(many)
    assert len(set(found.values())) == 61
    assert looks(reversed(many)) == found


def test_more_names_than_looks_are_drawn_all_the_same():
    many = [f"plug-in-{n}" for n in range(300)]
    assert looks(many).keys() == {*many, "dense"}


def test_colours_can_be_told_from_white_and_markers_are_closed_shapes():
    def luminance(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for look in looks(ours()).values():
        assert 1.05 / (luminance(look.color) + 0.05) > 2.2, look
    assert 1.05 / (luminance(palette.FAINT) + 0.05) > 4.5  # of small print
    assert all(len(corners) >= 4 or "triangle" in name for name, corners in OUTLINES.items())
    assert all(abs(x) <= 1.2 and abs(y) <= 1.2 for corners in OUTLINES.values() for x, y in corners)
