"""What a program does with the published client on an ordinary day: everyday.py PORT PASSWORD"""

import json
import logging
import sys
import threading

from shibudb_client import AuthenticationError, ShibuDbClient, User, connect, create_connection_pool

# The client logs every connection.
logging.disable(logging.INFO)

PORT, PASSWORD = int(sys.argv[1]), sys.argv[2]
HOST = "127.0.0.1"


def ok(message):
    return {"status": "OK", "message": message}


def error(message):
    return {"status": "ERROR", "message": message}


def expect(got, wanted):
    assert got == wanted, f"expected {str(wanted)[:300]}, got {str(got)[:300]}"


def logins():
    with connect(HOST, PORT, "admin", PASSWORD) as admin:
        expect(admin.current_user, {"username": "admin", "role": "admin", "permissions": {}})
    for username, password in [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("Admin", PASSWORD)]:
        with ShibuDbClient(HOST, PORT) as stranger:
            try:
                stranger.authenticate(username, password)
            except AuthenticationError as refusal:
                expect(str(refusal), "Authentication failed: authentication failed")
            else:
                raise AssertionError(f"{username} was let in")


def spaces(admin):
    expect(admin.create_space("shop"), ok("SPACE_CREATED"))
    expect(admin.create_space("scratch", enable_wal=False), ok("SPACE_CREATED"))
    expect(admin.create_space("shop"), error("space already exists"))
    expect(admin.create_space("v", engine_type="vector", dimension=3)["status"], "ERROR")
    # A JSON document as a string, so clients parse it a second time.
    listed = admin.list_spaces()
    expect(listed["status"], "OK")
    expect(json.loads(listed["message"]), {"status": "OK", "spaces": ["scratch", "shop"]})
    expect(admin.use_space("nowhere"), error("space not found"))
    expect(admin.delete_space("scratch"), ok("SPACE_DELETED"))
    expect(admin.delete_space("scratch"), error("space does not exist"))
    expect(admin.use_space("shop"), ok("SPACE_CHANGED"))


def keys_and_values(admin):
    values = {
        "plain": "value",
        "empty": "",
        "unicode": "Grüße 世界 🦀 \u0000 \u2028 \ufeff é e\u0301",
        "schlüssel 🔑": "a key of letters beyond ASCII",
        'quo"tes \\ and \\"': 'she said "so", \'so\' and \\so\\',
        "new\nline": "one\ntwo\r\nthree\ttabbed\n",
        "json": json.dumps({"status": "ERROR", "message": "only data"}),
        "long": "0123456789" * 50_000,
        "long and escaped": '"' * 500_000,
        "long and wide": "\u4e16" * 170_000,
    }
    for key, value in values.items():
        expect(admin.put(key, value), ok("OK"))
    for key, value in values.items():
        expect(admin.get(key), {"status": "OK", "value": value})
    expect(admin.put("plain", "another"), ok("OK"))
    expect(admin.get("plain"), {"status": "OK", "value": "another"})
    expect(admin.get("nothing"), error("key not found"))
    expect(admin.delete("plain"), ok("DELETED"))
    expect(admin.delete("plain"), error("key not found"))
    expect(admin.get("plain"), error("key not found"))


def users(admin):
    expect(admin.create_space("books"), ok("SPACE_CREATED"))
    expect(admin.create_user(User("zoë", "first", "user", {"shop": "read"})), ok("USER_CREATED"))
    expect(admin.create_user(User("zoë", "again")), error("user already exists"))
    expect(admin.get_user("zoë"), ok("Username: zoë | Role: user | Permissions: shop=read"))
    expect(admin.get_user("nobody"), error("user not found"))

    with connect(HOST, PORT, "zoë", "first") as zoe:
        expect(zoe.current_user, {"username": "zoë", "role": "user", "permissions": {"shop": "read"}})
        expect(json.loads(zoe.list_spaces()["message"])["spaces"], ["shop"])
        expect(zoe.use_space("shop"), ok("SPACE_CHANGED"))
        expect(zoe.get("json")["status"], "OK")
        expect(zoe.put("key", "value"), error("write permission denied"))
        expect(zoe.delete("json"), error("write permission denied"))
        expect(zoe.get("key", space="books"), error("read permission denied"))
        for refused in [
            zoe.create_space("mine"),
            zoe.delete_space("shop"),
            zoe.create_user(User("friend", "secret")),
            zoe.update_user_role("zoë", "admin"),
            zoe.get_user("admin"),
            zoe.delete_user("admin"),
        ]:
            expect(refused, error("admin access required"))

        # A change reaches the open session with its next request.
        rights = {"shop": "read", "books": "write"}
        expect(admin.update_user_permissions("zoë", rights), ok("USER_ROLE_UPDATED"))
        expect(zoe.put("key", "value", space="books"), ok("OK"))
        expect(zoe.get("key", space="books"), {"status": "OK", "value": "value"})
        expect(admin.get_user("zoë"), ok("Username: zoë | Role: user | Permissions: books=write, shop=read"))
        expect(admin.update_user_role("zoë", "admin"), ok("USER_ROLE_UPDATED"))
        expect(zoe.create_space("mine"), ok("SPACE_CREATED"))

    expect(admin.update_user_password("zoë", "second"), ok("USER_PASSWORD_UPDATED"))
    connect(HOST, PORT, "zoë", "second").close()
    try:
        connect(HOST, PORT, "zoë", "first")
    except AuthenticationError:
        pass
    else:
        raise AssertionError("the old password still counts")
    expect(admin.delete_user("zoë"), ok("USER_DELETED"))
    expect(admin.delete_user("zoë"), error("user not found"))


def pool_with_20_threads():
    pool = create_connection_pool(HOST, PORT, "admin", PASSWORD, min_size=20, max_size=20)
    expect(pool.get_stats()["active_connections"], 20)
    failures = []

    def work(thread):
        try:
            for turn in range(25):
                with pool.get_connection() as client:
                    key, value = f"{thread}/{turn}", f"value of {thread}/{turn}"
                    expect(client.put(key, value, space="shop"), ok("OK"))
                    expect(client.get(key, space="shop"), {"status": "OK", "value": value})
                    if turn % 2:
                        expect(client.delete(key, space="shop"), ok("DELETED"))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    expect(pool.get_stats()["active_connections"], 20)
    pool.close()


logins()
with connect(HOST, PORT, "admin", PASSWORD) as admin:
    spaces(admin)
    keys_and_values(admin)
    users(admin)
    pool_with_20_threads()
    expect(admin.get("7/24"), {"status": "OK", "value": "value of 7/24"})
    expect(admin.get("7/23"), error("key not found"))
print("all is well")
