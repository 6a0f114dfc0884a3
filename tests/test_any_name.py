"""Whatever a service is called and said to do, its code is formatted and lints clean."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from answers import BROKERS, EVERY_DOOR, PROVIDERS, SECRETS, Answers
from conftest import TOOLS
from naming import SERVICE_NAME_LENGTH, service_name_problem, text_problem
from substituted import render_substituted


def assert_clean(files: list[Path]) -> None:
    """Both of ruff's checks, over files of as many projects as there are."""
    files = [file for file in files if file.suffix in (".py", ".md")]
    for check in (["check", "--output-format=concise"], ["format", "--check"]):
        done = subprocess.run(
            [TOOLS / "ruff", *check, "--no-cache", "--quiet", *files], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("doors", EVERY_DOOR, ids="-".join)
def test_names_of_every_length_lint_clean(doors: list[str], tmp_path: Path) -> None:
    files: list[Path] = []
    for length in range(1, SERVICE_NAME_LENGTH + 1):
        name = ("q" if length < 4 else "ab-") + "x" * (length - (1 if length < 4 else 3))
        assert service_name_problem(name) == ""
        # The other answers take turns.
        answers: Answers = {
            "service_name": name,
            "project_name": name.title(),
            "variants": doors,
            "event_broker": BROKERS[length % 5] if "queue" in doors and "serverless" not in doors else "none",
            "model_provider": PROVIDERS[length % 5],
            "fallback_provider": PROVIDERS[(length + length // 5) % 5 - 1],
            "secrets_source": SECRETS[length % 6],
        }
        if answers["fallback_provider"] == answers["model_provider"]:
            answers["fallback_provider"] = "none"
        files += render_substituted(answers, tmp_path / str(length))
    assert_clean(files)


texts = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" '\"#%&|:,.!-"), min_size=1, max_size=200
)


@given(
    description=texts.filter(lambda text: not text_problem(text, 200)),
    project_name=texts.filter(lambda text: not text_problem(text, 60)),
)
@settings(max_examples=50)
def test_any_description_lints_clean(
    description: str, project_name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("described")
    answers = {"description": description, "project_name": project_name, "service_name": "described", "license": "MIT"}
    named = ("description", "project_name")
    assert_clean(render_substituted({**answers, "variants": ["gateway", "serverless"]}, folder, naming=named))
