"""The AWS Lambda door: turns invocations into runs and tasks."""
