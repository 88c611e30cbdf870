"""The report of a run: one HTML file with charts, warnings and what the task shows."""
