"""
Every key version 1 owns in Redis. No other module spells one.

    key                           type    score: member, or content          lives
    v1:metrics                    zset    tick of the newest sample: metric  24 h after the last tick
    v1:samples:{<metric>}:<hour>  zset    tick: [tick - hour,price,volume,...]  49 h after the hour's last sample, or until its day is over
    v1:ranges:{<metric>}:<hour>   string  open, high and low of minutes that were filled in, see `price_ranges`  49 h after the last was
    v1:moments:{<metric>}         string  exact moments, see `metric_state`       25 h after the last tick
    v1:rank:<measure>:<by>        zset    deviation or coefficient: metric   rewritten each tick, 24 h after the last
    v1:mean:<measure>             zset    hour mean: metric                  rewritten each tick, 24 h after the last
    v1:ranked                     zset    tick whose places are kept: itself and the names' tag  25 h
    v1:ranked:<quarter of an hour>  string  places of all metrics, see `market.kept_ranks`  25 h
    v1:ranked:names:<tag>         string  names of the metrics, in order, JSON  25 h after the last tick of them
    v1:unranked:<measure>         zset    numbers in the day: metric         rewritten each tick, 24 h after the last
    v1:next:{<one of these>}      zset    what is to take its place          while it is written, at most 24 h
    v1:format                     string  number of the format of all this   for ever
    v1:partitions                 string  into how many parts the data of a cluster is divided  for ever
    v1:tick                       string  newest committed tick              for ever
    v1:sources                    hash    source: how it does, JSON          for ever
    v1:markets                    hash    metric that is not live: [state, since, why], JSON  for ever
    v1:feeds                      hash    source: [tick, received] of its newest answer, JSON  for ever
    v1:wishes                     hash    wish that no source gives: why     for ever
    v1:archive                    string  how the archive does, JSON         for ever
    v1:replay                     string  which recording is replayed, how fast, JSON  until a worker samples
    v1:clock                      string  what is wrong with the worker's clock  2 minutes after it was said
    v1:lease                      string  who feeds this Redis               15 s after the last sign of life
    v1:rules                      hash    rule id: rule, JSON                for ever
    v1:rules:file                 hash    rule id: rule of the file, JSON    for ever
    v1:rules:problem              string  what is wrong with the file        for ever
    v1:silences                   hash    silence id: silence, JSON          for ever
    v1:outages                    string  alert states of silent sources, JSON  for ever
    v1:alerts                     zset    tick: alert, JSON                  30 days (setting), and bounded in number
    v1:alert:<id>                 hash    when it was over, who acknowledged it, when it was told  as its alert
    v1:acknowledged               hash    rule and subject: alert that is acknowledged until it is over, JSON  30 days after the last
    v1:deliveries:<id>            list    attempts to send it, JSON          as its alert
    v1:test:<rule>                string  the newest test of a rule, an alert, JSON  24 h
    v1:outbox                     stream  alerts to send, one consumer group a channel  30 days, and bounded in number
    v1:events                     stream  what is pushed to clients, see `store.event_log`  25 h after the last, and bounded in number
    v1:channels                   hash    channel: what kind it is           for ever
    v1:sending:<channel>          hash    message id: tries so far; itself   as alerts, after the last change
    v1:receipts:<channel>         hash    receipt: who must acknowledge      as alerts, after the last change
    v1:dead:<channel>             stream  messages that could not be sent, and why  30 days, and bounded in number
    v1:prices                     stream  prices that CoinMarketCap listed       25 h after the last, and bounded in number
    v1:rankings                   stream  coins as CryptoCompare ranked them     25 h after the last, and bounded in number
    v1:top                        zset    minute: the top list, see `snapshots`  25 h
    v1:top:coins:<day>            hash    reference: [id,symbol,name]            26 h after the day's last top list
    v1:top:roles                  hash    role: how it does, JSON                for ever
    v1:budget:<provider>          string  what of its plan is used, JSON         32 days after the last change
    v1:budget:<provider>:<host>:<way out>  string  what was asked of it lately, from one address, JSON  32 days after the last change
    v1:keys                       hash    id of a key of the API: whose it is, its scope, its SHA-256, JSON  for ever
    v1:keys:used                  hash    id of a key: when it was last used     for ever
    v1:limits:{<limit of a client>}  string  what the client has used of it in a window  twice the length of the window
    v1:workers                    hash    worker that shares the market: what it says of itself, JSON  10 minutes after the last
    v1:workers:seen               zset    milliseconds when it was heard of: worker  10 minutes after the last
    v1:asker:<source>             string  who asks the source, of workers that share the market  the length of a lease
    v1:asking:<source>:<tick>     string  worker that asks the source at the tick  2 intervals, at least 1 minute
    v1:asked:<source>:<tick>      string  what the source said at it, see `sharing.source_answer`  2 intervals, at least 1 minute
    v1:gathered:<tick>            hash    partition: what it says to all before it is committed, JSON  10 minutes
    v1:staged:<tick>              hash    partition whose scores are in the next lists of the tick: nothing  10 minutes
    v1:done:<tick>                hash    partition that is committed: what became of it, JSON  10 minutes
    v1:next:{<a list>}:<tick>     zset    what is to take the place of the list when the tick is  10 minutes

Where the data is divided there are also, of each partition, and the others are spelt as `places` tells:

    key                        type    content                                         lives
    v1:feeder:{<partition>}    string  who feeds the partition                          the length of a lease
    v1:tick:{<partition>}      string  newest committed tick of the partition           for ever
    v1:homeward:{<partition>}  list    what its alerts leave to be done elsewhere, JSON  10 minutes after it was done
    v1:readings:{<partition>}  list    late samples of its metrics, JSON                until they are inserted, at most 1 h
    v1:readings:{home}         zset    tick that several workers commit: itself         10 minutes after the last
    v1:readings:{home}:<tick>  hash    what sources gave at it, see `sharing.tick_readings`  10 minutes

`{...}` is the Redis Cluster hash tag: all that one transaction touches shares a slot. The newest
tick is also published on the channel `v1:ticks`, and every other change of what is answered on
`v1:changes`: see `store.changes`.

A sample is one member: a JSON array in the order of `model.MEASURES`, digits as received, `null`
where unknown. The seconds since the hour are part of it because a sorted set keeps one copy of a
member: two equal samples a minute apart are two. The whole tick is its score already, and written
twice it would be a twelfth of all that is kept. An array, because the history can splice it without
decoding, and because a person with redis-cli can read it.

A day is kept in sorted sets of one hour each. In one set of 1440 samples a ZADD walks the whole
listpack: 28 us on Redis 7, 50 us on Valkey 9, against less than 1 us in an hour's 60, so a tick
would cost half as much again at a full day as at an empty one. At a sample every five seconds
(17280) the day would not fit a listpack at all, and take eight times the memory. The hour <hour> is
named by its first second and holds the ticks in (hour, hour + 3600]: those whose sampled interval
lies in it.
"""

