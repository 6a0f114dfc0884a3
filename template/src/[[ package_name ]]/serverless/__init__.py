"""The AWS Lambda door: turns invocations into tasks for the runner."""
