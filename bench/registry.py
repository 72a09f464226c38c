"""Names of tasks and pruners, found through entry points and loaded only when used.

Groups: ``prunebench.tasks``, ``.pruners``, ``.allocations``, ``.structures``, and for recipes that need them ``.rules``
(adaptive cuts) and ``.learners`` (masks learned in training).
What ``prunebench.pruners`` names is either a ``Pruner`` or a criterion class; a criterion is a pruner as well, by the
one-shot recipe, so that a new criterion is one file and one entry-point line.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError

if TYPE_CHECKING:
    from pruners.base import Allocation, Criterion, MaskLearner, Pruner, Rule, Structure
    from tasks.base import Task

GROUPS = ("tasks", "pruners", "allocations", "structures", "rules", "learners")

OURS = "prunebench"
"""The distribution whose versions are kept by hand."""
GROUPED = "N:M"
"""Registered name of the structure that stands for all of ``2:4``, ``1:4`` and so on."""
_GROUPED = re.compile(r"(\d{1,9}):(\d{1,9})", re.ASCII)


@cache
def _entries(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=f"prunebench.{group}"):
        claims = found.setdefault(entry.name, [])
        if not any(_distribution(entry) == _distribution(claim) and entry.value == claim.value for claim in claims):
            claims.append(entry)
    return {name: tuple(claims) for name, claims in sorted(found.items())}


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def names(group: str) -> list[str]:
    """Registered names of a group, sorted; imports no plug-in."""
    return list(_entries(group))


def distribution(group: str, name: str) -> str:
    """Name and version of the distribution that registered ``name``."""
    entry = _entry(group, name)
    return f"{_distribution(entry)} {entry.dist.version}" if entry.dist is not None else _distribution(entry)


def source(group: str, name: str) -> str:
    """Where ``name`` is defined, as ``module:object``; imports no plug-in."""
    return _entry(group, name).value


def suggestion(name: str, known: Sequence[str]) -> str:
    """``Did you mean 'grasp'?`` where something is near, else the list of what there is."""
    spelled = {candidate.lower(): candidate for candidate in reversed(known)}  # the papers write GraSP and SynFlow
    near = difflib.get_close_matches(name.lower(), list(spelled), n=2, cutoff=0.5)
    if len(near) == 2 and not _much_nearer(name.lower(), *near):
        return f"Did you mean {spelled[near[0]]!r} or {spelled[near[1]]!r}?"
    return f"Did you mean {spelled[near[0]]!r}?" if near else f"There is: {', '.join(known) or 'none'}."


def _much_nearer(name: str, first: str, second: str) -> bool:
    one, other = (difflib.SequenceMatcher(None, name, candidate).ratio() for candidate in (first, second))
    return one > other + 0.1


def registered(group: str, name: str) -> str:
    """The name under which ``name`` is registered: ``N:M`` for the structure ``2:4``."""
    return GROUPED if group == "structures" and _GROUPED.fullmatch(name) else name


def _entry(group: str, name: str) -> EntryPoint:
    claims = _entries(group).get(registered(group, name))
    kind = group[:-1]
    if not claims:
        raise UsageError(f"unknown {kind} {name!r}", mend=suggestion(name, names(group)))
    if len(claims) > 1:
        owners = " and ".join(sorted(f"{_distribution(claim)} ({claim.value})" for claim in claims))
        raise UsageError(f"the {kind} {name!r} is claimed by {owners}", mend="Uninstall one of them.")
    return claims[0]


def known(group: str, name: str) -> None:
    """Raises ``UsageError`` where ``name`` is not registered, or by two distributions; imports no plug-in."""
    _entry(group, name)


def load(group: str, name: str) -> Any:
    """The object registered under ``name``; an import that fails names the distribution."""
    entry = _entry(group, name)
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # a script's last line must not end this process
        raise UsageError(
            f"the {group[:-1]} {name!r} of {_distribution(entry)} does not load: {type(error).__name__}: {error}",
            mend=f"Mend or uninstall {_distribution(entry)}.",
        ) from error


def usable(group: str, name: str) -> Any:
    """What ``load`` gives. Raises ``UsageError`` naming the distribution where that is not what the group holds."""
    found = load(group, name)
    wrong = _wrong(group, name, found)
    if wrong is not None:
        raise UsageError(
            f"the {group[:-1]} {name!r} of {_distribution(_entry(group, name))} {wrong}",
            mend=f"{'tasks' if group == 'tasks' else 'pruners'}/base.py says what belongs there.",
        )
    return found


def _wrong(group: str, name: str, found: Any) -> str | None:
    """What keeps ``found`` from being used at all; whether it keeps the contract is for ``bench check`` to say."""
    from pruners.base import Criterion, Pruner
    from tasks.base import Task

    if group == "pruners" and isinstance(found, Pruner):
        if found.name != name:
            return f"calls itself {found.name!r}"
        known = found.criterion in {*names("pruners"), *names("learners")}
        return None if known else f"names the criterion {found.criterion!r}, which no distribution registers"
    if group not in ("tasks", "pruners"):
        return None if callable(found) else f"is of type {type(found).__name__}, where a function or a class belongs"
    if not isinstance(found, type):
        return f"is of type {type(found).__name__}, where a class belongs"
    missing = [name for name in _members(Task if group == "tasks" else Criterion) if not hasattr(found, name)]
    return f"has no {', '.join(map(repr, missing))}" if missing else None


def _members(protocol: type) -> list[str]:
    return [name for name in (*protocol.__annotations__, *vars(protocol)) if not name.startswith("_")]


def task(name: str) -> type[Task]:
    """The task class registered under ``name``."""
    found: type[Task] = usable("tasks", name)
    return found


def pruner(name: str) -> Pruner:
    """The pruner registered under ``name``; a criterion is wrapped in the one-shot recipe."""
    from pruners.base import Pruner, one_shot_with

    found = usable("pruners", name)
    if isinstance(found, Pruner):
        return replace(found, version=_edition_of(found))
    made = one_shot_with(name, found)
    return replace(made, version=edition("pruners", name, found, made.version))


def _edition_of(pruner: Pruner) -> int | str:
    """The version of a recipe's criterion or learner, as ``edition`` gives it."""
    from pruners.base import Pruner

    for group in ("pruners", "learners"):
        if pruner.criterion in names(group) and _distribution(_entry(group, pruner.criterion)) != OURS:
            found = load(group, pruner.criterion)
            if not isinstance(found, Pruner):
                return edition(group, pruner.criterion, found, pruner.version)
    return pruner.version


