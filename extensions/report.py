"""What an update says at its end: from where to where, what needs a hand, and the one command to run."""

from dataclasses import dataclass, field


@dataclass
class Report:
    """What a team should know about an update. Paths are as they are now."""

    since: str
    until: str
    # Versions on the way that ask something of a service, and what.
    duties: list[tuple[str, str]]
    changed: bool = True
    conflicts: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    followed: list[str] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    newer_tree: str = ""
    own_packages: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The message, a line or two where nothing needs a hand."""
        parts = [f"From template {self.since} to {self.until}." if self.since != self.until else ""]
        if not self.changed:
            return f"\nNothing has changed: the service is at {self.until}.\n"
        parts += [f"{version} asks:\n{duty}" for version, duty in self.duties]
        take = f"git restore --source={self.newer_tree[:12]} --"
        for heading, paths in {
            "CONFLICT: you and the template have changed the same lines. Mend them, then `git add`:": self.conflicts,
            "The template has dropped what you have changed. `git rm` it, or keep it with `git add`:": self.given_up,
            "Moved, with your changes:": [f"{old} -> {new}" for old, new in self.moved.items()],
            "Imports mended, of what has moved:": self.followed,
            f"Yours, unchanged by you, and newer in the template. To take it: {take} …": self.newer,
        }.items():
            if paths:
                parts.append("\n".join([heading, *(f"  {path}" for path in paths)]))
        parts.append(f"Next: {self.command()}")
        return "\n" + "\n\n".join(filter(None, parts)) + "\n"

    def command(self) -> str:
        """The one command after all of the above."""
        targets = ["lock"] if self.own_packages else []
        targets += ["format"] if self.followed else []
        return f"make {' '.join([*targets, 'check'])}"
