"""What every peer has besides its framework: a question, the model's address, a server without access log."""

import os
import sys
from typing import Any

import uvicorn
from pydantic import BaseModel

UPSTREAM, MODEL = os.environ["UPSTREAM"], os.environ["MODEL"]
INSTRUCTIONS = os.environ["INSTRUCTIONS"]  # those of the template's example agent
KEY = "none"


class Question(BaseModel):
    input: str


def serve(app: Any) -> None:
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
