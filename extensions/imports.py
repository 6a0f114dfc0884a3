"""Imports follow the modules that the template has moved, in files that a team has written or changed."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath


class Imports:
    """Where the modules of a package were and are, in folders that hold the version before and the new one."""

    def __init__(self, package: str, moves: Mapping[str, str], before: Path, after: Path) -> None:
        self.package = package
        self.moved = {
            _module(old, helper=True): _module(new)
            for old, new in moves.items()
            if old.endswith(".py") and not PurePosixPath(old).name.startswith("test_")
        }
        self.known = {_module(old, helper=True): (before / old).read_text() for old in moves if old.endswith(".py")}
        self.sources = {
            _module(path.relative_to(after).as_posix()): path.read_text()
            for root in ("src", "tests")
            for path in sorted((after / root).rglob("*.py"))
        }
        gone = [re.escape(name) for name in self.moved if "." in name and name not in self.sources]
        # Dotted names in code and strings, such as what a test patches.
        self._dotted = re.compile(rf"(?<![\w.])(?:{'|'.join(gone)})(?!\w)") if gone else None

    def followed(self, path: str, text: str, template_s: str) -> str:
        """The text with its imports mended. Lines that the template's own version has as well are right as they are."""
        try:
            statements = list(self._statements(path, text))
        except SyntaxError:  # a conflict's markers, or not Python
            return text
        parts, end, right = [], 0, set(template_s.splitlines())
        for start, stop, statement in statements:
            if text[start:stop].splitlines()[0] not in right:
                parts += [self._dotted_followed(text[end:start], right), statement]
                end = stop
        return "".join([*parts, self._dotted_followed(text[end:], right)])

    def _dotted_followed(self, text: str, right: set[str]) -> str:
        lines = text.splitlines(keepends=True)
        if self._dotted is None:
            return text
        return "".join(
            line if line.rstrip("\n") in right else self._dotted.sub(lambda found: self.moved[found[0]], line)
            for line in lines
        )

    def _statements(self, path: str, text: str) -> Iterator[tuple[int, int, str]]:
        """Where each `from … import …` begins and ends that has to change, and how it reads now."""
        lines = [line.encode() for line in text.splitlines(keepends=True)]

        def position(line: int, column: int) -> int:
            return len((b"".join(lines[: line - 1]) + lines[line - 1][:column]).decode())

        here = _module(path).split(".")[: None if path.endswith("/__init__.py") else -1]
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ImportFrom) or node.end_lineno is None or node.end_col_offset is None:
                continue
            above = here[: len(here) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            places = {alias.name: self._place(source, alias.name) for alias in node.names}
            if all(place == (source, name) for name, place in places.items()):
                continue
            start, stop = position(node.lineno, node.col_offset), position(node.end_lineno, node.end_col_offset)
            spelt = {target: self._spelt(target, here if node.level else None) for target, _ in places.values()}
            if len(spelt) == 1 and all(place[1] == name for name, place in places.items()):
                yield start, stop, re.sub(r"^from\s+[\w.]+", f"from {next(iter(spelt.values()))}", text[start:stop])
                continue
            imported: dict[str, list[str]] = {}
            for alias in node.names:
                target, name = places[alias.name]
                known_as = alias.asname or (alias.name if name != alias.name else None)
                imported.setdefault(spelt[target], []).append(f"{name} as {known_as}" if known_as else name)
            joint = "\n" + " " * node.col_offset
            yield (
                start,
                stop,
                joint.join(f"from {place} import {', '.join(names)}" for place, names in imported.items()),
            )

    def _place(self, source: str, name: str) -> tuple[str, str]:
        """The module in which a name is found now, and its name there."""
        whole = f"{source}.{name}"
        if whole in self.moved and whole not in self.sources:
            module, _, last = self.moved[whole].rpartition(".")
            return module, last
        if source not in self.moved or self._offers(source, name):
            return source, name
        if not re.search(rf"\b{name}\b", self.known[source]):  # the team's own, which goes along with its module
            return self.moved[source], name
        candidates = (f"{self.package}.toolkit", self.moved[source], *self.sources)
        return next((module for module in candidates if self._offers(module, name)), self.moved[source]), name

    @cache  # noqa: B019
    def _offers(self, module: str, name: str) -> bool:
        """Whether a module defines a name, or a package hands it on."""
        if module not in self.sources:
            return False
        defined = rf"^(?:(?:async )?def |class )?{name}\b|^__all__ = [^\]]*\b{name}\b"
        return re.search(defined, self.sources[module], re.M) is not None

    def _spelt(self, module: str, here: list[str] | None) -> str:
        """A module as a file names it: relative to where the file is, or from the top."""
        if here is None:
            return module
        parts, shared = module.split("."), 0
        while shared < min(len(parts), len(here)) and parts[shared] == here[shared]:
            shared += 1
        return "." * (len(here) - shared + 1) + ".".join(parts[shared:])


def _module(path: str, *, helper: bool = False) -> str:
    """The name under which a file is imported. What stands beside tests was once imported by its own name alone."""
    parts = PurePosixPath(path.removesuffix(".py").removesuffix("/__init__")).parts
    return parts[-1] if helper and parts[0] == "tests" else ".".join(parts[1:])
