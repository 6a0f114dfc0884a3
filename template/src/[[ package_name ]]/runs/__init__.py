"""The one path of a run, whichever door it came through."""
