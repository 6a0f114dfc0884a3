"""FastAPI and OpenAI's Agents SDK, with the same tools; its tracing is off, as it sends to OpenAI only."""

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from fastapi import FastAPI
from openai import AsyncOpenAI
from served import INSTRUCTIONS, KEY, MODEL, UPSTREAM, Question, serve
from tools import convert_units, exchange_rate

set_tracing_disabled(True)
app = FastAPI()
agent = Agent(
    name="agent",
    instructions=INSTRUCTIONS,
    tools=[function_tool(convert_units), function_tool(exchange_rate)],
    model=OpenAIChatCompletionsModel(MODEL, AsyncOpenAI(base_url=UPSTREAM, api_key=KEY)),
)


@app.post("/v1/runs")
async def run(question: Question) -> dict[str, str]:
    result = await Runner.run(agent, question.input)
    return {"output": result.final_output}


if __name__ == "__main__":
    serve(app)
