"""From scores to exact masks: how many weights stay, which of them, in which structure, and proof that the rest are
zero. Imports nothing by itself: ``counts``, ``structures`` and ``couplings`` need no torch."""
