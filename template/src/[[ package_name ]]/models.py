"""The models: primary, fallback and small, each behind its guard. Any provider that pydantic-ai knows."""

import copy
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeVar

from pydantic import HttpUrl, SecretStr
from pydantic_ai import RunContext
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse, infer_model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from .agent.offline import offline_model
from .answers import ANSWERED_BY, answers
from .guard import BulkheadFull, CircuitOpen, Guard, Guards
from .outbound import Outbound
from .secrets import Secrets
from .settings import ModelSettings as ModelsSettings
from .telemetry import metrics

T = TypeVar("T")

FALLBACK_SHARE = 0.5  # of the time that is left: the primary may not spend what the fallback needs


def transient(error: BaseException) -> bool:
    """Worth another attempt, and a sign of bad health: no connection, no answer in time, 408, 429, 5xx, no sense."""
    if isinstance(error, ModelHTTPError):
        return error.status_code in (408, 429) or error.status_code >= 500
    if isinstance(error, ModelRequestRejectedError):
        return False
    return isinstance(error, ModelAPIError | UnexpectedModelBehavior | TimeoutError | OSError)


def falls_back(error: Exception) -> bool:
    """Another model may do better. Not so for a request that is wrong in itself: it would only be paid twice."""
    refused_us = isinstance(error, ModelAuthenticationError) or (
        isinstance(error, ModelHTTPError) and error.status_code in (401, 403, 404)
    )
    return refused_us or transient(error) or isinstance(error, CircuitOpen | BulkheadFull)


class GuardedModel(WrapperModel):
    """A model behind its guard, which notes that it answered."""

    def __init__(self, wrapped: Model, role: str, name: str, guard: Guard, share: float) -> None:
        super().__init__(wrapped)
        self.role = role
        self.name = name
        self._guard = guard
        self._share = share  # of the time that is left

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        async def attempt() -> ModelResponse:
            with self._attempted():
                return await self.wrapped.request(messages, model_settings, model_request_parameters)

        return self.stamped(await self._guard.call(attempt, share=self._share))

    async def guarded(self, call: Callable[[], Awaitable[T]]) -> T:
        """Another of its provider's calls, behind the same guard."""
        return await self._guard.call(call)

    def stamped(self, response: ModelResponse) -> ModelResponse:
        """An answer of this model's: counted, and marked with who gave it."""
        self._note(response.usage)
        response.metadata = {**(response.metadata or {}), ANSWERED_BY: [self.role, self.name]}
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        @asynccontextmanager
        async def connect() -> AsyncGenerator[StreamedResponse]:
            with self._attempted():
                async with self.wrapped.request_stream(
                    messages, model_settings, model_request_parameters, run_context
                ) as stream:
                    yield stream

        async with self._guard.stream(connect, share=self._share) as stream:
            yield stream
            self._note(stream.usage)

    def _attempted(self) -> AbstractContextManager[None]:
        return metrics.model_operation(self.wrapped.system, self.wrapped.model_name)

    def _note(self, usage: RequestUsage) -> None:
        metrics.model_tokens(self.wrapped.system, self.wrapped.model_name, usage.input_tokens, usage.output_tokens)
        if noted := answers.get(None):
            noted.models.append((self.role, self.name))


class Models:
    """The models of the service, by what they are for.

    Args:
        settings: names, addresses and the routing rule.
        secrets: the keys in force.
        outbound: makes the HTTP clients.
        guards: one guard a role.
    """

    def __init__(self, settings: ModelsSettings, secrets: Secrets, outbound: Outbound, guards: Guards) -> None:
        self.settings = settings
        self.names = "\x00".join(filter(None, (settings.primary, settings.fallback, settings.small)))
        self._secrets = secrets
        self._outbound = outbound
        self.guards = guards
        fallback = [self._guarded("fallback", settings.fallback, 1.0)] if settings.fallback else []
        chain = [self._guarded("primary", settings.primary, FALLBACK_SHARE if fallback else 1.0), *fallback]
        self._big = _chained(chain)
        small = [self._guarded("small", settings.small, FALLBACK_SHARE)] if settings.small else []
        self._small = _chained([*small, *chain])

    def route(self, text: str, *, follows_up: bool) -> Model:
        """The model for an input: MODEL__SMALL for a short question that stands alone, the primary for the rest."""
        if not follows_up and len(text) <= self.settings.small_max_chars:
            return self._small
        return self._big

    @property
    def by_size(self) -> Mapping[str, Model]:
        """What `route` chooses from."""
        return {"big": self._big, "small": self._small}

    def wrapped(self, wrap: Callable[[Model], Model]) -> "Models":
        """The same models, each in a wrapper of the caller's."""
        models = copy.copy(self)
        models._big = wrap(self._big)
        models._small = models._big if self._small is self._big else wrap(self._small)
        return models

    def alone(self) -> "Models":
        """The first choice of each size, without those that stand in for it."""
        return self.wrapped(lambda model: model.models[0] if isinstance(model, FallbackModel) else model)

    def _guarded(self, role: str, name: str, share: float) -> GuardedModel:
        guard = self.guards.get(f"model_{role}", transient)
        return GuardedModel(self._plain(role, name), role, name, guard, share)

    def _plain(self, role: str, name: str) -> Model:
        if name == "offline":
            return offline_model()
        prefix = "fallback_" if role == "fallback" else ""
        base_url: HttpUrl | None = getattr(self.settings, f"{prefix}base_url")

        def key() -> SecretStr | None:
            current: SecretStr | None = getattr(self._secrets.settings.model, f"{prefix}api_key")
            return current

        def provider(provider_name: str) -> Provider[Any]:
            made: Provider[Any]
            if provider_name == "bedrock":  # signs with the AWS credentials of the environment
                os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
                made = infer_provider_class(provider_name)()
            else:
                made = infer_provider_class(provider_name)(  # type: ignore[call-arg]
                    api_key="set for each request",
                    base_url=str(base_url).rstrip("/") if base_url else None,
                    http_client=self._outbound.model_client(key, self._secrets.refresh),
                )
            if hasattr(made.client, "max_retries"):
                made.client.max_retries = 0  # the guard retries; twice would multiply the attempts
            return made

        return infer_model(name, provider)


def _chained(models: list[GuardedModel]) -> Model:
    return models[0] if len(models) == 1 else FallbackModel(models[0], *models[1:], fallback_on=falls_back)
