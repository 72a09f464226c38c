"""Which figures there are, their files, and what is said where there is nothing to draw."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from bench import cli
from bench.cli.report import FIGURE_FORMATS
from reports.palette import looks
from reports.plots import book, style
from reports.rows import tables
from tests.factories import make_failure, make_record, make_store
from tests.reports.conftest import golden_records

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path):
    make_store(tmp_path / "res", golden_records())
    return tmp_path / "res"


def run(capsys, *arguments):
    code = cli.main([*map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_report_draws_beside_its_table_and_says_what(folder, tmp_path, capsys):
    code, out, err = run(capsys, "report", folder, "--figures", tmp_path / "figures", "--figure-format", "png,svg")
    assert code == 0
    assert out == run(capsys, "report", folder)[1]
    names = [f"toy-news-accuracy-{kind}" for kind in ("sparsity", "FLOPs", "bytes")] + ["toy-news-densities"]
    files = [f"{name}.{ending}" for name in names for ending in ("png", "svg")]
    assert {path.name for path in (tmp_path / "figures").iterdir()} == set(files)
    assert err.splitlines() == [
        *(f"{tmp_path / 'figures' / name}.{{png,svg}}" for name in names),
        "Not drawn: latency (no cell here was measured: 'bench run --measure latency'); "
        "iterations (no cell here is one of a pruner that a PQ Index leads: 'sap').",
    ]


def test_files_are_what_their_endings_say_and_one_column_wide(folder, tmp_path, capsys):
    run(capsys, "report", folder, "--figures", tmp_path, "--summary")
    with Image.open(tmp_path / "summary-safe.png") as image:
        assert image.width == round(3.3 * style.RESOLUTION)
        assert len(image.convert("RGB").getcolors(2**16)) > 10
    assert ElementTree.parse(tmp_path / "summary-safe.svg").getroot().get("width") == f"{3.3 * 72:g}pt"
    assert (tmp_path / "summary-safe.pdf").read_bytes().startswith(b"%PDF-")


def test_formats_and_metrics_can_be_chosen(folder, tmp_path, capsys):
    def drawn(*arguments):
        target = tmp_path / "".join(arguments).replace("-", "")
        code, _, _ = run(capsys, "report", folder, "--figures", target, *arguments)
        assert code == 0
        return {path.name for path in target.iterdir()}

    assert {name.rpartition(".")[2] for name in drawn("--figure-format", "png")} == {"png"}
    loss = drawn("--figure-format", "svg", "--metric", "loss")
    assert "toy-news-loss-sparsity.svg" in loss and "toy-news-accuracy-sparsity.svg" not in loss
    both = drawn("--figure-format", "svg", "--metric", "all")
    assert {"toy-news-loss-sparsity.svg", "toy-news-accuracy-sparsity.svg"} <= both


NOTHING = "--figures DIR: nothing to draw: no pruned cell is done. Run a pruner first."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--figure-format", "pgn"], "--figure-format: unknown format 'pgn'. Did you mean 'png'?"),
        (["--figure-format", ","], "--figure-format: names no format. There is: png, svg, pdf."),
        (["--metric", "acuracy"], "--metric: no cell of 'acuracy' in the folder. Did you mean 'accuracy'?"),
        (
            ["--metric", "loss", "--summary"],
            "--metric: figures over tasks are of each leading metric. Leave out --summary.",
        ),
        (["--pruner", "dense"], NOTHING),
        (["--summary", "--pruner", "dense"], NOTHING),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_one_line_and_no_file(arguments, said, folder, tmp_path, capsys):
    code, out, err = run(capsys, "report", folder, "--figures", tmp_path / "none", *arguments)
    assert (code, out, err) == (2, "", f"bench: {said.replace('DIR', str(tmp_path / 'none'))}\n")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("flag", [("--figure-format", "png"), ("--metric", "loss")])
def test_what_is_said_of_figures_without_figures_is_refused(flag, folder, capsys):
    code, out, err = run(capsys, "report", folder, *flag)
    assert (code, out) == (2, "")
    assert err == f"bench: {flag[0]}: says how figures are drawn, and none are. Give --figures DIR as well.\n"


def test_cells_that_all_failed_are_nothing_to_draw(tmp_path, capsys):
    make_store(tmp_path / "res", [make_record(), make_failure("grasp", 0.5)])
    code, _, err = run(capsys, "report", tmp_path / "res", "--figures", tmp_path / "none")
    assert (code, err.count("\n")) == (2, 1)
    assert "nothing to draw" in err


def test_a_folder_that_cannot_be_written_is_one_line(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "report", folder, "--figures", tmp_path / "file")
    assert code == 2
    assert re.fullmatch(r"bench: --figures \S+: cannot be written \(.*\)\.\n", err)


def test_without_matplotlib_the_line_names_the_extra(folder, tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        f"from bench import cli; sys.exit(cli.main(['report', {str(folder)!r}, '--figures', {str(tmp_path / 'f')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'prunebench[figures]'" in done.stderr
    assert done.stdout == ""


def test_tables_need_no_matplotlib(folder):
    code = f"from bench import cli, __name__; import sys; cli.main(['report', {str(folder)!r}]); "
    code += "print('matplotlib' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr.strip() == "False"


def test_the_command_lines_formats_are_the_modules():
    assert FIGURE_FORMATS == style.FORMATS


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_records_give_the_same_bytes_in_other_processes(folder, tmp_path):
    found = []
    for number in (1, 2):
        surroundings = {**os.environ, "PYTHONHASHSEED": str(number), "SOURCE_DATE_EPOCH": str(number * 10**8)}
        arguments = [str(folder), "--figures", str(tmp_path / f"{number}")]
        code = "import sys; from bench import cli; sys.exit(cli.main(sys.argv[1:]))"
        subprocess.run(
            [sys.executable, "-c", code, "report", *arguments],
            capture_output=True, cwd=ROOT, check=True, env=surroundings,
        )  # fmt: skip
        found.append(contents(tmp_path / f"{number}"))
    assert found[0] == found[1]
    assert not any(b"matplotlib v" in content or b"prunebench" in content for content in found[0].values())


def test_the_users_own_matplotlibrc_changes_nothing(folder, tmp_path, capsys):
    few = ("--figure-format", "png,svg")
    run(capsys, "report", folder, "--figures", tmp_path / "plain", *few)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 9, "text.parse_math": True,
                                "axes.facecolor": "red", "savefig.dpi": 30, "svg.fonttype": "none"}):  # fmt: skip
        run(capsys, "report", folder, "--figures", tmp_path / "own", *few)
        assert matplotlib.rcParams["font.size"] == 20  # nor the other way round
    assert contents(tmp_path / "plain") == contents(tmp_path / "own")


def test_a_selection_changes_no_pruners_look(tmp_path, capsys):
    names = [f"plug-in-{n}" for n in range(40)]
    expected = looks(names)
    make_store(tmp_path / "res", [make_record(), *(make_record(name, t) for name in names for t in (0.5, 0.9))])
    for name in names[-3:]:
        target = tmp_path / name
        run(capsys, "report", tmp_path / "res", "--figures", target, "--pruner", name, "--figure-format", "svg")
        drawn = (target / "toy-news-accuracy-sparsity.svg").read_text()
        assert expected[name].color.lower() in drawn.lower()


def test_names_of_files_are_safe_and_apart():
    data = {"name": "toy", "kind": "sample", "counts": {}, "digest": "1"}
    cells = [
        make_record(pruner, target, task=task, model=model, data={**data, "digest": digest})
        for pruner, target in (("dense", 0.0), ("grasp", 0.5))
        for task, model, digest in (
            ("../a/b", "m", "1"), ("..-a-b", "m", "1"), ("x", "M", "1"), ("x", "m", "1"), ("x", "m", "2"),
            ("long" * 60, "m", "1"), ("long" * 61, "m", "1"), ("\u4e2d", "m", "1"),
        )
    ]  # fmt: skip
    found = tables(cells)
    names = [named.name for named in book.of_tasks(found, {}, looks(["grasp"])).figures]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9@][A-Za-z0-9.@-]{0,120}", name) for name in names)


def test_a_file_keeps_its_name_when_another_task_is_added():
    alone = tables([make_record(), make_record("grasp", 0.5)])
    other = tables([make_record(task="other"), make_record("grasp", 0.5, task="other")])
    first = [named.name for named in book.of_tasks(alone, {}, looks(["grasp"])).figures]
    both = [named.name for named in book.of_tasks([*alone, *other], {}, looks(["grasp"])).figures]
    assert set(first) < set(both)
