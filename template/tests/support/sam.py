"""The SAM templates in deploy/serverless/, as CloudFormation reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# Not a dependency of its own: cfn-lint brings it along.
yaml: Any = pytest.importorskip("yaml")
FOLDER = Path(__file__).parents[2] / "deploy" / "serverless"
Loader: Any = type("Loader", (yaml.SafeLoader,), {})


def short_form(loader: Any, tag: str, node: Any) -> dict[str, Any]:
    """CloudFormation's `!Ref x` as {"Ref": "x"}, and so on."""
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    return {tag: loader.construct_sequence(node, deep=True)}


Loader.add_multi_constructor("!", short_form)


def read(name: str) -> dict[str, Any]:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader)
    return loaded


def statements(template: dict[str, Any], role: str) -> dict[str, tuple[set[str], Any]]:
    """The actions and the resource of each statement of a role, by its Sid."""
    [policy] = template["Resources"][role]["Properties"]["Policies"]
    found = {}
    for each in policy["PolicyDocument"]["Statement"]:
        assert each["Effect"] == "Allow"
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        found[each["Sid"]] = (set(actions), each["Resource"])
    return found
