"""The one path of a run: every door uses it."""
