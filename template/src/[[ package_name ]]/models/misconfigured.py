"""Failures that a setting causes."""

from abc import abstractmethod


class Misconfigured(Exception):
    """A failure that lasts until a setting is changed."""

    @property
    @abstractmethod
    def advice(self) -> str:
        """The setting, and its better value."""
