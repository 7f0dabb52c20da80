"""What is kept and for how long, who shares an answer, and what ends it."""

import asyncio

import pytest

from tests.support.serving import NOON
from tests.v1.server.answers.asking import BTC, ETH, HISTORY, LATE_BTC, TICK, Asker, make_routes
from v1.server.answers import memory
from v1.store import EVERYTHING, Change, ChangeKind


@pytest.fixture
async def asker() -> Asker:
    return Asker()


async def test_what_is_asked_again_is_sent_from_memory(asker: Asker):
    first, second = await asker.get(), await asker.get()

    assert second == first
    assert second.body == asker.routes.body
    assert (asker.routes.count, asker.statistics.misses, asker.statistics.hits) == (1, 1, 1)


@pytest.mark.parametrize(
    "path, query",
    [
        (HISTORY, "agg=min&step=5m"),
        (HISTORY, "step=300&agg=min&measure=price&fill=none"),
        ("/v1/metrics/kraken:btcusd/history", "step=5m&agg=min"),
        (HISTORY, "format=json&step=5m&agg=min"),
        (HISTORY, "step=%35m&agg=min"),
    ],
)
async def test_another_way_to_ask_the_same_is_the_same_question(asker: Asker, path: str, query: str):
    await asker.get(HISTORY, "step=5m&agg=min")

    await asker.get(path, query)

    assert asker.routes.count == 1


@pytest.mark.parametrize(
    "path, query, accept",
    [
        (HISTORY, "", "text/csv"),
        (HISTORY, "format=csv", "*/*"),
        (HISTORY, "step=5m", "*/*"),
        (HISTORY, "to=now", "*/*"),
        (HISTORY, "bom=false", "*/*"),
        (f"{HISTORY}.csv", "", "*/*"),
        ("/latest/metrics/KRAKEN:BTCUSD/history", "", "*/*"),
        ("/v1/metrics/KRAKEN:BTCUSD", "", "*/*"),
        ("/v1/metrics/KRAKEN:ETHUSD/history", "", "*/*"),
    ],
)
async def test_what_is_answered_otherwise_is_another_question(asker: Asker, path: str, query: str, accept: str):
    await asker.get(HISTORY, accept="*/*")

    await asker.get(path, query, accept=accept)

    assert asker.routes.count == 2


@pytest.mark.parametrize(
    "path", ["/", "/v1/nothing", "/health/ready", "/openapi.json", "/metrics", "/v1/stream", "/v1/rules/backtest"]
)
async def test_what_is_no_question_goes_on_as_it_came(asker: Asker, path: str):
    for _ in range(2):
        await asker.get(path, accept_encoding="gzip", range="bytes=0-1")

    assert [dict(scope["headers"]) for scope in asker.routes.asked] == [
        {b"accept-encoding": b"gzip", b"range": b"bytes=0-1"}
    ] * 2


@pytest.mark.parametrize("query", ["step=x", "nonsense=1", "step=1h&step=2h"])
async def test_a_question_that_is_not_accepted_goes_on_each_time(asker: Asker, query: str):
    for _ in range(2):
        await asker.get(HISTORY, query)

    assert asker.routes.count == 2
    assert asker.memory.forms == {}


async def test_a_change_goes_on(asker: Asker):
    for _ in range(2):
        await asker.get("/v1/rules", method="POST")

    assert asker.routes.count == 2


async def test_a_thousand_who_ask_the_same_at_once_are_one_read(asker: Asker):
    asker.routes.is_open.clear()
    waiting = [asyncio.create_task(asker.get(HISTORY, f"step={'5m' if each % 2 else 300}")) for each in range(1000)]
    await asker.routes.is_asked.wait()
    asker.routes.is_open.set()

    got = await asyncio.gather(*waiting)

    assert asker.routes.count == 1
    assert {(each.status, each.body) for each in got} == {(200, asker.routes.body)}
    assert (asker.statistics.misses, asker.statistics.joined) == (1, 999)


