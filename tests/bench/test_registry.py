"""Names of plug-ins: found without imports, claimed once, and loaded with an error that names who is to blame."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import registry
from bench.errors import UsageError


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path for distributions of a test's own; the registry forgets what it knew before and after."""
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entries.cache_clear()
    yield tmp_path
    registry._entries.cache_clear()


def install(root: Path, distribution: str, points: str, group: str = "tasks") -> None:
    info = root / f"{distribution}-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(f"[prunebench.{group}]\n{points}\n")


def test_a_plug_in_is_found_through_its_entry_point() -> None:
    assert "toy" in registry.names("tasks")
    assert registry.task("toy").title == "Toy clouds"
    assert registry.distribution("tasks", "toy") == "toy-plugin 1.0"


def test_an_installed_plug_in_is_loaded_by_its_name(plugins: Path) -> None:
    (plugins / "weather_task.py").write_text("from toy_plugin import Toy\nclass Weather(Toy):\n    name = 'weather'\n")
    install(plugins, "weather", "weather = weather_task:Weather")
    assert registry.names("tasks") == sorted(registry.names("tasks"))
    registry.known("tasks", "weather")
    assert registry.task("weather").name == "weather"
    assert registry.distribution("tasks", "weather") == "weather 2.1"


def test_an_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        registry.known("pruners", "grsp")
    assert str(caught.value) == "unknown pruner 'grsp'. Did you mean 'grasp'?"
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=r"unknown task 'agnews'\. Did you mean 'ag-news'\?"):
        registry.task("agnews")
    with pytest.raises(UsageError, match=r"unknown allocation 'erc'\. Did you mean 'erk'\?"):
        registry.allocation("erc")


@pytest.mark.parametrize(("written", "meant"), [("GraSP", "grasp"), ("SNIP", "snip"), ("SynFlow", "synflow")])
def test_the_spelling_of_the_papers_finds_the_name(written: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{meant}'"):
        registry.known("pruners", written)


def test_an_unknown_name_with_nothing_near_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"unknown structure 'qqqqqq'\. There is: .*weights"):
        registry.structure("qqqqqq")


def test_a_name_that_two_distributions_claim_is_an_error_naming_both(plugins: Path) -> None:
    install(plugins, "rain", "weather = rain_task:Weather")
    install(plugins, "snow", "weather = snow_task:Weather")
    assert registry.names("tasks").count("weather") == 1
    for use in (registry.known, registry.load, registry.distribution):
        with pytest.raises(UsageError) as caught:
            use("tasks", "weather")
        assert str(caught.value) == (
            "the task 'weather' is claimed by rain (rain_task:Weather) and snow (snow_task:Weather). "
            "Uninstall one of them."
        )


def test_our_own_names_cannot_be_taken_silently(plugins: Path) -> None:
    install(plugins, "usurper", "grasp = elsewhere:Grasp", group="pruners")
    with pytest.raises(UsageError, match=r"'grasp' is claimed by prunebench .* and usurper"):
        registry.known("pruners", "grasp")


def test_a_distribution_that_is_found_twice_claims_once(
    plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an editable install beside a copy on the path."""
    second = tmp_path / "second"
    second.mkdir()
    monkeypatch.syspath_prepend(str(second))
    for root in (plugins, second):
        install(root, "rain", "weather = rain_task:Weather")
    registry.known("tasks", "weather")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise ValueError('first line\\nsecond line')", "ValueError: first line second line"),
        ("def f(:", "SyntaxError"),
        ("", "AttributeError"),
    ],
    ids=["module", "error", "syntax", "attribute"],
)
def test_a_plug_in_that_does_not_import_names_its_distribution_in_one_line(
    plugins: Path, request: pytest.FixtureRequest, source: str, reason: str
) -> None:
    module = f"broken_{request.node.callspec.id}"
    (plugins / f"{module}.py").write_text(source)
    install(plugins, "gale", f"storm = {module}:Storm")
    with pytest.raises(UsageError) as caught:
        registry.task("storm")
    message = str(caught.value)
    assert message.startswith(f"the task 'storm' of gale does not load: {reason}")
    assert message.endswith("Mend or uninstall gale.") and "\n" not in message


def test_listing_imports_no_plug_in_and_nothing_heavy(plugins: Path) -> None:
    (plugins / "loud_task.py").write_text("raise SystemExit('imported')")
    install(plugins, "loud", "loud = loud_task:Loud")
    program = """
import sys
from bench import registry
found = {group: registry.names(group) for group in registry.GROUPS}
registry.known("tasks", "ag-news")
assert {"toy", "loud", "ag-news"} <= set(found["tasks"]), found
assert {"grasp", "random"} <= set(found["pruners"]), found
heavy = {"torch", "numpy", "transformers", "toy_plugin", "loud_task", "tasks.ag_news", "pruners.criteria.grasp"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    environment_path = [str(plugins), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {environment_path!r}\n{program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_results_of_an_edited_plug_in_are_not_those_of_the_one_before(plugins: Path) -> None:
    """Versions of ours are kept by hand; another distribution's carry a digest of their source."""
    install(plugins, "edited", "edited = edited_plugin:Edited", group="pruners")
    source = "class Edited:\n    version, iterations, needs_data = 1, 1, False\n    def score(self, view): return {}\n"
    versions = []
    for text in (source, source, source + "# changed\n"):
        (plugins / "edited_plugin.py").write_text(text)
        registry._entries.cache_clear()
        sys.modules.pop("edited_plugin", None)
        versions.append(registry.pruner("edited").version)
    assert versions[0] == versions[1] != versions[2]
    assert all(str(version).startswith("1+") for version in versions)
    assert registry.pruner("grasp").version == 1


def test_a_criterion_that_lacks_what_it_must_say_names_its_distribution(plugins: Path) -> None:
    install(plugins, "lacking", "lacking = lacking_plugin:Lacking", group="pruners")
    (plugins / "lacking_plugin.py").write_text("class Lacking:\n    def score(self, view): return {}\n")
    with pytest.raises(UsageError, match="the pruner 'lacking' of lacking has no 'version'"):
        registry.pruner("lacking")
