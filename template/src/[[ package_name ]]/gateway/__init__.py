"""The HTTP door: translates requests into tasks for the runner, and results into responses."""
