"""Figures of a results folder in one style, drawn by matplotlib; what they show is in ``reports.curves``."""

from __future__ import annotations
