"""The named pruners that are more than a criterion used once."""

from __future__ import annotations

from pruners import recipes
from pruners.base import Pruner

TPR = Pruner(
    "tpr", "magnitude", recipes.train_prune_recover, needs_data=False, when="trained",
    options=recipes.TrainPruneRecover(),
)  # fmt: skip
"""Train, prune once, recover: the dense model's own budget, cut half-way."""
GMP = Pruner("gmp", "magnitude", recipes.gradual, needs_data=False, when="trained", options=recipes.Gradual())
"""Gradual magnitude pruning: cubic cuts along the recovery of the trained model (Zhu & Gupta 2017)."""
IMP = Pruner("imp", "magnitude", recipes.lottery, needs_data=False, when="trained", options=recipes.Iterative())
"""Iterative magnitude pruning with rewinding: the lottery ticket (Frankle & Carbin 2019, Frankle et al. 2020)."""
ITERATIVE = Pruner(
    "iterative", "magnitude", recipes.iterative, needs_data=False, when="trained", options=recipes.Iterative()
)
"""Iterative magnitude pruning without rewinding: cut a fifth of what remains, recover, again (Han et al. 2015)."""
SAP = Pruner(
    "sap", "magnitude", recipes.adaptive, needs_data=False, when="trained", options=recipes.Adaptive(),
    counts_iterations=True,
)  # fmt: skip
"""Sparsity-informed adaptive pruning: the PQ Index says how many weights go (Diao et al. 2023)."""
MOVEMENT = Pruner(
    "movement", "movement", recipes.learned, allocation="uniform", when="trained", options=recipes.Movement()
)
"""Movement pruning: masks learned while the trained model is trained on (Sanh et al. 2020)."""
SOFT_MOVEMENT = Pruner("soft-movement", "soft-movement", recipes.learned, when="trained", options=recipes.Movement())
"""Soft movement pruning: one threshold over all layers and a pull on the scores (Sanh et al. 2020)."""
