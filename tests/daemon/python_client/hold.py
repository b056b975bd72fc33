"""Holds connections of the published client open: hold.py PORT PASSWORD NUMBER

For every line on standard input, each connection is asked for something, and the number of those
that answered rightly is printed."""

import logging
import sys

from shibudb_client import ShibuDbClient, connect

# The client logs every connection.
logging.disable(logging.INFO)

PORT, PASSWORD, NUMBER = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

clients = [connect("127.0.0.1", PORT, "admin", PASSWORD) for _ in range(NUMBER)]


def lost(self):
    raise AssertionError("the connection was lost")


# Otherwise the client would silently reconnect when its connection breaks.
ShibuDbClient._reconnect = lost
clients[0].create_space("held")


def answers(number, client):
    key, value = f"key {number}", f"value {number}"
    return (
        client.put(key, value, space="held").get("status") == "OK"
        and client.get(key, space="held").get("value") == value
    )


print("open", flush=True)
for _ in sys.stdin:
    print(sum(answers(number, client) for number, client in enumerate(clients)), flush=True)
for client in clients:
    client.close()
