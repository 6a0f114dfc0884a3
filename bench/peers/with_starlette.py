"""A proxy without any agent: Starlette, and the HTTP client that the SDKs use. The floor of what a service costs."""

import httpx2
from served import INSTRUCTIONS, KEY, MODEL, UPSTREAM, serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

client = httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=60)


async def run(request: Request) -> JSONResponse:
    question = (await request.json())["input"]
    messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": question}]
    answer = await client.post(f"{UPSTREAM}/chat/completions", json={"model": MODEL, "messages": messages})
    return JSONResponse({"output": answer.json()["choices"][0]["message"]["content"]})


app = Starlette(routes=[Route("/v1/runs", run, methods=["POST"])])

if __name__ == "__main__":
    serve(app)
