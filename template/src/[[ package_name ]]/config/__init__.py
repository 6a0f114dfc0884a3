"""Every setting, the sources that it is loaded from, and the current secrets."""
