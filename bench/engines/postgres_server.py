"""The PostgreSQL of a rendered project's tests, until the input ends; a line of it gets a new database's address."""

import sys

sys.path.insert(0, sys.argv[1])
from support.postgres import Postgres

server = Postgres()
try:
    for _ in sys.stdin:
        print(server.new_database(), flush=True)
finally:
    server.remove()
