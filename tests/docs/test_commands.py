"""Every command in the README and under docs/ is run: a wrong verb, flag, name or value in a page is a failing test.

Commands on embedded samples compute: their whole grid is planned, and two of its cells are trained for two steps. Those
on real data are planned (``--dry-run``), on the real data where it is. What stands in ``NOT_RUN`` is parsed alone.
"""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from bench import cli, registry
from bench.errors import UsageError
from bench.grid import split_settings
from bench.plan import presets_of
from bench.settings import override
from tasks.base import Preset
from tests.conftest import REAL_DATA
from tests.docs.conftest import QUICK, Desk
from tests.docs.pages import PAGES, ROOT, Command, blocks, commands, spans

NOT_RUN = {
    r"^bench status .*--watch": "ends when the user ends it",
    r"^bench run .*--executor ray": "needs a cluster",
    r"^bench run .*--out (s3:|/shared)": "needs that storage",
    r"^bench data verify": "reads the whole of every data set",
    r"^bench run .*--track (mlflow|wandb)": "needs the package of that extra, and for wandb an account",
    r"^bench run .*--set vectors=NAME": "needs vectors of a data set that is not here",
}
"""Commands whose verb and flags alone are checked, and why."""
PLACES = {
    "--data": "data",
    "--to": "model",
    "--out": "results",
    "--config": "grid.toml",
    "--output": "report",
    "--figures": "figures",
}
"""What DIR or FILE stands for behind a flag."""
STAND_INS = {
    "DIR": "results",
    "BASE": "results",
    "HEAD": "results/gate",
    "TASK": "mnist",
    "RESULTS": "results",
    "FOLDER": "results",
}
NAMES = {"paper": "ag-news", "data": "mnist", "task": "spirals", "pruner": "lamp", "show": "grasp"}
"""What NAME stands for behind these words."""
REAL = ("small", "paper")
MODELS = ("transformer", "minilm", "conv-knrm", "conformer-kernel")
"""Whose options differ from those of their task's default."""
ALL = [command for page in PAGES for command in commands(page)]


def chosen(program: str) -> list[Command]:
    """The first of all commands that read the same."""
    return list({command.words: command for command in reversed(ALL) if command.words[0] == program}.values())[::-1]


def verb_of(command: Command) -> tuple[Any, list[str]]:
    """The verb that a command line calls, and the words behind it."""
    found: Any = typer.main.get_command(cli.app)
    words = list(command.words[1:])
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"{command}: there is no 'bench {words[0]}'"
        found = found.commands[words.pop(0)]
    return found, words


def known_words(command: Command) -> list[str]:
    """The words behind the verb; fails for a verb or flag that there is not."""
    verb, words = verb_of(command)
    unknown = command.flags - flags_of(verb) - {"--help", "--debug"}
    assert not unknown, f"{command}: {verb.name} has no flag {', '.join(unknown)}"
    return words


