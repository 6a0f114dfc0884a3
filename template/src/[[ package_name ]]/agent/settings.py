"""The agent's own settings, `AGENT__…` in the environment. Add yours here, then `make config` documents them."""

from pydantic import BaseModel, Field, HttpUrl


class AgentSettings(BaseModel):
    """What the example agent's tools need."""

    rates_url: HttpUrl = Field(
        HttpUrl("https://api.frankfurter.dev/v1"), description="exchange rates: an API in the shape of frankfurter.dev"
    )
    allowed_private_hosts: list[str] = Field(
        default=[], description="JSON: hosts in private address ranges that tools may call"
    )
