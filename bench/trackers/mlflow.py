"""MLflow: an experiment a task, a run a cell; a cell that is computed again replaces its run.

Goes to ``MLFLOW_TRACKING_URI`` where that is set, else into a SQLite file below the results folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from bench.record import Record
from bench.trackers.entry import Entry, describe

LONGEST = 500
"""Characters of a parameter that every store takes."""


class MLflow:
    """Runs at a tracking server or in a local store."""

    def __init__(self, uri: str) -> None:
        self.client = MlflowClient(tracking_uri=uri)

    def push(self, record: Record) -> None:
        entry = describe(record)
        experiment = self._experiment(record.task)
        for earlier in self.client.search_runs([experiment], f"tags.key = '{record.key}'"):
            self.client.delete_run(earlier.info.run_id)
        run = self.client.create_run(experiment, run_name=entry.name).info.run_id
        self.client.log_batch(run, metrics=_metrics(entry), params=_parameters(entry), tags=[RunTag("key", record.key)])
        self.client.set_terminated(run, status="FINISHED" if record.status == "done" else "FAILED")

    def close(self) -> None: ...

    def _experiment(self, task: str) -> str:
        name = f"prunebench/{task}"
        found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self.client.create_experiment(name))


def start(folder: Path) -> MLflow:
    """The tracker, by default with a store below ``folder``."""
    return MLflow(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').absolute()}")


def _metrics(entry: Entry) -> list[Metric]:
    return [Metric(_safe(name), value, 0, entry.step) for name, value in entry.metrics.items()]


def _parameters(entry: Entry) -> list[Param]:
    return [Param(_safe(name), str(value)[:LONGEST]) for name, value in entry.parameters.items()]


def _safe(name: str) -> str:
    """A name as MLflow takes it: ``nDCG@10`` becomes ``nDCG_10``."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name)
