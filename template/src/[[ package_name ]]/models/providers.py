"""Builds models of any provider that pydantic-ai knows. Imports only the SDK of the provider in use."""

import os
import sys
from typing import Any

from pydantic import HttpUrl, SecretStr
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider_class

from ..config.secrets import Secrets
from ..config.settings import Settings
from ..guard.exchange import record_boto3
from ..guard.outbound import Outbound


def build(role: str, name: str, secrets: Secrets, outbound: Outbound) -> Model:
    """The model called `name`, with the address and the key of its role."""
    if name == "offline":
        from ..agent.offline import offline_model  # importing it takes 20 ms

        return offline_model()
    prefix = "fallback_" if role == "fallback" else ""
    base_url: HttpUrl | None = getattr(secrets.settings.model, f"{prefix}base_url")

    def key() -> SecretStr | None:
        current: SecretStr | None = getattr(secrets.settings.model, f"{prefix}api_key")
        return current

    client = outbound.model_client(key, secrets.refresh)

    def provider(provider_name: str) -> Provider[Any]:
        made: Provider[Any]
        if provider_name == "bedrock":  # signs with the AWS credentials of the environment
            made = _bedrock()
        else:
            made = infer_provider_class(provider_name)(  # type: ignore[call-arg]
                api_key="set for each request",
                base_url=str(base_url).rstrip("/") if base_url else None,
                http_client=client,
            )
        if hasattr(made.client, "max_retries"):
            made.client.max_retries = 0  # the guard retries; the SDK's retries would multiply the attempts
        return made

    model = infer_model(name, provider)
    if "pydantic_ai.models.openai" in sys.modules:  # otherwise its SDK may not be installed
        from .compatible import lenient
        from .plain_bodies import plain
        from .responses import explaining

        return lenient(plain(explaining(model) if base_url else model), client)
    return model


def _bedrock() -> Provider[Any]:
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    region = os.environ.get("AWS_REGION")  # boto3 itself reads only AWS_DEFAULT_REGION
    made: Provider[Any] = infer_provider_class("bedrock")(region_name=region)  # type: ignore[call-arg]
    made.client.meta.events.register("before-parse.bedrock-runtime", record_boto3)
    return made


def unusable(settings: Settings) -> list[str]:
    """A problem for each model that cannot be built. Takes a second, because it imports the providers' SDKs."""
    problems = []
    for role in ("primary", "fallback", "small"):
        provider = (getattr(settings.model, role) or "offline").partition(":")[0]
        try:
            if provider == "bedrock":
                _bedrock()
            elif provider != "offline":
                infer_provider_class(provider)
        except ValueError:
            problems.append(f"MODEL__{role.upper()}: pydantic-ai has no provider called {provider}")
        except UserError:
            problems.append(f"MODEL__{role.upper()}: {provider} needs a region; set AWS_REGION")
        except ImportError:
            problems.append(
                f"MODEL__{role.upper()}: the SDK of {provider} is not installed; add its extra to pydantic-ai-slim in"
                " pyproject.toml, then `make lock install`"
            )
    return problems
