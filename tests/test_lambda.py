"""Delivery to AWS Lambda: the SAM templates, checked by linters and SAM's own transformation, and the zip.

The linters have hundreds of dependencies, so that none is in a lock: uv runs each in an environment of its own.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from answers import SERVERLESS, Answers, label
from conftest import ROOT, UV, Project, Render

CHECKOV = "checkov==3.3.30"
SAM = "aws-sam-translator==1.115.0"
# The version that generated projects lint with.
[CFN_LINT] = re.findall(r"^cfn-lint==\S+", (ROOT / "locks" / "dev-serverless.txt").read_text(), re.MULTILINE)
# The template's state after `sam package` has uploaded the zip.
TRANSFORM = """
import json, logging, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

logging.disable()
text, parameters = sys.stdin.read(), json.loads(sys.argv[1])


class NoManagedPolicies:
    def load(self):
        raise SystemExit("a managed policy is used")


print(json.dumps(transform(yaml_parse(text), parameters, NoManagedPolicies())))
"""
PARAMETERS = {
    "Release": "1",
    "Image": "1.dkr.ecr.eu-west-1.amazonaws.com/x@sha256:1",
    "SecretArn": "arn:aws:secretsmanager:x",
}

every_combination = pytest.mark.parametrize("answers", SERVERLESS, ids=label)
both_packagings = pytest.mark.parametrize("packaging", ["template", "image"])


def templates(project: Path) -> list[str]:
    found = sorted(str(path) for path in (project / "deploy" / "serverless").glob("*.yaml"))
    assert len(found) == 4
    return found


def tool(*command: str, text: str = "", folder: Path = ROOT) -> str:
    environment = os.environ | {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-1"}
    done = subprocess.run(
        [UV, *command], cwd=folder, input=text, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"uv {' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


def transformed(project: Path, packaging: str, **parameters: str) -> dict[str, Any]:
    """The resources that CloudFormation creates from a template."""
    text = (project / "deploy" / "serverless" / f"{packaging}.yaml").read_text()
    text = re.sub(r"CodeUri: .*", "CodeUri: s3://bucket/key", text)
    command = ["run", "--quiet", "--no-project", "--isolated", "--with", SAM, "--with", "pyyaml", "python", "-Wignore"]
    out = tool(*command, "-c", TRANSFORM, json.dumps(PARAMETERS | parameters), text=text)
    resources: dict[str, Any] = json.loads(out)["Resources"]
    return resources


@every_combination
def test_the_templates_are_valid(answers: Answers, render: Render) -> None:
    tool("tool", "run", "--quiet", CFN_LINT, "--template", *templates(render(answers)))


@every_combination
def test_the_templates_are_secure(answers: Answers, render: Render) -> None:
    # Run inside the project: the checker takes a path of forty letters and slashes for a secret.
    options = ("--directory=.", "--framework=cloudformation", "--compact", "--quiet", "--skip-download")
    tool("tool", "run", "--quiet", CHECKOV, *options, folder=render(answers) / "deploy" / "serverless")


@every_combination
@both_packagings
def test_sam_makes_aliases_that_codedeploy_shifts_and_shifts_back(
    answers: Answers, packaging: str, render: Render
) -> None:
    resources = transformed(render(answers), packaging)
    aliases = {name: each for name, each in resources.items() if each["Type"] == "AWS::Lambda::Alias"}
    assert len(aliases) == (2 if "queue" in answers["variants"] else 1)
    for alias in aliases.values():
        assert alias["Properties"]["Name"] == "live"
        group = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
        properties = resources[group]["Properties"]
        assert "DEPLOYMENT_STOP_ON_ALARM" in properties["AutoRollbackConfiguration"]["Events"]
        assert properties["AlarmConfiguration"]["Alarms"]
    # Every caller of a function uses its alias.
    for each in resources.values():
        if each["Type"] in ("AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission"):
            assert each["Properties"]["FunctionName"]["Ref"] in aliases


@every_combination
def test_sam_adds_no_rights_of_its_own(answers: Answers, render: Render) -> None:
    resources = transformed(render(answers), "template")
    roles = {name for name, each in resources.items() if each["Type"] == "AWS::IAM::Role"}
    assert roles - {"CodeDeployServiceRole"} <= {"ApiRole", "WorkerRole"}
    for name in roles - {"CodeDeployServiceRole"}:
        assert "ManagedPolicyArns" not in resources[name]["Properties"]


@both_packagings
def test_each_release_is_a_new_version_of_a_changed_function(packaging: str, render: Render) -> None:
    def versions(**parameters: str) -> set[str]:
        resources = transformed(render(SERVERLESS[0]), packaging, **parameters)
        assert "${Release}" in json.dumps(resources["Api"]["Properties"]["Environment"]), "Lambda publishes no twins"
        return {name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Version"}

    first = versions()
    assert first == versions()
    assert first.isdisjoint(versions(Release="2"))


@pytest.fixture(scope="module")
def snapstart(render: Render) -> list[bool]:
    return ["SnapStart" in transformed(render(answers), "template")["Api"]["Properties"] for answers in SERVERLESS]


def test_snapstart_is_on_if_the_runtime_supports_it(snapstart: list[bool]) -> None:
    assert snapstart == [answers.get("python_version") != "3.11" for answers in SERVERLESS]


def test_the_same_commit_gives_the_same_zip(render: Render, user_environment: dict[str, str], tmp_path: Path) -> None:
    project = Project(render(SERVERLESS[0]), user_environment)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digests = []
    for name in ("one", "two"):
        options = (f"--uv={UV}", f"--dist={tmp_path / name}", f"--python-version={version}")
        project.run(sys.executable, "scripts/package.py", *options)
        [archive] = (tmp_path / name).glob("*.zip")
        digests.append(hashlib.sha256(archive.read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_the_scripts_need_only_uv(render: Render) -> None:
    for script in ("deploy", "rollback"):
        shown = tool(
            "run", "--quiet", "--no-project", "--isolated", f"{render(SERVERLESS[0])}/scripts/{script}.py", "--help"
        )
        assert "lambda:FUNCTION" in shown
