"""What is delivered: an image with locked contents that runs without rights, and a pipeline with no more than it needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from processes import clean_environment, free_port
from waiting import until

PROJECT = Path(__file__).parents[2]
