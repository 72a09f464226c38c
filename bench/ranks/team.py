"""The processes that compute together: how they meet, and what they hand to one another. No pickle.

Two channels: gradients and states go from device to device (NCCL, or gloo on the CPU), all else between the hosts. At
every meeting each process says where it stands and whether it failed. So an error in any of them is known to all at
the next meeting, with its words, and one that ended breaks the connection: nobody waits for what will not come.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from bench import ranks
from bench.errors import BenchError, CellError, UsageError
from bench.ranks import Concluded, LostError
from bench.state import State, own_memory, packed, unpacked

T = TypeVar("T")

PATIENCE = "BENCH_RANKS_TIMEOUT"
"""Seconds that the others may take to the next meeting of a step that is shared."""
USUAL_PATIENCE = 1800
IDLE = timedelta(days=30)
"""Between two shared steps rank 0 may do anything. Its end breaks the connection, whatever the time."""
BUCKET = 32 << 20
"""Bytes that are handed over at once."""

PLANNED, BEGUN, STEPPED, SPREAD, TURNED, DONE = range(6)
"""What a meeting is about."""


class Team:
    """This process among those that it was started with."""

    def __init__(self, rank: int, size: int, device: torch.device, patience: timedelta) -> None:
        self.rank, self.size, self.device = rank, size, device
        self.host = dist.new_group(backend="gloo", timeout=patience)
        self.orders = dist.new_group(backend="gloo", timeout=IDLE)
        self.active = False
        """Whether all processes are at the same shared step."""
        self.dividing = False
        """Whether they are in the midst of one training step's forward pass."""
        self.lost = False
        self._settled = True

    # Meeting

    def meet(self, what: int, failed: Exception | None = None, *told: int) -> list[list[int]]:
        """Waits for all processes; what each told (two numbers at most), by rank.

        Raises ``failed``; where another process failed, or is elsewhere, ``CellError`` or ``BenchError``.
        """
        mine = torch.tensor([what, failed is not None, *told, *[0] * (2 - len(told))], dtype=torch.int64)
        everyone = [torch.empty_like(mine) for _ in range(self.size)]
        with self._reached():
            dist.all_gather(everyone, mine, group=self.host)
        found: list[list[int]] = [row.tolist() for row in everyone]
        failing = [rank for rank, row in enumerate(found) if row[1]]
        if failing:
            self._settled = True
            self._raise(failing[0], failed)
        if len({row[0] for row in found}) > 1:
            self._settled = True
            raise CellError(
                "the processes of one cell are at different places",
                mend="An evaluation must spread the same work in each, whatever it keeps from earlier ones.",
            )
        return [row[2:] for row in found]

    def _raise(self, failing: int, own: Exception | None) -> NoReturn:
        """Raises the error of rank ``failing``, which tells the others; where this one failed as well, its own."""
        words: dict[str, Any] = {}
        if failing == self.rank:
            assert own is not None
            said = str(own) if isinstance(own, BenchError) else f"{type(own).__name__}: {own}"
            ends = isinstance(own, BenchError) and not isinstance(own, CellError)
            trace = "".join(traceback.format_exception(own))
            words = {"said": (said.strip().splitlines() or [""])[0], "ends": ends, "trace": trace}
        told = json.loads(self._handed(json.dumps(words).encode(), failing, self.host))
        if own is not None:
            raise own
        kind = UsageError if told["ends"] else CellError
        error = kind(told["said"], where=f"rank {failing} of {self.size}")
        error.add_note(told["trace"])  # for the log of a failed cell
        raise error

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turns what torch says of a broken connection, or of patience at its end, into ``LostError``."""
        try:
            yield
        except RuntimeError as error:
            self.lost = True
            # Gloo says the line of its source and the peer's address before and behind what happened.
            said = re.sub(r"\s*\[[^]]*\](:\d+)?", "", str(error)).strip() or type(error).__name__
            reason = said.splitlines()[0].split(". ")[0]
            raise LostError(
                f"another of the {self.size} processes ended or does not answer ({reason})",
                mend="Finished cells stay: the same command goes on from there.",
            ) from error

    def _handed(self, content: bytes, source: int, group: dist.ProcessGroup, size: int | None = None) -> bytes:
        """``content`` of rank ``source``, in every process; its length where all know it already."""
        with self._reached():
            if size is None:
                length = torch.tensor([len(content)], dtype=torch.int64)
                dist.broadcast(length, source, group=group)
                size = int(length)
            held = torch.frombuffer(bytearray(content if source == self.rank else size), dtype=torch.uint8)
            dist.broadcast(held, source, group=group)
        return held.numpy().tobytes()

    def pass_on(self, tensor: Tensor, source: int) -> None:
        """Overwrites the tensor, on the team's device, by that of rank ``source``."""
        with self._reached():
            dist.broadcast(tensor, source)

    def sum_up(self, tensor: Tensor) -> None:
        """Overwrites the tensor, on the team's device, by its sum over all processes."""
        with self._reached():
            dist.all_reduce(tensor)

    def agreed(self, work: Callable[[], T], told: Callable[[T], str]) -> T:
        """See ``bench.ranks.agreed``."""
        failed: Exception | None = None
        number = 0
        try:
            made = work()
            number = int(sha256(told(made).encode()).hexdigest()[:15], 16)
        except Exception as error:
            failed = error
        found = self.meet(PLANNED, failed, number)
        if len({row[0] for row in found}) > 1:
            raise UsageError(
                "the processes see other data, settings or versions than one another",
                mend="Give all of them the same command, files and installation.",
            )
        return made

    # A shared step: rank 0 calls, the others answer

    @contextmanager
    def together(self, key: str, state: State) -> Iterator[None]:
        """See ``bench.ranks.together``; in other processes than rank 0 they are at it already."""
        if self.rank:
            self.active = True
            try:
                yield
            finally:
                self.active = False
            return
        self._call(key, state)
        with self._joint():
            self.active = True
            try:
                yield
            finally:
                self.active = False

    @contextmanager
    def _joint(self) -> Iterator[None]:
        """What all processes do at once; ends with a meeting, unless an error was told at one before."""
        self._settled = False
        try:
            yield
        except Concluded:
            self.meet(DONE)
            raise
        except Exception as error:
            if not self._settled and not isinstance(error, LostError):
                self.meet(DONE, error)
            raise
        except BaseException:
            self.lost = True  # stopped in the midst of it: the others are left where they are
            raise
        self.meet(DONE)

    def _call(self, key: str, state: State) -> None:
        tensors, facts = packed(state)
        shapes = [
            [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for name, tensor in tensors.items()
        ]
        order = {"key": key, "facts": facts, "tensors": shapes}
        self._handed(json.dumps(order).encode(), 0, self.orders)
        self.meet(BEGUN)
        self._hand_over(tensors)

    def _hand_over(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrites the tensors of all processes by rank 0's, byte for byte."""
        for tensor in tensors.values():
            if tensor.numel():
                held = tensor.detach().to(self.device).contiguous()
                self.pass_on(held.reshape(-1).view(torch.uint8), 0)

    def calls(self, answer: Callable[[str, State], None]) -> None:
        """Answers rank 0 with the node's key and the state to start from, until it says that all is done.

        What fails is rank 0's to report. Raises ``LostError`` where it is gone, ``SystemExit`` where it sends all home.
        """
        while True:
            order = json.loads(self._handed(b"", 0, self.orders))
            if "key" not in order:
                if order["ended"]:
                    raise SystemExit(0)
                return
            with suppress(Concluded):
                try:
                    self._answer(order, answer)
                except LostError:
                    raise
                except Exception:  # told at a meeting: rank 0 says it
                    continue

    def _answer(self, order: Mapping[str, Any], answer: Callable[[str, State], None]) -> None:
        with self._joint():
            failed: Exception | None = None
            tensors: dict[str, Tensor] = {}
            try:
                for name, kind, shape in order["tensors"]:
                    tensors[name] = torch.empty(shape, dtype=getattr(torch, kind), device=self.device)
            except Exception as error:
                failed = error
            self.meet(BEGUN, failed)
            self._hand_over(tensors)
            answer(order["key"], unpacked(tensors, order["facts"]))

    def dismiss(self, *, ended: bool = False) -> None:
        """Rank 0 tells the others that nothing more comes of this grid, or that they are to end."""
        if not self.rank and not self.lost:
            with suppress(LostError):
                self._handed(json.dumps({"ended": ended}).encode(), 0, self.orders)

    # Work that is shared out

    def spread(self, items: Iterable[T], work: Callable[[T], Sequence[Tensor]]) -> list[Sequence[Tensor]]:
        """See ``bench.ranks.spread``."""
        failed: Exception | None = None
        count, packet = 0, b""
        try:
            found: dict[str, Tensor] = {}
            for index, item in enumerate(items):
                count += 1
                if index % self.size == self.rank:
                    found |= {f"{index}/{place}": tensor.detach().cpu() for place, tensor in enumerate(work(item))}
            packet = to_bytes(own_memory(found))
        except Exception as error:
            failed = error
        told = self.meet(SPREAD, failed, count, len(packet))
        if len({row[0] for row in told}) > 1:
            self._settled = True
            raise CellError(
                f"the processes spread {', '.join(str(row[0]) for row in told)} items, which must be as many"
            )
        parts: list[dict[int, Tensor]] = [{} for _ in range(count)]
        for source in range(self.size):
            for name, tensor in from_bytes(self._handed(packet, source, self.host, told[source][1])).items():
                index, _, place = name.partition("/")
                parts[int(index)][int(place)] = tensor
        return [tuple(part[place] for place in sorted(part)) for part in parts]

    def in_turn(
        self, items: Iterable[T], work: Callable[[T], tuple[Sequence[Tensor], int]], like: Sequence[Tensor]
    ) -> Iterator[tuple[Sequence[Tensor], int]]:
        """See ``bench.ranks.in_turn``."""
        left = iter(items)
        while chunk := list(islice(left, self.size)):
            failed: Exception | None = None
            mine: Sequence[Tensor] = ()
            number = 0
            if self.rank < len(chunk):
                try:
                    mine, number = work(chunk[self.rank])
                except Exception as error:
                    failed = error
            told = self.meet(TURNED, failed, len(chunk), number)
            for source in range(len(chunk)):
                yield self._passed_on(mine if source == self.rank else None, like, source), told[source][1]

    def _passed_on(self, mine: Sequence[Tensor] | None, like: Sequence[Tensor], source: int) -> Sequence[Tensor]:
        """The tensors of rank ``source``, which has them as ``mine``."""
        found: list[Tensor] = []
        for places in buckets(like):
            sizes = [like[place].numel() for place in places]
            if mine is not None:
                flat = torch.cat([mine[place].reshape(-1) for place in places])
            else:
                flat = torch.empty(sum(sizes), dtype=like[places[0]].dtype, device=self.device)
            self.pass_on(flat, source)
            parts = torch.split(flat, sizes)
            found += [part.view(like[place].shape) for place, part in zip(places, parts, strict=True)]
        return found if mine is None else mine


def buckets(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Places of the tensors, in order, put together as long as they are of one type and at most ``BUCKET`` bytes."""
    found: list[list[int]] = []
    held = 0
    for place, tensor in enumerate(tensors):
        taken = tensor.numel() * tensor.element_size()
        if not found or tensors[found[-1][0]].dtype != tensor.dtype or held + taken > BUCKET:
            found.append([])
            held = 0
        found[-1].append(place)
        held += taken
    return found


def join(device: str) -> Team:
    """The team that the launcher has started. Raises ``UsageError`` where it cannot be joined."""
    asked = ranks.size()
    where = f"{asked} processes"
    kind = _kind(device, where)
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise UsageError(
            f"were started for one cell, and accelerate does not import ({error})",
            where=where,
            mend="Install it with: pip install 'prunebench[accelerate]'. Or start one process.",
        ) from error
    patience = _patience()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of threads, which are set anyway
            state = PartialState(cpu=kind == "cpu", timeout=patience)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"cannot be joined ({reason})", where=where, mend="Start them with torchrun or accelerate launch."
        ) from error
    if state.num_processes != asked:
        raise UsageError(
            f"were started, and accelerate sees {state.num_processes}",
            where=where,
            mend="Start them with torchrun or accelerate launch, which set LOCAL_RANK as well.",
        )
    place = torch.device("cpu") if kind == "cpu" else state.device
    team = Team(state.process_index, state.num_processes, place, patience)
    atexit.register(_leave, team)
    return team


def _kind(device: str, where: str) -> str:
    """``cpu`` or the accelerator that there is."""
    if ":" in device:
        raise UsageError(
            f"each get a device of their own, and --device {device} names one",
            where=where,
            mend="Give cpu, cuda or auto.",
        )
    there = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = (there.type if there else "cpu") if device == "auto" else device
    if kind != "cpu" and (there is None or there.type != kind):
        raise UsageError("cannot be used", where=f"--device {device}", mend="Give cpu, cuda or auto.")
    if kind != "cpu" and ranks.on_this_machine() > torch.accelerator.device_count():
        raise UsageError(
            f"{ranks.on_this_machine()} of them are on a machine with {torch.accelerator.device_count()} devices",
            where=where,
            mend="Start one a device, or give --device cpu.",
        )
    return kind


def _patience() -> timedelta:
    text = os.environ.get(PATIENCE) or f"{USUAL_PATIENCE}"
    if not text.isdecimal() or not 0 < int(text) <= IDLE.total_seconds():
        raise UsageError(f"{text!r} is no number of seconds", where=f"${PATIENCE}", mend=f"Usual: {USUAL_PATIENCE}.")
    return timedelta(seconds=int(text))


def _leave(team: Team) -> None:
    if not team.lost:
        with suppress(Exception):
            dist.destroy_process_group()
