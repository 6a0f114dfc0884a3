"""Python imports this module at its start where its folder is on PYTHONPATH: it writes down every call to AWS."""

from __future__ import annotations

import json
import os
from typing import Any

from botocore.client import BaseClient

FILE = os.environ["RECORDED_CALLS"]
asked = BaseClient._make_api_call


def recorded(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps([self.meta.service_model.service_name, operation, parameters], default=repr) + "\n")
    return asked(self, operation, parameters)


BaseClient._make_api_call = recorded
