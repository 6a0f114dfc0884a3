"""OpenAI's SDK without its walk over each request's body, which takes 0.8 ms: two thirds of the SDK's own time.

Along its types the walk renames keys and formats dates. The types of a model call have none to rename or to format.
"""

from typing import Any, cast

from openai import AsyncOpenAI, AsyncStream, NotGiven, Omit, not_given
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel


def plain(model: Model) -> Model:
    """`model`; if it uses OpenAI's SDK, the SDK sends each body as pydantic-ai has made it."""
    if isinstance(model, OpenAIChatModel):
        pieces = AsyncStream[ChatCompletionChunk]
        _replace(model.client, model.client.chat.completions, "/chat/completions", ChatCompletion, pieces)
    elif isinstance(model, OpenAIResponsesModel):
        from openai.types.responses import Response, ResponseStreamEvent  # only if needed: they are many

        _replace(model.client, model.client.responses, "/responses", Response, AsyncStream[ResponseStreamEvent])
    return model


def _replace(client: AsyncOpenAI, resource: Any, path: str, answer: type[Any], pieces: type[AsyncStream[Any]]) -> None:
    async def create(
        *,
        stream: bool = False,
        extra_headers: Any = None,
        extra_query: Any = None,
        extra_body: Any = None,
        timeout: Any = not_given,
        **fields: Any,
    ) -> Any:
        extras = {"headers": extra_headers, "params": extra_query, "extra_json": extra_body}
        options: dict[str, Any] = {name: value for name, value in extras.items() if value is not None}
        if not isinstance(timeout, NotGiven):
            options["timeout"] = timeout  # None: no limit
        body = {name: value for name, value in fields.items() if not isinstance(value, Omit | NotGiven)}
        return await client.post(
            path,
            cast_to=answer,
            body={**body, "stream": stream},
            options=cast(Any, {**options, "security": {"bearer_auth": True}}),
            stream=stream,
            stream_cls=pieces,
        )

    resource.create = create
