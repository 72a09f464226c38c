"""``bench show``: all about a task, a pruner, or a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.output import block, pairs, write
from bench.cli.pruner_page import page, paragraph
from bench.cli.samples import samples
from bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store

SHORTEST_KEY = 4
PHASES = ("train", "recover")
HEXADECIMAL = frozenset("0123456789abcdef")


def show(
    name: Annotated[str, typer.Argument(help="A task, pruner, allocation or structure, or the start of a cell's key.")],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="The results folder that holds the cell.")] = "results",
    model: Annotated[str | None, typer.Option(help="Of a task: the presets of this model of it.")] = None,
    reproduce: Annotated[
        bool, typer.Option("--reproduce", help="Of a cell: print the command that computes it again, and no more.")
    ] = False,
) -> None:
    """Show all about a task, a pruner or a cell.

    Of a task its metrics, options and presets; of a cell its metrics, layers, FLOPs, steps, provenance and files.
    """
    from bench import registry

    # 2:4 goes by the name of all such structures.
    groups = [group for group in registry.GROUPS if registry.registered(group, name) in registry.names(group)]
    if groups and reproduce:
        raise UsageError(f"{name!r} is no cell", where="--reproduce", mend="Give the key of a cell.")
    if groups:
        write("\n".join(_plug_in(group, name, model) for group in groups))
    elif len(name) >= SHORTEST_KEY and set(name) <= HEXADECIMAL:
        from bench.cli.report import FOREIGN, unshowable
        from bench.reproduce import command
        from bench.store import Store

        store = Store(out)
        record = found(store, name, out)
        try:
            text = f"{command(record)}\n" if reproduce else _record(record, store)
        except FOREIGN as error:
            raise unshowable(f"record {record.key[:12]}", error) from error
        write(text)
    else:
        # One name may stand for a pruner and its learner.
        known = [*dict.fromkeys(known for group in registry.GROUPS for known in registry.names(group))]
        if set(name) <= HEXADECIMAL:
            raise UsageError(
                f"{name!r} is no task or pruner, and too short for a key", mend=f"Give at least {SHORTEST_KEY} digits."
            )
        raise UsageError(f"{name!r} is no task, pruner or key", mend=registry.suggestion(name, known))


def _plug_in(group: str, name: str, model: str | None) -> str:
    from bench import registry

    found = registry.usable(group, name)
    facts: list[tuple[str, object]] = [(group[:-1], name), ("from", registry.distribution(group, name))]
    if group == "tasks":
        return _task(found, facts, model)
    if group == "pruners":
        return page(name, found, facts)
    return pairs(facts) + paragraph(found)


def _task(found: Any, facts: list[tuple[str, object]], model: str | None) -> str:
    from bench.plan import check_model, presets_of
    from bench.settings import override

    presets = presets_of(found, model)
    if model is not None:
        check_model(found, model)
        override(next(iter(presets.values())), {"model": model})
    own: Sequence[str] = getattr(found, "models", ())
    facts = [
        *facts,
        ("title", found.title),
        ("version", found.version),
        ("metrics", _directions(found.metrics)),
        ("data", f"{found.dataset}/ with {', '.join(found.required)} (plain, .gz or .xz), else the embedded sample"),
    ]
    if own and model is not None and model not in own:
        facts.append(("model", f"{model}, a checkpoint's folder or hub id: whether it is there, a run tells"))
    parts = [pairs(facts) + paragraph(found), _presets(presets), _options(presets)]
    parts += ["notes\n" + "".join(f"  {note}\n" for note in found.notes)] if found.notes else []
    return "\n".join(part for part in parts if part)


def _directions(metrics: Any) -> str:
    """The metrics in their order, each direction said once."""
    said = {True: "higher is better", False: "lower is better"}
    groups = {better: [m.name for m in metrics if m.higher_is_better is better] for better in said}
    return "; ".join(f"{', '.join(names)}: {said[better]}" for better, names in groups.items() if names)


def _presets(presets: Any) -> str:
    """One column a preset, one line an option or setting; what no preset changes of a schedule is left out."""
    columns = {name: _settings(preset) for name, preset in presets.items()}
    usual = _usual()
    names = dict.fromkeys(name for settings in columns.values() for name in settings)
    told = [name for name in names if any(column.get(name) != usual.get(name, ...) for column in columns.values())]
    lines = [[f"  {name}", *(_cell(column.get(name)) for column in columns.values())] for name in told]
    return block(["presets", *columns], lines)


def _settings(preset: Any) -> dict[str, object]:
    schedules = {phase: asdict(getattr(preset, phase)) for phase in PHASES}
    settings = {f"{phase}.{name}": value for phase, schedule in schedules.items() for name, value in schedule.items()}
    scoring = {"score_batches": preset.score_batches, "score_batch_size": preset.score_batch_size}
    return {**asdict(preset.options), **settings, **scoring}


def _usual() -> dict[str, object]:
    """The defaults of a schedule, and the stream that a recovery has of its own."""
    from bench.steps import Schedule

    defaults = {f"{phase}.{field.name}": field.default for phase in PHASES for field in fields(Schedule)}
    return {**defaults, "recover.stream": "recover"}


def _cell(value: object) -> str:
    from reports.facts import plain

    return "–" if value is None else plain(value)


def _options(presets: Any) -> str:
    """What the task's options mean, where their class tells."""
    from bench.cli import descriptions

    classes = dict.fromkeys(type(preset.options) for preset in presets.values())
    told = {name: text for found in classes for name, text in descriptions.fields(found).items()}
    return f"options\n{pairs([*told.items()], indent=2)}" if told else ""


