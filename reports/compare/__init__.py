"""Two sets of cells against each other: what regressed, what cannot be compared, and what nothing speaks against."""
