"""Official data sets, fetched, checked and installed: what stands behind ``bench data``."""
