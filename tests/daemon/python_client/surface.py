"""The rest of the published client's surface, but for vectors: surface.py PORT PASSWORD

In the middle of it the server is restarted: when "restart" is printed, the new port is read from
standard input."""

import json
import logging
import sys

from shibudb_client import (
    AuthenticationError,
    ConnectionConfig,
    ConnectionError,
    ConnectionPool,
    ParallelExecutor,
    PoolExhaustedError,
    QueryError,
    ShibuDbClient,
    User,
    connect,
    create_connection_pool,
    create_parallel_executor,
)

# The client logs every connection.
logging.disable(logging.CRITICAL)

PORT, PASSWORD = int(sys.argv[1]), sys.argv[2]
HOST = "127.0.0.1"


def ok(message):
    return {"status": "OK", "message": message}


def error(message):
    return {"status": "ERROR", "message": message}


def expect(got, wanted):
    assert got == wanted, f"expected {str(wanted)[:300]}, got {str(got)[:300]}"


def raises(kind, action):
    try:
        action()
    except kind as raised:
        return str(raised)
    raise AssertionError(f"nothing was raised, not even {kind}")


def listed(client):
    answer = client.list_spaces()
    expect(answer["status"], "OK")
    return json.loads(answer["message"])["spaces"]


def spaces_of_a_user(admin):
    for name, wal in [("a", True), ("b", False), ("c", None), ("Größe 大", True)]:
        more = {} if wal is None else {"enable_wal": wal}
        expect(admin.create_space(name, **more), ok("SPACE_CREATED"))
    expect(admin.create_user(User("zoe", "secret", "user", {"a": "write", "Größe 大": "read"})), ok("USER_CREATED"))
    expect(admin.create_user(User("nobody", "")), error("password must not be empty"))
    with connect(HOST, PORT, "zoe", "secret") as zoe:
        expect(zoe.authenticated, True)
        expect(sorted(listed(zoe)), ["Größe 大", "a"])
        raises(QueryError, lambda: zoe.get("k"))
        expect(zoe.use_space("a"), ok("SPACE_CHANGED"))
        expect(zoe.current_space, "a")
        expect(zoe.put("k", "v"), ok("OK"))
        expect(zoe.put("k", "v", space="Größe 大"), error("write permission denied"))
        expect(zoe.get("k", space="b"), error("read permission denied"))
        # Revoked rights end with the next request, and the session continues.
        expect(admin.update_user_permissions("zoe", {}), ok("USER_ROLE_UPDATED"))
        expect(listed(zoe), [])
        expect(zoe.get("k"), error("read permission denied"))
        expect(admin.update_user_permissions("zoe", {"a": "everything"})["status"], "ERROR")
        expect(admin.update_user_permissions("zoe", {"a": "read"}), ok("USER_ROLE_UPDATED"))
        expect(zoe.get("k"), {"status": "OK", "value": "v"})
        # As an admin, and then no longer.
        expect(admin.update_user_role("zoe", "queen")["status"], "ERROR")
        expect(admin.update_user_role("zoe", "admin"), ok("USER_ROLE_UPDATED"))
        expect(admin.get_user("zoe"), ok("Username: zoe | Role: admin | Permissions: a=read"))
        expect(sorted(listed(zoe)), sorted(["Größe 大", "a", "b", "c"]))
        expect(admin.update_user_role("zoe", "user"), ok("USER_ROLE_UPDATED"))
        expect(zoe.delete_space("c"), error("admin access required"))
        # Neither a new password nor a deletion of the space ends a session.
        expect(admin.update_user_password("zoe", "second"), ok("USER_PASSWORD_UPDATED"))
        expect(zoe.get("k"), {"status": "OK", "value": "v"})
        raises(AuthenticationError, lambda: connect(HOST, PORT, "zoe", "secret"))
        expect(admin.delete_space("a"), ok("SPACE_DELETED"))
        expect(zoe.get("k")["status"], "ERROR")
        # A deleted user has no rights.
        expect(admin.delete_user("zoe"), ok("USER_DELETED"))
        expect(zoe.get("k", space="b")["status"], "ERROR")
    expect(admin.get_user("zoe"), error("user not found"))
    expect(admin.get_user("admin"), ok("Username: admin | Role: admin | Permissions: None"))
    for refused in [admin.update_user_password("zoe", "x"), admin.update_user_role("zoe", "user"),
                    admin.update_user_permissions("zoe", {})]:
        expect(refused, error("user not found"))


