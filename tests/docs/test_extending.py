"""The files printed in docs/extending.md are a distribution: as long as said, installed by pip, sound, and run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from bench import cli, registry
from bench.checks.toys import TOYS, view_of
from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "extending.md"
FILES: dict[str, Block] = {block.title: block for block in blocks(PAGE) if block.title}


def test_a_pruner_takes_15_lines_and_a_task_60() -> None:
    assert {"pyproject.toml", "lamp.py", "tickets.py", "spirals.py"} == FILES.keys()
    assert len(FILES["lamp.py"].text.splitlines()) <= 15
    assert sum(bool(line.strip()) for line in FILES["spirals.py"].text.splitlines()) <= 60
    assert max(len(line) for block in FILES.values() for line in block.text.splitlines()) <= 120


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_they_are_listed_with_their_distribution(plug_ins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "list")
    listed = [line.split(maxsplit=1) for line in out.splitlines()]
    for name, said in (
        ("lamp", "A weight's square over"),
        ("lamp-tickets", "Iterative pruning by LAMP"),
        ("spirals", "Which"),
    ):
        (line,) = [line for line in listed if line[:1] == [name]]
        assert line[1].startswith(said) and line[1].endswith("(spiral-pruning 0.1)")


@pytest.mark.parametrize(
    ("kind", "name", "checks"), [("pruner", "lamp", 16), ("pruner", "lamp-tickets", 15), ("task", "spirals", 14)]
)
def test_they_pass_the_contract(kind: str, name: str, checks: int, plug_ins: Path, capsys) -> None:
    code, out, err = run(capsys, "check", kind, name)
    assert (code, err) == (0, ""), out
    assert len(out.splitlines()) == checks


def test_their_cells_carry_a_digest_of_the_criterions_source(plug_ins: Path) -> None:
    edition = registry.pruner("lamp").version
    assert re.fullmatch(r"1\+[0-9a-f]{8}", str(edition))
    assert registry.pruner("lamp-tickets").version == edition, "a recipe is known by its criterion's"
    assert registry.pruner("imp").version == 1


def test_a_grid_of_them_runs_and_lamp_keeps_more_than_chance(plug_ins: Path, tmp_path: Path, capsys) -> None:
    pruners = ("--pruner", "lamp,random,lamp-tickets", "--when", "trained", "--grid", "0.8", "--seeds", "0-1")
    place = ("--threads", "1", "--device", "cpu", "--format", "jsonl", "--out", str(tmp_path / "out"))
    code, out, _ = run(capsys, "run", "--task", "spirals", *pruners, *place)
    assert code == 0
    cells = [json.loads(line) for line in out.splitlines()]
    assert len(cells) == 8 and all(cell["status"] == "done" for cell in cells)
    dense, lamp, random = (
        [cell["metrics"]["accuracy"] for cell in cells if cell["pruner"] == name]
        for name in ("dense", "lamp", "random")
    )
    assert min(dense) > 0.9  # of three arms
    assert min(lamp) > max(random)


def test_their_data_can_be_ones_own(plug_ins: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "sets" / "spirals"
    folder.mkdir(parents=True)
    asked = ("plan", "--task", "spirals", "--pruner", "lamp", "--data", str(tmp_path / "sets"))
    (folder / "points.csv").write_text("".join(f"{i / 40},{-i / 40},{i % 3}\n" for i in range(80)))
    assert "spirals, whole: 60 train, 20 test" in run(capsys, *asked)[1]
    (folder / "points.csv").write_text("0.5,0.5,1\n0.5,1\n")
    code, _, err = run(capsys, *asked)
    assert code == 2
    assert "points.csv, line 2: 2 columns where 3 belong (x, y, arm)" in err


def test_the_printed_criterion_is_lamp(plug_ins: Path) -> None:
    """Lee et al. 2021: score(u) = W[u]^2 / sum of W[v]^2 over v from u on, by ascending magnitude; in plain loops."""
    from lamp import Lamp

    view = view_of(TOYS[0])
    scores = Lamp().score(view)
    weight = view.weights["conv.weight"].detach().double().flatten().tolist()
    expected = [w**2 / sum(v**2 for v in weight if v**2 >= w**2) for w in weight]
    assert torch.allclose(scores["conv.weight"].flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-9)
    assert all(float(values.max()) == 1 for values in scores.values())  # the largest weight of each layer
