"""A release is refused in words until everything about it is right."""

import pytest

from release import notes, problems

CHANGELOG = """# Changelog

## [Unreleased]

## [2.0.0] - 2027-02-01

### What you must do

- Paint the service.

## [1.1.0] - 2027-01-01

### Added

- Paint.

## [1.0.0] - 2026-12-01

### Added

- Everything.
"""


def test_the_text_of_a_release_is_its_part_of_the_changelog() -> None:
    assert notes("1.1.0", CHANGELOG) == "### Added\n\n- Paint."
    assert notes("Unreleased", CHANGELOG) == ""


def test_a_release_with_nothing_against_it() -> None:
    assert problems("1.1.0", CHANGELOG, ["1.0.0"], "") == []
    assert problems("2.0.0", CHANGELOG, ["1.0.0", "1.1.0"], "") == []
    assert problems("1.0.0", CHANGELOG, [], "") == []


@pytest.mark.parametrize(
    ("version", "changelog", "released", "uncommitted", "said"),
    [
        ("1.1", CHANGELOG, [], "", "is no version"),
        ("v1.1.0", CHANGELOG, [], "", "is no version"),
        ("01.1.0", CHANGELOG, [], "", "is no version"),
        ("1.1.0", CHANGELOG, ["1.0.0"], " M README.md", "not committed"),
        ("1.2.0", CHANGELOG, ["1.1.0"], "", "has no section"),
        ("1.1.0", CHANGELOG, ["1.1.0"], "", "does not come after 1.1.0"),
        ("1.1.0", CHANGELOG, ["1.10.0"], "", "does not come after 1.10.0"),
        ("2.0.0", CHANGELOG, ["2.0.0-rc1", "1.9.0", "2.0.1"], "", "does not come after 2.0.1"),
        ("1.1.0", CHANGELOG.replace("## [2", "- More.\n\n## [2", 1), ["1.0.0"], "", "something unreleased: - More."),
        ("1.1.0", CHANGELOG.replace("- Paint.", "### What you must do"), ["1.0.0"], "", "a major version"),
    ],
)
def test_what_stands_against_a_release_is_a_sentence(
    version: str, changelog: str, released: list[str], uncommitted: str, said: str
) -> None:
    assert [said in problem for problem in problems(version, changelog, released, uncommitted)] == [True]
