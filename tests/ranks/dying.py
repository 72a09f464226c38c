"""``bench`` of which one process gets a signal in the midst of its work.

``python -m tests.ranks.dying RANK NUMBER SIGNAL ARGUMENTS`` sends it to that rank at its so-manieth forward pass of the
toy task.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from itertools import count

from torch import Tensor, nn
from toy_plugin import Toy

from bench import ranks
from bench.cli import main


def arm(number: int, sent: signal.Signals) -> None:
    """Makes the forward pass of this number send the signal to this process."""
    passes, forward = count(1), Toy.forward

    def dying(self: Toy, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        if next(passes) == number:
            os.kill(os.getpid(), sent)
        return forward(self, model, batch)

    Toy.forward = dying  # type: ignore[method-assign]


if __name__ == "__main__":
    if ranks.rank() == int(sys.argv[1]):
        arm(int(sys.argv[2]), signal.Signals[sys.argv[3]])
    sys.exit(main(sys.argv[4:]))
