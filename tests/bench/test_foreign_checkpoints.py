"""Checkpoints of others: their pickles are not unpickled, their code does not run unless it was trusted by name."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from bench import registry
from bench.checkpoints import loaded, resolve
from bench.cli import main
from bench.errors import UsageError
from bench.grid import Request
from bench.plan import make
from bench.rebuild import plan_of
from bench.store import Store
from tasks.encoders.model import pretrained

CODE = """
import os
open(os.environ["BENCH_TEST_MARK"], "a").write("ran")
from transformers import BertConfig, BertModel
class TinyConfig(BertConfig):
    model_type = "tiny-foreign"
class Tiny(BertModel):
    config_class = TinyConfig
"""
SHAPE = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether the checkpoint's code has run."""
    monkeypatch.setenv("BENCH_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return (tmp_path / "mark").exists


def foreign(folder: Path, **auto_map: str) -> Path:
    """A small BERT whose configuration and class lie in its folder as code."""
    BertModel(BertConfig(**SHAPE)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "tiny-foreign", "architectures": ["Tiny"]}
    config["auto_map"] = {"AutoConfig": "tiny.TinyConfig", "AutoModel": "tiny.Tiny", **auto_map}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tiny.py").write_text(CODE)
    return folder


def test_code_in_a_checkpoint_does_not_run_and_the_line_says_what_would_let_it(tmp_path: Path, mark) -> None:
    found = resolve(str(foreign(tmp_path / "foreign")))
    with pytest.raises(UsageError) as caught:
        pretrained(found, 8)
    said = str(caught.value)
    assert "--model foreign: holds code of its own, which would have to run" in said and "\n" not in said
    assert "--trust-remote-code" in said and not mark()


def test_trusted_code_runs(tmp_path: Path, mark) -> None:
    model = pretrained(resolve(str(foreign(tmp_path / "foreign")), trusted=True), 8)
    assert mark() and type(model).__name__ == "Tiny"


def test_trusted_code_is_part_of_the_digest_and_untrusted_is_not(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "foreign")
    plain, trusted = (resolve(str(folder), trust).digest for trust in (False, True))
    (folder / "tiny.py").write_text(CODE + "# changed\n")
    assert resolve(str(folder)).digest == plain != trusted != resolve(str(folder), True).digest


def test_code_of_a_third_repository_is_refused_even_where_trusted(tmp_path: Path, mark) -> None:
    folder = foreign(tmp_path / "foreign", AutoModel="other/repository--tiny.Tiny")
    with pytest.raises(UsageError, match=r"config\.json names code of another repository"):
        pretrained(resolve(str(folder), trusted=True), 8)
    assert not mark()


class Payload:
    """What a pickle can do to whoever loads it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, (f"open({str(self.place)!r}, 'w').write('ran')",))


@pytest.mark.parametrize("form", ["bare", "zip"])
def test_a_pickle_with_a_payload_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "evil"
    BertModel(BertConfig(**SHAPE)).save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    weights, ran = folder / "pytorch_model.bin", tmp_path / "ran"
    if form == "bare":
        weights.write_bytes(pickle.dumps({"embeddings": Payload(ran)}))
    else:
        torch.save({"embeddings": Payload(ran)}, weights)
    with pytest.raises(UsageError, match="--model evil: cannot be loaded") as caught:
        pretrained(resolve(str(folder)), 8)
    assert "\n" not in str(caught.value) and not ran.exists()


def test_pickled_weights_without_a_payload_are_still_read(tmp_path: Path) -> None:
    model = BertModel(BertConfig(**SHAPE))
    model.save_pretrained(tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "old" / "pytorch_model.bin")
    found = pretrained(resolve(str(tmp_path / "old")), 8)
    assert torch.equal(found.state_dict()["embeddings.word_embeddings.weight"], model.embeddings.word_embeddings.weight)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 64, (2**62).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"[]"]
)
def test_damaged_safetensors_are_one_line(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "damaged"
    BertModel(BertConfig(**SHAPE)).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match="--model damaged: cannot be loaded") as caught:
        pretrained(resolve(str(folder)), 8)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b'{"model_type": 3}', b"\xff"])
def test_a_damaged_configuration_is_one_line(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "config.json").write_bytes(content)
    for trusted in (False, True):
        with pytest.raises(UsageError, match="--model damaged: cannot be loaded") as caught:
            pretrained(resolve(str(folder), trusted), 8)
        assert "\n" not in str(caught.value)


# The flag


PLANNED = ["--task", "ag-news", "--pruner", "random", "--grid", "0.5", "--data", "sample"]


def plan(folder: Path, **settings: str):
    return make(Request(("ag-news",), ("random",), (0.5,), models=(str(folder),), settings=settings, data="sample"))


def test_trust_is_in_the_key_and_in_the_record_and_its_absence_in_neither(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "foreign")
    plain, trusted = plan(folder), plan(folder, trust_remote_code="true")
    assert not {cell.key for cell in plain.cells} & {cell.key for cell in trusted.cells}
    assert "trust_remote_code" not in plain.cells[0].task.options
    assert trusted.cells[0].task.options["trust_remote_code"] is True


def test_the_flag_alone_gives_trust(tmp_path: Path, capsys) -> None:
    folder = foreign(tmp_path / "foreign")
    asked = ["plan", *PLANNED, "--model", str(folder), "--out", str(tmp_path / "out")]
    assert main([*asked, "--trust-remote-code", "--json"]) == 0
    keys = json.loads(capsys.readouterr().out)["keys"]
    assert keys == [cell.key for cell in plan(folder, trust_remote_code="true").cells]
    for text in ("trust_remote_code = true\n", "trust-remote-code = true\n", "[set]\ntrust_remote_code = true\n"):
        (tmp_path / "grid.toml").write_text(text)
        assert main([*asked, "--config", str(tmp_path / "grid.toml")]) == 2
        assert "trust_remote_code: is given by its flag alone" in capsys.readouterr().err
    for name in ("trust_remote_code", "ag-news.trust_remote_code"):
        assert main([*asked, "--set", f"{name}=true"]) == 2
        assert "is given by its flag alone" in capsys.readouterr().err


def test_a_record_cannot_give_trust(tmp_path: Path) -> None:
    from tests.bench.storing import record_of

    record = record_of(options={"model": "foreign", "trust_remote_code": True})
    with pytest.raises(
        UsageError, match=r"was computed with code that lies in its checkpoint\. --trust-remote-code runs"
    ):
        plan_of(record)


def test_the_python_interface_has_an_argument_for_it_and_no_setting(tmp_path: Path) -> None:
    import bench

    with pytest.raises(UsageError, match="Give the argument trust_remote_code"):
        bench.run("ag-news", "random", 0.5, settings={"trust_remote_code": True}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["ag-news", "multi30k", "msmarco-dsi", "msmarco-rerank", "dense-retrieval"])
def test_every_task_that_takes_checkpoints_asks_for_trust(task: str) -> None:
    from bench.plan import presets_of

    presets = presets_of(registry.task(task), "minilm")
    assert all(preset.options.trust_remote_code is False for preset in presets.values())


def test_a_failed_load_of_foreign_code_stops_a_run_in_one_line(tmp_path: Path, mark, capsys) -> None:
    folder = foreign(tmp_path / "foreign")
    asked = ["run", *PLANNED, "--model", str(folder), "--out", str(tmp_path / "out"), "--threads", "1"]
    assert main(asked) in (1, 2)
    shown = capsys.readouterr()
    assert not mark() and "Traceback" not in shown.err + shown.out
    assert [*Store(tmp_path / "out").records()] == [] or "code of its own" in shown.out + shown.err


def test_loaded_asks_for_no_trust_by_default(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "foreign")
    given = []
    loaded(resolve(str(folder)), lambda place, **more: given.append((place, more)))
    assert given == [(folder, {"trust_remote_code": False})]
