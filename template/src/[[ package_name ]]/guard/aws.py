"""The one place where AWS clients are built, for DynamoDB and SQS.

boto3 blocks, so its calls run in threads. Cancelling the waiting coroutine does not end a call; its time-outs do.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

CONNECTIONS = 16  # also the number of threads; more would only wait for the interpreter lock
CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0
THROTTLED = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TooManyRequestsException",
}


class AwsError(Exception):
    """A call to AWS failed. `code` is AWS' own (`ResourceNotFoundException`), or the client's exception class."""

    def __init__(self, operation: str, code: str, message: str, *, transient: bool, answer: dict[str, Any]) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.code = code
        self.transient = transient
        self.answer = answer  # the error response of AWS


def transient(error: BaseException) -> bool:
    """Whether another attempt may help: connection errors, time-outs, throttling and 5xx."""
    return isinstance(error, OSError) or (isinstance(error, AwsError) and error.transient)


class Aws:
    """A client of one service, `dynamodb` or `sqs`. It connects at the first call, never at import.

    Region, endpoint and credentials come from the environment, unless `options` has others. It does not retry: the
    guard does.
    """

    def __init__(self, service: str, **options: str) -> None:
        self._service = service
        self._options = options
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"aws-{service}")
        self._making = Lock()
        self._client: Any = None

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The response of an operation such as `get_item`.

        Raises:
            AwsError: the operation failed, or AWS could not be reached.
        """
        work = partial(self._call, operation, parameters)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def _call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

        try:
            answer: dict[str, Any] = getattr(self._made(), operation)(**parameters)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            passing = code in THROTTLED or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
            raise AwsError(operation, code, message, transient=passing, answer=dict(error.response)) from error
        except BotoCoreError as error:
            passing = isinstance(error, ConnectionError | HTTPClientError)
            raise AwsError(operation, type(error).__name__, str(error), transient=passing, answer={}) from error
        return answer

    def _made(self) -> Any:
        import boto3
        from botocore.config import Config

        with self._making:
            if self._client is None:
                client: Any = boto3.Session().client(
                    self._service,
                    **{"region_name": os.environ.get("AWS_REGION"), **self._options},  # boto3 reads another name
                    config=Config(
                        connect_timeout=CONNECT_SECONDS,
                        read_timeout=READ_SECONDS,
                        max_pool_connections=CONNECTIONS,
                        retries={"total_max_attempts": 1},
                    ),
                )
                client.meta.events.register_last("before-call", _without_trace_header)
                self._client = client
            return self._client


def _without_trace_header(params: dict[str, Any], **_: Any) -> None:
    """Takes away the trace header that botocore adds in a function. Lambda counts by it, and ends a chain of 16
    functions and messages; a task that is delayed by more than four hours is such a chain. Its deadline bounds it.
    """
    params["headers"].pop("X-Amzn-Trace-Id", None)
