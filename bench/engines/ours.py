"""Tasks of a rendered project, in its own environment: the whole path of a run, with a model that only waits.

`ours.py submit COUNT SECONDS` and `ours.py work`.
"""

import asyncio
import io
import sys
import time

from marks import mark, say
from my_agent.agent import offline
from my_agent.cli.main import main
from my_agent.config.loading import load
from my_agent.queue.dbos import schema
from my_agent.queue.dbos.opening import connected, database_of
from my_agent.queue.records import TaskRequest
from my_agent.telemetry.audit import Audit
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


def waiting_model() -> FunctionModel:
    async def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        [asked] = [part.content for part in messages[-1].parts if isinstance(part, UserPromptPart)]
        number, seconds = str(asked).split()
        mark(int(number), "begins")
        await asyncio.sleep(float(seconds))
        mark(int(number), "ends")
        return ModelResponse([TextPart("done")])

    return FunctionModel(answer, model_name="offline")


async def submit(count: int, seconds: str) -> None:
    settings = load()
    schema.migrate(database_of(settings))
    took = []
    async with connected(settings, Audit(stream=io.StringIO())) as tasks:
        for number in range(count):
            started = time.perf_counter()
            await tasks.submit(TaskRequest(input=f"{number} {seconds}"), tenant="bench", actor="bench")
            took.append(time.perf_counter() - started)
    say(took)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["submit", count, seconds]:
            asyncio.run(submit(int(count), seconds))
        case _:
            offline.offline_model = waiting_model
            main()
