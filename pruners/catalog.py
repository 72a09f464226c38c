"""The named pruners that are more than a criterion used once."""

from __future__ import annotations

from pruners import recipes
from pruners.base import Pruner

TPR = Pruner(
    "tpr", "magnitude", recipes.train_prune_recover, needs_data=False, when="trained",
    options=recipes.TrainPruneRecover(),
)  # fmt: skip
GMP = Pruner("gmp", "magnitude", recipes.gradual, needs_data=False, when="trained", options=recipes.Gradual())
IMP = Pruner("imp", "magnitude", recipes.lottery, needs_data=False, when="trained", options=recipes.Iterative())
ITERATIVE = Pruner(
    "iterative", "magnitude", recipes.iterative, needs_data=False, when="trained", options=recipes.Iterative()
)
SAP = Pruner(
    "sap", "magnitude", recipes.adaptive, needs_data=False, when="trained", options=recipes.Adaptive(),
    counts_iterations=True,
)  # fmt: skip
MOVEMENT = Pruner(
    "movement", "movement", recipes.learned, allocation="uniform", when="trained", options=recipes.Movement()
)
SOFT_MOVEMENT = Pruner("soft-movement", "soft-movement", recipes.learned, when="trained", options=recipes.Movement())
