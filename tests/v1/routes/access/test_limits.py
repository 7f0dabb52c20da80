"""How much a client may ask for: shared by processes, kept while Redis is away, told in every answer."""

import asyncio
import re
from collections import Counter
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.serving import Clock, raw, serving
from v1.routes.access.costs import CostTable
from v1.routes.access.limiter import RateLimiter, parse_usage_limit
from v1.server.guards import ClientLimits, RateLimits, Refusals
from v1.server.simple.heads import ADD_LINES
from v1.settings import InvalidSettings, Settings
from v1.store import RateLimitStore, UsageLimit, connect
from v1.store.rate_limits import SlidingWindow, WindowUsage, compute_usage

ASK = b"GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\n"
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"


def limit(amount: int, seconds: int = 3600, name: str = "requests") -> UsageLimit:
    return UsageLimit(name, amount, seconds)


async def spend(limiter: RateLimiter, client: str, points: int = 0) -> bool:
    return limiter.try_spend(client, points) is not None or not (await limiter.spend(client, points)).violated


async def count_allowed(limiter: RateLimiter, client: str, tries: int) -> int:
    return sum([await spend(limiter, client) for _ in range(tries)])


def make_limiter(store: RateLimitStore, requests: UsageLimit | None, points: UsageLimit | None = None) -> RateLimiter:
    limiter = RateLimiter(requests, points)
    limiter.use_store(store)
    return limiter


class CountedStore(RateLimitStore):
    """Counts the questions to Redis."""

    asked = 0

    async def take(self, *words):
        self.asked += 1
        return await super().take(*words)


@pytest.mark.parametrize("redis", ["valkey", "redis7"], indirect=True)
async def test_a_limit_allows_exactly_as_many_requests(redis):
    limiter = make_limiter(RateLimitStore(redis), limit(7))

    assert await count_allowed(limiter, "a", 20) == 7
    assert await count_allowed(limiter, "b", 3) == 3
    assert sorted(await redis.keys()) == [
        "v1:limits:{requests/a/7/3600/second}",
        "v1:limits:{requests/b/7/3600/second}",
    ]


async def test_redis_is_asked_once_for_a_fiftieth_of_a_limit(server):
    async with connect(server, "tests") as redis:
        store = CountedStore(redis)
        limiter = make_limiter(store, limit(1000))

        assert await count_allowed(limiter, "a", 1000) == 1000
        assert store.asked == 50
        assert not await spend(limiter, "a")


async def test_processes_share_a_limit_within_a_block_each(server):
    async with connect(server, "tests") as redis:
        limiters = [make_limiter(RateLimitStore(redis), limit(500)) for _ in range(3)]

        allowed: Counter[int] = Counter()
        for turn in range(700):
            allowed[turn % 3] += await spend(limiters[turn % 3], "a")
        alone = await count_allowed(limiters[0], "a", 100)

    assert 500 - 2 * 10 <= allowed.total() + alone <= 500


async def test_many_requests_at_once_are_counted_once_each(server):
    async with connect(server, "tests") as redis:
        limiter = make_limiter(RateLimitStore(redis), limit(100))

        assert sum(await asyncio.gather(*[spend(limiter, "a") for _ in range(300)])) == 100


async def test_points_are_a_limit_of_their_own(server):
    async with connect(server, "tests") as redis:
        limiter = make_limiter(RateLimitStore(redis), limit(1000), limit(10_000, name="points"))

        allowed = [await spend(limiter, "a", 4000) for _ in range(4)]
        spent = await limiter.spend("a", 4000)

    assert allowed == [True, True, False, False]
    assert spent.violated == ("points",)
    assert spent.wait > 0


class EndlessStore(RateLimitStore):
    """Has all that is asked for, in windows of which each ends after the next of some times."""

    def __init__(self, ends: list[float]) -> None:
        self._ends = iter(ends)

    async def take(self, *_):
        return True

    async def read_usage(self, *_):
        return WindowUsage(10**6, next(self._ends), 0.0)


@given(ends=st.lists(st.floats(0, 90), min_size=1, max_size=2), steps=st.lists(st.floats(0, 5), max_size=40))
async def test_what_is_told_of_a_windows_end_is_always_the_seconds_until_then_rounded_up(ends, steps):
    steady = Clock()
    steady.now = 1000.0
    limits = [limit(10**6), limit(10**6, name="points")]
    limiter = RateLimiter(limits[0], limits[1] if len(ends) > 1 else None, steady)
    limiter.use_store(EndlessStore(ends))

    told = [(await limiter.spend("a", 0)).lines]
    for step in steps:
        steady.now += step
        told.append(limiter.try_spend("a", 0) or b"")

        seconds = [int(each.split(b";t=")[1]) for each in told[-1].splitlines()[1].split(b", ")]
        exact = [1000 + end - steady.now for end in ends]
        assert all(
            each == max(1, ceil(left)) or abs(left - round(left)) < 1e-6
            for each, left in zip(seconds, exact, strict=True)
        )
    assert [int(each.split(b";r=")[1].split(b";")[0]) for each in told] == [
        10**6 + 10**6 // 50 - used for used in range(1, len(told) + 1)
    ]


