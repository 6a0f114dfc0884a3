"""A provider's batch API on loopback: OpenAI's files and batches, whose requests are Responses.

It runs in a thread of the tests, which look at what it was sent and say when it is done. Its model answers as the one
of `upstream_answers.py` does.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from support.upstream_answers import CALL, text_of

Json = dict[str, Any]
OPEN = ("validating", "in_progress")


@dataclass
class Batch:
    """One that was submitted: its requests by their ids, and how it stands in OpenAI's words."""

    id: str
    file: str
    entries: dict[str, Json]
    status: str = "in_progress"
    files: Json = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        return [asked(body) for body in self.entries.values()]


class BatchProvider:
    """Batches end when they are looked at, unless `holds`; `statuses` are those of a text's next answers."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._ids = count(1)
        self.forget()

    def forget(self) -> None:
        self.holds = False
        self.refuses = 0  # times that a batch is refused with 503
        self.loses = 0  # times that a batch is taken and its answer lost
        self.looks = 0
        self.statuses: dict[str, list[int]] = {}
        self.batches: list[Batch] = []
        self.files: dict[str, str] = {}
        self.keys: set[str] = set()

    def times(self, text: str) -> int:
        """How often a request with this text was submitted."""
        return sum(batch.texts.count(text) for batch in self.batches)

    def of(self, text: str) -> Batch | None:
        """The last batch with a request of this text."""
        return next((batch for batch in reversed(self.batches) if text in batch.texts), None)

    def end(self, status: str) -> None:
        """Every batch that is open ends so, with none of its requests done."""
        for batch in self.batches:
            if batch.status in OPEN:
                batch.status = status

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, file: str) -> Batch:
        lines = [json.loads(line) for line in self.files[file].splitlines()]
        batch = Batch(f"batch_{next(self._ids)}", file, {line["custom_id"]: line["body"] for line in lines})
        self.batches.append(batch)
        return batch

    def store(self, content: str) -> Json:
        file = f"file-{next(self._ids)}"
        self.files[file] = content
        kept = {"bytes": len(content), "created_at": 1_700_000_000, "filename": "batch.jsonl", "purpose": "batch"}
        return {"id": file, "object": "file", "status": "processed", **kept}

    def look(self, batch: Batch) -> None:
        self.looks += 1
        if batch.status in OPEN and not self.holds:
            lines = [self._line(name, body) for name, body in batch.entries.items()]
            good = [line for line in lines if line["response"]["status_code"] == 200]
            bad = [line for line in lines if line not in good]
            for name, some in (("output_file_id", good), ("error_file_id", bad)):
                if some:
                    batch.files[name] = self.store("\n".join(map(json.dumps, some)))["id"]
            batch.status = "completed"

    def _line(self, name: str, body: Json) -> Json:
        statuses = self.statuses.get(asked(body))
        status = statuses.pop(0) if statuses else 200
        error = {"error": {"message": f"scripted {status}", "type": "scripted", "code": None}}
        response = {"status_code": status, "request_id": "1", "body": answer(body) if status == 200 else error}
        return {"id": f"line-{name}", "custom_id": name, "response": response, "error": None}


def asked(body: Json) -> str:
    """What the user asked last."""
    return [text_of(item["content"]) for item in body["input"] if item.get("role") == "user"][-1]


def answer(body: Json) -> Json:
    """A whole `response`: a tool call, what the tool said, or an echo."""
    last = body["input"][-1]
    wanted = CALL.search(asked(body))
    item: Json
    if last.get("type") == "function_call_output":
        item = _message(f"The tool said: {last['output']}")
    elif wanted and wanted[1] in {tool.get("name") for tool in body.get("tools", [])}:
        call = {"id": "fc_1", "call_id": "call_1", "name": wanted[1], "arguments": wanted[2]}
        item = {"type": "function_call", "status": "completed", **call}
    else:
        item = _message(f"You said: {asked(body)}")
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}  # type: ignore[dict-item]
    kept = {"created_at": 1_700_000_000, "model": body["model"], "status": "completed", "error": None, "tools": []}
    return {"id": "resp_1", "object": "response", **kept, "output": [item], "usage": usage}


def _message(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content}


def _shown(batch: Batch) -> Json:
    counts = {"total": len(batch.entries), "completed": 0, "failed": 0}
    asked_for = {"endpoint": "/v1/responses", "completion_window": "24h", "input_file_id": batch.file}
    state = {"status": batch.status, "created_at": 1_700_000_000, "request_counts": counts, **batch.files}
    return {"id": batch.id, "object": "batch", **asked_for, **state}


def _handler(provider: BatchProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            provider.keys.add(self.headers["authorization"].removeprefix("Bearer "))
            if self.path == "/v1/files":
                # A form's part: headers, an empty line, the content, a line break before the boundary.
                part = re.search(r'name="file".*?\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
                assert part
                self.give(200, provider.store(part[1]))
            elif self.path == "/v1/batches" and provider.refuses:
                provider.refuses -= 1
                self.give(503, {"error": {"message": "not now"}})
            elif self.path == "/v1/batches":
                batch = provider.create(json.loads(body)["input_file_id"])
                if provider.loses:
                    provider.loses -= 1
                    self.close_connection = True
                else:
                    self.give(200, _shown(batch))
            elif batch_of := self.named("/cancel"):
                batch_of.status = "cancelled"
                self.give(200, _shown(batch_of))
            else:
                self.give(404, {"error": {"message": "no such path"}})

        def do_GET(self) -> None:
            file = re.fullmatch(r"/v1/files/(.+)/content", self.path)
            if file and file[1] in provider.files:
                self.give(200, provider.files[file[1]])
            elif batch := self.named(""):
                provider.look(batch)
                self.give(200, _shown(batch))
            else:
                self.give(404, {"error": {"message": "no such path"}})

        def do_DELETE(self) -> None:
            self.give(200, {"id": self.path.rpartition("/")[2], "object": "file", "deleted": True})

        def named(self, suffix: str) -> Batch | None:
            return next((one for one in provider.batches if self.path == f"/v1/batches/{one.id}{suffix}"), None)

        def give(self, status: int, body: Json | str) -> None:
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler
