"""Response bodies with a limit on decoded bytes: a body that is small on the wire may be large in memory."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

import httpx2

from ..errors import causes

MAX_ANSWER_BYTES = 8 * 1024 * 1024  # of streams and files
MAX_JSON_BYTES = 2 * 1024 * 1024  # four times a model's longest answer; it is parsed and cleaned in one go
ENCODINGS = "gzip, deflate"  # accepted by requests; zlib decodes both piece by piece
_PIECE = 64 * 1024


class AnswerTooLarge(httpx2.ReadError):
    """An upstream sent more than MAX_ANSWER_BYTES or MAX_JSON_BYTES, decoded. A retry would not help."""


def too_large(error: BaseException) -> bool:
    """Whether AnswerTooLarge caused an error; looks at the causes of an SDK's error too."""
    return any(isinstance(cause, AnswerTooLarge) for cause in causes(error))


def bound(response: httpx2.Response) -> httpx2.Response:
    """The response with a body that is decoded here, and that raises AnswerTooLarge beyond its limit."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        is_json = response.headers.get("content-type", "").startswith("application/json")
        encoding = response.headers.pop("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            response.headers.pop("content-length", None)  # it was the size of the encoded body
        response.stream = _Bounded(response.stream, encoding, MAX_JSON_BYTES if is_json else MAX_ANSWER_BYTES)
    return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, encoding: str, most: int) -> None:
        self._stream, self._encoding, self._most = stream, encoding, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decode = _Decoder(self._encoding)
        received = 0
        async for chunk in self._stream:
            for piece in decode(chunk):
                received += len(piece)
                if received > self._most:
                    raise AnswerTooLarge(f"more than {self._most} bytes")
                yield piece
                await asyncio.sleep(0)  # lets other requests and this one's time-out run

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Decoder:
    """Decodes in pieces of bounded size."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise httpx2.DecodingError(f"the answer is encoded as {encoding[:40]!r}; the request accepts {ENCODINGS}")
        self._plain = encoding in ("identity", "")
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, detected by the header
        self._raw_next = encoding == "deflate"  # some servers send deflate without zlib's header

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        if self._plain:
            yield chunk
            return
        while chunk:
            if self._inflate.eof:  # gzip may come in several members; what is no member is padding
                if not chunk.startswith(b"\x1f"):
                    return
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                piece = self._inflate.decompress(chunk, _PIECE)
            except zlib.error as error:
                if not self._raw_next:
                    raise httpx2.DecodingError(f"the answer cannot be decoded: {error}") from error
                self._inflate, self._raw_next = zlib.decompressobj(-zlib.MAX_WBITS), False
                continue
            self._raw_next = False
            chunk = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            if piece:
                yield piece
