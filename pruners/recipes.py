"""When to train, score, cut and rewind. A recipe gives the steps between ``Init`` and ``Evaluate``.

Equal prefixes are one computation, so a recipe says what happens and shares what it can by saying it alike: training
that starts as the dense model's does is the dense model's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from bench.errors import UsageError
from bench.steps import AdaptiveCut, Cut, Learner, Path, Rewind, Schedule, Score, Step, Train

if TYPE_CHECKING:
    from pruners.base import Budget, Pruner

T = TypeVar("T")
MOST_CUTS = 1_000
"""Cuts on one path."""
CLOSE = 1e-9
"""Sparsities nearer than this are one target."""


@dataclass(frozen=True)
class OneShot:
    """How a criterion is used by itself."""

    score_after: int = 0
    """Training steps before scoring at init; training then goes on from there, under the same schedule."""


@dataclass(frozen=True)
class TrainPruneRecover:
    cut_at: float = 0.5
    """Share of the dense budget that is spent before the cut; the rest is recovery."""


@dataclass(frozen=True)
class Gradual:
    cuts: int = 10
    """Cuts on the way (n of the formula), evenly spaced."""
    until: float = 0.75
    """Share of the schedule at whose end the last cut falls; the rest is recovery."""


@dataclass(frozen=True)
class Iterative:
    rate: float = 0.2
    """Share of the remaining weights that one level cuts."""
    rewind: int | None = None
    """Step that weights and learning rate go back to; none: a twentieth of the schedule. 0 is the initial weights."""


@dataclass(frozen=True)
class Adaptive:
    """Settings of SAP, by the names of its paper (Diao et al. 2023, algorithm 1)."""

    iterations: int = 15
    """Rounds of train, cut and rewind (T); each is a row of the table."""
    scope: Literal["neuron", "layer", "global"] = "neuron"
    """Whose weights share one PQ Index and are cut together."""
    p: float = 0.5
    """Lower norm of the index; 0 < p < q."""
    q: float = 1.0
    """Upper norm of the index."""
    eta: float = 0.0
    """Raises how much of a vector counts as compressible: m = d (1 + eta)^(-q/(q-p)) (1 - I)^(pq/(q-p)) stay."""
    gamma: float = 1.0
    """Scales the share that is cut, 1 - m/d."""
    beta: float = 0.9
    """Largest share of a vector that one round may cut."""


@dataclass(frozen=True)
class Movement:
    """Settings of movement pruning (Sanh et al. 2020, sections 4 and 5)."""

    score_lr: float = 1e-2
    """Learning rate of the scores."""
    warmup: float = 0.1
    """Share of the schedule before the first weight is masked."""
    cooldown: float = 0.3
    """Share of the schedule after the last is."""
    regularization: float = 10.0
    """Soft movement's weight of the mean sigmoid of the scores in the loss, reached by the cubic schedule."""


def one_shot(pruner: Pruner, target: float, budget: Budget) -> Path:
    """One cut, before training (``pruner.when`` = ``init``) or of the trained model, which then recovers (``trained``).

    Lee et al. 2019, Wang et al. 2020 and Tanaka et al. 2020 cut at init; cut once and train on is Han et al. 2015's
    first round. At init a sparsity of 0 is the dense model's own path, so the two are one computation. A trained model
    at sparsity 0 still recovers, as its sparse neighbours do.
    """
    options = _options(pruner, OneShot)
    if pruner.when == "init":
        after = _within(options.score_after, budget.train, f"--score-after {options.score_after}")
        whole = tuple(_train(budget.train))
        return (*_train(budget.train, after), *_cut(pruner, target, budget), *whole) if target else whole
    if pruner.when == "trained":
        if options.score_after:
            raise UsageError(
                f"is for a cut at init, and {pruner.name!r} cuts the trained model here",
                where=f"--score-after {options.score_after}",
                mend=f"Leave it out, or --when trained, or {pruner.name!r}.",
            )
        recovery = _train(budget.recover) if pruner.recovers else ()
        return (*_train(budget.train), *_cut(pruner, target, budget), *recovery)
    raise UsageError(
        f"cannot cut when {pruner.when!r}", where=f"pruner {pruner.name!r}", mend="Say 'init' or 'trained'."
    )


