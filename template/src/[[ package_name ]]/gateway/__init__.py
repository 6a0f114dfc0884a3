"""The HTTP door: translates requests into tasks for the runner, and what comes of them into responses."""
