"""AWS on loopback: moto as a server in a process of its own, asked over HTTP by the real boto3. A pytest plugin.

    aws.environment                    for a child: where AWS is, and credentials that nobody checks
    aws.client("sqs").send_message()   what an operator would do
    aws.table_of_state()               creates the table and gives its name

`kill` and `start` keep the port, but moto keeps everything in memory: its tables are gone.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

from support.processes import TESTS, call, environment, free_port
from support.waiting import eventually

REGION = "eu-west-1"
Json = dict[str, Any]


class Aws:
    """moto's server, empty after each `reset`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.aws", str(self.port)],
            cwd=TESTS,
            env=environment(MOTO_PORT=str(self.port), **self.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: call("GET", f"{self.url}/moto-api/data.json")[0] == 200, within=30, what="moto answers")

    def reset(self) -> None:
        status, body = call("POST", f"{self.url}/moto-api/reset")
        assert status == 200, body

    def traces(self) -> list[str]:
        """The trace headers of the messages that were sent, newest last."""
        traces: list[str] = json.loads(call("GET", f"{self.url}/tests/traces")[1])
        return traces

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """It accepts connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def client(self, name: str) -> Any:
        import boto3

        session: Any = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        return session.client(name, endpoint_url=self.url)

    def table_of_state(self, name: str = "state") -> str:
        """The table that `STATE_URL=dynamodb://<name>` needs."""
        return self._table(name, ["key"])

    def table_of_tasks(self, name: str = "tasks") -> str:
        """The table that `SERVERLESS__TASKS_TABLE` names, and its index by time."""
        by_created = {
            "IndexName": "by_created",
            "KeySchema": _schema(["tenant", "created"]),
            "Projection": {"ProjectionType": "ALL"},
        }
        return self._table(name, ["tenant", "id"], also=["created"], GlobalSecondaryIndexes=[by_created])

    def _table(self, name: str, keys: list[str], also: Iterable[str] = (), **more: Any) -> str:
        dynamodb = self.client("dynamodb")
        dynamodb.create_table(
            TableName=name,
            KeySchema=_schema(keys),
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in (*keys, *also)],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
        )
        dynamodb.close()
        return name


def _schema(keys: list[str]) -> list[Json]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


@pytest.fixture(scope="session")
def shared_aws() -> Iterator[Aws]:
    aws = Aws()
    yield aws
    aws.kill()


@pytest.fixture
def aws(shared_aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """AWS without anything in it, for this process as well as for its children."""
    shared_aws.reset()
    for name, value in shared_aws.environment.items():
        monkeypatch.setenv(name, value)
    return shared_aws


@pytest.fixture
def own_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """An AWS that a test may kill."""
    aws = Aws()
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    yield aws
    aws.kill()


def one_at_a_time(app: WSGIApplication) -> WSGIApplication:
    """DynamoDB does each of its operations whole; moto looks first and writes then, with other threads in between."""
    turn = threading.Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            return app(environ, start_response)  # SQS may wait here for messages
        with turn:
            return list(app(environ, start_response))

    return answer


def remembering(app: WSGIApplication) -> WSGIApplication:
    """Keeps the trace header of each message that is sent: `GET /tests/traces`."""
    traces: list[str] = []

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/tests/traces":
            start_response("200 OK", [])
            return [json.dumps(traces).encode()]
        if environ.get("HTTP_X_AMZ_TARGET") == "AmazonSQS.SendMessage":
            traces.append(environ.get("HTTP_X_AMZN_TRACE_ID", ""))
        return app(environ, start_response)

    return answer


if __name__ == "__main__":
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    app = remembering(one_at_a_time(DomainDispatcherApplication(create_backend_app)))
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=MotoRequestHandler)
