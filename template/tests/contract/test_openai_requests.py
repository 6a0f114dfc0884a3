"""What OpenAI's clients and chat programs send: docs/openai.md says what takes effect, and this holds it to that."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import httpx2
import openai
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from support.processes import Service, Upstream

pytestmark = pytest.mark.proves("compat.openai")

Client = httpx2.AsyncClient
PAGE = (Path(__file__).parents[2] / "docs" / "openai.md").read_text()
USER = {"role": "user", "content": "hello"}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"id": "call_7", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
CALLED: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_7", "content": "17 degrees"}


def listed(heading: str) -> set[str]:
    """The names in the first column of the table with this heading."""
    table = PAGE[PAGE.index(f"| {heading} |") :].split("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


EFFECTIVE, ACCEPTED, REFUSED = (listed(heading) for heading in ("takes effect", "accepted", "refused"))

# name → what is sent, and what the provider gets.
EFFECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.5, {"top_p": 0.5}),
    "seed": (7, {"seed": 7}),
    "stop": ("END", {"stop": ["END"]}),
    "presence_penalty": (-1, {"presence_penalty": -1}),
    "frequency_penalty": (1, {"frequency_penalty": 1}),
    "logit_bias": ({"50256": -100}, {"logit_bias": {"50256": -100}}),
    "max_tokens": (9, {"max_completion_tokens": 9}),
    "max_completion_tokens": (9, {"max_completion_tokens": 9}),
    "reasoning_effort": ("low", {"reasoning_effort": "low"}),
    "verbosity": ("low", {"verbosity": "low"}),
}
NO_EFFECT: dict[str, list[Any]] = {
    "model": ["gpt-x", "a/b:c"],
    "user": ["somebody"],
    "safety_identifier": ["somebody"],
    "metadata": [{"chat": "1"}],
    "store": [True],
    "service_tier": ["priority"],
    "prompt_cache_key": ["a"],
    "prompt_cache_options": [{"mode": "explicit"}],
    "prompt_cache_retention": ["24h"],
    "prediction": [{"type": "content", "content": "hello"}],
    "parallel_tool_calls": [True, False],
    # Open WebUI, LibreChat, SillyTavern, LM Studio and others
    "chat_id": ["3f1c"],
    "session_id": ["3f1c"],
    "top_k": [40],
    "min_p": [0.05],
    "repetition_penalty": [1.1],
    "chat_template_kwargs": [{"enable_thinking": False}],
    "keep_alive": ["5m"],
    "web_search": [True],
}
CANNOT_BE_DONE: dict[str, Any] = {
    "n": 2,
    "best_of": 2,
    "tools": [WEATHER],
    "functions": [WEATHER["function"]],
    "tool_choice": "required",
    "function_call": {"name": "get_weather"},
    "web_search_options": {},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "logprobs": True,
    "top_logprobs": 3,
    "moderation": {"model": "omni"},
    "structured_outputs": {"json": {}},
} | {name: {} for name in ("json_schema", "format", "grammar", *(n for n in REFUSED if n.startswith("guided_")))}
DONE_ANYWAY: dict[str, list[Any]] = {
    "n": [1],
    "best_of": [1],
    "tools": [[]],
    "functions": [[]],
    "tool_choice": ["auto", "none"],
    "function_call": ["auto", "none"],
    "response_format": [{"type": "text"}],
    "modalities": [["text"]],
    "logprobs": [False],
    "top_logprobs": [0],
}


async def chat(client: Client, *messages: dict[str, Any], **options: Any) -> httpx2.Response:
    body = {"model": "agent", "messages": list(messages) or [USER], **options}
    return await client.post("/v1/chat/completions", json=body)


def sent(upstream: Upstream) -> dict[str, Any]:
    """The last request to the provider."""
    body: dict[str, Any] = upstream.stats()["requests"][-1]["body"]
    return body


def said(upstream: Upstream) -> list[dict[str, Any]]:
    """The messages that the provider got, without the instructions."""
    return [message for message in sent(upstream)["messages"] if message["role"] != "system"]


def test_the_page_has_every_option_of_openais_client() -> None:
    names = set(get_type_hints(CompletionCreateParamsNonStreaming))
    tables = [*EFFECTIVE, *ACCEPTED, *REFUSED]
    assert names | {"stream"} <= set(tables)
    assert len(tables) == len(set(tables)), "each in one table"
    assert set(EFFECTS) | {"messages", "stream", "stream_options"} == EFFECTIVE
    assert set(NO_EFFECT) >= ACCEPTED
    assert set(CANNOT_BE_DONE) == REFUSED >= set(DONE_ANYWAY)


@pytest.mark.parametrize("name", EFFECTS)
async def test_an_option_that_tunes_the_model_reaches_it(client: Client, upstream: Upstream, name: str) -> None:
    await chat(client)
    before = sent(upstream)
    value, expected = EFFECTS[name]
    assert (await chat(client, **{name: value})).status_code == 200
    assert expected.items() <= sent(upstream).items()
    assert not expected.items() <= before.items()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NO_EFFECT.items() for value in values])
async def test_an_option_without_a_meaning_here_is_accepted(
    client: Client, upstream: Upstream, name: str, value: Any
) -> None:
    await chat(client)
    before = sent(upstream)
    assert (await chat(client, **{name: value})).status_code == 200
    assert sent(upstream) == before


@pytest.mark.parametrize("name", CANNOT_BE_DONE)
async def test_an_option_that_cannot_be_done_is_refused_in_a_sentence(
    client: Client, upstream: Upstream, name: str
) -> None:
    response = await chat(client, **{name: CANNOT_BE_DONE[name]})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", name)
    assert re.fullmatch(rf"The option {name} .*: [a-z ']+\.", error["message"])
    assert upstream.attempts() == 0


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in DONE_ANYWAY.items() for value in values])
async def test_what_happens_anyway_may_be_asked_for(client: Client, name: str, value: Any) -> None:
    assert (await chat(client, **{name: value})).status_code == 200


async def test_null_means_not_given(client: Client, upstream: Upstream) -> None:
    await chat(client)
    before = sent(upstream)
    message = {**USER, "name": None, "tool_calls": None, "function_call": None, "refusal": None, "audio": None}
    names = (EFFECTIVE | ACCEPTED | REFUSED) - {"messages"}
    assert (await chat(client, message, **dict.fromkeys(names))).status_code == 200
    assert sent(upstream) == before
    assert (await chat(client, stream=True, stream_options={"include_usage": None})).status_code == 200


@pytest.mark.parametrize("option", [{"stop": []}, {"stop": ""}, {"reasoning_effort": ""}, {"logit_bias": {}}], ids=str)
async def test_an_empty_value_means_not_given_either(
    client: Client, upstream: Upstream, option: dict[str, Any]
) -> None:
    await chat(client)
    before = sent(upstream)
    assert (await chat(client, **option)).status_code == 200
    assert sent(upstream) == before


async def test_the_parts_of_a_message_are_joined_with_a_line_end(client: Client, upstream: Upstream) -> None:
    parts = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}} for text in ("one", "two")]
    answer = (await chat(client, {"role": "user", "content": parts})).json()
    assert answer["choices"][0]["message"]["content"] == "You said: one\ntwo"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "a"}},
    ],
    ids=lambda part: part["type"],
)
async def test_a_part_that_the_agent_cannot_read_is_refused(
    client: Client, upstream: Upstream, part: dict[str, Any]
) -> None:
    response = await chat(client, {"role": "user", "content": [{"type": "text", "text": "Look:"}, part]})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "messages[0].content")
    assert part["type"] in error["message"]
    assert upstream.attempts() == 0


async def test_calls_and_results_of_tools_in_the_history_reach_the_model(client: Client, upstream: Upstream) -> None:
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "17 degrees.",
        "refusal": None,
        "annotations": [],
        "reasoning": "hm",
    }
    messages = [USER, CALLED, RESULT, answer, {"role": "user", "content": "And now?"}]
    assert (await chat(client, *messages, tools=[WEATHER], tool_choice="none")).status_code == 200
    user, call, result, earlier, last = said(upstream)
    assert (user["content"], earlier["content"], last["content"]) == ("hello", "17 degrees.", "And now?")
    [called] = call["tool_calls"]
    assert (called["id"], called["function"]["name"]) == ("call_7", "get_weather")
    assert json.loads(called["function"]["arguments"]) == {"city": "Paris"}
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "call_7", "17 degrees")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_result_of_a_tool_may_be_the_question(client: Client, upstream: Upstream, stream: bool) -> None:
    response = await chat(client, USER, CALLED, RESULT, stream=stream)
    assert response.status_code == 200
    assert [message["role"] for message in said(upstream)] == ["user", "assistant", "tool"]
    if not stream:
        assert response.json()["choices"][0]["message"]["content"] == "The tool said: 17 degrees"


async def test_the_older_form_of_calls_is_understood(client: Client, upstream: Upstream) -> None:
    called = {"role": "assistant", "content": None, "function_call": CALL["function"]}
    result = {"role": "function", "name": "get_weather", "content": "17 degrees"}
    assert (await chat(client, USER, called, result)).status_code == 200
    assert [message["role"] for message in said(upstream)] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("arguments", ["", "{", "[" * 100_00, "null", '"x"', '{"a": NaN}', '{"a": "\\ud800"}'])
async def test_arguments_that_a_model_spoiled_do_not_end_a_chat(
    client: Client, upstream: Upstream, arguments: str
) -> None:
    spoiled = {**CALLED, "tool_calls": [{**CALL, "function": {"name": "get_weather", "arguments": arguments}}]}
    assert (await chat(client, USER, spoiled, RESULT, USER)).status_code == 200
    [call] = [message for message in said(upstream) if message.get("tool_calls")]
    assert isinstance(json.loads(call["tool_calls"][0]["function"]["arguments"]), dict)


@pytest.mark.parametrize(
    "messages",
    [
        [USER, CALLED, USER],
        [USER, RESULT, USER],
        [USER, CALLED, {**RESULT, "tool_call_id": "another"}, USER],
        [USER, CALLED],
        [{"role": "assistant", "content": "hello"}],
        [{"role": "system", "content": "Be brief."}],
        [USER, {"role": "assistant", "content": "hello"}, {"role": "user", "content": " "}],
        [{"role": "user", "content": None}],
    ],
    ids=["no result", "no call", "another call", "a call last", "no question", "system alone", "blank", "null"],
)
async def test_messages_without_a_meaning_are_refused(
    client: Client, upstream: Upstream, messages: list[dict[str, Any]]
) -> None:
    response = await chat(client, *messages)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")
    assert upstream.attempts() == 0


async def test_system_messages_are_instructions_wherever_they_stand(client: Client, upstream: Upstream) -> None:
    assert (await chat(client, USER, {"role": "system", "content": "Be brief."})).status_code == 200
    assert [message["content"] for message in said(upstream)] == ["hello"]
    assert any("Be brief." in message["content"] for message in sent(upstream)["messages"][:-1])


async def test_the_model_has_one_name_everywhere(client: Client, service: Service) -> None:
    key = client.headers["authorization"].removeprefix("Bearer ")
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as openai_client:
        [listed_model] = [model async for model in openai_client.models.list()]
        retrieved = await openai_client.models.retrieve(listed_model.id)
        messages: Any = [USER]
        answer = await openai_client.chat.completions.create(model="any", messages=messages)
        stream = await openai_client.chat.completions.create(model="any", messages=messages, stream=True)
        names = {chunk.model async for chunk in stream} | {listed_model.id, retrieved.id, answer.model}
        with pytest.raises(openai.NotFoundError) as caught:
            await openai_client.models.retrieve("another/model")
    assert names == {"primary"}
    assert caught.value.code == "model_not_found"
