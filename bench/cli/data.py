"""``bench data``: which data sets there are, where they come from, and whether what is here is right."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import flags
from bench.cli.output import block, homely, pairs, write, write_json
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.downloads.catalogue import Entry
    from bench.downloads.fetch import Watch
    from bench.downloads.install import Outcome
    from bench.downloads.verify import Check
    from bench.sources import Download

INTERRUPTED = 130

app = typer.Typer(help="Data sets: list them, fetch them, check them.", no_args_is_help=True)
Names = Annotated[list[str] | None, typer.Argument(help="Data sets or tasks: 'bench data list'.", metavar="NAME...")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Root = Annotated[
    str | None,
    typer.Option("--data", help="Folder for the data sets.  [default: $BENCH_DATA, else the cache]"),
]


@app.command("list")
def list_data(names: Names = None, data: flags.Data = None, json: Json = False) -> None:
    """List the data sets that tasks stand on: size, licence, and where they are. With names: addresses and digests."""
    entries = _entries(names)
    if json:
        write_json([_plain(entry, data) for entry in entries])
    elif names:
        write("\n".join(_page(entry, data) for entry in entries))
    else:
        lines = [
            [one.dataset.folder, _size(one.dataset.size), ", ".join(one.tasks), _where(one, data) or "absent"]
            for one in entries
        ]
        write(block(["data set", "download", "tasks", "here"], lines, right=(1,)))


@app.command("get")
def get(
    names: Names = None,
    data: Root = None,
    fetched: Annotated[
        Path | None, typer.Option("--from", help="Folder with the official downloads, fetched elsewhere: no network.")
    ] = None,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Take unencrypted addresses and redirects as well.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be fetched and stop.")] = False,
) -> None:
    """Fetch data sets from their official sources: resumed, checked, unpacked, all files or none.

    What is there already stays as it is. Exit code 2 where one cannot be had; the others are fetched all the same.
    """
    if not names:
        raise UsageError("no data set named", mend="'bench data list' shows what there is.")
    if fetched is not None and not fetched.is_dir():
        raise UsageError("no such folder", where=f"--from {fetched}", mend="Give the folder with the downloads.")
    root, entries = _root(data), _entries(names)
    if dry_run:
        write("\n".join(_page(entry, str(root) if root.is_dir() else None) for entry in entries))
        return
    _fetch(entries, root, fetched, allow_http)


def _fetch(entries: Sequence[Entry], root: Path, fetched: Path | None, allow_http: bool) -> None:
    from bench.downloads.fetch import Rules
    from bench.downloads.install import get as bring
    from bench.errors import BenchError

    failed: list[BenchError] = []
    try:
        with _bars() as watch:
            for entry in entries:
                dataset = entry.dataset
                watch.said(f"{dataset.folder}: {dataset.title}. {dataset.licence}")
                try:
                    outcome = bring(dataset, root, Rules(allow_http=allow_http), watch, fetched)
                except BenchError as error:
                    if len(entries) == 1:
                        raise
                    failed.append(error)
                    watch.said(f"bench: {' '.join(str(error).split())}")
                else:
                    write(_told(outcome))
    except KeyboardInterrupt:
        typer.echo("bench: interrupted. What has come is kept: the same command goes on from there.", err=True)
        raise SystemExit(INTERRUPTED) from None
    if failed:
        raise UsageError(f"{len(failed)} of {len(entries)} data sets were not fetched", mend="See the lines above.")


def _told(outcome: Outcome) -> str:
    place = homely(outcome.folder)
    lines = [f"{place}: {', '.join(outcome.new) or 'all files are there already'}\n"]
    if outcome.uncompared:
        lines.append(f"  were there, and no digest is known to compare with: {', '.join(outcome.uncompared)}\n")
    lines += [f"  {one.url}: sha256 {one.sha256}, {one.checked}\n" for one in outcome.unchecked]
    return "".join(lines)


@app.command("verify")
def verify(names: Names = None, data: flags.Data = None, json: Json = False) -> None:
    """Check the data sets of a folder: files against their digests, the layout by the tasks' own readers.

    Without names all that are there. Exit code 1 where something is wrong.
    """
    from bench.downloads import verify as checking

    found: list[Check] = []
    for entry in _entries(names):
        folder = checking.present(entry.dataset, data)
        if folder is not None:
            found.append(checking.verify(entry, folder))
        elif names:
            raise UsageError(
                f"no file of {entry.dataset.folder} is there",
                where=f"--data {data}" if data else "the data folders",
                mend=f"'bench data get {entry.dataset.folder}' fetches it.",
            )
    if not found:
        raise UsageError(
            "no data set is there",
            where=f"--data {data}" if data else "the data folders",
            mend="'bench data get NAME' fetches one: 'bench data list'.",
        )
    if json:
        write_json([{**asdict(check), "problems": check.problems} for check in found])
    else:
        write("\n".join(map(_checked, found)))
    if any(check.problems for check in found):
        raise typer.Exit(1)


def _checked(check: Check) -> str:
    lines = [[f"  {one.name}", one.state, one.said] for one in check.files]
    for one in check.tasks:
        identity = one.identity
        if identity is None:
            lines.append([f"  {one.task}", "cannot read it", one.said])
        else:
            counts = ", ".join(f"{count:,} {what}" for what, count in identity.counts.items())
            lines.append([f"  {one.task}", identity.kind, f"{counts}; digest {identity.digest[:12]}"])
    mark = "!!" if check.problems else "ok"
    said = "".join(f"  !! {problem}\n" for problem in check.problems)
    return block([f"{mark} {check.folder}", "", ""], lines) + said


# Names, places, words


def _entries(names: Sequence[str] | None) -> list[Entry]:
    from bench.downloads.catalogue import catalogue, resolve

    known = catalogue()
    if not names:
        return [*known.values()]
    return list({entry.dataset.folder: entry for entry in (resolve(name, known) for name in names)}.values())


def _root(data: str | None) -> Path:
    """Where ``get`` puts data sets."""
    from bench.data import SAMPLE, cache_folder

    if data == SAMPLE or data == "":
        raise UsageError("is no folder to put data into", where=f"--data {data}", mend="Give a folder.")
    given = data or os.environ.get("BENCH_DATA")
    return Path(given) if given else cache_folder() / "data"


def _where(entry: Entry, data: str | None) -> str | None:
    from bench.downloads.verify import present

    found = present(entry.dataset, data)
    return None if found is None else homely(found)


def _plain(entry: Entry, data: str | None) -> dict[str, Any]:
    return {**asdict(entry.dataset), "tasks": entry.tasks, "size": entry.dataset.size, "here": _where(entry, data)}


def _page(entry: Entry, data: str | None) -> str:
    dataset = entry.dataset
    facts: list[tuple[str, object]] = [
        ("data set", dataset.folder),
        ("what", dataset.title),
        ("licence", dataset.licence),
        ("home", dataset.home),
        ("tasks", ", ".join(entry.tasks)),
        ("download", _size(dataset.size)),
        ("here", _where(entry, data) or "absent"),
    ]
    facts += [("note", dataset.note)] if dataset.note else []
    return pairs(facts) + "".join(_source(source) for source in dataset.downloads)


def _source(source: Download) -> str:
    names = ", ".join(file.name + file.suffix for file in source.files)
    size = f"{source.size:,} bytes" if source.exact else f"about {_size(source.size)}"
    if source.sha256 or source.md5:
        known = f"sha256 {source.sha256}" if source.sha256 else f"md5 {source.md5}"
    elif all(file.sha256 for file in source.files):
        known = "checked by the digests of its files' content"
    else:
        known = "no digest known: recorded on the first download"
    return f"  {source.url}\n    {size}, {known}\n    {names}\n"


def _size(count: int) -> str:
    from bench.machine import human

    return human(count)


@contextmanager
def _bars() -> Iterator[Watch]:
    """Bars on a terminal; elsewhere a line where something happens."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    bars = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    known: dict[str, TaskID] = {}

    class Bars:
        def progress(self, name: str, done: int, total: int | None) -> None:
            if name not in known:
                known[name] = bars.add_task(name, total=total)
            bars.update(known[name], completed=done, total=total)

        def said(self, text: str) -> None:
            console.print(text, markup=False)

    with bars:
        yield Bars()
