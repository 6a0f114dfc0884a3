"""The least that answers the same request with the same agent: FastAPI, pydantic-ai, nothing around them.

Runs in the rendered project's environment, with its agent.
"""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from my_agent.agent.agent import agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from served import KEY, MODEL, UPSTREAM, Question, serve

app = FastAPI()
model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=UPSTREAM, api_key=KEY))


@app.post("/v1/runs")
async def run(question: Question) -> dict[str, str]:
    result = await agent.run(question.input, model=model, deps=None)  # its tools are not called here
    return {"output": result.output}


@app.post("/v1/streams")
async def stream(question: Question) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        async with agent.run_stream(question.input, model=model, deps=None) as answer:
            async for text in answer.stream_text(delta=True, debounce_by=None):
                yield f"data: {text}\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


if __name__ == "__main__":
    serve(app)
