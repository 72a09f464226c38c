"""What our tasks declare of their data."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench import registry
from bench.downloads.catalogue import catalogue, resolve
from bench.downloads.verify import AS_FETCHED, OFFICIAL, OTHER, UNKNOWN, present, verify
from bench.errors import UsageError
from bench.sources import DataSet, Download, File, declared

OURS = ("ag-news", "cifar10", "dense-retrieval", "mnist", "msmarco-dsi", "msmarco-rerank", "multi30k")


@pytest.mark.parametrize("name", OURS)
def test_every_file_that_a_task_requires_has_a_source(name: str) -> None:
    task = registry.task(name)
    (usual,) = (dataset for dataset in declared(task) if dataset.folder == task.dataset)
    offered = {file.name for file in usual.files if not file.optional}
    assert set(task.required) <= offered
    assert resolve(name, catalogue()).dataset == usual


def test_every_source_is_encrypted_has_a_licence_note_and_a_digest() -> None:
    for entry in catalogue().values():
        assert entry.dataset.licence and entry.dataset.home.startswith("http")
        for source in entry.dataset.downloads:
            assert urlsplit(source.url).scheme == "https"
            assert source.sha256 or source.md5 or all(file.sha256 for file in source.files)


def test_one_data_set_of_three_tasks_is_listed_once_with_each_ones_settings() -> None:
    entry = catalogue()["msmarco-passage"]
    assert entry.tasks == ("dense-retrieval", "msmarco-dsi", "msmarco-rerank")
    assert entry.settings["dense-retrieval"] == {"dataset": "msmarco-passage"}


def test_data_sets_go_by_their_folder_its_last_part_or_a_task() -> None:
    known = catalogue()
    for name in ("beir/scifact", "scifact", "dense-retrieval"):
        assert resolve(name, known).dataset.folder == "beir/scifact"
    with pytest.raises(UsageError, match=r"no data set 'scifakt'\. Did you mean 'beir/scifact'"):
        resolve("scifakt", known)
    with pytest.raises(UsageError, match=r"'toy' does not say where its data is to be had"):
        resolve("toy", known)


def test_two_tasks_that_disagree_about_a_folder_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> tuple[DataSet, ...]:
        return (DataSet("mnist", "", "", "", (Download("https://example.org/x", (File("x"),), 1),)),)

    monkeypatch.setattr(registry.task("toy"), "sources", staticmethod(other), raising=False)
    with pytest.raises(UsageError, match=r"'mnist' and 'toy' declare different sources of mnist"):
        catalogue()


def test_sources_that_cannot_be_are_an_error_that_names_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[DataSet, ...]:
        return (DataSet("../toy", "", "", "", ()),)

    monkeypatch.setattr(registry.task("toy"), "sources", staticmethod(broken), raising=False)
    with pytest.raises(UsageError, match=r"the task 'toy' of toy-plugin 1\.0 declares sources that cannot be"):
        catalogue()


@pytest.mark.data
@pytest.mark.parametrize("folder", ["mnist", "multi30k"])
def test_the_digests_of_whole_sets_are_those_of_the_files_at_hand(real_data: Path, folder: str) -> None:
    entry = catalogue()[folder]
    found = present(entry.dataset, str(real_data))
    assert found is not None
    check = verify(entry, found)
    assert {one.state for one in check.files} == {OFFICIAL} and not check.problems
    assert {one.identity.kind for one in check.tasks if one.identity} == {"whole"}


@pytest.mark.data
@pytest.mark.parametrize("folder", ["ag_news_csv", "cifar-10-batches-bin", "msmarco-passage", "beir/scifact"])
def test_a_subset_is_called_one_and_is_no_problem(real_data: Path, folder: str) -> None:
    entry = catalogue()[folder]
    found = present(entry.dataset, str(real_data))
    assert found is not None
    check = verify(entry, found)
    assert not check.problems
    assert {one.state for one in check.files} <= {OFFICIAL, OTHER, UNKNOWN, AS_FETCHED, "missing"}
    assert all(one.identity is not None for one in check.tasks)
