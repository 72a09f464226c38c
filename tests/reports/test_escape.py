"""Hostile text from records: no format breaks, none does anything but show it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reports import escape, latex, markdown, summary, tabular, text
from reports.answers import answers
from reports.layout import Block, Column
from reports.rows import tables
from tests.factories import make_failure, make_record

NASTY = "a|b & 50% $x$ #1 _y_ ~^\\{}[]*-+<b>`\"'\n\x1b[31m\u202e=é±×↑Δ 中 🙂--,,"
HOSTILE = st.text(max_size=20) | st.text("\\{}$&#%_~^<>|[]*-`\"'\n\r\t=+@!.,?1é±Δ中\x1b", max_size=12)
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


def hostile_tables(said: str):
    """Every text field of a table's records holds it."""
    data = {"name": said, "kind": said, "counts": {said: 3}, "digest": said}
    shared = {"title": said, "model": said, "preset": said, "data": data, "task_notes": (said,), "task": said}
    info = [{"name": said, "higher_is_better": True, "percent": False}]
    metrics = {"metric_info": info, "metrics": {said: 0.5}, "provenance": {"device": said, "threads": 1}}
    failure = make_failure("p", 0.9).failure
    return [
        make_record(**shared, **metrics),
        make_record(said or "p", 0.5, variant=said, collapsed_layers=[said], **shared, **metrics),
        make_failure("p", 0.9, **shared, metric_info=info, failure=type(failure)(said, said, said)),
    ]


def well_formed(source: str) -> bool:
    """LaTeX in which braces and environments close, only commands we know occur, and no line holds a bare special."""
    source = source.replace(latex.PREAMBLE, "")
    source = re.sub(r"\\[{}$&#%_]", "", source)
    depth = 0
    for character in source:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    begun, ended = re.findall(r"\\begin\{(\w+)\}", source), re.findall(r"\\end\{(\w+)\}", source)
    bare = re.sub(r"\$(\^\\circ|\^\{\*\}|-|\\[a-zA-Z]+)\$|\^\{|\\\^", "", source)
    return source.isascii() and depth == 0 and sorted(begun) == sorted(ended) and not re.search(r"[$#%_^]", bare)


@settings(max_examples=60, deadline=None)
@given(HOSTILE)
@example(NASTY)
def test_every_table_survives_any_text(said):
    records = hostile_tables(said)
    found = tables(records)
    drawn = text.render(found)
    assert not FORBIDDEN.search(drawn)
    assert well_formed(latex.render(found))
    marked = markdown.render(found)
    assert not FORBIDDEN.search(marked)
    pipes = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in marked.splitlines() if line.startswith("|")}
    assert len(pipes) == 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>$`]", marked)


@settings(max_examples=60, deadline=None)
@given(HOSTILE)
@example("=1+1")
@example("\t=1")
def test_no_csv_field_is_a_formula_and_all_come_back(said):
    records = hostile_tables(said)
    lines = [*csv.reader(io.StringIO(tabular.comma_separated([(record, {}) for record in records]), newline=""))]
    assert len({len(line) for line in lines}) == 1
    titles, *rows = lines
    assert not any(field.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for field in row)
    task = rows[0][titles.index("task")]
    assert task.removeprefix("'") == said.removeprefix("'")
    objects = [json.loads(line) for line in tabular.jsonl([(record, {}) for record in records]).split("\n")[:-1]]
    assert {entry["task"] for entry in objects} == {said}


def test_numbers_of_csv_are_left_alone():
    assert [escape.csv_field(value) for value in (-0.5, "-0.5", "=A1", "a=b")] == [-0.5, "'-0.5", "'=A1", "a=b"]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("50 % & more_or #less", r"50 \% \& more\_or \#less"),
        ("±0.5 × ↑ Δ", r"$\pm$0.5 $\times$ $\uparrow$ $\Delta$"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("Erdős–Rényi", r"Erd\H{o}s--R\'{e}nyi"),
        ("中", "{[}U+4E2D{]}"),
        ("a\nb", "a b"),
        ("top-k --flag", "top-k -{}-flag"),
    ],
)
def test_latex_says_special_characters_by_commands(said, written):
    assert escape.latex(said) == written


def test_markdown_shows_what_would_be_markup():
    assert escape.markdown("# <b>*x*</b> | 1") == r"\# \<b\>\*x\*\</b\> \| 1"
    assert [escape.markdown(said) for said in ("- a", "1. a", "0.5", "-1.00")] == [r"\- a", r"1\. a", "0.5", "-1.00"]


def test_the_best_and_the_significant_are_marked_in_every_table():
    block = Block("marks", (Column("a", ("1", "2"), best=frozenset([0]), starred=frozenset([1])),))
    assert text.block(block).splitlines()[-2:] == ["›1", " 2*"]
    assert "| **1** |" in markdown.block(block) and r"|   2\* |" in markdown.block(block)
    assert r"\textbf{1}" in latex.document([block]) and r"2\rlap{$^{*}$}" in latex.document([block])


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed; the structure is checked above"
)
def test_pdflatex_compiles_the_tables_as_they_are(tmp_path):
    records = [*hostile_tables(NASTY), *(make_record(p, t, s) for p, t in (("dense", 0), ("a", 0.5), ("b", 0.5))
                                         for s in range(3))]  # fmt: skip
    (tmp_path / "tables.tex").write_text(latex.render(tables(records)), encoding="ascii")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{tables}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed; golden files show which tables are split"
)
def test_tables_stay_within_the_line(tmp_path):
    metrics = dict.fromkeys(("AP", "RR@10", "R@1000", "Success@1", "Success@10", "nDCG@10"), 0.123)
    records = [make_record(p, t, s, metrics=metrics) for p, t in (("dense", 0), ("magnitude", 0.98)) for s in range(3)]
    found = latex.render(tables(records)) + latex.document(summary.blocks(answers(tables(records))))
    (tmp_path / "tables.tex").write_text(found, encoding="ascii")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{tables}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0 and "Overfull" not in done.stdout, done.stdout[-2000:]
