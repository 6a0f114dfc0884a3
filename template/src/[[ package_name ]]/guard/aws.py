"""The one place where clients of AWS are built, for what the service keeps and sends there.

boto3 blocks, so its calls are made in threads. To cancel who waits for one does not end it: its time-outs do.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

CONNECTIONS = 16  # threads, too; more would only wait for each other's turn with the interpreter
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
    """A call to AWS failed. `code` is AWS' own (`ResourceNotFoundException`), or the class of what the client met."""

    def __init__(self, operation: str, code: str, message: str, *, transient: bool, answer: dict[str, Any]) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.code = code
        self.transient = transient
        self.answer = answer  # what AWS sent along


def transient(error: BaseException) -> bool:
    """Whether another attempt may help: connection errors, time-outs, throttling and 5xx."""
    return isinstance(error, OSError) or (isinstance(error, AwsError) and error.transient)


class Aws:
    """A client of one service, `dynamodb` or `sqs`, made at its first call: an import opens and captures nothing.

    Region, endpoint and credentials are the environment's. Retries are the guard's business, so it makes none.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"aws-{service}")
        self._making = Lock()
        self._client: Any = None

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """What an operation, such as `get_item`, answers.

        Raises:
            AwsError: it failed, or AWS could not be reached.
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
                self._client = boto3.Session().client(
                    self._service,
                    region_name=os.environ.get("AWS_REGION"),  # boto3 itself looks at AWS_DEFAULT_REGION only
                    config=Config(
                        connect_timeout=CONNECT_SECONDS,
                        read_timeout=READ_SECONDS,
                        max_pool_connections=CONNECTIONS,
                        retries={"total_max_attempts": 1},
                    ),
                )
            return self._client
