"""The command that computes a record's cell again: the flags of ``bench run`` from what the record says.

Imports no torch and opens no data.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields, replace
from typing import Any

from bench import registry
from bench.checkpoints import TRUST
from bench.data import SAMPLE
from bench.errors import BenchError, StoreError, UsageError
from bench.plan import REFERENCE, presets_of
from bench.rebuild import path_of
from bench.record import DENSE, Record
from bench.settings import changed, override
from bench.steps import Evaluate, Path, Schedule, Score, Train, excluded, keys, root_key
from pruners.base import Budget, Pruner
from tasks.base import LATER, Preset

DATA = "DATA"
"""Stands for the folder with the data sets, of which a record says the digest and not the place."""
_CHOICES = ("when", "allocation", "structure")
_OF_TARGET = re.compile(r'"(?:sparsity|to)": [^,}]+')
"""What of a path, as JSON, differs between the targets of a pruner."""
_NUMBERED = re.compile(r" \d+$")
"""What a recipe of several recoveries puts behind the stream of each."""


def command(record: Record) -> str:
    """The ``bench run`` line whose grid holds the record's cell, under the same key; of a grid that has others it is
    the smallest: the dense reference comes along, and the other iterations of a pruner that counts them. The seed is
    its last word.

    ``DATA`` stands for the data's folder, unless it is the embedded sample. Raises ``BenchError`` where the task or
    pruner is not installed, or this version of it would compute something else.
    """
    return Commands().of(record)


class Commands:
    """``command`` of many records: those that differ in seed and target alone are looked into once."""

    def __init__(self) -> None:
        self._found: dict[str, list[str] | BenchError] = {}

    def of(self, record: Record) -> str:
        """As ``command``."""
        like = _likeness(record)
        if like not in self._found:
            try:
                self._found[like] = _flags(record)
            except BenchError as error:
                self._found[like] = error
            except Exception as error:  # what a plug-in makes of another version's settings is its own
                self._found[like] = _other(record, f"{type(error).__name__}: {error}")
        flags = self._found[like]
        if isinstance(flags, BenchError):
            raise flags
        target = {} if record.pruner == DENSE or record.iteration is not None else {"--grid": record.target_sparsity}
        return shlex.join([*_program(record), "run", *flags, *_words(target), "--seeds", str(record.seed)])


def _likeness(record: Record) -> str:
    """The same for records whose commands differ in target and seed alone."""
    said = [record.task, record.task_version, record.preset, record.model, record.options, record.data.get("kind"),
            record.pruner, record.when, record.allocation, record.structure, record.variant, record.iteration is None,
            *(record.provenance.get(name) for name in ("dtype", "device", "threads", "processes"))]  # fmt: skip
    return json.dumps(said, sort_keys=True) + _OF_TARGET.sub("", json.dumps(record.path, sort_keys=True))


def _program(record: Record) -> list[str]:
    """What starts ``bench``: a launcher, where several processes computed the cell together."""
    processes = _processes(record)
    return ["bench"] if processes == 1 else ["torchrun", "--nproc-per-node", str(processes), "-m", "bench"]


def _processes(record: Record) -> int:
    return int(record.provenance.get("processes", 1))


def _flags(record: Record) -> list[str]:
    """All words but grid and seed."""
    path = path_of(record)
    model, preset = _preset(record)
    pruner, pruner_settings = _pruner(record, path)
    settings = _settings(record, path, preset, pruner)
    _check_key(record, path)
    usual = REFERENCE if record.pruner == DENSE else registry.pruner(record.pruner)
    asked = {
        "--task": record.task,
        "--pruner": record.pruner,
        "--model": model,
        **{f"--{name}": _unless(getattr(pruner, name), getattr(usual, name)) for name in _CHOICES},
        "--exclude": _unless(",".join(pruner.exclude), ",".join(usual.exclude)),
        "--preset": record.preset,
    }
    trusted = [f"--{TRUST.replace('_', '-')}"] if settings.pop(TRUST, "false").lower() == "true" else []
    told = [f"{name}={text}" for name, text in {**settings, **pruner_settings}.items()]
    place = {
        "--dtype": _unless(record.provenance.get("dtype", "float32"), "float32"),
        "--data": SAMPLE if record.data.get("kind") == SAMPLE else DATA,
        "--device": record.provenance.get("device"),
        "--threads": record.provenance.get("threads"),
    }
    return [*_words(asked), *(word for setting in told for word in ("--set", setting)), *trusted, *_words(place)]


def _unless(value: object, usual: object) -> object:
    return None if value == usual else value


def _words(flags: Mapping[str, object]) -> Iterator[str]:
    for flag, value in flags.items():
        if value is not None:
            yield from (flag, repr(value) if isinstance(value, float) else str(value))


def _preset(record: Record) -> tuple[str | None, Preset]:
    """The model to name, where it is not the preset's own; and the preset of that model."""
    kind = registry.task(record.task)
    if record.task_version != kind.version:
        raise _other(record, f"it is of version {record.task_version} of the task, {kind.version} is installed")
    usual = kind.presets.get(record.preset)
    model = record.options.get("model")
    named = None if usual is not None and model in (None, getattr(usual.options, "model", None)) else model
    presets = presets_of(kind, named)
    if record.preset not in presets:
        raise _other(record, f"the task {record.task!r} has no preset {record.preset!r} now")
    return named, presets[record.preset]