async def test_who_gives_up_takes_the_answer_from_nobody(asker: Asker):
    asker.routes.is_open.clear()
    first = asyncio.create_task(asker.get())
    await asker.routes.is_asked.wait()
    second = asyncio.create_task(asker.get())
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    asker.routes.is_open.set()

    assert (await second).status == 200
    assert (asker.routes.count, asker.statistics.answers) == (1, 1)


async def test_an_error_is_told_to_all_who_ask_in_the_same_words_and_kept_for_nobody(asker: Asker):
    asker.routes.is_open.clear()
    asker.routes.status, asker.routes.headers = 503, {"cache-control": "no-store"}
    waiting = [asyncio.create_task(asker.get(HISTORY, query)) for query in ("step=5m", "step=5m", "step=300")]
    await asker.routes.is_asked.wait()
    asker.routes.is_open.set()

    assert [each.status for each in await asyncio.gather(*waiting)] == [503] * 3
    assert asker.routes.count == 2, "who asked in other words is answered in those"
    await asker.get(HISTORY, "step=5m")
    assert asker.routes.count == 3


async def test_what_the_routes_raise_is_raised_by_all_who_wait_and_forgotten(asker: Asker):
    asker.routes.is_open.clear()
    asker.routes.error = RuntimeError("an error of ours")
    waiting = [asyncio.create_task(asker.get()) for _ in range(3)]
    await asker.routes.is_asked.wait()
    asker.routes.is_open.set()
    raised = await asyncio.gather(*waiting, return_exceptions=True)
    asker.routes.error = None

    assert [str(each) for each in raised] == ["an error of ours"] * 3
    assert (await asker.get()).status == 200


async def test_what_changes_while_it_is_read_is_not_kept_and_who_asks_then_gets_the_new(asker: Asker):
    asker.routes.is_open.clear()
    old = asyncio.create_task(asker.get())
    await asker.routes.is_asked.wait()
    asker.memory.note_change(TICK)
    asker.routes.is_asked.clear()
    asker.routes.body = b"new"
    new = asyncio.create_task(asker.get())
    await asker.routes.is_asked.wait()
    asker.routes.is_open.set()

    assert ((await old).body, (await new).body) == (b"x" * 100, b"new")
    assert (await asker.get()).body == b"new"
    assert asker.routes.count == 2


PATHS = {
    "history": HISTORY,
    "ranks": "/v1/ranks",
    "rules": "/v1/rules",
    "rule": "/v1/rules/volume-spike",
    "silences": "/v1/silences",
    "alerts": "/v1/alerts",
    "top": "/v1/top.csv",
}
SAMPLES = {"history", "ranks", "rules", "rule", "silences", "alerts"}


@pytest.mark.parametrize(
    "change, ended",
    [
        (TICK, SAMPLES),
        (LATE_BTC, SAMPLES),
        (Change(ChangeKind.RANKS), SAMPLES),
        (Change(ChangeKind.SOURCES), SAMPLES),
        (Change(ChangeKind.RULES), {"rules", "rule", "silences", "alerts"}),
        (Change(ChangeKind.SILENCES), {"rules", "rule", "silences", "alerts"}),
        (Change(ChangeKind.ALERTS), {"alerts"}),
        (Change(ChangeKind.TOP), {"top"}),
        (Change(ChangeKind.KEYS), set()),
        (Change(ChangeKind.BUDGETS), set()),
        (EVERYTHING, set(PATHS)),
    ],
    ids=lambda each: str(each.kind) if isinstance(each, Change) else "",
)
async def test_a_change_ends_what_it_may_change(asker: Asker, change: Change, ended: set[str]):
    for path in PATHS.values():
        await asker.get(path)
    asker.routes.asked.clear()

    asker.memory.note_change(change)
    for path in PATHS.values():
        await asker.get(path)

    assert {scope["path"] for scope in asker.routes.asked} == {PATHS[name] for name in ended}
    assert asker.statistics.answers == len(PATHS)


async def test_late_samples_of_one_metric_end_no_answer_about_another(asker: Asker):
    other = HISTORY.replace(BTC, ETH)
    await asker.get(HISTORY)
    await asker.get(other)

    asker.memory.note_change(LATE_BTC)
    await asker.get(HISTORY)
    await asker.get(other)

    assert [scope["path"] for scope in asker.routes.asked] == [HISTORY, other, HISTORY]


