"""Servers that are compatible with OpenAI's Chat Completions and not with its Responses, which `openai:` talks.

Their refusals and their other answers become errors that name `openai-chat:`.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.settings import ModelSettings

from .misconfigured import Misconfigured

log = structlog.get_logger(__name__)
M = TypeVar("M", bound=Misconfigured)


class NoResponsesApi(ModelHTTPError, Misconfigured):
    """The server refused the path of the Responses API."""

    @property
    def advice(self) -> str:
        return _advice(self.model_name)


class NotOfResponsesApi(UnexpectedModelBehavior, Misconfigured):
    """The server's answer has not the form of the Responses API."""

    @property
    def advice(self) -> str:
        return self.message


class CompatibleResponsesModel(OpenAIResponsesModel):
    """Responses on another server than OpenAI's."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        try:
            return await super().request(messages, model_settings, model_request_parameters)
        except ModelHTTPError as error:
            self._check_path(error)
            raise
        except (ModelAPIError, AttributeError, TypeError) as error:  # the SDK takes any JSON for a response
            if isinstance(error, ModelAPIError) and "JSON" not in str(error):
                raise
            raise _logged(NotOfResponsesApi(_advice(self.model_name))) from error

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        stream: StreamedResponse | None = None
        opening = super().request_stream(messages, model_settings, model_request_parameters, run_context)
        try:
            async with opening as stream:
                yield stream
        except ModelHTTPError as error:
            self._check_path(error)
            raise
        except UnexpectedModelBehavior as error:
            if stream is None:  # the SDK skips all bytes that are no event of the Responses API
                raise _logged(NotOfResponsesApi(_advice(self.model_name))) from error
            raise

    def _check_path(self, error: ModelHTTPError) -> None:
        """Raises:
        NoResponsesApi: the server refused the path, not the request.
        """
        told = str(error.body)
        no_path = error.status_code in (404, 405, 501) and not re.search("model|deployment", told, re.IGNORECASE)
        if no_path or "/responses" in told:
            raise _logged(NoResponsesApi(404, self.model_name, error.body)) from error


def explaining(model: Model) -> Model:
    """`model`, made to explain a server without the Responses API if it talks Responses."""
    if type(model) is OpenAIResponsesModel:
        model.__class__ = CompatibleResponsesModel
    return model


def _logged(error: M) -> M:
    log.error("model_misconfigured", advice=error.advice)
    return error


def _advice(model: str) -> str:
    return (
        "The model's server does not speak OpenAI's Responses API, for which the prefix `openai:` stands."
        f" If it has Chat Completions, name the model `openai-chat:{model}`."
    )
