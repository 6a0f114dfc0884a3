"""Names and validators: computed defaults are always valid, and a refusal says which answers are accepted."""

import ast
import json
import keyword
import sys
import tomllib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import naming


@given(st.text())
def test_any_text_has_a_valid_service_name(text: str) -> None:
    assert naming.service_name_problem(naming.service_slug(text)) == ""


@given(st.from_regex(r"[a-z][a-z0-9-]{0,45}", fullmatch=True))
def test_an_accepted_service_name_is_a_dns_label_and_its_package_can_be_imported(name: str) -> None:
    if naming.service_name_problem(name) == "":
        assert len(name) <= 40
        assert "--" not in name
        assert not name.endswith("-")
        package = naming.package_name(name)
        assert package.isidentifier()
        assert not keyword.iskeyword(package)
        assert package not in sys.stdlib_module_names


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("My Agent", "my-agent"),
        ("Été Factures!", "ete-factures"),
        ("json", "json-agent"),
        ("Redis", "redis-agent"),
        ("class", "class-agent"),
        ("3rd try", "rd-try"),
        ("日本語", "my-agent"),
        ("", "my-agent"),
        ("a" * 200, "a" * 34),
    ],
)
def test_slug_keeps_what_it_can(text: str, slug: str) -> None:
    assert naming.service_slug(text) == slug


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "at most 40 lowercase"),
        ("Agent", "at most 40 lowercase"),
        ("1agent", "at most 40 lowercase"),
        ("agent-", "at most 40 lowercase"),
        ("my_agent", "at most 40 lowercase"),
        ("my.agent", "at most 40 lowercase"),
        ("../agent", "at most 40 lowercase"),
        ("agent\n", "at most 40 lowercase"),
        ("agént", "at most 40 lowercase"),
        ("a" * 41, "at most 40 lowercase"),
        ("my--agent", "single dashes"),
        ("class", "keyword of Python"),
        ("match", "keyword of Python"),
        ("json", "standard library"),
        ("fastapi", "itself needs"),
        ("pydantic-ai", "itself needs"),
        ("opentelemetry", "itself needs"),
        ("tests", "itself needs"),
    ],
)
def test_a_refusal_of_a_service_name_says_which_names_are_accepted(name: str, reason: str) -> None:
    assert reason in naming.service_name_problem(name)


@given(st.text(min_size=1, max_size=200))
def test_accepted_text_survives_every_format_it_is_quoted_in(text: str) -> None:
    if naming.text_problem(text, 200) == "":
        quoted = naming.quoted(text)
        assert json.loads(quoted) == text
        assert ast.literal_eval(quoted) == text
        assert yaml.safe_load(f"key: {quoted}") == {"key": text}
        assert tomllib.loads(f"key = {quoted}") == {"key": text}


@pytest.mark.parametrize("text", ["it's", '"quoted"', "50 % # now", "a: b", "- item", "日本語", "😀", "&a *b"])
def test_plain_words_and_punctuation_are_accepted(text: str) -> None:
    assert naming.text_problem(text, 60) == ""


@pytest.mark.parametrize(
    "text", ["", " ", " a", "a\nb", "a\x00", "a\u202eb", "{{ x }}", "[[ x ]]", "[% x %]", "$(id)", "`id`", "<b>", "\\"]
)
def test_text_with_marks_of_a_file_format_is_refused(text: str) -> None:
    assert naming.text_problem(text, 60) != ""


def test_a_refusal_of_a_long_text_names_its_length() -> None:
    assert naming.text_problem("a" * 200, 60) == "Write at most 60 characters; the answer has 200."


@pytest.mark.parametrize("address", ["a@b.co", "team+agents@sub.example.com", "first.last@example.org"])
def test_email_addresses_are_accepted(address: str) -> None:
    assert naming.email_problem(address) == ""


@pytest.mark.parametrize(
    "address",
    ["", "team", "team@", "@example.com", "a b@example.com", "a@b", 'a"@b.co', "a..b@c.de", "a@b.co\n", "a@b_c.de"],
)
def test_invalid_email_addresses_are_refused(address: str) -> None:
    assert "team@example.com" in naming.email_problem(address)


@pytest.mark.parametrize("registry", ["ghcr.io/org", "localhost:5000", "registry.example.com:443/a/b_c/d-e"])
def test_registries_are_accepted(registry: str) -> None:
    assert naming.image_registry_problem(registry) == ""


@pytest.mark.parametrize(
    "registry",
    [
        "",
        "https://ghcr.io/org",
        "ghcr.io/Org",
        "ghcr.io/org:1",
        "ghcr.io/org/",
        "org",
        "ghcr.io/../x",
        "a b.io",
        "x.io/y\n",
    ],
)
def test_invalid_registries_are_refused(registry: str) -> None:
    assert "registry.example.com/agents" in naming.image_registry_problem(registry)


@pytest.mark.parametrize("dollars", [0, -1, float("nan"), float("inf"), 1_000_001])
def test_invalid_amounts_are_refused(dollars: float) -> None:
    assert "above 0" in naming.cost_problem(dollars)