async def test_while_no_change_is_heard_nothing_is_kept_and_nothing_is_shared(asker: Asker):
    await asker.get()
    asker.lose_subscription()
    asker.routes.is_open.clear()
    waiting = [asyncio.create_task(asker.get()) for _ in range(3)]
    while asker.routes.count < 4:
        await asyncio.sleep(0)
    asker.routes.is_open.set()
    await asyncio.gather(*waiting)

    await asker.get()
    assert asker.routes.count == 5
    assert (asker.statistics.answers, asker.statistics.not_kept) == (0, 4)


async def test_what_was_begun_before_the_subscription_was_lost_is_not_kept(asker: Asker):
    asker.routes.is_open.clear()
    waiting = asyncio.create_task(asker.get())
    await asker.routes.is_asked.wait()
    asker.lose_subscription()
    asker.routes.is_open.set()

    assert (await waiting).status == 200
    assert asker.statistics.answers == 0


async def test_an_answer_says_for_how_long_it_is_still_good_and_is_sent_no_longer(asker: Asker):
    said = []
    for after in (0, 0.9, 1, 49, 49.9, 50):
        asker.clock.now = NOON + after
        said.append((await asker.get()).headers["cache-control"])

    assert said == [f"public, max-age={left}" for left in (50, 50, 49, 1, 1, 50)]
    assert asker.routes.count == 2


async def test_a_clock_that_goes_back_makes_no_answer_good_for_longer(asker: Asker):
    await asker.get()
    asker.clock.now -= 1

    await asker.get()

    assert asker.routes.count == 2


@pytest.mark.parametrize("kind", ["must be asked for again", "holds an age"])
async def test_what_is_another_answer_in_a_second_is_kept_for_this_one(asker: Asker, kind: str):
    if kind == "holds an age":
        asker.routes.is_brief = True
    else:
        asker.routes.headers["cache-control"] = "private, no-cache"
    said = []
    for after in (0, 0.5, 1):
        asker.clock.now = NOON + after
        said.append((await asker.get()).headers["cache-control"])

    assert asker.routes.count == 2
    assert set(said) == {asker.routes.headers["cache-control"]}


@pytest.mark.parametrize(
    "status, headers",
    [
        (200, {"cache-control": "no-store", "etag": '"x"'}),
        (200, {"etag": '"x"'}),
        (200, {"cache-control": "public, max-age=50"}),
        (404, {"cache-control": "public, max-age=50", "etag": '"x"'}),
    ],
)
async def test_what_does_not_say_that_it_may_be_kept_is_not(asker: Asker, status: int, headers: dict[str, str]):
    asker.routes.status, asker.routes.headers = status, headers

    got = [await asker.get() for _ in range(2)]

    assert [each.status for each in got] == [status] * 2
    assert (asker.routes.count, asker.statistics.answers, asker.statistics.not_kept) == (2, 0, 2)


async def test_no_more_bytes_are_kept_than_are_allowed_and_what_was_not_asked_for_longest_goes_first():
    asker = Asker(most_bytes=32_000)
    asker.routes.body = b"x" * 5_000
    for measure in ("price", "volume", "change_percentage"):
        await asker.get(HISTORY, f"measure={measure}")
    await asker.get(HISTORY, "measure=price")
    assert asker.routes.count == 3

    await asker.get(HISTORY, "measure=interval_volume")
    assert 0 < asker.statistics.used_bytes <= 32_000
    assert asker.statistics.evictions == 1
    await asker.get(HISTORY, "measure=price")
    assert asker.routes.count == 4
    await asker.get(HISTORY, "measure=volume")
    assert asker.routes.count == 5


async def test_codings_are_counted_among_the_bytes():
    asker = Asker()
    asker.routes.body = bytes(range(256)) * 40
    await asker.get()
    before = asker.statistics.used_bytes

    await asker.get(accept_encoding="gzip")

    assert asker.statistics.used_bytes > before + 100


