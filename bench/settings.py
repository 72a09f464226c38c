"""A preset and the flags that change it: text, read by the type of the field that it replaces."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import UsageError
from bench.registry import suggestion
from tasks.base import Preset

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LARGEST = 2**53
"""Of whole numbers: what JSON keeps everywhere, and far beyond what any setting means."""
T = TypeVar("T", bound="DataclassInstance")


def override(preset: Preset, settings: Mapping[str, str]) -> Preset:
    """``preset`` with ``settings`` (name to text): ``train.X`` and ``recover.X`` change a schedule, ``score_batches``
    and ``score_batch_size`` the scoring, any other name an option of the task."""
    for part in ("train", "recover"):
        if {f"{part}.steps", f"{part}.epochs"} <= settings.keys():
            raise UsageError("both steps and epochs are given", where=f"{part} schedule", mend="Give one of them.")
    options: dict[str, str] = {}
    for name, text in settings.items():
        part, dot, field = name.partition(".")
        if dot and part in ("train", "recover"):
            schedule = changed(getattr(preset, part), field, text, name)
            if field in ("steps", "epochs"):
                schedule = replace(schedule, **{"epochs" if field == "steps" else "steps": None})
            preset = replace(preset, **{part: schedule})  # type: ignore[arg-type]
        elif name in ("score_batches", "score_batch_size"):
            preset = changed(preset, name, text, name)
        else:
            options[name] = text
    values = {name: _value(preset.options, name, text, name) for name, text in options.items()}
    # All at once: two options may be possible together and neither alone.
    return replace(preset, options=replace(preset.options, **values))


def changed(settings: T, field: str, text: str, name: str) -> T:
    """A copy of the dataclass ``settings`` with ``field`` read from ``text``; ``name`` is how errors call it."""
    return replace(settings, **{field: _value(settings, field, text, name)})


def _value(settings: DataclassInstance, field: str, text: str, name: str) -> Any:
    """``text`` as a value of ``field``."""
    known = _hints(type(settings))
    if field not in {entry.name for entry in fields(settings)}:
        raise UsageError("no such setting", where=f"--set {name}={text}", mend=_known(field, name, list(known)))
    try:
        return _read(known[field], text)
    except ValueError as error:
        raise UsageError(
            str(error), where=f"--set {name}={text}", mend=f"The present value is {getattr(settings, field)!r}."
        ) from error


def _known(field: str, name: str, known: Sequence[str]) -> str:
    """What could have been meant; where nothing is near an option's name, the other kinds of settings as well."""
    mend = suggestion(field, known)
    if name != field or mend.startswith("Did"):
        return mend
    return f"{mend} Beside these: train.X and recover.X, score_batches, score_batch_size, TASK.X, PRUNER.X."


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, text: str) -> Any:
    """``text`` as a value of the annotated type ``kind``. Raises ``ValueError``."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in inner:
            return None
        return _read(next(option for option in inner if option is not type(None)), text)
    if origin is typing.Literal:
        if text not in inner:
            raise ValueError(f"{text!r} is none of {', '.join(map(str, inner))}")
        return text
    if origin is tuple:
        return tuple(_read(inner[0], part) for part in text.split(",") if part)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            raise ValueError(f"{text[:80]!r} is no {'whole number' if kind is int else 'number'}") from None
        if not abs(number) < float("inf"):
            raise ValueError(f"{text[:80]!r} is no finite number")
        if kind is int and abs(number) > LARGEST:
            raise ValueError(f"{text[:80]!r} is larger than any setting may be")
        return number
    return text