def edition(group: str, name: str, found: Any, version: int | str) -> int | str:
    """``version``, and for a plug-in of another distribution a digest of its module's source: results of an edited
    plug-in are not those of the one before."""
    source = inspect.getsourcefile(found if inspect.isclass(found) or inspect.isfunction(found) else type(found))
    if source is None or _distribution(_entry(group, name)) == OURS:
        return version
    return f"{version}+{hashlib.sha256(Path(source).read_bytes()).hexdigest()[:8]}"


def criterion(name: str) -> Criterion:
    """A new instance of the criterion registered under ``name``."""
    from pruners.base import Pruner

    found = usable("pruners", name)
    if isinstance(found, Pruner):
        raise UsageError(f"{name!r} is a recipe, not a criterion", mend=f"Its criterion is {found.criterion!r}.")
    made: Criterion = found()
    return made


def allocation(name: str) -> Allocation:
    """The allocation registered under ``name``."""
    found: Allocation = usable("allocations", name)
    return found


def structure(name: str) -> Structure:
    """The structure registered under ``name``; ``2:4`` is ``N:M`` with these numbers."""
    found = usable("structures", name)
    numbers = _GROUPED.fullmatch(name)
    if name == GROUPED:
        raise UsageError("N and M stand for numbers", where="structure 'N:M'", mend="Say which, for example 2:4.")
    made: Structure = found(int(numbers[1]), int(numbers[2])) if numbers else found
    return made


def rule(name: str) -> Rule:
    """The adaptive rule registered under ``name``."""
    found: Rule = usable("rules", name)
    return found


def learner(name: str) -> MaskLearner:
    """The learner of masks registered under ``name``."""
    found: MaskLearner = usable("learners", name)
    return found
