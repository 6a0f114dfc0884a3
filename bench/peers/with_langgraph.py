"""FastAPI and an agent of LangChain on LangGraph, with the same tools."""

from fastapi import FastAPI
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from served import INSTRUCTIONS, KEY, MODEL, UPSTREAM, Question, serve
from tools import convert_units, exchange_rate

app = FastAPI()
model = ChatOpenAI(model=MODEL, base_url=UPSTREAM, api_key=KEY)
agent = create_agent(model, tools=[convert_units, exchange_rate], system_prompt=INSTRUCTIONS)


@app.post("/v1/runs")
async def run(question: Question) -> dict[str, str]:
    state = await agent.ainvoke({"messages": [{"role": "user", "content": question.input}]})
    return {"output": state["messages"][-1].content}


if __name__ == "__main__":
    serve(app)