def flags_of(verb: Any) -> set[str]:
    return {flag for parameter in verb.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def all_flags(verb: Any) -> set[str]:
    return flags_of(verb).union(*map(all_flags, getattr(verb, "commands", {}).values()))


def filled(command: Command, desk: Desk) -> list[str]:
    """The words behind ``bench``, something real in the place of each name that stands for one."""
    words: list[str] = []
    for word in command.words[1:]:
        before = next((known for known in NAMES if known in words), None)
        if word == "KEY":
            words.append(desk.key)
        elif word == "NAME":
            assert before is not None, f"{command}: what is NAME?"
            words.append(NAMES[before])
        elif word in ("DIR", "FILE"):
            words.append(PLACES.get(words[-1], STAND_INS["DIR"]))
        else:
            words.append(STAND_INS.get(word, word))
    return words


def value_of(words: list[str], flag: str) -> str | None:
    return words[words.index(flag) + 1] if flag in words else None


def made_quick(words: list[str], open_ended: bool) -> list[str]:
    """A grid that ends in seconds, or its plan where it is on real data."""
    if words[0] == "paper":
        return [*words, "--dry-run"]
    if open_ended and "--config" not in words:
        for flag, usual in (("--task", "ag-news"), ("--pruner", "magnitude")):
            words += [] if flag in words else [flag, usual]
    real = value_of(words, "--data") not in (None, "sample")
    if real and REAL_DATA is None:
        words[words.index("--data") + 1] = "sample"
    if words[0] == "plan" or "--dry-run" in words:
        return words
    if real or value_of(words, "--preset") in REAL:
        return [*words, "--dry-run"]
    return [*words, *QUICK, "--limit", "2"]


@pytest.mark.parametrize("command", chosen("bench"), ids=str)
def test_a_command_of_the_pages_runs(command: Command, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = known_words(command)
    only_named = command.named and not words
    if only_named or any(re.match(known, " ".join(command.words)) for known in NOT_RUN):
        return
    config = next((block.text for page in PAGES for block in blocks(page) if block.title == "grid.toml"), None)
    if config is not None:
        (desk.root / "grid.toml").write_text(config)
    words = filled(command, desk)
    if words[0] in ("run", "plan") or words[:2] == ["paper", "run"]:
        words = made_quick(words, command.named or command.elided)
    if words[:2] == ["data", "get"]:  # which would fetch
        words += [*(() if words[2:] else ("mnist",)), "--dry-run"]
    code = cli.main(words)
    shown = capsys.readouterr()
    assert code == 0, f"{command}: bench {' '.join(words)} ended with {code}: {shown.err.splitlines()[-1:]}"
    assert shown.out or words[0] in ("export", "report"), f"{command} prints nothing"


def test_the_pages_are_read_and_few_commands_are_only_parsed() -> None:
    known = {str(command) for command in chosen("bench")}
    assert any("bench run --task msmarco-dsi --pruner grasp" in command for command in known)
    assert len({command.words for command in chosen("bench")}) > 40
    parsed = [c for c in chosen("bench") if any(re.match(rule, " ".join(c.words)) for rule in NOT_RUN)]
    assert len(parsed) <= 10, parsed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("    bench rnu --task ag-news\n", "there is no 'bench rnu'"),
        ("Or `bench paper shwo NAME`.\n", "there is no 'bench shwo'"),
        ("```sh\nbench run --task ag-news \\\n    --grd 0.5\n```\n", "run has no flag --grd"),
        ("    bench report results [--formt md]   # as a table\n", "report has no flag --formt"),
    ],
)
def test_an_unknown_verb_or_flag_is_found(text: str, said: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Text.\n\n{text}")
    (command,) = commands(page)
    with pytest.raises(AssertionError, match=said):
        known_words(command)


@pytest.mark.parametrize("command", chosen("make"), ids=str)
def test_a_make_target_of_the_pages_is_there(command: Command) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {word for word in command.words[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("command", [*chosen("pip"), *chosen("python"), *chosen("pytest")], ids=str)
def test_what_else_the_pages_call_is_there(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for asked in re.findall(r"(?:prunebench|\.)\[([\w,-]+)\]", " ".join(command.words)):
        assert set(asked.split(",")) <= extras, command
    for word in command.words:
        assert not word.startswith("tests/") or (ROOT / word).exists(), command
    if command.words[:2] == ("python", "-m") and command.words[2].startswith(registry_roots()):
        with pytest.raises(SystemExit):
            importlib.import_module(command.words[2]).main(["--help"])
        helped = capsys.readouterr().out
        assert all(word in helped for word in command.words if word.startswith("--")), command


def registry_roots() -> tuple[str, ...]:
    return ("bench.", "tasks.", "pruners.", "reports.")


OF_OTHER_TOOLS = {"--no-deps", "--num_machines", "--num_processes", "--nnodes", "--cpu"}
"""Flags of pip and of the launchers of several processes that the text speaks of."""
SPANS = [(page.name, line, span) for page in PAGES for line, span in spans(page)]


def test_flags_in_the_text_are_flags_of_some_verb() -> None:
    known = all_flags(typer.main.get_command(cli.app)) | {
        "--no-deps",
        "--num_machines",
        "--nnodes",
        "--cpu",
        "--num_processes",
    }
    for page, line, span in SPANS:
        if span.startswith("--"):
            wrong = {word.split("=")[0] for word in span.split() if re.match("--\\w", word)} - known
            assert not wrong, f"{page}:{line}: `{span}`"


def settable(setting: str) -> bool:
    """Whether ``NAME=VALUE`` can be set of some task, in some preset of some model, or of some pruner."""
    of_tasks, of_pruners = split_settings(dict([setting.split("=", 1)]))
    for name in of_pruners:
        owner, _, field = name.rpartition(".")
        if owner in registry.names("pruners"):
            return hasattr(registry.pruner(owner).options, field)
    own = of_tasks or {name.partition(".")[2]: value for name, value in of_pruners.items()}
    return any(_takes(preset, own, model) for preset, model in _presets())


def _presets() -> Iterator[tuple[Preset, str | None]]:
    for kind in map(registry.task, registry.names("tasks")):
        for model in (None, *MODELS) if hasattr(kind, "presets_of") else (None,):
            for preset in presets_of(kind, model).values():
                yield preset, model


def _takes(preset: Preset, settings: Mapping[str, str], model: str | None) -> bool:
    try:
        override(preset, settings if model is None else {**settings, "model": model})
    except UsageError:
        return False
    return True


def test_settings_in_the_text_can_be_set(plug_ins: Path) -> None:
    found = {
        (page, line, setting)
        for page, line, span in SPANS
        for setting in re.findall(r"--set ([\w.-]+=[^\s`]+)", span)
        if not re.fullmatch(r"[A-Z.]+=VALUE", setting)
    }
    assert len(found) > 10
    for page, line, setting in sorted(found):
        assert settable(setting), f"{page}:{line}: --set {setting}"


def test_files_that_the_text_names_are_there() -> None:
    named = re.compile(r"(bench|tasks|pruners|reports|tests|docs|\.ci)/[\w./-]*")
    found = [(page, line, span) for page, line, span in SPANS if named.fullmatch(span)]
    assert len(found) > 30
    for page, line, span in found:
        assert (ROOT / span).exists(), f"{page}:{line}: `{span}`"


SNIPPETS = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == "python" and block.title is None and page.name != "tutorial.md"  # which is run whole
]


@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_snippet_of_the_pages_runs(block, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    text = block.text.replace('"DIR"', '"exported"')
    exec(compile(text, f"{block.page}:{block.line}", "exec"), {"__name__": "snippet"})
    assert capsys.readouterr().out or "print" not in text