from collections.abc import Iterable, Sequence

from ..model import DAY, HOUR, MEASURES, By, Measure, Metric, Sample, find_hour

# The version's own name, so that a copy of this folder (v2) cannot write into our keys.
OURS = f"{__package__.partition('.')[0]}:"

FORMAT = f"{OURS}format"
PARTITIONS = f"{OURS}partitions"
METRICS = f"{OURS}metrics"
RANKED = f"{OURS}ranked"
TICK = f"{OURS}tick"
TICKS = f"{OURS}ticks"
CHANGES = f"{OURS}changes"
SOURCES = f"{OURS}sources"
MARKETS = f"{OURS}markets"
FEEDS = f"{OURS}feeds"
WISHES = f"{OURS}wishes"
ARCHIVE = f"{OURS}archive"
REPLAY = f"{OURS}replay"
CLOCK = f"{OURS}clock"
LEASE = f"{OURS}lease"
RULES = f"{OURS}rules"
FILE_RULES = f"{OURS}rules:file"
RULES_PROBLEM = f"{OURS}rules:problem"
SILENCES = f"{OURS}silences"
OUTAGES = f"{OURS}outages"
ALERTS = f"{OURS}alerts"
ACKNOWLEDGED = f"{OURS}acknowledged"
OUTBOX = f"{OURS}outbox"
EVENTS = f"{OURS}events"
CHANNELS = f"{OURS}channels"
PRICES = f"{OURS}prices"
RANKINGS = f"{OURS}rankings"
TOP = f"{OURS}top"
TOP_ROLES = f"{OURS}top:roles"
WORKERS = f"{OURS}workers"
WORKERS_SEEN = f"{OURS}workers:seen"
API_KEYS = f"{OURS}keys"
API_KEY_USES = f"{OURS}keys:used"

