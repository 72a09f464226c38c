"""The flags that say what a grid is, shared by the verbs that plan one, and the TOML file that may hold them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from bench import ranks
from bench.checkpoints import TRUST
from bench.errors import UsageError
from bench.grid import Request, default_grid, parse_grid, parse_seeds, parse_settings, split_settings
from bench.record import DENSE
from bench.registry import pruner, suggestion

Tasks = Annotated[str | None, typer.Option("--task", "-t", help="One task or several, comma-separated.")]
Pruners = Annotated[str | None, typer.Option("--pruner", "-p", help="One pruner or several, comma-separated.")]
Grid = Annotated[
    str | None,
    typer.Option(
        "--grid",
        "-g",
        help="Sparsities 0.5,0.8 or 0.5:0.9:0.1, densities d=0.1, exponents c=0.5,1, levels l=1:10:1.",
    ),
]
Seeds = Annotated[str | None, typer.Option("--seeds", help="0, 0,1,5 or 0-2.")]
PresetName = Annotated[
    str | None, typer.Option("--preset", help="smoke (default on the sample), small (on real data) or paper.")
]
Model = Annotated[
    str | None, typer.Option("--model", help="Models of the task, hub ids or folders, separated by commas.")
]
Data = Annotated[str | None, typer.Option("--data", help="Folder with the data sets, or 'sample'.")]
When = Annotated[str | None, typer.Option("--when", help="Cut at init, or the trained model and recover.")]
Allocation = Annotated[str | None, typer.Option("--allocation", help="global, uniform or erk.")]
Structure = Annotated[str | None, typer.Option("--structure", help="weights, N:M (2:4), rows or heads.")]
Epochs = Annotated[float | None, typer.Option("--epochs", help="Epochs of training.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Steps of training, instead of epochs.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Examples a training step.")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")]
Recover = Annotated[int | None, typer.Option("--recover", help="Steps of training after cutting a trained model.")]
PruneEmbeddings = Annotated[
    bool | None, typer.Option("--prune-embeddings", help="Offer embeddings and the output layer for pruning as well.")
]
Exclude = Annotated[
    str | None, typer.Option("--exclude", help="Parameters not to prune: name patterns, comma-separated.")
]
Rewind = Annotated[
    int | None, typer.Option("--rewind", min=0, help="imp: the step that weights and learning rate go back to.")
]
ScoreAfter = Annotated[
    int | None, typer.Option("--score-after", min=0, help="At init: train this many steps before scoring.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE, any setting of the preset ('bench show TASK')."),
]
Dtype = Annotated[str | None, typer.Option("--dtype", help="float32 or bfloat16 (mixed precision).")]
TrustRemoteCode = Annotated[
    bool | None,
    typer.Option(
        "--trust-remote-code",
        help="Run code that lies in the checkpoint of --model. It may do all that you may. Recorded.",
    ),
]
Config = Annotated[str | None, typer.Option("--config", help="TOML file with the flags above by name; flags win.")]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", help="Results folder, or a URL such as s3://BUCKET/FOLDER.  [default: results]"),
]

Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Intra-op threads of each worker, recorded: the last bits can depend on them."
    ),
]
Executor = Annotated[
    str | None,
    typer.Option("--executor", help="inline, processes or ray.  [default: inline; processes with --jobs]"),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes.  [default: 1; ray: as many as have room]")
]
RayAddress = Annotated[str, typer.Option("--ray-address", help="Of a Ray cluster that runs.")]
GpusPerJob = Annotated[
    float, typer.Option("--gpus-per-job", min=0, help="ray: GPUs set aside for a worker; 0.5 lets two share one.")
]

FLAGS: dict[str, Any] = {
    "task": Tasks,
    "pruner": Pruners,
    "grid": Grid,
    "seeds": Seeds,
    "preset": PresetName,
    "model": Model,
    "data": Data,
    "when": When,
    "allocation": Allocation,
    "structure": Structure,
    "epochs": Epochs,
    "steps": Steps,
    "batch_size": BatchSize,
    "lr": LearningRate,
    "recover": Recover,
    "prune_embeddings": PruneEmbeddings,
    "exclude": Exclude,
    "rewind": Rewind,
    "score_after": ScoreAfter,
    "set_": Set,
    "dtype": Dtype,
    "trust_remote_code": TrustRemoteCode,
    "config": Config,
    "out": Out,
}
"""The flags that describe a grid, by parameter name, in the order of the help."""

LARGEST_CONFIG = 1 << 20
"""Bytes of a file of flags at most."""
_SHORTHANDS = {
    "epochs": ("train.epochs",),
    "steps": ("train.steps",),
    "batch_size": ("train.batch_size", "recover.batch_size"),
    "lr": ("train.lr",),
    "recover": ("recover.steps",),
    "prune_embeddings": ("prune_embeddings",),
    TRUST: (TRUST,),
}
"""Flags that are short for settings."""


def takes_grid(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb all of ``FLAGS``; it is called with the request and the results folder that they describe, then with
    what its own flags say."""
    hints = get_type_hints(verb, include_extras=True)
    own = list(signature(verb).parameters.values())[2:]

    @wraps(verb)
    def taking(**values: Any) -> None:
        asked, folder = request({name: values.pop(name) for name in FLAGS})
        verb(asked, folder, **values)

    keyword = Parameter.KEYWORD_ONLY
    parameters = [Parameter(name, keyword, default=None, annotation=kind) for name, kind in FLAGS.items()]
    parameters += [one.replace(kind=keyword, annotation=hints[one.name]) for one in own]
    taking.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {one.name: one.annotation for one in parameters}
    return taking


