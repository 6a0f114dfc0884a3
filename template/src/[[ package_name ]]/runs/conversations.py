"""Conversations: pydantic-ai's ConversationStore on the state store, one document per conversation."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from pydantic import TypeAdapter
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, UserPromptPart

from ..errors import Conflict
from ..state import State

_ATTEMPTS = 30
_LONGEST_PAUSE = 0.2  # seconds


@dataclass
class _Document:
    record: ConversationRecord
    entries: list[ConversationEntry] = field(default_factory=list)


@cache
def _documents() -> TypeAdapter[_Document]:
    """Built on first use: it takes 30 ms, too long for every start."""
    return TypeAdapter(_Document)


class TenantConversation(ConversationStore):
    """One conversation of one tenant, for the length of one run.

    The tenant is part of the key, so no id reaches another tenant's conversation. The stored history is trimmed to
    `history_bytes`, oldest turns first and only whole turns. It expires `ttl` seconds after the last turn. `redact`
    removes secrets that a model may have repeated.
    """

    def __init__(
        self,
        state: State,
        tenant: str,
        conversation_id: str,
        history_bytes: int,
        ttl: float,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._state = state
        self._key = f"conversation:{tenant}:{conversation_id}"
        self._id = conversation_id
        self._history_bytes = history_bytes
        self._ttl = ttl
        self._redact = redact
        self._raw: bytes | None = None
        self._known = 0  # messages of the history
        self._document: _Document | None = None
        self._revision: str | None = None

    async def history(self) -> list[ModelMessage]:
        """The messages so far; empty for a new conversation."""
        conversation = await self.load(self._id)
        self._revision = conversation.revision if conversation else None
        messages = list(conversation.messages) if conversation else []
        self._known = len(messages)
        return messages

    async def remember(self, messages: list[ModelMessage]) -> None:
        """Saves the conversation with its new turn, after the turns that other requests have saved meanwhile.

        Args:
            messages: the history, and the new turn.

        Raises:
            Conflict: other requests came first each time; this turn is not saved.
        """
        turn = messages[self._known :]
        for attempt in range(_ATTEMPTS):
            try:
                await self.save(Conversation(messages=messages, conversation_id=self._id, revision=self._revision))
                return
            except ConversationConflict:  # or the state store in use has changed since the history was read
                await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.005 * 2**attempt)))  # noqa: S311
                messages = [*await self.history(), *turn]
        raise Conflict(f"Conversation {self._id} is being continued by too many requests at once.")

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        self._raw = await self._state.get(self._key)
        self._document = _documents().validate_json(self._raw) if self._raw else None
        return self._document.record if self._document else None

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        record = await self.read_record(self._id)
        return [record] if record and limit != 0 else []

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        entries = self._document.entries if self._document else []
        return entries if limit is None else entries[len(entries) - min(limit, len(entries)) :]

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        return next(entry for entry in await self.read_history(None) if entry.id == entry_id)

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        stored = self._document.record.revision if self._document else None
        entries = trimmed([*await self.read_history(None), *new_entries], self._history_bytes)
        raw = self._redact(_documents().dump_json(_Document(replace(record, branches=[]), entries)).decode()).encode()
        if stored != expected_revision:
            raise ConversationConflict(record.conversation_id)
        if self._raw is None:
            written = await self._state.add(self._key, raw, self._ttl)
        else:
            written = await self._state.replace(self._key, self._raw, raw, self._ttl)
        if not written:
            raise ConversationConflict(record.conversation_id)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        if self._raw is None or not await self._state.replace(self._key, self._raw, None, 0):
            raise ConversationConflict(conversation_id)


def trimmed(entries: list[ConversationEntry], room: int) -> list[ConversationEntry]:
    """The newest whole turns that fit into `room` bytes; whole, so that no tool result loses its call."""
    kept = len(entries)
    for start in range(len(entries) - 1, -1, -1):
        room -= len(ModelMessagesTypeAdapter.dump_json([entries[start].message]))
        if room < 0:
            break
        if _starts_a_turn(entries[start].message):
            kept = start
    return entries[kept:]


def _starts_a_turn(message: ModelMessage) -> bool:
    return isinstance(message, ModelRequest) and any(isinstance(part, UserPromptPart) for part in message.parts)