async def test_what_is_larger_than_all_that_may_be_kept_is_sent_and_not_kept():
    asker = Asker(most_bytes=20_000)
    asker.routes.body = b"x" * 20_000

    got = [await asker.get() for _ in range(2)]

    assert [each.body for each in got] == [asker.routes.body] * 2
    assert (asker.routes.count, asker.statistics.answers) == (2, 0)


@pytest.mark.parametrize("most_bytes", [1, 500, 3000])
async def test_a_bound_that_nothing_fits_keeps_nothing_and_breaks_nothing(most_bytes: int):
    asker = Asker(most_bytes=most_bytes)

    for _ in range(2):
        for path in PATHS.values():
            assert (await asker.get(path)).status == 200
    asker.memory.note_change(EVERYTHING)

    assert asker.statistics.used_bytes <= most_bytes
    assert asker.statistics.answers == 0


async def test_ways_to_write_one_question_are_remembered_up_to_a_bound(asker: Asker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "MOST_FORMS", 3)
    for zeros in range(5):
        await asker.get(HISTORY, f"step={'0' * zeros}300")

    assert asker.routes.count == 1
    assert len(asker.memory.forms) == 3


async def test_what_is_counted_is_nothing_when_nothing_is_kept(asker: Asker):
    for path in PATHS.values():
        await asker.get(path, accept_encoding="gzip")
    full = asker.statistics.used_bytes

    asker.memory.note_change(EVERYTHING)

    forms = sum(memory._measure_form(form) for form in asker.memory.forms)
    assert full > asker.statistics.used_bytes == forms
    assert asker.statistics.answers == 0


async def test_with_no_bytes_nothing_is_kept_and_all_the_rest_is_the_same():
    off, on = Asker(most_bytes=0), Asker()
    for each in (off, on):
        each.routes.body = b"0123456789" * 200
    wanted = [
        {},
        {"accept_encoding": "gzip"},
        {"accept_encoding": "zstd"},
        {"range": "bytes=5-9"},
        {"range": "bytes=9999-"},
        {"if_none_match": '"tag"'},
        {"method": "HEAD"},
    ]

    assert [await off.get(**each) for each in wanted] == [await on.get(**each) for each in wanted]
    assert (off.routes.count, on.routes.count) == (len(wanted), 1)
    assert (off.statistics.answers, off.statistics.used_bytes, off.memory.forms) == (0, 0, {})


async def test_who_adds_a_header_on_the_way_adds_it_to_one_answer_alone():
    def wrap(app):
        async def add(scope, receive, send):
            async def send_more(message):
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-more", b"%d" % len(message["headers"]))]
                await send(message)

            await app(scope, receive, send_more)

        return add

    asker = Asker(wrap=wrap)

    assert len({(await asker.get()).headers["x-more"] for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "origins, origin, other, count",
    [
        ((), "https://a.example", "https://b.example", 1),
        (("*",), "https://a.example", "https://b.example", 1),
        (("https://a.example",), "https://a.example", "https://b.example", 2),
        (("https://a.example",), "https://b.example", "https://c.example", 1),
        (("https://a.example", "https://b.example"), "https://a.example", "https://b.example", 2),
    ],
)
async def test_pages_share_an_answer_unless_it_names_their_origin(origins, origin: str, other: str, count: int):
    asker = Asker(origins=origins)
    for each in (origin, other):
        await asker.get(origin=each)

    assert asker.routes.count == count
    if origins:
        await asker.get()
        assert asker.routes.count == count + 1, "who has no origin is told nothing of origins"


async def test_a_header_that_came_twice_is_one_list(asker: Asker):
    async def ask(*accepted: bytes) -> None:
        scope_headers = [(b"accept", each) for each in accepted]
        await asker.cache(
            {
                "type": "http",
                "method": "GET",
                "path": HISTORY,
                "query_string": b"",
                "headers": scope_headers,
                "state": {"changes": asker.feed},
                "app": make_routes(),
            },
            None,
            _forget,
        )

    await ask(b"text/html", b"text/csv")
    await ask(b"text/html, text/csv")
    await ask(b"text/html")

    assert asker.routes.count == 2


async def _forget(_) -> None:
    pass