OF_PARTITIONS = (f"{OURS}feeder:", f"{OURS}tick:", f"{OURS}homeward:", f"{OURS}readings:")
"""How the keys of a partition begin, before its hash tag."""

FORMAT_NUMBER = 1
"""Goes up with every change of the table above, or of what a key holds, that code of before or after would misread."""
TRACES = (METRICS, TICK, TOP_ROLES)
"""Of these, each worker that has written anything leaves one."""

PERMANENT = frozenset(
    {
        FORMAT,
        PARTITIONS,
        TICK,
        SOURCES,
        MARKETS,
        FEEDS,
        WISHES,
        ARCHIVE,
        REPLAY,
        RULES,
        FILE_RULES,
        RULES_PROBLEM,
        SILENCES,
        OUTAGES,
        CHANNELS,
        TOP_ROLES,
    }
    | {API_KEYS, API_KEY_USES}
)
"""The keys without an end: few, small, and of fixed number."""

KEEP = 25 * HOUR
"""Seconds that a metric's moments live after their last write: the day, and an hour of grace for late samples."""
KEEP_SAMPLES = DAY + KEEP
"""
Seconds that an hour's samples live after the last one, where no tick comes that trims them: as long as the moments do
that count it. A worker that has stood still for hours must find what leaves the day, to take it out of them.
"""
KEEP_DERIVED = 24 * HOUR
"""Seconds that ranks, means and the index live after the last tick."""
KEEP_RANKED = 25 * HOUR
"""Seconds that the places of a tick are kept."""
LEASE_SECONDS = 15
KEEP_CLOCK = 120
"""Seconds that a worker's word about its clock counts; while it is wrong, it is said again every few seconds."""
KEEP_SHARED = 600
"""Seconds that what workers tell each other of a tick is kept after it."""
MOST_ALERTS = 100_000
"""Alerts that are kept, however many days that is."""
MOST_IN_OUTBOX = 100_000
MOST_DEAD = 10_000
MOST_EVENTS = 10_000
"""Events that are kept for clients that were away: ticks, and what became of alerts."""
KEEP_EVENTS = 25 * HOUR
"""Seconds that they live after the last one."""
MOST_ATTEMPTS = 1_000
"""Attempts that are kept of one alert, the newest."""
MOST_LISTS = 300
"""Lists of a provider that are kept: a day of one every five minutes, five hours of one a minute."""
KEEP_NAMES = 26 * HOUR
"""Seconds that the names of a day's coins live after its last top list; that one lives an hour less."""
KEEP_BUDGET = 32 * DAY
"""Seconds that the use of a provider's plan is remembered: longer than any month that it is counted by."""


_SAMPLES = f"{OURS}samples:{{"
_COMMAS = len(MEASURES)
"""How many a sample has."""
_PRICE_ONLY = f"{',null' * (len(MEASURES) - 1)}]"
"""How a sample ends of which nothing but the price is known."""


def samples(metric: Metric, hour: int) -> str:
    return f"{_SAMPLES}{metric}}}:{hour}"


def parse_samples(key: str) -> tuple[Metric, int] | None:
    """Return the metric and the hour whose samples a key holds; `None` of another key."""
    metric, closed, hour = key.removeprefix(_SAMPLES).rpartition("}:")
    is_ours = key.startswith(_SAMPLES) and closed and hour.isdecimal()
    return (Metric(metric), int(hour)) if is_ours else None


def ranges(metric: Metric, hour: int) -> str:
    return f"{OURS}ranges:{{{metric}}}:{hour}"


def moments(metric: Metric) -> str:
    return f"{OURS}moments:{{{metric}}}"


def feeder(tag: str) -> str:
    return f"{OURS}feeder:{{{tag}}}"


def partition_tick(tag: str) -> str:
    return f"{OURS}tick:{{{tag}}}"


