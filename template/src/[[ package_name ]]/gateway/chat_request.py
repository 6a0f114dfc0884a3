"""The request of `/v1/chat/completions`: which options take effect, which do not matter here, which are refused.

docs/openai.md says the same to the callers; a test compares the two.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, WithJsonSchema
from pydantic_ai.settings import ModelSettings

from ..api.auth import Caller
from ..errors import InputTooLong, InvalidInput, Unsupported
from ..runs.task import Task
from .chat_messages import SYSTEM, TOOL, Message, history_of

# These change the form of an answer. They are refused, except with a value that asks for the usual form:
# name → (such values, the reason).
_REFUSED: Mapping[str, tuple[tuple[JsonValue, ...], str]] = {
    "audio": ((), "answers are text"),
    "best_of": ((1,), "a run has one answer"),
    "format": ((), "answers are text"),
    "function_call": (("auto", "none"), "the agent calls its own tools"),
    "functions": (([],), "the agent has its own tools"),
    "grammar": ((), "answers are text"),
    "guided_choice": ((), "answers are text"),
    "guided_grammar": ((), "answers are text"),
    "guided_json": ((), "answers are text"),
    "guided_regex": ((), "answers are text"),
    "json_schema": ((), "answers are text"),
    "logprobs": ((False,), "log probabilities are not kept"),
    "modalities": ((["text"], []), "answers are text"),
    "moderation": ((), "the provider's filter decides alone"),
    "n": ((1,), "a run has one answer"),
    "response_format": (({"type": "text"},), "answers are text"),
    "structured_outputs": ((), "answers are text"),
    "tool_choice": (("auto", "none"), "the agent calls its own tools"),
    "tools": (([],), "the agent has its own tools"),
    "top_logprobs": ((0,), "log probabilities are not kept"),
    "web_search_options": ((), "the agent has its own tools"),
}
# Tools that a request forbids to call, as clients send them along with a history of calls.
_FORBIDDEN_BY = {"tools": "tool_choice", "functions": "function_call"}


def _listed(value: object) -> object:
    given = [value] if isinstance(value, str) else value
    return [text for text in given if text != ""] if isinstance(given, list) else given


Stop = Annotated[
    list[Annotated[str, Field(max_length=256)]],
    Field(max_length=16),
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 16}]}),
]
# Chat programs send an empty word for "not chosen".
Unset = BeforeValidator(lambda value: None if value == "" else value)


class StreamOptions(BaseModel, extra="ignore"):
    include_usage: bool | None = None


class ChatRequest(BaseModel, extra="allow"):
    """OpenAI's request. Null means not given; other servers' options are accepted without effect."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    model: str | None = Field(None, max_length=256, description="any name: there is one model")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stop | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[int, Field(ge=-100, le=100)]] | None = None
    max_tokens: int | None = Field(None, ge=1, lt=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, lt=2**31)
    reasoning_effort: Annotated[Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None, Unset] = (
        None
    )
    verbosity: Annotated[Literal["low", "medium", "high"] | None, Unset] = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def task(self, caller: Caller, max_chars: int) -> Task:
        """Raises:
        Unsupported: an option asks for something that this service does not do.
        InputTooLong: the messages have more than `max_chars` characters.
        InvalidInput: the last message is empty, or neither the user's nor a tool's; tool messages do not fit the calls.
        """
        self._check_options()
        if (chars := sum(message.chars for message in self.messages)) > max_chars:
            detail = f"The messages have {chars} characters; at most {max_chars} are accepted."
            raise InputTooLong(detail, param="messages")
        turns = [message for message in self.messages if message.role not in SYSTEM]
        if not turns or turns[-1].role not in ("user", *TOOL):
            raise InvalidInput("The last message must be the user's or a tool's.", param="messages")
        question = turns.pop() if turns[-1].role == "user" else None
        if question and not question.text.strip():
            raise InvalidInput("The last message is empty; send some text.", param="messages")
        instructions = "\n\n".join(message.text for message in self.messages if message.role in SYSTEM)
        return Task(
            input=question.text if question else "",
            tenant=caller.tenant,
            actor=caller.key,
            history=tuple(history_of(turns)),
            instructions=instructions or None,
            model_settings=self._model_settings(),
        )

    def _check_options(self) -> None:
        extra = self.model_extra or {}
        for name in sorted(_REFUSED.keys() & extra.keys()):
            value, (accepted, reason) = extra[name], _REFUSED[name]
            forbidden = extra.get(_FORBIDDEN_BY.get(name, "")) == "none"
            if value is not None and value not in accepted and not forbidden:
                raise Unsupported(f"The option {name} with this value is not supported: {reason}.", param=name)

    def _model_settings(self) -> ModelSettings:
        """What tunes the model, in pydantic-ai's names. A provider that has no such setting ignores it."""
        effort = self.reasoning_effort
        wanted: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop_sequences": self.stop or None,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": self.logit_bias or None,
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "thinking": effort and (False if effort == "none" else effort),
            "openai_reasoning_effort": effort,  # compatible servers: pydantic-ai does not know their models
            "openai_text_verbosity": self.verbosity,
        }
        return cast(ModelSettings, {name: value for name, value in wanted.items() if value is not None})
