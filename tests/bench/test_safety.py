"""What docs/safety.md promises: no code out of data, and names that stay names.

A scan of our sources reads syntax trees; each of its rules is shown to find what it is for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import StoreError, UsageError
from bench.store import Store
from tests.bench.storing import record_of

ROOT = Path(__file__).parents[2]
SCANNED = ("bench", "tasks", "pruners", "reports", "docs")
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
SHELLS = {"os.system", "os.popen", "commands.getoutput", "subprocess.getoutput", "subprocess.getstatusoutput"}
UNSAFE = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"), "runs text as code"),
    **dict.fromkeys(SHELLS, "runs a shell"),
    **dict.fromkeys(("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"), "makes any object of YAML"),
    **dict.fromkeys(("torch.hub.load", "torch.package.PackageImporter"), "runs foreign code"),
    **dict.fromkeys(("tempfile.mktemp",), "names a file that another can make first"),
    **dict.fromkeys(("pandas.read_pickle", "pd.read_pickle"), "unpickles"),
}


def problems(source: str) -> list[str]:
    """What a source does that none of ours may, a sentence each."""
    tree = ast.parse(source)
    names = imported(tree)
    return [f"line {node.lineno}: {said}" for node in ast.walk(tree) for said in _problems(node, names)]


def imported(tree: ast.AST) -> dict[str, str]:
    """What names stand for: ``np`` for ``numpy``, ``load`` for ``torch.load``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def _problems(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        yield from (f"imports {module}" for module in modules if module.split(".")[0] in PICKLES)
    if not isinstance(node, ast.Call):
        return
    called = _dotted(node.func, names)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if called in UNSAFE:
        yield f"{called} {UNSAFE[called]}"
    if called == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if called in ("numpy.load", "numpy.lib.format.read_array") and not _is(given.get("allow_pickle"), False):
        yield "numpy.load without allow_pickle=False"
    if called == "numpy.save" and not _is(given.get("allow_pickle"), False):
        yield "numpy.save without allow_pickle=False"
    if "shell" in given and not _is(given["shell"], False):
        yield "a shell"
    if _is(given.get("trust_remote_code"), True) or _is(given.get("weights_only"), False):
        yield "trusts foreign code"
    if called.endswith((".extractall", ".unpack_archive")):
        yield "unpacks an archive unchecked"
    if _is(given.get("verify"), False):
        yield "does not check a certificate"


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """``torch.load`` for the call of that function, by whatever name it was imported."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return ""


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import pickle", "imports pickle"),
        ("from cloudpickle import dumps", "imports cloudpickle"),
        ("def f():\n    import joblib.externals", "imports joblib.externals"),
        ("import torch\ntorch.load(path)", "torch.load without"),
        ("import torch\ntorch.load(path, weights_only=False)", "torch.load without"),
        ("from torch import load as read\nread(path)", "torch.load without"),
        ("import numpy as np\nnp.load(path)", "numpy.load without"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "numpy.load without"),
        ("import numpy as np\nnp.save(path, x)", "numpy.save without"),
        ("eval(text)", "runs text as code"),
        ("exec(text)", "runs text as code"),
        ("import yaml\nyaml.load(text)", "makes any object"),
        ("import subprocess\nsubprocess.run(line, shell=True)", "a shell"),
        ("from os import system\nsystem(line)", "runs a shell"),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", "trusts foreign code"),
        ("AutoModel.from_pretrained(name, weights_only=False)", "trusts foreign code"),
        ("import tarfile\ntarfile.open(path).extractall(folder)", "unpacks an archive unchecked"),
        ("import shutil\nshutil.unpack_archive(path)", "unpacks an archive unchecked"),
        ("import requests\nrequests.get(url, verify=False)", "does not check a certificate"),
        ("import tempfile\ntempfile.mktemp()", "another can make first"),
    ],
)
def test_the_scan_finds_what_it_is_for(source: str, said: str) -> None:
    assert any(said in problem for problem in problems(source))


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path, mmap_mode='r', allow_pickle=False)",
        "model.eval()",
        "import re\nre.compile(text)",
        "import subprocess\nsubprocess.run([name], shell=False)",
        "import yaml\nyaml.safe_load(text)",
    ],
)
def test_the_scan_leaves_alone_what_is_safe(source: str) -> None:
    assert problems(source) == []


def test_our_code_holds_no_pickle_and_runs_no_text() -> None:
    files = [path for folder in SCANNED for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 200
    found = [f"{path.relative_to(ROOT)}, {said}" for path in files for said in problems(path.read_text())]
    assert found == []


LOADERS = ("bench.checkpoints.loaded", "bench.pretrained.weights")


def test_every_checkpoint_is_loaded_where_trust_is_decided() -> None:
    """``from_pretrained`` is called inside ``LOADERS`` alone, which say whether code may run."""
    for path in (path for folder in SCANNED for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text())
        guarded = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and _dotted(node.func, imported(tree)).endswith(LOADERS)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "from_pretrained":
                assert id(node) in guarded, f"{path.relative_to(ROOT)}, line {node.lineno}"


# Names that become paths


NAMES = ["../../outside", "/etc/passwd", "a/../../b", "..", ".", "", "a\0b", "a\nb", "x" * 300]
NAMES += ["a/b.run.0123456789abcdef"]
HUB_IDS = ["../org/model", "org/..", "org/../../etc", "a/.git", "org/model@../../x", "org/model@.x", "~/model"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_a_results_folder(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "out", create=True)
    with pytest.raises(StoreError, match="is no name of a file beside a record"):
        store.file(name)
    assert store.record(name) is None and store.measurement(name) == {} and store.reference(name) is None


def test_a_record_that_names_a_file_elsewhere_is_damaged(tmp_path: Path) -> None:
    from bench.record import dumps

    store = Store(tmp_path / "out", create=True)
    (tmp_path / "secret.examples.0123456789abcdef").write_bytes(b"")
    record = record_of(files={"examples": "../../secret.examples.0123456789abcdef"})
    (store.root / "records" / f"{record.key}.json").write_text(dumps(record))
    assert store.record(record.key) is None
    assert store.damaged() == [f"records.{record.key}.json"]


@pytest.mark.parametrize("name", ["../vectors", "/tmp/vectors", "a/b", "", ".hidden", "a" * 200])
def test_ready_vectors_go_by_a_name_and_no_path(tmp_path: Path, name: str, capsys) -> None:
    from tasks.dense_retrieval import ready

    assert ready.main([name, "--data", str(tmp_path), "--set", "model=minilm"]) == 2
    assert "is no name" in capsys.readouterr().err


@pytest.mark.parametrize("name", HUB_IDS)
def test_a_hub_id_is_no_path(name: str) -> None:
    from bench.checkpoints import resolve

    with pytest.raises(UsageError, match="no such folder, and no hub id"):
        resolve(name)


@pytest.mark.parametrize("name", ["../scifact", "/scifact", "a//b", "..", "a/../b", ".x"])
def test_a_data_sets_name_is_no_path_outside(name: str) -> None:
    from tasks.dense_retrieval.options import Options

    with pytest.raises(UsageError, match="is no folder's name"):
        Options(dataset=name)
