"""The page is one sound file that loads nothing, whatever stands in the records."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.record import DENSE, Failure, Layer, Record
from bench.store import Store
from reports.html import drawers, gallery
from reports.html import page as pages_module
from reports.html.page import embedded
from tests.factories import METRICS, make_failure, make_record, make_store
from tests.reports.html import pages
from tests.reports.html.pages import SVG, Page, said

NASTY = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)>",
    "\"'`><svg onload=alert(1)>{{7*7}}{% raw %}",
    "&lt;b&gt; &amp; &#x3c;",
    "javascript:alert(1)",
    "\u202eright to left\u202c \u2066isolated\u2069 \u2028 \u2029 \x00 \x1b[31m \ud800",
    "🙂 中文 العربية e\u0301 ±1 (0.1 to 0.2) – n\nn\tt",
)
LOADING = ("src", "href", "action", "formaction", "data", "poster", "srcset", "background", "ping")


def marked(said_: str, store: Store | None = None) -> list[Record]:
    """Records with the text in every field that may hold any."""
    data = {"name": said_, "kind": "whole", "counts": {said_: 3}, "digest": said_, said_: said_}
    info = [{**entry, "name": said_ + entry["name"]} for entry in METRICS]
    names = [entry["name"] for entry in info]
    shared = {
        "task": said_ or "t", "title": said_, "model": said_, "preset": said_, "data": data, "task_notes": (said_,),
        "metric_info": info, "options": {said_: said_, "nested": {said_: [said_]}},
        "provenance": {"device": said_, "threads": 1, said_: said_, "versions": {said_: said_}},
        "notes": {said_: said_, "family": said_, "floor": {names[0]: 0.1}},
        "path": [{"step": said_, said_: said_}, {"step": "Train", "schedule": {said_: said_}}],
    }  # fmt: skip
    layers = (Layer(said_, said_, 10, 0), Layer(f"{said_}.weight", said_, 10, 5))
    cells = [
        make_record(DENSE, 0.0, seed, metrics={names[0]: 0.9, names[1]: 0.2 + seed}, layers=layers, **shared)
        for seed in (0, 1)
    ]
    shared |= {"when": "trained", "allocation": said_, "structure": said_, "variant": said_}
    cells += [
        make_record(
            "p" + said_, target, seed, layers=layers, collapsed_layers=[said_], mask_digest=said_,
            metrics={names[0]: 0.8 - target / 2, names[1]: 0.4}, **shared,
        )
        for target in (0.5, 0.9) for seed in (0, 1)
    ]  # fmt: skip
    found = [*cells, make_failure("p" + said_, 0.97, 0, **{**shared, "failure": Failure(said_, said_, said_)})]
    return [pages.translated(r, store, [(said_, "b"), (said_, said_)]) for r in found] if store is not None else found


def reference(said_: str) -> dict:
    of = marked(said_)[0]
    return {
        "task": of.task, "data_digest": of.data["digest"],
        "references": [{"name": said_, "metrics": {of.metric_info[0]["name"]: 0.3}, "note": said_}],
    }  # fmt: skip


def stored_page(folder: Path, said_: str) -> Page:
    """The page of records that hold the text; what cannot be stored goes past the disk."""
    printable = said_.encode(errors="replace").decode()
    store = make_store(folder, [], [reference(printable)])
    for record in marked(printable, store):
        timing = {printable: 1.5}
        store.put_record(record, timing)
        store.put_measurement(record.key, {"latency": {**pages.LATENCY, "device": printable}})
    return pages.page(store)


def shape(page: Page) -> Counter[tuple[str, tuple[str, ...]]]:
    """Which elements there are, with which attributes."""
    return Counter((element.tag, tuple(sorted(element.attrib))) for element in page.tree.iter())


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> Page:
    return pages.page(pages.rich(tmp_path_factory.mktemp("page") / "results"))


def test_it_is_html_as_the_standard_has_it_and_begins_with_its_type(rich):
    assert rich.text.startswith("<!DOCTYPE html>\n<html lang=")
    assert rich.tree.tag.endswith("html")
    names = [element.get("id") for element in rich.tree.iter() if element.get("id")]
    assert len(names) == len(set(names))


def test_it_loads_nothing(rich):
    for element in rich.tree.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in LOADING:
                assert value.startswith("#"), (element.tag, name, value)
    targets = {element.get("id") for element in rich.tree.iter()}
    assert {u.get("href")[1:] for u in rich.all("use", space=SVG)} <= targets
    assert not {"link", "iframe", "img", "object", "embed", "base"} & {
        e.tag.rpartition("}")[2] for e in rich.tree.iter()
    }
    (style,) = rich.all("style")
    assert not re.search(r"url\(|@import|expression", style.text.replace("clip-path=", ""))


def test_its_policy_lets_its_own_style_and_script_run_and_nothing_else(rich):
    (policy,) = [m.get("content") for m in rich.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    code = next(block.text for block in rich.all("script") if not block.get("type"))
    for text, rule in ((rich.all("style")[0].text, "style-src"), (code, "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert not any("style" in e.attrib or any(name.startswith("on") for name in e.attrib) for e in rich.tree.iter())


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_is_shown_and_does_nothing(text, tmp_path):
    harmless, hostile = stored_page(tmp_path / "a", "harmless"), stored_page(tmp_path / "b", text)
    assert shape(hostile) == shape(harmless)
    assert len(hostile.all("script")) == 2
    visible = text.encode(errors="replace").decode()
    shown = " ".join("".join(c if c.isprintable() else " " for c in visible).split())
    assert shown.replace(" ", "") in said(hostile.all("main")[0]).replace(" ", "")
    (row, *_) = [row for row in hostile.data["rows"] if row["target"] == "0.5"]
    assert hostile.cells[row["cells"][0]["key"]]["samples"][0]["rows"]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", hostile.text)


@settings(max_examples=25)
@given(st.text(max_size=15) | st.text("<>&\"'/!-=`{}%#\\ sScCrRiIpPtT\n", max_size=25))
@example("")
def test_any_text_leaves_the_page_sound(tmp_path_factory, text):
    page = stored_page(tmp_path_factory.mktemp("any"), text.replace("\t", " "))
    assert len(page.all("script")) == 2
    assert page.data["rows"]


def test_data_for_the_script_can_not_end_its_element():
    written = embedded({"a": "</script><!--<script>&\u2028"})
    assert not re.search(r"[<>&\u2028]", written)
    assert written == r'{"a":"\u003c/script\u003e\u003c!--\u003cscript\u003e\u0026\u2028"}'


def test_huge_texts_are_cut(tmp_path):
    usual, huge = stored_page(tmp_path / "a", "usual"), stored_page(tmp_path / "b", "y" * 300_000)
    assert len(huge.text) < len(usual.text) + 400_000
    assert "…" in huge.text and "y" * 2001 not in huge.text


def test_what_there_is_no_room_for_is_left_out_and_counted(tmp_path, monkeypatch):
    store = pages.rich(tmp_path / "results")
    whole = pages.page(store)
    monkeypatch.setattr(gallery, "POINTS", 30)
    monkeypatch.setattr(gallery, "SHADES", 3)
    monkeypatch.setattr(drawers, "LAYERS", 10)
    monkeypatch.setattr(drawers, "SAMPLED", 2)
    small = pages.page(store)
    assert not small.classed("div", "heat")
    (footer,) = small.all("footer")
    told = [said(item) for item in small.all("li", footer)]
    figures = len(whole.all("figure")) - len(small.all("figure"))
    heats = sum(bool(whole.classed("div", "heat", part)) for part in whole.classed("section", "task"))
    layers = sum("layers" in c for c in whole.cells.values()) - sum("layers" in c for c in small.cells.values())
    assert min(figures, heats, layers) > 0
    assert told == [
        f"{figures} figures are left out to keep the file small.",
        f"{heats} tasks' densities of layers are left out to keep the file small.",
        f"Layers of {layers} cells are left out to keep the file small: 'bench show KEY' prints them.",
        "Sample outputs of 4 cells are left out: 'bench show KEY' prints them.",
    ]
    assert not said(whole.all("footer")[0]).count("left out")
    # The leading metric's figures have room before the others'.
    assert len(small.tables) == len(whole.tables) == 2
    for page in (whole, small):
        assert [
            sum(part.tag.endswith("figure") for part in section) for section in page.classed("section", "task")
        ] == [1, 1]


def test_the_header_says_what_was_run_and_when(tmp_path):
    store = pages.rich(tmp_path / "results")
    for number, path in enumerate(sorted((store.root / "records").glob("*.json"))):
        os.utime(path, (1_700_000_000 + 60 * number, 1_700_000_000 + 60 * number))
    page = pages.page(store)
    (header,) = page.all("header")
    # Golden records: 12, 2 of grasp at 0.9, 4 failed; 2 + 4 translated and 6 iterations.
    assert said(header).startswith(
        "prunebench report 2 tasks · 3 pruners · 3 seeds (0-2) · 30 cells, 4 of them failed · records written "
        "2023-11-14 22:13 to 22:42 UTC"
    )
    ran = next(table for table in page.all("table") if said(table).startswith("taskmodelpreset"))
    rows = [[said(cell) for cell in cells.values()] for _, cells in page.rows(ran)]
    assert rows[0] == [
        "toy-news · Classification of toy news", "linear", "smoke",
        "toy, a subset of the official release 400 test rows, 1,200 train rows", "abababababab", "0-2", "18", "4",
    ]  # fmt: skip
    assert [row[-2:] for row in rows] == [["18", "4"], ["12", ""]]  # the 30, 4 of the line above


def test_warnings_name_what_a_reader_must_know(tmp_path):
    def warned(*records: Record) -> list[str]:
        store = make_store(tmp_path / str(len([*tmp_path.iterdir()])), records)
        page = pages.page(store)
        return [said(item) for found in page.classed("section", "warnings") for item in page.all("li", found)]

    whole = {"data": {"name": "toy", "kind": "whole", "counts": {}, "digest": "1" * 64}}
    sound = [make_record(seed=seed, **whole) for seed in (0, 1)]
    assert warned(*sound) == []
    assert warned(sound[0]) == ["One seed, so no confidence interval: toy-news."]
    sample = [replace(r, data={**r.data, "kind": "sample"}) for r in sound]
    assert warned(*sample) == ["Embedded synthetic sample, not the real data: toy-news."]
    assert warned(*(make_record(seed=s) for s in (0, 1))) == ["A subset of the official release: toy-news."]
    collapsed = make_record("snip", 0.9, collapsed_layers=["body"], **whole)
    assert warned(*sound, collapsed)[0] == "1 cell with layers that have no weight left (†): toy-news."
    failed = [make_failure("snip", 0.9, seed, **whole) for seed in range(10)]
    said_ = warned(*sound, *failed)
    assert said_[0] == "Failed: toy-news, snip at 0.9, seed 0: the loss became NaN at step 7 (Train), see logs/toy.txt."
    assert said_[-1] == "And 2 more cells failed: ‘bench status’ lists them."
    other = replace(sound[1], provenance={**sound[1].provenance, "versions": {"torch": "2.12.0"}, "dirty": True})
    first = replace(sound[0], provenance={**sound[0].provenance, "versions": {"torch": "2.13.0"}, "dirty": False})
    assert warned(first, other) == [
        "Cells were not all computed alike: they differ in dirty, torch. See “Provenance”.",
        "Some cells were computed by a checkout with changes that its commit does not have.",
    ]
    poor = [replace(r, metrics={"accuracy": 0.26}, notes={"floor": {"accuracy": 0.25}}) for r in sound]
    assert warned(*poor)[0].startswith("toy-news: not informative: dense reaches accuracy 26.00")


@pytest.mark.parametrize(
    "records",
    [
        [make_record()],
        [make_record("snip", 0.9)],
        [make_failure("snip", 0.9)],
        [make_failure("dense", 0.0), make_record("snip", 0.9)],
        [make_record(metric_info=(), metrics={}), make_record("snip", 0.9, metric_info=(), metrics={})],
        [make_record(flops=0, dense_flops=0), make_record("snip", 0.9, flops=0, dense_flops=0)],
        [make_record(), make_record("snip", 1.0, sparsity=1.0, flops=0, layers=())],
        [make_record(metrics={"loss": -3.0}), make_record("snip", 0.5, metrics={"loss": -3.0})],
        [
            make_record(),
            make_record("snip", 0.5, metrics={"accuracy": 1e-300}),
            make_record("snip", 0.5, 1, metrics={}),
        ],
        [make_record(path=[]), make_record("snip", 0.5, data={}, provenance={}, options={})],
    ],
    ids=[
        "dense",
        "no dense",
        "failed",
        "dense failed",
        "no metrics",
        "no FLOPs",
        "all cut",
        "negative",
        "tiny",
        "bare",
    ],
)
def test_a_folder_with_little_in_it_has_a_page(records, tmp_path):
    page = pages.page(make_store(tmp_path / "results", records))
    assert len(page.cells) == len(records)
    assert len(page.tables) == len({str(record.data) for record in records})


def test_what_the_template_shows_is_escaped_unless_it_is_its_own():
    assert pages_module._template().environment.autoescape is True
    shown = pages_module._template().environment.from_string("{{ text }}").render(text="<b>\x00" + "x" * 3000)
    assert shown == "&lt;b&gt; " + "x" * (2000 - 5) + "…"
