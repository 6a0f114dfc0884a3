"""Shared by several scenarios of the queue."""

from __future__ import annotations

import sys
from pathlib import Path

ALTERED = (sys.executable, str(Path(__file__).with_name("altered.py")))