async def test_what_asks_for_more_than_a_limit_at_all_uses_up_all_of_it(server):
    async with connect(server, "tests") as redis:
        limiter = make_limiter(RateLimitStore(redis), None, limit(100, name="points"))

        assert [await spend(limiter, "a", 150_000) for _ in range(2)] == [True, False]


async def test_while_redis_is_away_a_process_keeps_the_limit_by_itself(tmp_path):
    async with connect(f"unix://{tmp_path}/nobody.sock", "tests") as redis:
        limiter = make_limiter(RateLimitStore(redis), limit(5))

        assert await count_allowed(limiter, "a", 20) == 5


async def test_redis_is_counted_in_again_when_it_is_back(server, tmp_path):
    steady, socket = Clock(), tmp_path / "redis.sock"
    async with connect(f"unix://{socket}", "tests") as redis, connect(server, "tests") as other:
        limiter = RateLimiter(limit(5), None, steady)
        limiter.use_store(RateLimitStore(redis, steady))

        away = await count_allowed(limiter, "a", 4)
        socket.symlink_to(server.removeprefix("unix://"))
        soon = await count_allowed(limiter, "b", 1)
        counted_soon = await other.keys()
        steady.now += 6
        back = await count_allowed(limiter, "a", 20)
        counted_then = await other.keys()

    assert (away, soon, counted_soon) == (4, 1, [])
    assert back == 5
    assert counted_then == ["v1:limits:{requests/a/5/3600/second}"]


@pytest.mark.parametrize(
    "window, amount, remaining, wait",
    [
        pytest.param((0, 0.0, 0, 0.0), 1, 60, 0.0, id="nothing was used"),
        pytest.param((0, 0.0, 60, 90.0), 1, 0, 31.0, id="all in this window: until one fades after its end"),
        pytest.param((60, 30.0, 30, 90.0), 1, 0, 1.0, id="the window before fades"),
        pytest.param((60, 30.0, 0, 90.0), 1, 30, 0.0, id="half of the window before counts"),
        pytest.param((0, 0.0, 60, 90.0), 60, 0, 90.0, id="the whole limit: when all has faded"),
    ],
)
def test_the_wait_ends_when_enough_is_free(window, amount, remaining, wait):
    usage = compute_usage(limit(60, 60), amount, SlidingWindow(*window))

    assert usage.remaining == remaining
    assert usage.wait == pytest.approx(wait)


@pytest.mark.parametrize("text", ["600", "0/minute", "1/week", "-1/minute", "many/minute", "600/minute;5/second"])
def test_what_is_no_limit_is_refused(text):
    for name in ("rate_limit", "cost_limit"):
        with pytest.raises(
            InvalidSettings, match=rf"TRACKER_{name.upper()}: .+ a number and second, minute, hour or day"
        ):
            Settings.load(**{name: text})


def test_a_limit_is_a_number_in_a_time():
    assert parse_usage_limit("requests", "600/minute") == UsageLimit("requests", 600, 60)
    with pytest.raises(ValueError, match="no limit"):
        parse_usage_limit("requests", "600")


def test_limits_are_on_by_themselves_only_where_others_than_this_machine_may_ask():
    usual = {"requests": "600/minute", "points": "2000000/minute"}

    assert Settings.load().list_usage_limits() == {}
    assert Settings.load(bind="0.0.0.0:1", open="yes").list_usage_limits() == usual
    assert Settings.load(trusted_proxies="127.0.0.1").list_usage_limits() == usual
    assert Settings.load(bind="0.0.0.0:1", open="yes", rate_limit="off", cost_limit="off").list_usage_limits() == {}
    assert Settings.load(rate_limit="5 / Second").list_usage_limits() == {"requests": "5/second"}


@pytest.mark.parametrize(
    "path, query, points",
    [
        ("/v1/metrics/A:B/history", "", 1440),
        ("/v1/metrics/A:B/history.csv", "step=1h", 24),
        ("/v1/metrics/A:B/history", "from=-1h", 60),
        ("/v1/metrics/A:B/history", "from=-1h&to=now&step=5m", 12),
        ("/v1/metrics/A:B/history", "from=0", 10_000),
        ("/v1/metrics/A:B/history", "from=nonsense", 1),
        ("/v1/metrics/A:B/history", "step=0", 1),
        ("/v1/history", "metrics=A:B,A:C&from=-1h&measures=price,volume", 240),
        ("/v1/history", "metrics=A:*&from=-1h", 6000),
        ("/v1/metrics/A:B/candles", "", 200),
        ("/v1/metrics/A:B/candles", "interval=1d&from=-10d", 10),
        ("/v1/metrics/A:B/candles", "interval=soon", 1),
        ("/v1/ranks", "", 100),
        ("/v1/ranks", "limit=1000", 1000),
        ("/v1/ranks", "limit=many", 1),
        ("/v1/snapshot", "metrics=A:B,A:C", 2),
        ("/v1/rules/backtest", "", 150_000),
        ("/v1/whoami", "", 1),
        ("/v1/ranks", "&".join(["x=1"] * 80), 1),
    ],
)
def test_a_question_costs_the_points_that_it_asks_for(path, query, points):
    costs = CostTable(60, Clock())

    assert costs.count_points(path, query.encode()) == points
    assert costs.count_points(path, query.encode()) == points


