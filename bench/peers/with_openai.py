"""A model call without an agent: FastAPI and OpenAI's SDK."""

from fastapi import FastAPI
from openai import AsyncOpenAI
from served import INSTRUCTIONS, KEY, MODEL, UPSTREAM, Question, serve

app = FastAPI()
client = AsyncOpenAI(base_url=UPSTREAM, api_key=KEY)


@app.post("/v1/runs")
async def run(question: Question) -> dict[str, str | None]:
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": question.input}],
    )
    return {"output": answer.choices[0].message.content}


if __name__ == "__main__":
    serve(app)
