"""The top list: the largest cryptocurrencies with their prices, now or at a minute of the past."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from operator import attrgetter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema

from ..archive import ArchiveError
from ..model import MINUTE
from ..toplist.model import ListOrigin, TopCoin, TopList, find_reach, is_late_list
from .context import Context, RouteState
from .params import Format, JsonOrCsvParams, QueryParams, TableParams, Time
from .problems import RETRY_SECONDS, FieldProblem, HttpRefusal, Problem, refuse_fields
from .response_docs import NOT_ACCEPTED, UNCHANGED, Responses
from .responses import AnswerBody, CsvResponse, choose_format, refuse_unless_csv, respond_until_next_tick
from .row_encoder import CellKind, Column, JsonFrame, RowEncoder, make_encoder

MOST_COINS = 5000
COLUMNS = {
    column.name: column
    for column in (
        Column("rank", title="Rank"),
        Column("symbol", CellKind.TEXT, "Symbol"),
        Column("price_usd", title="Price USD"),
        Column("id", title="Id"),
        Column("name", CellKind.TEXT, "Name"),
        Column("volume_24h_usd", title="Volume 24h USD"),
        Column("price_time", CellKind.TIME, "Price Time"),
        Column("volume_time", CellKind.TIME, "Volume Time"),
    )
}
"""The columns that there are, by name, and what CSV calls them."""
MOST_CHARACTERS = 200
_COLUMN = f"({'|'.join(COLUMNS)})"
USUAL_COLUMNS = ("rank", "symbol", "price_usd")
SETTINGS = ("COINMARKETCAP_API_KEY", "CRYPTOCOMPARE_API_KEY")
"""The settings that the list needs, without what the names of settings begin with."""

router = APIRouter(tags=["top list"])


class TopParams(QueryParams):
    limit: Annotated[int, Field(ge=1, le=MOST_COINS, description="How many coins at most.")] = 100
    datetime: Annotated[
        Time | None,
        Field(
            description="The minute that is asked for: the newest list at it or before. Without it: now.",
            examples=["now"],
        ),
    ] = None


class ColumnsParams(TableParams):
    """How the CSV is written."""

    columns: Annotated[
        str | None,
        Field(max_length=MOST_CHARACTERS),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^ *{_COLUMN} *(, *{_COLUMN} *)*$",
                "maxLength": MOST_CHARACTERS,
                "examples": ["rank,symbol,name,price_usd"],
            }
        ),
        Field(
            description=f"Columns of the CSV, with commas between: {', '.join(COLUMNS)}.",
        ),
    ] = None


class TopTableParams(ColumnsParams, TopParams):
    """The same of CSV."""


class TopFormatParams(ColumnsParams, JsonOrCsvParams, TopParams):
    """The same where the format is not known by the path."""


class TopCoinView(BaseModel):
    """One coin of the list."""

    rank: Annotated[int, Field(description="Its place by 24 h volume, as CryptoCompare says.")]
    id: Annotated[int | None, Field(description="CoinMarketCap's; null where CryptoCompare does not know it.")]
    symbol: str
    name: str
    price_usd: Annotated[float | None, Field(description="As CoinMarketCap says; null where it does not.")]
    volume_24h_usd: float
    price_time: Annotated[int | None, Field(description="When the price is from.")]
    volume_time: Annotated[int, Field(description="When the volume is from.")]


class TopPartView(BaseModel):
    """One of the two lists that the top list is made of."""

    source: str
    at: Annotated[int, Field(description="The minute it was asked for.")]
    provider_time: Annotated[int | None, Field(description="When the provider says that it was made.")]
    age: Annotated[int, Field(description="Seconds from `at` to the time that was asked for.")]
    interval: Annotated[int, Field(description="Seconds until the next one was to be asked for.")]
    late: Annotated[bool, Field(description="Whether a newer one should be there, and is not.")]
    left_out: Annotated[dict[str, int], Field(description="Rows of the answer that are not in the list, by reason.")]


class TopView(BaseModel):
    """The top list of one minute."""

    at: Annotated[int, Field(description="The minute.")]
    of: Annotated[int, Field(description="How many coins the whole list has.")]
    unpriced: Annotated[int, Field(description="How many of them have no price.")]
    coins: list[TopCoinView]
    prices: TopPartView
    ranks: TopPartView


_FAILS: Responses = {
    404: {"model": Problem, "description": "There is no list of that time; `detail` says which times there are."},
    503: {"model": Problem, "description": "There is no list yet, or the store is away; `detail` says why."},
    **NOT_ACCEPTED,
    **UNCHANGED,
}


@router.get(
    "/top",
    summary="The largest coins and their prices",
    operation_id="get_top_list",
    response_model=TopView,
    responses=_FAILS,
)
async def get_top(params: Annotated[TopFormatParams, Query()], request: Request, context: Context) -> Response:
    """
    The largest cryptocurrencies by 24 h volume with their USD price, now or at a time of the past.

    Of the past day there is a list of every minute. Where one has none, the newest before it is given, as long
    as it may stand for it: the longer of its two lists' intervals, and the margin. Of the time before there is
    one of every full hour. Ages say how old its parts were at the time asked for.

    `format=csv` or `Accept: text/csv` here is the same as `top.csv`.
    """
    format_ = choose_format(request, Format(params.format) if params.format else None, (Format.JSON, Format.CSV))
    refuse_unless_csv(format_, params, "columns", "time", "bom")
    return await _respond(params, format_, request, context)


@router.get(
    "/top.csv",
    summary="The largest coins and their prices, as CSV",
    operation_id="get_top_list_csv",
    response_class=CsvResponse,
    responses=_FAILS,
)
async def get_top_csv(params: Annotated[TopTableParams, Query()], request: Request, context: Context) -> Response:
    """The largest cryptocurrencies, as a table. Texts stand in quotation marks, and what is empty is not known."""
    return await _respond(params, Format.CSV, request, context)


async def _respond(params: TopParams, format_: Format, request: Request, context: RouteState) -> Response:
    now = int(context["market"].read_wall())  # the list is of today, also where the market is replayed
    at = now if params.datetime is None else params.datetime.resolve(now)
    encoder = make_encoder(format_, _list_columns(params, format_), params)
    snapshot = await _read_snapshot(context, at // MINUTE * MINUTE)
    body, identity = _encode(snapshot, snapshot.coins[: params.limit], at, encoder)
    # A list of the past does not change, but with "now" in its question it is another one in a minute.
    fresh = snapshot.at if params.datetime is None else now // MINUTE * MINUTE
    return respond_until_next_tick(request, context, AnswerBody(body, fresh, format_, identity, MINUTE))


async def _read_snapshot(context: RouteState, minute: int) -> TopList:
    reader = context["top"]
    found = await reader.read_snapshot(minute)
    if found is not None and minute - found.at <= find_reach(found):
        return found
    span = await reader.read_range()
    try:
        kept = await context["top_archive"].read_top_list(minute)
        hours = None if kept else await context["top_archive"].read_top_range()
    except ArchiveError:
        kept = hours = None  # nothing is archived yet, or the archive is away: Redis alone is used
    if kept is not None and (found is None or kept.at > found.at):
        return kept
    if span is None and hours is None:
        raise _explain_missing(await reader.read_role_states(), context["settings_prefix"])
    there = [f"minutes from {span.oldest} to {span.newest}"] if span else []
    there += [f"full hours from {hours.oldest} to {hours.newest}"] if hours else []
    near = [str(at) for at in (found and found.at, await reader.find_next_minute(minute)) if at is not None]
    existing = f"{' and '.join(there)}{'; nearest: ' if near else ''}{' and '.join(near)}"
    wrong = FieldProblem(field="datetime", value=str(minute), accepted=existing)
    raise HttpRefusal(HTTPStatus.NOT_FOUND, f"no top list of {minute}: there are lists of {existing}", [wrong])


def _explain_missing(roles: Mapping[str, Mapping[str, Any]], prefix: str) -> HttpRefusal:
    """Say why there is no list at all."""
    off = [str(state["reason"]) for state in roles.values() if state.get("state") == "off"]
    if off or not roles:
        why = off[0] if off else f"the worker makes it where {' and '.join(prefix + name for name in SETTINGS)} are set"
        return HttpRefusal(HTTPStatus.SERVICE_UNAVAILABLE, f"there is no top list: {why}")
    doing = "; ".join(f"{role}: {state.get('reason') or state.get('state')}" for role, state in roles.items())
    detail = f"the first top list is not there yet ({doing}); ask again in {RETRY_SECONDS} seconds"
    return HttpRefusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_SECONDS)})


def _list_columns(params: TopParams, format_: Format) -> Sequence[Column]:
    """Return the columns of an answer: those that are asked for, of JSON all."""
    if format_ is not Format.CSV:
        return [COLUMNS[name] for name in TopCoin._fields]
    named = params.columns if isinstance(params, ColumnsParams) else None
    if named is None:
        return [COLUMNS[name] for name in USUAL_COLUMNS]
    names = [name.strip() for name in named.split(",")]
    if any(name not in COLUMNS for name in names):
        raise refuse_fields(("columns", named, f"any of {', '.join(COLUMNS)}, with commas between"))
    return [COLUMNS[name] for name in names]


def _encode(snapshot: TopList, coins: Sequence[TopCoin], at: int, encoder: RowEncoder) -> tuple[str, str]:
    """Return an answer as of `at`, and beside it what stands for it in a tag: the same without the ages."""
    head = {"at": snapshot.at, "of": len(snapshot.coins), "unpriced": snapshot.count_unpriced}
    rows = encoder.encode(zip(*[map(attrgetter(column.name), coins) for column in encoder.columns], strict=True))
    parts = {
        name: _describe_part(about, at, snapshot)
        for name, about in (("prices", snapshot.prices), ("ranks", snapshot.ranks))
    }
    ageless = {name: part | {"age": None} for name, part in parts.items()}
    body, identity = (encoder.frame([rows], JsonFrame(head, "coins", each)) for each in (parts, ageless))
    return body, identity


def _describe_part(about: ListOrigin, at: int, snapshot: TopList) -> dict[str, Any]:
    return {
        "source": about.source,
        "at": about.at,
        "provider_time": about.provider_time,
        "age": at - about.at,
        "interval": about.interval,
        "late": is_late_list(about, at, snapshot.margin),
        "left_out": dict(about.left_out),
    }