def test_what_a_question_costs_follows_the_clock():
    clock = Clock()
    costs = CostTable(60, clock)
    first = costs.count_points("/v1/metrics/A:B/history", b"from=1621252740")
    clock.now += 600

    assert costs.count_points("/v1/metrics/A:B/history", b"from=1621252740") == first + 10


async def test_what_a_question_costs_is_found_out_again_after_a_minute(server):
    clock, steady = Clock(), Clock()
    told: list[bytes] = []
    scope = {"type": "http", "path": "/v1/metrics/A:B/history", "query_string": b"from=1621252740", "client": ("a", 1)}

    async def answer(scope, receive, send):
        """Answer nothing: what is told is in the scope."""

    async with connect(server, "tests") as redis:
        limits = ClientLimits(make_limiter(RateLimitStore(redis), None, limit(10**6, name="points")), print)
        counted = RateLimits(answer, limits, CostTable(60, clock), Refusals(), steady)
        for seconds in (0, 59, 1):
            clock.now += seconds * 10
            steady.now += seconds
            await counted({**scope, "extensions": {ADD_LINES: told.append}}, None, None)

    left = [int(each) for each in re.findall(rb'"points";r=([0-9]+)', b"".join(told))]
    first = 10**6 - left[0]
    assert [before - after for before, after in pairwise(left)] == [first, first + 10]


async def test_every_answer_says_what_is_left_and_what_goes_beyond_is_refused(server, clock):
    async with serving(clock, server, rate_limit="3/hour", cost_limit="5000/hour") as api:
        answers = [await api.get("/v1/whoami") for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {
        '"requests";q=3;w=3600, "points";q=5000;w=3600;qu="points"'
    }
    assert [answer.headers["RateLimit"].split(";t=")[0] for answer in answers] == [
        f'"requests";r={left}' for left in (2, 1, 0, 0, 0)
    ]
    refused = answers[3]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in refused.headers["Content-Security-Policy"]
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json == {
        "type": QUOTA,
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": refused.json["detail"],
        "instance": "/v1/whoami",
        "errors": [],
        "violated-policies": ["requests"],
    }
    assert refused.json["detail"].startswith("3 requests in 3600 seconds are allowed")


async def test_health_and_the_files_of_pages_are_not_counted(server, clock):
    async with serving(clock, server, rate_limit="1/hour", cost_limit="off") as api:
        await api.get("/v1/whoami")
        answers = [
            await api.get(path)
            for path in (
                "/",
                "/docs",
                "/redoc",
                "/page/main.js",
                "/alerts",
                "/m/KRAKEN:BTCUSD",
                "/docs/parts/swagger-ui.css",
                "/health/live",
                "/metrics",
            )
        ]
        last = await api.get("/v1/nothing")

    assert [answer.status for answer in answers] == [200] * 9
    assert not any("RateLimit" in answer.headers for answer in answers)
    assert last.status == 429


async def test_each_client_of_a_trusted_proxy_has_a_limit_of_its_own(server, clock):
    async with serving(clock, server, rate_limit="1/hour", cost_limit="off", trusted_proxies="127.0.0.1") as api:
        statuses = [
            (await raw(api, ASK + b"X-Forwarded-For: " + client)).status
            for client in (
                b"203.0.113.7",
                b"203.0.113.7",
                b"1.1.1.1, 203.0.113.7",
                b"203.0.113.8",
                b"2001:db8::1",
                b"2001:db8::2",
            )
        ]

    assert statuses == [200, 429, 429, 200, 200, 429]


async def test_a_page_of_another_origin_can_read_why_it_is_refused(server, clock):
    async with serving(clock, server, rate_limit="1/hour", cost_limit="off", cors_origins="https://example.org") as api:
        answers = [await api.get("/v1/whoami", Origin="https://example.org") for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 429]
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in answers} == {"https://example.org"}
    assert "RateLimit" in answers[0].headers["Access-Control-Expose-Headers"]


async def test_limits_hold_while_redis_is_away(tmp_path, clock):
    async with serving(clock, f"unix://{tmp_path}/nobody.sock", rate_limit="2/hour", cost_limit="off") as api:
        assert [(await api.get("/v1/ranks")).status for _ in range(4)] == [503, 503, 429, 429]
