"""``bench status --watch``: how far the runs on a folder are, drawn again and again until nobody is at work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.cli.output import write

if TYPE_CHECKING:
    from bench.foresight.runs import Hand, Run
    from bench.foresight.watch import Look
    from bench.store import Store


def watch(store: Store, seconds: float) -> None:
    """Looks every so many seconds; in place on a terminal, elsewhere a line a look. Ctrl-C ends it as well."""
    from bench.foresight.watch import Watch

    seen = Watch(store)
    try:
        if sys.stdout.isatty():
            _drawn(seen, store.where(), seconds)
        else:
            for look in _looks(seen, seconds):
                write(f"{time.strftime('%H:%M:%S')}  {line(look)}\n")
    except KeyboardInterrupt:
        return


def _looks(seen: Any, seconds: float) -> Iterator[Look]:
    while True:
        look: Look = seen.look()
        yield look
        if not look.at_work:
            return
        time.sleep(seconds)


def _drawn(seen: Any, where: str, seconds: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        for look in _looks(seen, seconds):
            live.update(Text(f"{where}\n{page(look)}", no_wrap=True, overflow="ellipsis"), refresh=True)


def line(look: Look) -> str:
    """The look on one line."""
    return "; ".join([_counts(look), *_workers(look), *_time_left(look)])


def page(look: Look) -> str:
    """The look as lines under each other."""
    return "\n".join(["; ".join([_counts(look), *_time_left(look)]), *(f"  {who}" for who in _workers(look))])


def _counts(look: Look) -> str:
    return f"{look.done + look.failed + look.left} cells: {look.done} done, {look.failed} failed, {look.left} left"


def _time_left(look: Look) -> list[str]:
    from bench.foresight.forecast import duration

    if not look.at_work:
        return ["nobody is at work"]
    if look.seconds_left is None:
        return []
    bases = dict.fromkeys(run.basis for run in look.runs if run.basis)
    missing = dict.fromkeys(step for run in look.runs for step in run.missing)
    basis = "; ".join([*bases, *([f"without {', '.join(missing)}, not measured yet"] if missing else [])])
    return [f"about {duration(look.seconds_left)} left" + (f" ({basis})" if basis else "")]


def _workers(look: Look) -> list[str]:
    """Who is at work, and at what."""
    return [told for run in look.runs for told in _hands(run)] + [
        f"{who}: {count} row{'s' if count != 1 else ''} of steps" for who, count in look.others.items()
    ]


def _hands(run: Run) -> list[str]:
    if not run.hands:
        return [f"{run.owner}: between two steps"]
    several = run.workers > 1
    return [f"{run.owner}{f', worker {hand.worker + 1}' if several else ''}: {_hand(hand)}" for hand in run.hands]


def _hand(hand: Hand) -> str:
    return f"{hand.what}: {hand.step}" + (f", {hand.done:,} of {hand.of:,} steps" if hand.of else "")