def request(given: Mapping[str, Any]) -> tuple[Request, str]:
    """The request that the flags (by the names in ``FLAGS``) and their TOML file describe, and the results folder."""
    values = _with_config(given)
    if values.get("out") == "":
        raise UsageError("is empty", where="--out", mend="Give the folder for the results, or leave it out.")
    for name in ("task", "pruner"):
        if not values.get(name):
            raise UsageError(f"no --{name} given", mend=f"'bench list {name}s' shows what there is.")
    settings = {
        setting: str(values[flag])
        for flag, names in _SHORTHANDS.items()
        if values.get(flag) is not None
        for setting in names
    }
    more = parse_settings(values.get("set_") or ())
    if any(name.rpartition(".")[2] == TRUST for name in more):
        raise _by_flag_alone()
    settings, pruner_settings = split_settings({**settings, **more})
    if values.get("recover") is not None:
        _check_recovers(_names(values["pruner"]), values.get("when"))
    for name in ("rewind", "score_after"):
        if values.get(name) is not None:
            _check_said_once(name, pruner_settings)
            pruner_settings[name] = str(values[name])
    return (
        Request(
            tasks=_names(values["task"]),
            pruners=_names(values["pruner"]),
            sparsities=parse_grid(values.get("grid", default_grid(values.get("structure")))),
            seeds=parse_seeds(values.get("seeds", "0")),
            models=_names(values.get("model") or ""),
            preset=values.get("preset"),
            when=values.get("when"),
            allocation=values.get("allocation"),
            structure=values.get("structure"),
            settings=settings,
            exclude=_names(values.get("exclude") or ""),
            pruner_settings=pruner_settings,
            data=values.get("data"),
            dtype=values.get("dtype") or "float32",
            processes=ranks.size(),
        ),
        values.get("out", "results"),
    )


def _check_said_once(name: str, settings: Mapping[str, str]) -> None:
    for setting in settings:
        if setting.rpartition(".")[2] == name:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError("is given by --set as well", where=flag, mend=f"Leave out {flag} or --set {setting}.")


def _by_flag_alone() -> UsageError:
    """No file and no setting among others lets foreign code run."""
    return UsageError(
        "is given by its flag alone", where=TRUST, mend="Add --trust-remote-code to the command, if you do trust it."
    )


def _check_recovers(pruners: Sequence[str], when: str | None) -> None:
    if all((when or pruner(name).when) == "init" for name in pruners if name != DENSE):
        raise UsageError("all asked pruners cut before training", where="--recover", mend="Add --when trained.")


HOW = ("device", "threads", "jobs", "executor", "ray-address", "gpus-per-job", "limit", "retry-failed", "fail-fast")
"""Flags of how a grid is carried out, which its file does not say."""


def _with_config(given: Mapping[str, Any]) -> dict[str, Any]:
    flags = {name: value for name, value in given.items() if value is not None}
    path = given.get("config")
    if path is None:
        return flags
    table = _table(Path(path))
    if TRUST in {name.replace("-", "_") for name in table}:
        raise _by_flag_alone()
    known = sorted(name.rstrip("_").replace("_", "-") for name in FLAGS.keys() - {"config", TRUST})
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name.replace("_", "-") not in known:
            how = name.replace("_", "-") in HOW
            mend = f"Give --{name} on the command line." if how else suggestion(name, known)
            raise UsageError(
                f"{name!r} is no part of what is computed" if how else f"unknown entry {name!r}", where=path, mend=mend
            )
        values[name.replace("-", "_")] = _plain(name, value, path)
    settings = [f"{name}={value}" for name, value in _flattened(values.pop("set", {}))]
    return {**values, **flags, "set_": [*settings, *flags.get("set_", [])]}


def _table(path: Path) -> dict[str, Any]:
    where = f"--config {path}"
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise UsageError(f"is larger than {LARGEST_CONFIG:,} bytes", where=where, mend="Give a file of flags.")
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=where) from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and numbers of thousands of digits
        raise UsageError(f"is no TOML ({error})", where=where) from error
    except RecursionError:
        raise UsageError("is no TOML that anyone needs: nested too deeply", where=where) from None


def _flattened(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """``train.lr`` alike from ``"train.lr" = 1`` and from ``[set.train]`` with ``lr = 1``."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _plain(name: str, value: Any, path: str) -> Any:
    """An entry as the flag of its name would give it."""
    if name == "set":
        if not isinstance(value, dict):
            raise UsageError("'set' is no table", where=path, mend="Write [set] and NAME = VALUE below it.")
        return value
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        raise UsageError(f"{name!r} is a table", where=path, mend="See 'bench run --help'.")
    return str(value)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
