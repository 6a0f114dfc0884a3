"""What an image holds, as a CycloneDX bill of materials: its Python and Debian packages. It runs inside of the image:

docker run --rm --interactive --entrypoint python3 IMAGE - < scripts/sbom.py
"""

from __future__ import annotations

import json
import re
from importlib.metadata import distributions
from pathlib import Path

DPKG = Path("/var/lib/dpkg/status")


def component(name: str, version: str, kind: str) -> dict[str, str]:
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:{kind}/{name}@{version}"}


def python_packages() -> list[dict[str, str]]:
    found = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions()}
    return [component(name, version, "pypi") for name, version in sorted(found.items())]


def debian_packages() -> list[dict[str, str]]:
    entries = DPKG.read_text(encoding="utf-8").split("\n\n") if DPKG.exists() else []
    facts = [dict(re.findall(r"^(Package|Status|Version): (.+)$", entry, re.MULTILINE)) for entry in entries]
    installed = [each for each in facts if each.get("Status", "").endswith(" installed")]
    return [component(each["Package"], each["Version"], "deb/debian") for each in installed]


bill = {
    "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "components": python_packages() + debian_packages(),
}
print(json.dumps(bill, indent=1))
