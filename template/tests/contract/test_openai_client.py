"""The real openai client against the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest

from conftest import KEY
from support.processes import Service, Upstream


@pytest.fixture
async def openai_client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0, timeout=30) as client:
        yield client


async def test_a_completion(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="agent", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (100, 20, 120)


async def test_a_streamed_completion_with_its_usage(openai_client: openai.AsyncOpenAI) -> None:
    stream = await openai_client.chat.completions.create(
        model="agent",
        messages=[{"role": "user", "content": "one two three"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "You said: one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 120


async def test_earlier_messages_are_the_history(openai_client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    await openai_client.chat.completions.create(
        model="agent",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "reply"},
            {"role": "user", "content": [{"type": "text", "text": "second"}]},
        ],
    )
    sent = upstream.stats()["requests"][-1]["body"]["messages"]
    assert [message["content"] for message in sent if message["role"] != "system"] == ["first", "reply", "second"]
    assert any("Be brief." in message["content"] for message in sent if message["role"] == "system")


async def test_options_with_default_values_are_accepted(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(
        model="agent",
        messages=[{"role": "user", "content": "hello"}],
        n=1,
        response_format={"type": "text"},
        tool_choice="none",
        presence_penalty=0,
        user="somebody",
    )
    assert answer.choices[0].message.content == "You said: hello"


async def test_tools_of_the_agent_are_used_behind_the_api(openai_client: openai.AsyncOpenAI) -> None:
    text = 'call convert_units {"value": 1, "source": "kg", "target": "pounds"}'
    answer = await openai_client.chat.completions.create(model="agent", messages=[{"role": "user", "content": text}])
    assert answer.choices[0].message.content == "The tool said: 2.2"
    assert answer.choices[0].message.tool_calls is None


async def test_the_models_are_listed(openai_client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in await openai_client.models.list()] == ["primary"]


async def test_a_wrong_key_is_an_authentication_error(service: Service) -> None:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="agent", messages=[{"role": "user", "content": "hello"}])


async def test_a_provider_that_is_down_is_a_service_unavailable(
    openai_client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    upstream.plays({"fault": "status", "status": 500})
    with pytest.raises(openai.InternalServerError) as caught:
        await openai_client.chat.completions.create(model="agent", messages=[{"role": "user", "content": "hello"}])
    assert caught.value.status_code == 503
    assert "retry-after" in caught.value.response.headers


async def test_a_stream_that_breaks_raises_in_the_client(openai_client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    upstream.plays({"fault": "cut"}, answer="word " * 50)
    stream = await openai_client.chat.completions.create(
        model="agent", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]


@pytest.mark.parametrize("option", [{"n": 2}, {"tools": [{"type": "function", "function": {"name": "f"}}]}], ids=str)
async def test_an_option_without_effect_is_refused_not_ignored(
    openai_client: openai.AsyncOpenAI, option: dict[str, object]
) -> None:
    with pytest.raises(openai.BadRequestError):
        await openai_client.chat.completions.create(
            model="agent", messages=[{"role": "user", "content": "hello"}], extra_body=option
        )