def found(store: Store, prefix: str, out: str) -> Record:
    """The record whose key begins with ``prefix``. Raises ``UsageError`` where there is none, or there are several, and
    ``StoreError`` where it is not whole."""
    matching = store.keys(prefix)
    if len(matching) > 1:
        raise UsageError(f"{len(matching)} keys begin with {prefix!r}", where=str(out), mend="Give more of the key.")
    record = store.record(matching[0]) if matching else None
    if record is None:
        for name, why in store.left_out.items():
            raise StoreError(why, where=store.where(name), mend="Put it back, or 'bench run' computes the cell again.")
        raise UsageError(
            f"no key begins with {prefix!r}",
            where=str(out),
            mend="'bench report --format csv' lists the keys; --out gives the folder.",
        )
    return record


def _record(record: Record, store: Store) -> str:
    from reports.facts import mapping, step
    from reports.samples import NOTE

    cell: list[tuple[str, object]] = [
        ("key", record.key),
        ("status", record.status),
        ("task", f"{record.task} version {record.task_version}, {record.model}, preset {record.preset}"),
        ("pruner", " ".join(filter(None, (record.pruner, record.when, record.allocation, record.structure)))),
        *_sizes(record),
        ("seed", record.seed),
        ("data", f"{record.data.get('name')}, {record.data.get('kind')}, digest {record.data.get('digest')}"),
        ("train steps", record.train_steps),
        *_costs(record),
    ]
    if record.failure is not None:
        failure = record.failure
        cell.append(("failure", f"{' '.join(failure.error.split())} ({failure.step}), see {failure.log or 'no log'}"))
    path = [(str(index), step(described)) for index, described in enumerate(record.path, start=1)]
    layers = [
        [f"  {layer.name}", layer.type, layer.size, layer.kept, f"{layer.density:.4f}", "†" if not layer.kept else ""]
        for layer in record.layers
    ]
    sections: list[tuple[str, Sequence[tuple[str, object]]]] = [
        (f"metrics over {record.n} examples", _metrics(record)),
        ("steps", path),
        ("options", mapping(record.options)),
        ("data counts", mapping(record.data.get("counts", {}))),
        ("FLOPs by layer type: dense, effective", mapping(record.flops_by_type)),
        ("seconds", mapping(store.timing(record.key))),
        ("latency: measured, milliseconds", _latency(store.measurement(record.key).get("latency"))),
        ("files", [(kind, f"files/{file}") for kind, file in record.files.items()]),
        ("notes", mapping({name: note for name, note in record.notes.items() if name != NOTE})),
        ("provenance", mapping(record.provenance)),
    ]
    parts = [pairs(cell), *(f"{title}\n{pairs(facts, indent=2)}" for title, facts in sections if facts)]
    if layers:
        header = ["layers", "type", "size", "kept", "density", ""]
        parts.insert(2, block(header, layers, right=(2, 3, 4)))
    return "\n".join([*parts, *samples(record, store)])


def _sizes(record: Record) -> list[tuple[str, object]]:
    """Target, sparsities and numbers of weights; a cell that failed may have the target alone."""
    from reports.facts import plain

    if record.sparsity is None:
        found: list[tuple[str, object]] = [("target", record.goal_name)]
    else:
        total = "" if record.total_sparsity is None else f"; total {plain(record.total_sparsity)}"
        found = [("sparsity", f"{plain(record.sparsity)} of target {record.goal_name}{total}")]
    if record.prunable is not None:
        found.append(("weights", f"{record.prunable} prunable of {record.parameters} parameters"))
    return found


def _costs(record: Record) -> list[tuple[str, object]]:
    """FLOPs, bytes and the masks' digest, as far as the cell came to them."""
    from bench.machine import human
    from reports.facts import plain

    found: list[tuple[str, object]] = []
    if record.flops is not None:
        found.append(("FLOPs", f"{record.flops} of {plain(record.dense_flops)} dense"))
    if record.compressed_bytes is not None and record.dense_bytes is not None:
        found.append(("bytes", f"{human(record.compressed_bytes)} compressed, {human(record.dense_bytes)} dense"))
    if record.mask_digest is not None or record.status == "done":
        found.append(("mask digest", record.mask_digest or "none"))
    return found


def _latency(found: Any) -> list[tuple[str, object]]:
    """Median and quartiles by back-end, and what they were measured under."""
    from reports.latency import readable

    if not readable(found):
        return []
    times = [
        (entry["backend"], f"{entry['median']:.4g} ({entry['lower']:.4g} to {entry['upper']:.4g})")
        for entry in found["backends"]
    ]
    times += [(name, f"left out: {reason}") for name, reason in found.get("left_out", {}).items()]
    return [*times, *((name.replace("_", " "), found[name]) for name in ("batch_size", "threads", "device", "rounds"))]


def _metrics(record: Record) -> list[tuple[str, object]]:
    """In the task's own order; what it does not name comes last."""
    order = dict.fromkeys((*(entry["name"] for entry in record.metric_info), *record.metrics))
    return [(name, record.metrics[name]) for name in order if name in record.metrics]