def train_prune_recover(pruner: Pruner, target: float, budget: Budget) -> Path:
    """Train, cut once, train on, with the same total budget and learning-rate schedule as the dense model.

    The recipe of "A pruning-based deep learning approach for information retrieval" (tables 2 and 3: 25 epochs in all
    for dense and pruned alike), which does not say when it cuts.
    """
    _only_trained(pruner)
    share = _options(pruner, TrainPruneRecover).cut_at
    if not 0 < share < 1:
        raise UsageError(f"cut_at is {share}", where=f"pruner {pruner.name!r}", mend="Give a share between 0 and 1.")
    stop = round(share * budget.train.length)
    return (*_train(budget.train, stop), *_cut(pruner, target, budget), *_train(budget.train))


def gradual(pruner: Pruner, target: float, budget: Budget) -> Path:
    """Cubic gradual pruning (Zhu & Gupta 2017, equation 1), of the trained model along its recovery, or at init along
    training.

    With s_i = 0, t0 = 0 and n cuts dt steps apart, cut i = 1..n falls before step t = i * dt of the schedule and leaves
    sparsity s_t = s_f - s_f * (1 - i/n)^3. The cut of i = 0 would cut nothing and is left out; that of i = n leaves
    exactly s_f, and the last ``1 - until`` of the schedule recovers.
    """
    options = _options(pruner, Gradual)
    schedule = budget.recover if pruner.when == "trained" else budget.train
    span = int(schedule.length * options.until)
    if not 1 <= options.cuts <= MOST_CUTS or not 0 < options.until < 1 or span < 1:
        raise UsageError(
            f"{options.cuts} cuts until {options.until} of {schedule.length} steps",
            where=f"pruner {pruner.name!r}",
            mend=f"Give at least one cut and at most {MOST_CUTS:,}, a share between 0 and 1, and a longer schedule.",
        )
    cuts = min(options.cuts, span)
    steps: list[Step] = [*_train(budget.train)] if pruner.when == "trained" else []
    for number in range(1, cuts + 1):
        steps += _train(schedule, number * span // cuts)
        steps += _cut(pruner, cubic(target, number / cuts), budget)
    return (*steps, *_train(schedule))


def cubic(final: float, done: float) -> float:
    """Sparsity after a share ``done`` of the way from 0 to ``final``; exactly ``final`` at 1."""
    return final if done >= 1 else final * (1 - (1 - done) ** 3)


def lottery(pruner: Pruner, target: float, budget: Budget) -> Path:
    """Iterative magnitude pruning with rewinding (Frankle & Carbin 2019; Frankle et al. 2020, algorithm 1).

    Train to the end, cut ``rate`` of what remains, put surviving weights, optimiser and schedule back to step k, and
    again: level L has density (1 - rate)^L. A target between two levels is reached by a last, smaller cut. All
    targets share the levels on their way.
    """
    _only_trained(pruner)
    options = _options(pruner, Iterative)
    schedule = budget.train
    point = round(schedule.length / 20) if options.rewind is None else options.rewind
    _within(point, schedule, f"--rewind {point}")
    steps: list[Step] = [*_train(schedule, point), *_train(schedule)]
    for sparsity in levels(options.rate, target):
        steps += [*_cut(pruner, sparsity, budget), Rewind(point), *_train(schedule)]
    return tuple(steps)


def iterative(pruner: Pruner, target: float, budget: Budget) -> Path:
    """Iterative pruning of the trained model without rewinding (Han et al. 2015): cut ``rate`` of what remains,
    recover, and again. Each recovery is a schedule of its own."""
    _only_trained(pruner)
    steps: list[Step] = [*_train(budget.train)]
    for number, sparsity in enumerate(levels(_options(pruner, Iterative).rate, target), start=1):
        steps += [*_cut(pruner, sparsity, budget), *_train(budget.recover.renamed(f"{budget.recover.stream} {number}"))]
    return tuple(steps)


def levels(rate: float, target: float) -> Iterator[float]:
    """Sparsities 1 - (1 - rate)^L for L = 1, 2, ... below ``target``, and ``target``."""
    if not 0 < rate < 1:
        raise UsageError(f"a rate of {rate}", mend="Give the share of remaining weights to cut, between 0 and 1.")
    level = 1
    while (sparsity := round(1 - (1 - rate) ** level, 12)) < target - CLOSE:
        if level > MOST_CUTS:
            raise UsageError(
                f"a rate of {rate} needs more than {MOST_CUTS:,} levels to {target:g}", mend="Give a larger rate."
            )
        yield sparsity
        level += 1
    if target:
        yield target


def adaptive(pruner: Pruner, target: float, budget: Budget) -> Path:
    """Sparsity-informed adaptive pruning (Diao et al. 2023, algorithm 1): train, cut what the PQ Index of the trained
    weights allows, rewind to the initial weights, and again. ``target`` counts iterations."""
    _only_trained(pruner)
    if (pruner.structure, pruner.allocation) != ("weights", "global"):
        raise UsageError(
            "cuts single weights, and its index says how many of each vector",
            where=f"pruner {pruner.name!r}",
            mend="Leave --structure and --allocation out; sap.scope says what a vector is.",
        )
    options = _options(pruner, Adaptive)
    if not 0 < options.p < options.q or not 0 <= options.beta <= 1 or options.gamma < 0 or options.eta < 0:
        raise UsageError(
            f"p = {options.p}, q = {options.q}, eta = {options.eta}, gamma = {options.gamma}, beta = {options.beta}",
            where=f"pruner {pruner.name!r}",
            mend="Give 0 < p < q, eta and gamma >= 0, and beta in [0, 1].",
        )
    settings = tuple(sorted((name, value) for name, value in vars(options).items() if name != "iterations"))
    cut = AdaptiveCut("pqi", 1, settings, pruner.exclude)
    again = (cut, Rewind(0), *_train(budget.train))
    return (*_train(budget.train), *(again * int(target)))


def learned(pruner: Pruner, target: float, budget: Budget) -> Path:
    """Movement pruning (Sanh et al. 2020): of the trained model, masks are learned along the recovery; the final cut
    takes the scores that were learned."""
    _only_trained(pruner)
    options = tuple(sorted(vars(_options(pruner, Movement)).items()))
    learner = Learner(
        pruner.criterion, pruner.version, target, (*options, ("allocation", pruner.allocation)), pruner.exclude
    )
    if budget.recover.length < 1:
        raise UsageError("needs recovery steps to learn in", where=f"pruner {pruner.name!r}", mend="Give --recover.")
    return (
        *_train(budget.train),
        Train(budget.recover, budget.recover.length, learner),
        Cut(target, pruner.allocation, pruner.structure),
    )


def _only_trained(pruner: Pruner) -> None:
    if pruner.when != "trained":
        raise UsageError(
            "trains before it cuts, and has no other way", where=f"pruner {pruner.name!r}", mend="Leave --when out."
        )


def _train(schedule: Schedule, to: int | None = None) -> tuple[Step, ...]:
    """Training to step ``to``, by default to the end; nothing where that is no step."""
    stop = schedule.length if to is None else to
    return (Train(schedule, stop),) if stop else ()


def _cut(pruner: Pruner, sparsity: float, budget: Budget) -> tuple[Step, ...]:
    return (_score(pruner, sparsity, budget), Cut(sparsity, pruner.allocation, pruner.structure))


def _score(pruner: Pruner, sparsity: float, budget: Budget) -> Score:
    """Holds what the scores depend upon and nothing else, so that equal scores have equal keys."""
    batches, size = (budget.score_batches, budget.score_batch_size) if pruner.needs_data else (0, 0)
    if pruner.iterations == 1:
        return Score(pruner.criterion, pruner.version, batches, size, exclude=pruner.exclude)
    return Score(
        pruner.criterion,
        pruner.version,
        batches,
        size,
        pruner.iterations,
        sparsity=sparsity,
        allocation=pruner.allocation,
        structure=pruner.structure,
        exclude=pruner.exclude,
    )


def _within(step: int, schedule: Schedule, where: str) -> int:
    """``step``, which must lie before the schedule's end."""
    if not 0 <= step < max(1, schedule.length):
        raise UsageError(
            f"is beyond the budget of {schedule.length} training steps",
            where=where,
            mend="Give a step from 0 to before the last.",
        )
    return step


def _options(pruner: Pruner, kind: type[T]) -> T:
    return pruner.options if isinstance(pruner.options, kind) else kind()
