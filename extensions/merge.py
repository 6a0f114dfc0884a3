"""Three-way merge of whole trees: the old version's files, the team's, the new version's."""

from dataclasses import dataclass, field

from lines import merged_file
from trees import Blob, Repository, Tree


@dataclass
class Merge:
    """What became of three trees."""

    tree: Tree = field(default_factory=dict)
    # Both sides changed the same lines: markers stand between the two. A link in the place of the file stays as it is.
    conflicts: list[str] = field(default_factory=list)
    # The template has it no longer, and the team has changed it: it stays until the team decides.
    given_up: list[str] = field(default_factory=list)


def merged(repository: Repository, base: Tree, ours: Tree, theirs: Tree) -> Merge:
    """Merge path by path: what one side alone did is done, and what the team has deleted stays deleted."""
    result = Merge()
    for path in sorted({*base, *ours, *theirs}):
        before, our, their = base.get(path), ours.get(path), theirs.get(path)
        if their in (our, before):
            kept = our
        elif our == before:
            kept = their
        elif our is None:
            kept = None
        elif their is None:
            kept = our
            result.given_up.append(path)
        elif not our.is_file:
            kept = our
            result.conflicts.append(path)
        else:
            content, clean = merged_file(path, *(repository.content(blob) for blob in (our, before, their)))
            mode = our.mode if before and their.mode == before.mode else their.mode
            kept = Blob(mode, repository.store(content))
            if not clean:
                result.conflicts.append(path)
        if kept:
            result.tree[path] = kept
    return result
