"""``bench compare``: exit codes, outputs, and real runs of which one was spoiled."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import bench
from bench import cli
from pruners.criteria.magnitude import Magnitude
from tests.factories import make_failure, make_record, make_store

PROVENANCE = {"device": "cpu", "threads": 1, "dtype": "float32", "versions": {"torch": "2.13.0"}}


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def records(**changes):
    usual = {"provenance": PROVENANCE, "mask_digest": "ab"}
    return [make_record(p, t, s, **usual, **changes) for p, t in (("dense", 0.0), ("grasp", 0.9)) for s in (0, 1)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_store(tmp_path / "base", records()).root


def test_a_folder_against_itself_is_fine(base, capsys):
    code, out, err = run(capsys, "compare", base, base)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == ("no regression found. No evidence of a regression is no proof that there is none.")


def test_either_side_may_lie_behind_a_url(base, tmp_path, capsys):
    whole, fewer = (f"memory://{tmp_path.name}/{name}" for name in ("whole", "fewer"))
    make_store(whole, records())
    make_store(fewer, records()[:-1])
    assert run(capsys, "compare", whole, f"file://{base}")[0] == 0
    code, out, _ = run(capsys, "compare", whole, fewer)
    assert code == 3
    assert "seed 1: missing in HEAD" in out


def test_a_missing_cell_exits_with_3_and_other_data_with_4(base, tmp_path, capsys):
    fewer = make_store(tmp_path / "fewer", records()[:-1]).root
    code, out, _ = run(capsys, "compare", base, fewer)
    assert code == 3
    assert "regression (cells) toy-news linear grasp at 0.9, seed 1: missing in HEAD\n" in out
    other = make_store(tmp_path / "other", records(task_version=2)).root
    code, out, _ = run(capsys, "compare", base, other)
    assert code == 4
    assert out.splitlines()[-1] == "4 not comparable, no regression in the rest."


def test_json_is_clean_and_says_everything(base, tmp_path, capsys):
    fewer = make_store(tmp_path / "fewer", records()[:-1]).root
    code, out, err = run(capsys, "compare", base, fewer, "--json")
    found = json.loads(out)
    assert (code, err, found["exit_code"]) == (3, "", 3)
    assert found["counts"]["regression"] == 1
    assert {finding["gate"] for finding in found["findings"]} == {"cells", "exact", "quality"}


def test_markdown_and_junit_are_written_beside_the_text(base, tmp_path, capsys):
    spoiled = [*records()[:-1], make_failure("grasp", 0.9, 1, model="a|b<c>\x01", provenance=PROVENANCE)]
    head = make_store(tmp_path / "head", spoiled).root
    arguments = ("--markdown", tmp_path / "summary.md", "--junit", tmp_path / "junit.xml")
    code, _, _ = run(capsys, "compare", head, base, *arguments)
    assert code == 3  # what failed in BASE is done in HEAD under another model's name: one is missing
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("## bench compare: 1 regression, ")
    assert "a\\|b\\<c\\>" in summary
    root = ElementTree.fromstring((tmp_path / "junit.xml").read_text())
    suites = {suite.get("name"): suite for suite in root}
    assert suites["cells"].get("failures") == "1"
    (message,) = [failure.get("message") for failure in root.iter("failure")]
    assert "a|b<c>\ufffd grasp at 0.9, seed 1: missing in HEAD" in message


def test_update_baseline_writes_the_file_and_accepts_what_changed(base, tmp_path, capsys):
    file = tmp_path / "new" / "baseline.jsonl"
    assert run(capsys, "compare", file, base, "--update-baseline")[0] == 0
    assert run(capsys, "compare", file, base)[0] == 0
    fewer = make_store(tmp_path / "fewer", records()[:-1]).root
    code, out, err = run(capsys, "compare", file, fewer, "--update-baseline")
    assert code == 0
    assert "missing in HEAD" in out
    assert "written with 3 cells" in err
    assert run(capsys, "compare", file, fewer)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{base}", "nowhere"), "nowhere: is neither a results folder nor a baseline file."),
        (("{base}", "{tmp}"), "is not a results folder"),
        (("{base}", "file://{tmp}/nowhere"), "is neither a results folder nor a baseline file."),
        (("file://{base}", "{base}", "--update-baseline"), "is a folder, not a baseline file"),
        (("{base}", "{tmp}/empty.jsonl"), "holds no cell"),
        (("{base}", "{base}", "--margin", "accuracy"), "--margin accuracy: is no margin."),
        (("{base}", "{base}", "--margin", "acc=1"), "no metric 'acc'. There is: accuracy, loss."),
        (("{base}", "{base}", "--markdown", "{tmp}/no/where.md"), "cannot be written"),
        (("{base}", "{base}", "--update-baseline"), "is a folder, not a baseline file"),
        (("{base}", "{base}", "--speed", "{tmp}/empty.jsonl", "{tmp}/empty.jsonl"), "is no JSON"),
    ],
)
def test_bad_input_is_one_line_and_exits_with_2(base, tmp_path, capsys, arguments, said):
    (tmp_path / "empty.jsonl").write_text("")
    code, _, err = run(capsys, "compare", *(text.format(base=base, tmp=tmp_path) for text in arguments))
    assert code == 2
    assert err.count("\n") == 1
    assert said in err


GRID = {
    "task": "ag-news",
    "pruner": "magnitude",
    "grid": 0.9,
    "seeds": (0, 1),
    "when": "trained",
    "settings": {"prune_embeddings": "true"},
    "data": "sample",
    "threads": 1,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A real grid on the embedded sample: trained models whose smallest weights are cut."""
    folder = tmp_path_factory.mktemp("sound")
    bench.run(**GRID, out=folder)
    return folder


def test_the_same_code_reproduces_a_real_run_to_the_last_bit(sound, tmp_path, capsys):
    bench.run(**GRID, out=tmp_path)
    code, out, _ = run(capsys, "compare", sound, tmp_path)
    assert (code, "note" in out) == (0, False)


def test_a_criterion_with_its_sign_flipped_is_caught_and_named(sound, tmp_path, capsys, monkeypatch):
    score = Magnitude.score
    monkeypatch.setattr(
        Magnitude, "score", lambda self, view: {name: -found for name, found in score(self, view).items()}
    )
    bench.run(**GRID, out=tmp_path)
    code, out, _ = run(capsys, "compare", sound, tmp_path)
    assert code == 3
    for seed in (0, 1):
        assert (
            f"regression (exact) ag-news embedding-bag magnitude (trained) at 0.9, seed {seed}: other masks under"
            in out
        )
    assert "regression (quality) ag-news embedding-bag magnitude (trained) at 0.9, seeds 0-1, accuracy: " in out
    assert "dense" not in "".join(line for line in out.splitlines() if line.startswith("regression"))
