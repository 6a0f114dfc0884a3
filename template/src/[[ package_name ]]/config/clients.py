"""Settings of the HTTP door: the clients' keys, the limits of their requests, streams, and calls from browsers."""

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from .values import from_json, listed


def _day(value: str) -> str:
    date.fromisoformat(value)  # the 31st of February raises a ValueError
    return value


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?", value):
        raise ValueError("not * or an origin as browsers send it: scheme and host in lower case, without a path")
    return value


class LimitSettings(BaseModel, allow_inf_nan=False):
    """Limits on clients' requests."""

    requests_per_minute: int = Field(120, ge=1, description="requests a minute, per key and per tenant")
    max_in_flight: int = Field(64, ge=1, description="requests in progress at once; one more gets 503")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="largest request body")
    body_timeout_seconds: float = Field(10, gt=0, description="client's time to send a head or body, or to read on")


class StreamSettings(BaseModel, allow_inf_nan=False):
    """Streamed answers, on their way through proxies that cut silent connections."""

    status_seconds: float = Field(
        10, gt=0, description="a failure within this time has its own status; then a 200 begins"
    )
    comment_seconds: float = Field(15, gt=0, description="silence in a stream after which a comment line is sent")


class CorsSettings(BaseModel):
    """Calls from the pages of other origins (CORS)."""

    origins: Annotated[list[Annotated[str, AfterValidator(_origin)]], NoDecode, BeforeValidator(listed)] = Field(
        default=[], description="origins whose pages may call the service, `https://a.example,https://b.example` or `*`"
    )


class ClientKey(BaseModel, extra="forbid"):
    """A client's API key: the service knows only its hash."""

    hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    tenant: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    expires: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)] | None = None


class AuthSettings(BaseModel):
    """The clients' API keys; `keys new NAME` makes an entry."""

    keys: Annotated[dict[str, ClientKey], NoDecode, BeforeValidator(from_json)] = Field(
        default={}, description='JSON: {"name": {"hash": "sha256:…", "tenant": "…", "expires": "2030-01-01"}}'
    )
    disabled: bool = Field(False, description="accept requests without a key; development only")
