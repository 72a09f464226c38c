"""The report as one HTML file that loads nothing: tables, figures and each cell, for any browser."""

from __future__ import annotations

from reports.html.page import render

__all__ = ["render"]