def _pruner(record: Record, path: Path) -> tuple[Pruner, dict[str, str]]:
    """The pruner with the record's choices, and the settings of its own that lead there."""
    if record.pruner == DENSE:
        return REFERENCE, {}
    usual = registry.pruner(record.pruner)
    options, settings = usual.options, dict(_chosen(usual, record.variant))
    for name, text in settings.items():
        options = changed(options, name.rpartition(".")[2], text, name)
    chosen = replace(
        usual,
        when=record.when,
        allocation=record.allocation,
        structure=record.structure,
        exclude=excluded(path) or usual.exclude,
        options=options,
    )
    return chosen, settings


def _chosen(usual: Pruner, variant: str) -> Iterator[tuple[str, str]]:
    """Settings that a variant names: ``sap.p`` and ``0.3`` of ``... , p=0.3``."""
    known = [entry.name for entry in fields(usual.options)] if usual.options is not None else []
    if not known:
        return
    found = [*re.finditer(rf"(?:^|, )({'|'.join(map(re.escape, known))})=", variant)]
    for number, match in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(variant)
        text = variant[match.end() : end]
        value = _text(ast.literal_eval(text)) if text.startswith("(") else text
        yield f"{usual.name}.{match[1]}", value


def _settings(record: Record, path: Path, preset: Preset, pruner: Pruner) -> dict[str, str]:
    """What turns ``preset`` into the record's settings."""
    settings = {**_options(record, preset), **_scoring(path, preset), **_schedules(path, preset)}
    # A recovery of no steps leaves no trace on a path, and most paths have none: asked for where nothing else fits.
    for candidate in (settings, {**settings, "recover.steps": "0"}):
        try:
            if _steps(record, override(preset, candidate), pruner) == path[1:-1]:
                return candidate
        except UsageError:
            continue
    raise _other(record, "its steps are not what the pruner would take now")


def _steps(record: Record, preset: Preset, pruner: Pruner) -> Path:
    target = record.target_sparsity if record.iteration is None else float(record.iteration)
    # Schedules that are on the path have their steps; what the others come to is on no path.
    budget = Budget(preset.train.resolved(1), preset.recover.resolved(1), preset.score_batches, preset.score_batch_size)
    return tuple(pruner.recipe(pruner, target or 0.0, budget))


def _options(record: Record, preset: Preset) -> dict[str, str]:
    present = json.loads(json.dumps(asdict(preset.options)))
    unasked = {
        entry.name: json.loads(json.dumps(entry.default))
        for entry in fields(preset.options)
        if LATER in entry.metadata and entry.default is not MISSING
    }
    wanted = {**unasked, **record.options}
    differing = [name for name in wanted if name != "model" and wanted[name] != present.get(name, ...)]
    return {name: _text(wanted[name]) for name in differing}


def _scoring(path: Path, preset: Preset) -> dict[str, str]:
    scores = [step for step in path if isinstance(step, Score) and step.batches]
    if not scores:
        return {}
    asked = {"score_batches": scores[0].batches, "score_batch_size": scores[0].batch_size}
    return {name: str(value) for name, value in asked.items() if value != getattr(preset, name)}


def _schedules(path: Path, preset: Preset) -> dict[str, str]:
    """Settings of the first training, and of the recoveries where the path has one."""
    trained = list(dict.fromkeys(step.schedule for step in path if isinstance(step, Train)))
    apart = preset.recover.stream
    first = [schedule for schedule in trained[:1] if _stream(schedule) != apart]
    later = [replace(schedule, stream=_stream(schedule)) for schedule in trained if schedule not in first]
    none = {} if first or preset.train.steps == 0 else {"train.steps": "0"}
    found = {**none, **(_differences("train", preset.train, first[0]) if first else {})}
    return {**found, **(_differences("recover", preset.recover, later[0]) if later else {})}


def _stream(schedule: Schedule) -> str:
    return _NUMBERED.sub("", schedule.stream)


def _differences(part: str, usual: Schedule, wanted: Schedule) -> dict[str, str]:
    names = [entry.name for entry in fields(Schedule) if entry.name not in ("steps", "epochs")]
    pairs = {name: (getattr(usual, name), getattr(wanted, name)) for name in names}
    found = {f"{part}.{name}": _text(new) for name, (old, new) in pairs.items() if new != old}
    # Epochs come to steps on the data alone, and no data is opened here.
    same_length = usual.epochs is None and usual.steps == wanted.steps
    return found if same_length else {f"{part}.steps": _text(wanted.steps), **found}


def _text(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)


def _check_key(record: Record, path: Path) -> None:
    """Raises ``StoreError`` unless what is installed gives the cell the record's key.

    A checkpoint enters the key by its content, which the record does not have: of a task that may have begun with one
    another key says nothing.
    """
    kind = registry.task(record.task)
    evaluate = path[-1]
    apart = dict(evaluate.options) if isinstance(evaluate, Evaluate) else {}
    identity = {
        "task": record.task,
        "version": registry.edition("tasks", record.task, kind, kind.version),
        "options": {name: value for name, value in record.options.items() if name not in apart},
        "data": record.data.get("digest"),
        "model": record.model,
        "seed": record.seed,
        "dtype": record.provenance.get("dtype", "float32"),
        **({"processes": _processes(record)} if _processes(record) > 1 else {}),
    }
    from_checkpoint = hasattr(kind, "checkpoint") or hasattr(kind, "other_checkpoints")
    if keys(root_key(identity), path)[-1] != record.key and not from_checkpoint:
        raise _other(record, "the task is not what it was")


def _other(record: Record, why: str) -> BenchError:
    return StoreError(
        f"no command of what is installed here computes it: {why}",
        where=f"record {record.key[:12]}",
        mend="Install the versions that its provenance names.",
    )