def homeward(tag: str) -> str:
    return f"{OURS}homeward:{{{tag}}}"


def readings(tag: str) -> str:
    return f"{OURS}readings:{{{tag}}}"


def tick_readings(home: str, tick: int) -> str:
    return f"{readings(home)}:{tick}"


def asker(source: str) -> str:
    return f"{OURS}asker:{source}"


def source_turn(source: str, tick: int) -> str:
    return f"{OURS}asking:{source}:{tick}"


def source_answer(source: str, tick: int) -> str:
    return f"{OURS}asked:{source}:{tick}"


def partition_reports(tick: int) -> str:
    return f"{OURS}gathered:{tick}"


def score_parts(tick: int) -> str:
    return f"{OURS}staged:{tick}"


def partition_results(tick: int) -> str:
    return f"{OURS}done:{tick}"


def rank(measure: Measure, by: By) -> str:
    return f"{OURS}rank:{measure}:{by}"


def rank_frame(quarter: int) -> str:
    return f"{OURS}ranked:{quarter}"


def rank_names(tag: str) -> str:
    return f"{OURS}ranked:names:{tag}"


def mean(measure: Measure) -> str:
    return f"{OURS}mean:{measure}"


def unranked(measure: Measure) -> str:
    return f"{OURS}unranked:{measure}"


def staging(key: str) -> str:
    """Name what is put together to take the place of `key`, in the same slot of a cluster."""
    return f"{OURS}next:{{{key}}}"


def next_list(key: str, tick: int) -> str:
    """Name what is put together, by several, to take the place of `key` at a tick."""
    return f"{staging(key)}:{tick}"


def alert(alert_id: str) -> str:
    return f"{OURS}alert:{alert_id}"


def deliveries(alert_id: str) -> str:
    return f"{OURS}deliveries:{alert_id}"


def message_test(rule: str) -> str:
    return f"{OURS}test:{rule}"


def sending(channel: str) -> str:
    return f"{OURS}sending:{channel}"


def receipts(channel: str) -> str:
    return f"{OURS}receipts:{channel}"


def dead(channel: str) -> str:
    return f"{OURS}dead:{channel}"


def top_coins(minute: int) -> str:
    return f"{OURS}top:coins:{minute // DAY * DAY}"


def limits() -> str:
    return f"{OURS}limits"


def budget(provider: str) -> str:
    return f"{OURS}budget:{provider}"


def write_member(sample: Sample) -> str:
    """Write a sample, as seconds after its hour and its numbers: `[60,46572.17,null]`."""
    return f"[{sample.tick - find_hour(sample.tick)},{','.join(['null' if value is None else value for value in sample.values])}]"


def parse_member(hour: int, written: str) -> Sample:
    """Read what `member` wrote of an hour. Raises `ValueError` where it is something else."""
    seconds, *values = written[1:-1].split(",")
    if len(values) != len(MEASURES):
        raise ValueError(f"{written!r} is no sample")
    if "null" in values:
        return Sample(hour + int(seconds), tuple([None if value == "null" else value for value in values]))
    return Sample(hour + int(seconds), tuple(values))


def parse_all(hour: int, members: Iterable[str]) -> list[Sample]:
    """Read what `member` wrote of an hour, in order; what is no sample is left out."""
    return [parse_member(hour, each) for each in members if is_sample(each)]


def is_sample(written: str) -> bool:
    """Return whether what a set of samples holds has the form that `member` writes."""
    return written.count(",") == _COMMAS and written[1 : written.index(",")].isdecimal()


def is_hourly_only(members: Sequence[str]) -> bool:
    """Return whether all that is known of an hour is one price at its end, as the archive gives it."""
    return len(members) == 1 and members[0].startswith(f"[{HOUR},") and members[0].endswith(_PRICE_ONLY)


def cut_measure(members: Iterable[str], measure: Measure, hour: int = 0) -> list[tuple[int, str]]:
    """
    Cut the known numbers of one measure out of samples as they are written, without reading the others.

    Each comes with its tick; without `hour`, with its seconds after the hour.
    """
    place = MEASURES.index(measure) + 1
    return [
        (hour + int(cell[0]), number)
        for member in members
        if (number := (cell := member[1:-1].split(",", place + 1))[place]) != "null"
    ]
