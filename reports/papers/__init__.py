"""Published tables, one TOML each, and ours beside them. ``reports.papers.published`` says what a file holds."""
