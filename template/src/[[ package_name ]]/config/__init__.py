"""Every setting, where it is loaded from, and the secrets in force."""
