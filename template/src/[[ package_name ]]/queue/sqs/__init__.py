"""The queue's engine: rows in DynamoDB, messages by SQS, functions that do the tasks."""
