"""In which coding an answer is sent, how much of it, and to whom it is not sent again."""

import asyncio
import gzip
import sys
import urllib.request
from collections.abc import Callable

import brotli
import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from tests.support.serving import every_minute, fill
from tests.v1.server.answers.asking import HISTORY, TICK, Asker
from v1.routes.negotiation import rank_codings
from v1.server.answers import cache, encodings
from v1.server.answers.ranges import RangeNotSatisfiable, find_range

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
    "br": brotli.decompress,
}
BROWSER = "gzip, deflate, br, zstd"


@pytest.fixture
async def asker() -> Asker:
    made = Asker()
    made.routes.body = b"".join(b"[%d,%d]," % (number, number * number) for number in range(500))
    return made


@pytest.mark.parametrize(
    "header, ranked",
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip", "gzip identity"),
        ("x-gzip", "gzip identity"),
        ("GZIP;Q=1.0", "gzip identity"),
        (BROWSER, "br zstd gzip identity"),
        ("zstd;q=0.5, gzip", "gzip zstd identity"),
        ("br;q=0, *", "zstd gzip identity"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.000, *", "br zstd identity"),
        ("*;q=0", ""),
        ("*;q=0, br", "br"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", ""),
        ("identity, gzip;q=0.5", "identity"),
        ("identity, gzip;q=0.5, zstd", "zstd identity"),
        ("gzip;q=2, deflate", "identity"),
    ],
)
def test_codings_are_ranked_by_what_a_client_likes(header: str | None, ranked: str):
    assert rank_codings(header) == tuple(ranked.split())


@pytest.mark.parametrize(
    "header, coding", [("gzip", "gzip"), ("zstd", "zstd"), ("gzip;q=0, *", "zstd"), ("*;q=0, br", "br")]
)
async def test_a_body_is_sent_in_the_coding_that_is_liked_best_and_is_the_same(asker: Asker, header: str, coding: str):
    got = [await asker.get(accept_encoding=header) for _ in range(2)]

    assert got[0] == got[1]
    assert got[0].headers["content-encoding"] == coding
    assert int(got[0].headers["content-length"]) == len(got[0].body) < len(asker.routes.body)
    assert DECODERS[coding](got[0].body) == asker.routes.body
    assert got[0].headers["vary"] == "Accept-Encoding"
    assert asker.routes.count == 1


async def test_nobody_waits_for_brotli_and_who_comes_later_gets_it(asker: Asker):
    first = await asker.get(accept_encoding=BROWSER)
    assert (first.headers["content-encoding"], zstd.decompress(first.body)) == ("zstd", asker.routes.body)

    async with asyncio.timeout(60):
        while (later := await asker.get(accept_encoding=BROWSER)).headers["content-encoding"] != "br":
            await asyncio.sleep(0.001)
    assert brotli.decompress(later.body) == asker.routes.body


async def test_gzip_that_the_route_has_made_is_sent_as_it_is(asker: Asker):
    asker.routes.body, asker.routes.gzip = b"x" * 2000, b"made by the route"

    assert [(await asker.get(accept_encoding="gzip")).body for _ in range(2)] == [asker.routes.gzip] * 2
    assert zstd.decompress((await asker.get(accept_encoding="zstd")).body) == asker.routes.body
    assert (await asker.get()).body == asker.routes.body
    assert asker.routes.count == 1


@pytest.mark.parametrize("header", ["identity", "zstd", "gzip;q=0.5, zstd", "gzip;q=0", BROWSER])
async def test_a_route_makes_no_gzip_for_who_is_sent_something_else(asker: Asker, header: str):
    asker.routes.body, asker.routes.gzip = b"x" * 2000, b"made by the route"
    got = await asker.get(accept_encoding=header)
    later = await asker.get(accept_encoding="gzip")

    assert got.headers.get("content-encoding") != "gzip"
    assert gzip.decompress(later.body) == asker.routes.body


async def test_who_takes_brotli_or_gzip_gets_what_the_route_has_made_until_there_is_brotli(asker: Asker):
    asker.routes.body, asker.routes.gzip = b"x" * 2000, b"made by the route"

    assert (await asker.get(accept_encoding="br, gzip")).body == asker.routes.gzip


async def test_a_small_body_is_compressed_for_who_takes_nothing_else_alone(asker: Asker):
    asker.routes.body = b"x" * 999

    plain, compressed = await asker.get(accept_encoding="gzip"), await asker.get(accept_encoding="gzip, identity;q=0")

    assert "content-encoding" not in plain.headers
    assert gzip.decompress(compressed.body) == plain.body == asker.routes.body


async def test_a_large_body_is_compressed_beside_the_others_and_once(asker: Asker, monkeypatch: pytest.MonkeyPatch):
    made = []

    def count(coding: str, body: bytes) -> bytes:
        made.append(coding)
        return encodings.encode(coding, body)

    monkeypatch.setattr(cache, "encode", count)
    monkeypatch.setattr(cache, "AT_ONCE", 100)

    got = await asyncio.gather(*[asker.get(accept_encoding="gzip") for _ in range(5)])

    assert {gzip.decompress(each.body) for each in got} == {asker.routes.body}
    assert made == ["gzip"]


async def test_who_accepts_nothing_that_is_sent_is_left_to_the_routes(asker: Asker):
    await asker.get(accept_encoding="*;q=0")

    assert dict(asker.routes.asked[0]["headers"]) == {b"accept-encoding": b"*;q=0"}


async def test_the_routes_make_one_whole_answer_that_is_not_compressed(asker: Asker):
    await asker.get(
        method="HEAD", accept="x", accept_encoding="gzip", range="bytes=0-1", if_none_match='"a"', if_range='"b"'
    )

    (scope,) = asker.routes.asked
    assert (scope["method"], scope["headers"]) == ("GET", [(b"accept", b"x")])


async def test_a_strong_tag_stands_for_the_bytes_that_it_came_with(asker: Asker):
    plain, compressed = await asker.get(), await asker.get(accept_encoding="gzip")

    assert (plain.headers["etag"], compressed.headers["etag"]) == ('"tag"', 'W/"tag"')


@pytest.mark.parametrize("tag", ['"tag"', 'W/"tag"', '"other", W/"tag"', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_has_it_already_is_told_so(asker: Asker, tag: str, method: str):
    whole = await asker.get(accept_encoding="gzip")
    got = await asker.get(method=method, accept_encoding="gzip", if_none_match=tag)

    assert (got.status, got.body) == (304, b"")
    kept = {"cache-control", "etag", "vary"}
    assert got.headers == {name: value for name, value in whole.headers.items() if name in kept}
    assert asker.routes.count == 1


@pytest.mark.parametrize("tag", ['"other"', 'W/"other"', "tag", ""])
async def test_who_has_another_one_gets_it(asker: Asker, tag: str):
    assert (await asker.get(if_none_match=tag)).status == 200


async def test_an_error_has_no_tag_and_is_had_by_nobody(asker: Asker):
    asker.routes.status, asker.routes.headers = 404, {"cache-control": "no-store"}

    assert (await asker.get(if_none_match="*", range="bytes=0-1")).status == 404


async def test_head_is_get_without_the_body(asker: Asker):
    for accept_encoding in ("identity", "gzip"):
        head, get = [await asker.get(method=each, accept_encoding=accept_encoding) for each in ("HEAD", "GET")]

        assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert asker.routes.count == 1


@pytest.mark.parametrize(
    "header, size, found",
    [
        ("bytes=0-4", 10, range(5)),
        ("bytes=5-", 10, range(5, 10)),
        ("bytes=5-99", 10, range(5, 10)),
        ("bytes=9-9", 10, range(9, 10)),
        ("bytes=-3", 10, range(7, 10)),
        ("bytes=-99", 10, range(10)),
        ("Bytes= 1-2 ", 10, range(1, 3)),
        ("bytes=3-2", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=-", 10, None),
        ("lines=0-1", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=0-1-2", 10, None),
        ("", 10, None),
    ],
)
def test_one_range_of_bytes_is_understood_and_anything_else_ignored(header: str, size: int, found: range | None):
    assert find_range(header.encode(), size) == found


@pytest.mark.parametrize("header, size", [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_range_without_a_byte_cannot_be_satisfied(header: str, size: int):
    with pytest.raises(RangeNotSatisfiable):
        find_range(header.encode(), size)


@pytest.mark.parametrize("accept_encoding", ["identity", "gzip", BROWSER])
async def test_a_part_is_sent_of_the_body_that_is_not_compressed(asker: Asker, accept_encoding: str):
    whole = (await asker.get()).body
    got = await asker.get(range="bytes=10-19", accept_encoding=accept_encoding)

    assert (got.status, got.body) == (206, whole[10:20])
    assert got.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert (got.headers["content-length"], got.headers["etag"]) == ("10", '"tag"')
    assert "content-encoding" not in got.headers


async def test_who_takes_no_body_that_is_not_compressed_gets_the_whole(asker: Asker):
    assert (await asker.get(range="bytes=0-1", accept_encoding="gzip, identity;q=0")).status == 200


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "lines=1-2"])
async def test_a_range_that_is_not_understood_is_no_reason_to_send_less(asker: Asker, header: str):
    got = await asker.get(range=header)

    assert (got.status, got.body) == (200, asker.routes.body)


async def test_a_range_beyond_the_end_is_refused_with_what_would_be_accepted(asker: Asker):
    size = len(asker.routes.body)
    got = await asker.get(range=f"bytes={size}-")

    assert got.status == 416
    assert got.headers["content-range"] == f"bytes */{size}"
    assert got.headers["content-type"] == "application/problem+json"
    assert f"accepted: bytes=0-{size - 1}" in got.body.decode()


@pytest.mark.parametrize(
    "tag, if_range, status",
    [
        ('"tag"', '"tag"', 206),
        ('"tag"', '"other"', 200),
        ('"tag"', 'W/"tag"', 200),
        ('W/"tag"', 'W/"tag"', 200),
        ('W/"tag"', '"tag"', 200),
        ('"tag"', "Mon, 17 May 2021 12:00:00 GMT", 200),
    ],
)
async def test_a_part_is_sent_to_who_has_the_rest_of_the_same(asker: Asker, tag: str, if_range: str, status: int):
    asker.routes.headers["etag"] = tag

    assert (await asker.get(range="bytes=0-1", if_range=if_range)).status == status


async def test_a_head_has_no_parts(asker: Asker):
    assert (await asker.get(method="HEAD", range="bytes=0-1")).status == 200


async def test_who_has_it_already_gets_no_part_of_it(asker: Asker):
    assert (await asker.get(range="bytes=0-1", if_none_match='"tag"')).status == 304


async def test_parts_of_an_answer_that_is_over_are_parts_of_the_next(asker: Asker):
    await asker.get(range="bytes=0-1")
    asker.memory.note_change(TICK)
    asker.routes.body = b"new body"

    assert (await asker.get(range="bytes=0-2")).body == b"new"


async def test_a_file_that_is_read_in_parts_is_the_same_file(api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute([str(46_000 + each) for each in range(300)])})
    url = f"{api.url}{HISTORY}.csv"

    whole, parts = await asyncio.to_thread(_read_whole, url), await asyncio.to_thread(_read_in_parts, url)

    assert len(whole) > 1000
    assert parts == whole


def _read_whole(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def _read_in_parts(url: str) -> bytes:
    """Read as programs do that read tables over HTTP: ask for the length, then for one part after the other."""
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as head:
        assert head.headers["Accept-Ranges"] == "bytes"
        size, tag = int(head.headers["Content-Length"]), head.headers["ETag"]
    found = b""
    for start in range(0, size, 1000):
        asked = urllib.request.Request(url, headers={"Range": f"bytes={start}-{start + 999}", "If-Range": tag})
        with urllib.request.urlopen(asked) as part:
            assert part.status == 206
            found += part.read()
    return found