def context_managers_close():
    with ShibuDbClient(HOST, PORT) as client:
        client.authenticate("admin", PASSWORD)
    expect(client.socket, None)
    client.close()
    raises(ZeroDivisionError, lambda: leave_with_an_error())
    raises(ConnectionError, lambda: connect(HOST, 1, "admin", PASSWORD))


def leave_with_an_error():
    with connect(HOST, PORT, "admin", PASSWORD) as client:
        expect(client.use_space("c"), ok("SPACE_CHANGED"))
        1 / 0


def pool_is_exhausted_and_grows():
    pool = create_connection_pool(
        HOST, PORT, "admin", PASSWORD, min_size=1, max_size=2, acquire_timeout=1, health_check_interval=3600
    )
    with pool.get_connection() as one:
        # The second is opened on demand, the third exceeds the pool.
        with pool.get_connection() as other:
            expect(one.put("k", "of one", space="c"), ok("OK"))
            expect(other.get("k", space="c"), {"status": "OK", "value": "of one"})
            told = raises(PoolExhaustedError, lambda: pool.get_connection().__enter__())
            expect(told, "Connection pool exhausted")
    expect(pool.get_stats()["active_connections"], 2)
    expect(pool.get_stats()["pool_size"], 2)
    pool.close()
    expect(pool.get_stats()["shutdown"], True)
    config = ConnectionConfig(host=HOST, port=PORT, username="admin", password="wrong")
    empty = ConnectionPool(config, min_size=1, max_size=1, acquire_timeout=1, health_check_interval=3600)
    raises(PoolExhaustedError, lambda: empty.get_connection().__enter__())
    empty.close()


def many_at_once():
    executor = create_parallel_executor(HOST, PORT, "admin", PASSWORD, processes=4, space="c")
    assert isinstance(executor, ParallelExecutor)
    pairs = [(f"many {n}", f"value {n}") for n in range(2000)]
    stored = executor.put_many(pairs)
    expect((stored.ops, stored.failed), (2000, 0))
    expect(stored.results, [ok("OK")] * 2000)
    found = executor.get_many([key for key, _ in pairs] + ["never there"])
    expect(found.results[:-1], [{"status": "OK", "value": value} for _, value in pairs])
    expect(found.results[-1], error("key not found"))
    gone = executor.delete_many([key for key, _ in pairs[:1000]])
    expect(gone.results, [ok("DELETED")] * 1000)
    left = executor.run(lambda client, n: client.get(f"many {n}")["status"], range(2000))
    expect(left.results, ["ERROR"] * 1000 + ["OK"] * 1000)


def through_a_restart():
    client = connect(HOST, PORT, "admin", PASSWORD)
    expect(client.put("before", "the restart", space="c"), ok("OK"))
    print("restart", flush=True)
    client.port = port = int(sys.stdin.readline())
    # The client reconnects by itself, without a login: its requests must be refused.
    try:
        answer = client.get("before", space="c")
    except QueryError:
        pass
    else:
        expect(answer, error("authentication failed"))
    client.close()
    client._connect()
    client.authenticate("admin", PASSWORD)
    expect(client.get("before", space="c"), {"status": "OK", "value": "the restart"})
    client.close()
    with connect(HOST, port, "admin", PASSWORD) as other:
        expect(sorted(listed(other)), sorted(["Größe 大", "b", "c"]))


with connect(HOST, PORT, "admin", PASSWORD) as admin:
    spaces_of_a_user(admin)
context_managers_close()
pool_is_exhausted_and_grows()
many_at_once()
through_a_restart()
print("all is well", flush=True)
