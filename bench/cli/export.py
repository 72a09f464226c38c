"""``bench export``: the final model of a cell, in files that others load."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from bench import ranks
from bench.cli import flags
from bench.cli.output import block, write


def export(
    key: Annotated[str, typer.Argument(help="The start of the cell's key: 'bench report --format csv' lists them.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write into.")],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="The results folder that holds the cell.")] = "results",
    data: flags.Data = None,
    model: Annotated[str | None, typer.Option(help="Folder of the checkpoint, where the cell began with one.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1.  [default: the record's]")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Intra-op threads.  [default: the record's]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    trust_remote_code: flags.TrustRemoteCode = None,
) -> None:
    """Write the final model of a finished cell: dense with zeros, masks, compressed and, without its units, compact.

    It is computed again from the nearest stored state, and checked against the record.
    """
    from bench.cli.show import found
    from bench.errors import UsageError
    from bench.export import check_folder
    from bench.store import Store

    store = Store(out)
    record = found(store, key, out)
    check_folder(to, force)
    from bench.cli.progress import Progress
    from bench.execution import device_of
    from bench.export import export as write_files
    from bench.threads import limit

    wanted = device or str(record.provenance.get("device", "cpu"))
    limit(threads or int(record.provenance.get("threads", 1)))
    if record.status != "done":
        raise UsageError("has no model: it failed", where=f"cell {record.key[:12]}", mend="Mend the cause, run again.")
    progress = Progress(record.train_steps, 1)
    with ranks.joined(wanted), nullcontext() if ranks.follows() else progress:
        sizes = write_files(
            store,
            record,
            to,
            progress,
            data=data,
            model=model,
            device=device_of(wanted),
            force=force,
            trusted=bool(trust_remote_code),
        )
    write(block([str(to), "bytes"], [[f"  {name}", f"{size:,}"] for name, size in sizes.items()], right=(1,)))
