"""What every process but rank 0 does: its part of the steps that rank 0 shares."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from bench import ranks, runner
from bench.evaluation import found_by
from bench.state import State
from bench.steps import Evaluate, Score, Train
from bench.train import Environment
from bench.tree import Node, Plan, Root
from bench.workbench import Hooks, Workbench

if TYPE_CHECKING:
    import torch

    from bench.ranks.team import Team
    from bench.store import Store


def follow(team: Team, plan: Plan, dtype: torch.dtype) -> None:
    """Answers rank 0 until it has finished the grid. A request to stop is rank 0's to heed: here it is passed over.

    Raises ``ranks.LostError`` where rank 0 is gone.
    """
    with suppress(ValueError):  # signals are the main thread's
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    places = {node.key: (root, node) for root in plan.roots for node in root.node.walk()}
    held: list[tuple[Root, Workbench]] = []

    def answer(key: str, state: State) -> None:
        root, node = places[key]
        if not held or held[0][0] is not root:
            nothing = cast("Store", None)  # rank 0 alone reads and writes
            held[:] = [(root, Workbench(root.task, Environment(root.seed, team.device, dtype), nothing, Hooks()))]
        _carry_out(held[0][1], node, state)

    team.calls(answer)


def _carry_out(bench: Workbench, node: Node, state: State) -> None:
    step = node.step
    if isinstance(step, Train):
        runner.stretch(bench, node, step, state)
    elif isinstance(step, Score):
        runner.scored(bench, node, step, state)
    elif isinstance(step, Evaluate):
        found_by(bench, node.key, step, state)
    else:
        raise ranks.LostError(f"rank 0 shares a {type(step).__name__}, which is none that can be")
