"""What ``show`` and ``doctor`` tell about plug-ins, with a toy task and pruner in place of the installed ones."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from bench import cli, registry
from bench.cli import doctor
from bench.data import DataIdentity, Files, columns
from bench.errors import UsageError
from bench.steps import Schedule
from pruners.base import Criterion
from tasks.ag_news import AgNews
from tasks.base import Metric, Preset, Task


@dataclass(frozen=True)
class ToyOptions:
    dim: int = 8
    """Width of the shelf."""
    color: str = "red"


class ToyTask(Task):
    """Sorts toys."""

    name: ClassVar = "toy"
    title: ClassVar = "Sorting of toys"
    version: ClassVar = 3
    dataset: ClassVar = "toys"
    required: ClassVar = ("toys.csv",)
    metrics: ClassVar = (Metric("accuracy", percent=True), Metric("loss", higher_is_better=False))
    presets: ClassVar = {
        name: Preset(ToyOptions(dim), Schedule(0.1, 4, epochs=2), Schedule(0.01, 4, steps=9))
        for name, dim in (("smoke", 8), ("paper", 64))
    }
    notes: ClassVar = ("Toys are not data.",)

    def __init__(self, files: Files, options: ToyOptions) -> None:
        self.files = files

    def identity(self) -> DataIdentity:
        count = sum(1 for _ in columns(self.files, "toys.csv", 2, what="toy, price", separator=","))
        return DataIdentity("toys", "whole", {"toys": count}, self.files.digest(self.required))

    def examples(self) -> int:
        return self.identity().counts["toys"]


class ToyCriterion(Criterion):
    """Scores by the price of the toy."""

    version, iterations, needs_data = 2, 100, False


@pytest.fixture
def toys(monkeypatch):
    """A registry of one task and one criterion, and no data but what a test points at."""
    plug_ins = {
        "tasks": {"toy": ToyTask},
        "pruners": {"price": ToyCriterion},
        "allocations": {},
        "structures": {},
        "rules": {},
        "learners": {},
    }
    monkeypatch.setattr(registry, "names", lambda group: sorted(plug_ins[group]))
    monkeypatch.setattr(registry, "load", lambda group, name: plug_ins[group][name])
    monkeypatch.setattr(registry, "distribution", lambda group, name: "toys 1.0")
    return plug_ins


def run(capsys, *arguments: str) -> tuple[int, dict[str, str]]:
    """Exit code, and the printed lines by their first word."""
    code = cli.main(arguments)
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line]
    return code, {line[0]: line[1] if len(line) > 1 else "" for line in lines}


def test_show_of_a_task_tells_metrics_data_and_presets_side_by_side(toys, capsys):
    code, out = run(capsys, "show", "toy")
    assert code == 0
    assert out["title"] == "Sorting of toys"
    assert out["metrics"] == "accuracy: higher is better; loss: lower is better"
    assert out["data"].startswith("toys/ with toys.csv")
    assert out["presets"].split() == ["smoke", "paper"]
    assert out["train.epochs"].split() == ["2", "2"]
    assert out["color"].split() == ["red", "red"]
    assert "train.momentum" not in out
    assert out["Toys"] == "are not data."


def test_show_of_a_task_tells_its_options_and_what_they_mean(toys, capsys):
    cli.main(["show", "toy"])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [line[1].split() for line in lines if line[:1] == ["dim"]] == [["8", "64"], ["Width", "of", "the", "shelf."]]


def test_show_of_a_criterion_tells_its_recipe_and_docstring(toys, capsys):
    code, out = run(capsys, "show", "price")
    assert code == 0
    assert out["iterations"] == "100"
    assert out["scores"] == "no data"
    assert out["Scores"] == "by the price of the toy."


@pytest.mark.parametrize("name", ["gmp", "imp", "iterative", "tpr", "sap", "movement", "soft-movement"])
def test_show_of_a_recipe_tells_what_is_its_own(name, capsys):
    cli.main(["show", name])
    text = capsys.readouterr().out
    cli.main(["list", "pruners"])
    listed = capsys.readouterr().out
    (said,) = [line.split(maxsplit=1)[1] for line in listed.splitlines() if line.startswith(f"  {name} ")]
    recipe = registry.load("pruners", name).recipe
    assert said in text
    assert recipe.__doc__.splitlines()[0].strip() in text
    assert "A named recipe with" not in text
    assert not any(line.startswith("iterations") for line in text.splitlines())
    assert f"--set {name}." in text


def test_show_of_a_recipe_tells_defaults_and_meanings_of_all_its_settings(capsys):
    cli.main(["show", "imp"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["rate", "0.2", *["Share", "of", "the", "remaining", "weights", "that", "one", "level", "cuts."]] in lines
    assert any(line[:2] == ["rewind", "none"] for line in lines)
    cli.main(["show", "sap"])
    settings = capsys.readouterr().out.split("settings ")[1].splitlines()[1:-1]
    assert all(len(line.split()) > 4 for line in settings), settings


def test_show_of_a_criterion_tells_the_settings_of_its_use(toys, capsys):
    code, out = run(capsys, "show", "price")
    assert code == 0
    assert out["score_after"].startswith("0 ")
    assert (out["when"], out["structure"]) == ("init", "weights")


def test_a_description_is_the_first_sentence_and_not_the_first_line(capsys):
    cli.main(["list", "rules"])
    assert capsys.readouterr().out.rstrip().endswith("as many as their PQ Index allows.")


def doctored(capsys, monkeypatch, tmp_path: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines of a doctor whose allocations and structures are those of the toy registry."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "GROUPS", ("tasks", "pruners"))
    monkeypatch.setattr(registry, "task", lambda name: registry.load("tasks", name))
    code = cli.main(["doctor", *arguments])
    return code, [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_doctor_finds_a_sound_installation_and_says_what_the_sample_stands_in_for(toys, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    code, lines = doctored(capsys, monkeypatch, tmp_path)
    assert code == 0, lines
    assert "ok tasks 1 of 1 load" in lines
    assert any(line.startswith("ok torch 2.") for line in lines)
    sample = "the embedded sample (toys/ is not there: looked in $XDG_CACHE_HOME/prunebench/data)"
    assert f"ok data of toy {sample}" in lines


def test_doctor_names_the_place_of_data_by_the_name_the_user_gave_it(toys, capsys, monkeypatch, tmp_path):
    (tmp_path / "sets" / "toys").mkdir(parents=True)
    (tmp_path / "sets" / "toys" / "toys.csv").write_text("ball,1\n")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "sets"))
    _, lines = doctored(capsys, monkeypatch, tmp_path)
    assert "ok data of toy $BENCH_DATA: toys" in lines
    assert not any(str(tmp_path) in line for line in lines)


def test_doctor_finds_a_folder_without_the_data_wrong(toys, capsys, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    code, lines = doctored(capsys, monkeypatch, tmp_path, "--data", str(tmp_path / "empty"))
    assert code == 1
    assert any(line.startswith("!! data of toy") and "lacks toys/toys.csv" in line for line in lines)


def test_doctor_opens_the_data_and_names_the_line_that_is_wrong(toys, capsys, monkeypatch, tmp_path):
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "toys.csv").write_text("ball,1\ndoll\n")
    for arguments in ([], ["--data", str(tmp_path)]):
        monkeypatch.setenv("BENCH_DATA", str(tmp_path))
        code, lines = doctored(capsys, monkeypatch, tmp_path, *arguments)
        assert code == 1
        assert any(line.startswith("!! data of toy") and "toys.csv, line 2: 1 columns" in line for line in lines)


def test_doctor_finds_an_archive_that_was_cut_short_wrong(toys, capsys, monkeypatch, tmp_path):
    (tmp_path / "toys").mkdir()
    whole = lzma.compress(b"ball,1\n" * 1000)
    archive = tmp_path / "toys" / "toys.csv.xz"
    archive.write_bytes(whole)
    code, lines = doctored(capsys, monkeypatch, tmp_path, "--data", str(tmp_path))
    assert code == 0, lines
    archive.write_bytes(whole[: len(whole) // 2])
    code, lines = doctored(capsys, monkeypatch, tmp_path, "--data", str(tmp_path))
    assert code == 1
    assert any(line.startswith("!! data of toy") and "damaged or cut short" in line for line in lines)


def test_doctor_takes_a_folder_of_one_data_set_for_what_it_is(toys, capsys, monkeypatch, tmp_path):
    other = type("Books", (ToyTask,), {"dataset": "books", "required": ("books.csv", "index.csv")})
    toys["tasks"]["book"] = other
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "toys.csv").write_text("ball,1\n")
    code, lines = doctored(capsys, monkeypatch, tmp_path, "--data", str(tmp_path))
    assert code == 0, lines
    assert f"ok data of book absent: no books/ in --data {tmp_path}" in lines
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "index.csv").write_text("")
    code, lines = doctored(capsys, monkeypatch, tmp_path, "--data", str(tmp_path))
    assert code == 1
    assert any(line.startswith("!! data of book") and "lacks books/books.csv" in line for line in lines)


def test_doctor_says_what_fetches_data_that_is_missing(toys, capsys, monkeypatch, tmp_path):
    toys["tasks"]["ag-news"] = AgNews
    monkeypatch.delenv("BENCH_DATA", raising=False)
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "toys.csv").write_text("ball,1\n")
    for arguments, place in (([], ""), (["--data", str(tmp_path)], f" --data {tmp_path}")):
        code, lines = doctored(capsys, monkeypatch, tmp_path, *arguments)
        assert code == 0, lines
        (line,) = [line for line in lines if line.startswith("ok data of ag-news ")]
        assert line.endswith(f". 'bench data get ag_news_csv{place}' fetches it")
        assert not any("bench data get" in line for line in lines if " data of toy " in line)


def test_doctor_finds_a_plug_in_that_does_not_load_wrong(toys, capsys, monkeypatch, tmp_path):
    def broken(group, name):
        raise UsageError(f"the {group[:-1]} {name!r} of toys does not load")

    monkeypatch.setattr(registry, "load", broken)
    code, lines = doctored(capsys, monkeypatch, tmp_path)
    assert code == 1
    assert "!! pruners the pruner 'price' of toys does not load." in lines


def test_doctor_finds_a_cache_that_cannot_be_written_wrong(toys, capsys, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder belongs")
    code, lines = doctored(capsys, monkeypatch, tmp_path)
    assert code == 1
    assert any(line.startswith("!! cache $XDG_CACHE_HOME/prunebench cannot be written") for line in lines)


def test_doctor_compares_versions_with_what_prunebench_requires(monkeypatch):
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda _: ["typer>=99", "nowhere-to-be-found>=1", "pytest; extra == 'x'"]
    )
    found = {finding.about: finding for finding in doctor._packages()}
    assert found["typer"].problem and "does not fit >=99" in found["typer"].said
    assert found["nowhere-to-be-found"].problem and found["nowhere-to-be-found"].said.startswith("missing")
    assert "pytest" not in found
