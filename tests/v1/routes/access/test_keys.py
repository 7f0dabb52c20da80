"""Keys that are made while the API runs: what each may do, how soon one is revoked, and that nothing falls open."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.serving import NOON, Api, Clock, serving
from tests.support.streams import streaming
from tests.support.units import commit
from v1.routes.access import Caller, KeyRing, KeyState, find_wanted_scope
from v1.store import ApiKeyStore, KeyScope, Writer, connect, keys
from v1.store.api_keys import KEY_FORM, hash_key

SETTING = "first-of-two-keys"
UNKNOWN = f"dt_00000000_{'0' * 32}"
RULE = {"kind": "threshold", "id": "high", "measure": "price", "above": 50_000}
END = 60


@pytest.fixture
async def store(server: str) -> AsyncIterator[ApiKeyStore]:
    async with connect(server, "tests") as redis:
        yield ApiKeyStore(redis)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(END):
        while not await is_so():
            await asyncio.sleep(0.02)


async def ask(api: Api, key: str, path: str = "/v1/whoami") -> int:
    return (await api.get(path, X_API_Key=key)).status


# ---- one key --------------------------------------------------------------------------------------------------


async def test_a_key_is_random_found_by_its_beginning_and_kept_as_its_hash_alone(store, server):
    made = [await store.add_key("grafana", KeyScope.READ, NOON, None) for _ in range(20)]

    assert all(KEY_FORM.fullmatch(text) for text, _ in made)
    assert len({text[12:] for text, _ in made}) == 20
    async with connect(server, "tests") as redis:
        written = await redis.hgetall(keys.API_KEYS)
    for text, key in made:
        kept = json.loads(written[key.id])
        assert kept == {"name": "grafana", "scope": "read", "sha256": hash_key(text), "made_at": NOON, "until": None}
        assert text[12:] not in str(written)


async def test_what_is_written_wrongly_into_the_table_lets_nobody_in(store, server):
    text, key = await store.add_key("a", KeyScope.READ, NOON, None)
    whole = {"name": "a", "scope": "read", "sha256": hash_key(text), "made_at": 1, "until": None}
    async with connect(server, "tests") as redis:
        for wrong in (
            "",
            "[]",
            "{}",
            *(json.dumps(whole | {name: {}}) for name in whole),
            json.dumps(whole | {"scope": "all"}),
        ):
            await redis.hset(keys.API_KEYS, key.id, wrong)

            assert await store.read_keys() == {}


async def test_keys_that_ended_long_ago_are_forgotten_when_the_next_is_made(store):
    await store.add_key("old", KeyScope.READ, 0, NOON - 31 * 86400)
    await store.add_key("new", KeyScope.READ, NOON, NOON - 86400)
    await store.add_key("newer", KeyScope.READ, NOON, None)

    assert sorted(key.name for key in (await store.read_keys()).values()) == ["new", "newer"]


# ---- what it may do -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path, scope",
    [
        ("GET", "/v1/ranks", "read"),
        ("HEAD", "/v1/ranks", "read"),
        ("OPTIONS", "/v1/rules", "read"),
        ("POST", "/v1/rules/backtest", "read"),
        ("POST", "/latest/rules/backtest", "read"),
        ("POST", "/v1/rules/backtest/", "rules"),
        ("POST", "/v1/rules", "rules"),
        ("PUT", "/v1/rules/x", "rules"),
        ("PUT", "/v1/rules/backtest", "rules"),
        ("DELETE", "/v1/silences/x", "rules"),
        ("POST", "/latest/alerts/x/acknowledge", "rules"),
        ("POST", "/v1/keys", "admin"),
        ("DELETE", "/rules", "admin"),
        ("POST", "/", "admin"),
        ("PATCH", "", "admin"),
        ("BREW", "/v1/ranks", "admin"),
    ],
)
def test_a_request_needs_the_least_scope_that_suffices_and_what_is_not_known_needs_all(method, path, scope):
    assert find_wanted_scope(method, path) == scope


@pytest.mark.parametrize("scope", KeyScope)
async def test_a_key_does_what_its_scope_says_and_nothing_else(server, clock, store, scope):
    text, _ = await store.add_key("ann", scope, NOON, None)
    may = {wanted: scope.can_act_as(wanted) for wanted in KeyScope}
    async with serving(clock, server, keys_required=True) as api:
        wanted_of = {
            f"{method} {path}": (find_wanted_scope(method.upper(), path), method.upper(), path)
            for path, methods in (await api.get("/openapi.json", X_API_Key=text)).json["paths"].items()
            for method in methods
            # Neither a stream, which does not end, nor what is no text.
            if not path.endswith((".arrow", "/stream"))
        }
        answers = {
            name: (wanted, await api.send(method, path.replace("{", "").replace("}", ""), X_API_Key=text))
            for name, (wanted, method, path) in wanted_of.items()
        }

    assert {wanted for wanted, _ in answers.values()} == {KeyScope.READ, KeyScope.RULES}
    for name, (wanted, answer) in answers.items():
        assert (answer.status != 403) == may[wanted], name
        if answer.status == 403:
            assert answer.json["detail"].endswith("has the scope read; this needs the scope rules")
            assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="rules"'


async def test_who_asks_is_told_what_the_key_may_do(server, clock, store):
    text, key = await store.add_key("ann", KeyScope.RULES, NOON, NOON + 3600)
    async with serving(clock, server, api_keys=SETTING) as api, serving(clock, server) as opened:
        mine = await api.get("/v1/whoami", Authorization=f"Bearer {text}")
        setting = await api.get("/latest/whoami", X_API_Key=SETTING)
        anybody = await opened.get("/v1/whoami")

    assert mine.headers["Cache-Control"] == "no-store"
    assert mine.json == {
        "id": key.id,
        "name": "ann",
        "scope": "rules",
        "until": NOON + 3600,
        "needs_key": True,
        "address": "127.0.0.1",
    }
    assert (setting.json["id"], setting.json["scope"]) == ("settings-1", "admin")
    assert (anybody.json["id"], anybody.json["scope"], anybody.json["needs_key"]) == (None, "admin", False)


async def test_a_key_ends_when_it_was_said_to(server, clock, store):
    text, _ = await store.add_key("ann", KeyScope.READ, NOON, NOON + 60)
    async with serving(clock, server, keys_required=True) as api:
        before = await ask(api, text)
        clock.now = NOON + 60.0
        after = await ask(api, text)

    assert (before, after) == (200, 401)


# ---- made and revoked while processes run -------------------------------------------------------------------------


async def test_a_key_is_accepted_and_revoked_in_every_process_while_they_run(server, clock, store):
    settings = {"keys_required": True}
    async with serving(clock, server, **settings) as one, serving(clock, server, **settings) as other:
        assert await ask(one, UNKNOWN) == 401
        text, key = await store.add_key("ann", KeyScope.READ, NOON, None)
        for api in (one, other):
            await until(lambda api=api: _is_answered(api, text, 200))
        await store.revoke_key(key.id)
        for api in (one, other):
            await until(lambda api=api: _is_answered(api, text, 401))


async def test_an_open_stream_ends_once_its_key_is_revoked_and_others_go_on(server, clock, store):
    text, key = await store.add_key("ann", KeyScope.READ, NOON, None)
    other, _ = await store.add_key("ben", KeyScope.READ, NOON, None)
    async with (
        serving(clock, server, keys_required=True) as api,
        streaming(api.url, "/v1/stream", X_API_Key=text) as ann,
        streaming(api.url, "/v1/stream", X_API_Key=other) as ben,
        connect(server, "tests") as redis,
    ):
        for client in (ann, ben):
            await client.find("tick")
        await store.revoke_key(key.id)
        await until(lambda: _is_answered(api, text, 401))
        await commit(Writer(redis), NOON)

        assert await ann.read_to_end() == []
        assert ann.has_ended
        assert (await ben.find("tick")).data["at"] == NOON


async def test_an_open_stream_ends_when_its_key_does(server, clock, store):
    text, _ = await store.add_key("ann", KeyScope.READ, NOON, NOON + 60)
    async with (
        serving(clock, server, keys_required=True) as api,
        streaming(api.url, "/v1/stream", X_API_Key=text) as client,
        connect(server, "tests") as redis,
    ):
        await client.find("tick")
        clock.now = NOON + 60
        await commit(Writer(redis), NOON)

        assert await client.read_to_end() == []


async def _is_answered(api: Api, key: str, status: int) -> bool:
    return await ask(api, key) == status


async def test_where_changes_are_not_heard_keys_are_read_every_second(server):
    clock, changes, read = Clock(), FakeFeed(is_live=False), []

    class Counted(ApiKeyStore):
        async def read_keys(self):
            read.append(asyncio.get_running_loop().time())
            return await super().read_keys()

    async with connect(server, "tests") as redis:
        keeping = asyncio.create_task(KeyRing((), clock).keep(Counted(redis), changes))
        async with asyncio.timeout(END):
            while len(read) < 2:
                await asyncio.sleep(0.02)
        keeping.cancel()


class FakeFeed:
    def __init__(self, is_live: bool) -> None:
        self.is_live = is_live


# ---- Redis is away ------------------------------------------------------------------------------------------------


async def test_where_redis_never_answered_only_keys_of_the_settings_are_known(tmp_path, clock):
    async with serving(clock, f"unix://{tmp_path}/nobody.sock", api_keys=SETTING) as api:
        maybe = await api.get("/v1/whoami", X_API_Key=UNKNOWN)
        statuses = [await ask(api, SETTING), await ask(api, "no-key-at-all-of-ours"), await ask(api, "")]

    assert (maybe.status, maybe.headers["Retry-After"]) == (503, "5")
    assert maybe.json["detail"].startswith("the keys cannot be read, so this one is not known")
    assert statuses == [200, 401, 401]


async def test_a_known_key_is_accepted_for_a_minute_after_redis_was_lost_and_then_not(store, tmp_path):
    clock, steady = Clock(), Clock()
    text, key = await store.add_key("ann", KeyScope.READ, NOON, None)
    ring = KeyRing((), clock, steady)
    credentials = (b"Bearer " + text.encode(), b"")
    async with connect(f"unix://{tmp_path}/nobody.sock", "tests") as gone:
        await ring.read(store)
        await ring.read(ApiKeyStore(gone))

        assert ring.identify(credentials) == Caller(key.id, "ann", KeyScope.READ, None, is_made=True)
        assert ring.identify((b"", UNKNOWN.encode())) is KeyState.UNSURE
        steady.now += 59
        assert isinstance(ring.identify(credentials), Caller)
        steady.now += 1
        assert ring.identify(credentials) is KeyState.UNSURE
        await ring.read(store)
        assert isinstance(ring.identify(credentials), Caller)


async def test_nothing_opens_when_the_table_of_keys_is_lost(server, clock, store):
    text, _ = await store.add_key("ann", KeyScope.READ, NOON, None)
    async with serving(clock, server, keys_required=True) as api, connect(server, "tests") as redis:
        assert await ask(api, text) == 200
        await redis.flushall()
        await redis.publish(keys.CHANGES, "all")
        await until(lambda: _is_answered(api, text, 401))

        assert await ask(api, "") == 401


# ---- last use, guessing, pages of others ----------------------------------------------------------------------------


async def test_the_last_use_is_written_at_most_once_a_minute(store):
    clock, steady = Clock(), Clock()
    text, key = await store.add_key("ann", KeyScope.READ, NOON, None)
    ring = KeyRing((), clock, steady)
    await ring.read(store)

    for _ in range(100):
        ring.identify((b"", text.encode()))
    assert await store.read_uses() == {}
    await ring.write_uses(store)
    assert await store.read_uses() == {key.id: int(clock.now)}
    await store.revoke_key(key.id)
    ring.identify((b"", text.encode()))
    await ring.read(store)
    await ring.write_uses(store)
    assert await store.read_uses() == {}


async def test_a_process_that_stops_writes_the_last_uses(server, clock, store):
    text, key = await store.add_key("ann", KeyScope.READ, NOON, None)
    async with serving(clock, server, keys_required=True) as api:
        await ask(api, text)

    assert await store.read_uses() == {key.id: int(clock.now)}


async def test_keys_cannot_be_tried_without_end(server, clock):
    async with serving(clock, server, keys_required=True, rate_limit="3/hour", cost_limit="off") as api:
        statuses = [await ask(api, f"dt_00000000_{number:032x}") for number in range(5)]
        health = await api.get("/health/live")

    assert statuses == [401, 401, 401, 429, 429]
    assert health.status == 200


async def test_a_limit_is_that_of_a_key_and_not_of_its_address(server, clock, store):
    ann, _ = await store.add_key("ann", KeyScope.READ, NOON, None)
    bob, _ = await store.add_key("bob", KeyScope.READ, NOON, None)
    async with serving(clock, server, keys_required=True, rate_limit="1/hour", cost_limit="off") as api:
        assert [await ask(api, key) for key in (ann, ann, bob, bob)] == [200, 429, 200, 429]


async def test_a_browser_may_ask_without_a_key_whether_a_page_may_ask(server, clock):
    origin = {"Origin": "https://example.org"}
    preflight = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "Authorization"}
    async with serving(clock, server, keys_required=True, cors_origins="https://example.org") as api:
        may = await api.get("/v1/ranks", method="OPTIONS", **preflight)
        plain = await api.get("/v1/ranks", method="OPTIONS")
        refused = await api.get("/v1/ranks", **origin)

    assert (may.status, may.headers["Access-Control-Allow-Origin"]) == (200, "https://example.org")
    assert plain.status == 401
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, "https://example.org")
