"""The PostgreSQL that a rendered project's tests start, until the input ends; prints two databases' addresses."""

import sys

sys.path.insert(0, sys.argv[1])
from support.postgres import Postgres

server = Postgres()
try:
    print(server.new_database(), server.new_database(), flush=True)
    sys.stdin.read()
finally:
    server.remove()
