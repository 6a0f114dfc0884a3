"""The least that answers the same request with the same agent: FastAPI, pydantic-ai, nothing around them.

Runs in the rendered project's environment, with its agent.
"""

import os
import sys

import uvicorn
from fastapi import FastAPI
from my_agent.agent.agent import agent
from pydantic import BaseModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Question(BaseModel):
    input: str


app = FastAPI()
model = OpenAIChatModel("instant", provider=OpenAIProvider(base_url=os.environ["UPSTREAM"], api_key="none"))


@app.post("/v1/runs")
async def run(question: Question) -> dict[str, str]:
    result = await agent.run(question.input, model=model, deps=None)  # its tools are not called here
    return {"output": result.output}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
