"""
Where the keys stand in a command. Of the commands that this version uses, and no others.

The positions are those that `COMMAND GETKEYS` gives; asking for them takes a round trip, and these do not change.
"""

from collections.abc import Callable, Mapping, Sequence

from redis.exceptions import DataError

Argument = object

_NONE = frozenset(
    {
        *("PING", "INFO", "TIME", "PUBLISH", "WAIT", "WAITAOF", "MULTI", "EXEC", "DISCARD", "UNWATCH", "DBSIZE"),
        *("CONFIG", "CLIENT", "SCRIPT", "CLUSTER", "BGSAVE", "LASTSAVE", "READONLY", "FLUSHDB", "FLUSHALL", "COMMAND"),
        *("ACL", "MODULE", "HELLO", "ROLE", "LATENCY", "SLOWLOG", "DEBUG"),
    }
)
ONE_KEY = frozenset(
    {
        *("GET", "SET", "GETDEL", "GETEX", "INCR", "INCRBY", "DECR", "APPEND", "STRLEN", "BITFIELD", "BITFIELD_RO"),
        *(
            "EXPIRE",
            "PEXPIRE",
            "EXPIREAT",
            "PEXPIRETIME",
            "PERSIST",
            "TTL",
            "PTTL",
            "TYPE",
            "DUMP",
            "RESTORE",
            "GETRANGE",
            "SETEX",
        ),
        *("HGET", "HSET", "HSETNX", "HDEL", "HGETALL", "HMGET", "HKEYS", "HVALS", "HLEN", "HEXISTS", "HINCRBY"),
        *("LPUSH", "RPUSH", "LRANGE", "LTRIM", "LLEN", "LINDEX", "LREM", "LPOP", "RPOP"),
        *("SADD", "SREM", "SMEMBERS", "SCARD", "SISMEMBER"),
        *("ZADD", "ZREM", "ZRANGE", "ZCARD", "ZCOUNT", "ZSCORE", "ZMSCORE", "ZREMRANGEBYSCORE", "ZREMRANGEBYRANK"),
        *("ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE", "ZRANK", "ZREVRANK", "ZINCRBY", "ZPOPMIN", "ZPOPMAX"),
        *("XADD", "XRANGE", "XREVRANGE", "XLEN", "XTRIM", "XDEL", "XACK", "XPENDING", "XCLAIM", "XAUTOCLAIM"),
    }
)
_READS = frozenset(
    {
        *("GET", "MGET", "EXISTS", "STRLEN", "GETRANGE", "BITFIELD_RO", "TTL", "PTTL", "TYPE"),
        *("HGET", "HGETALL", "HMGET", "HKEYS", "HVALS", "HLEN", "HEXISTS", "LRANGE", "LLEN", "LINDEX"),
        *("SMEMBERS", "SCARD", "SISMEMBER", "ZRANGE", "ZCARD", "ZCOUNT", "ZSCORE", "ZMSCORE", "ZRANK", "ZREVRANK"),
        *("ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE", "XRANGE", "XREVRANGE", "XLEN"),
    }
)
_SECOND = frozenset({"XGROUP", "XINFO", "OBJECT", "MEMORY"})
"""Their first argument says what is to be done."""
_ALL = frozenset({"MGET", "DEL", "UNLINK", "EXISTS", "TOUCH", "WATCH"})
_TWO = frozenset({"RENAME", "RENAMENX", "COPY", "SMOVE"})
_NUMBERED = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"})
_STREAMS = frozenset({"XREAD", "XREADGROUP"})

_NO_KEY, _FIRST_ARGUMENT = range(0), range(1, 2)


def is_read(command: Sequence[Argument]) -> bool:
    """Return whether a command changes nothing, waits for nothing, and may be answered by a replica."""
    return str(command[0]).upper() in _READS


def find_keys(command: Sequence[Argument]) -> range:
    """
    Return the positions of the keys in a command; the name of the command is at 0, and may be two words.

    Raises `DataError` of a command that is not known here.
    """
    name, _, second = str(command[0]).upper().partition(" ")
    if name in ONE_KEY:
        return _FIRST_ARGUMENT
    if name in _NONE:
        return _NO_KEY
    if name in _SECOND:
        return _FIRST_ARGUMENT if second else range(2, 3)
    find = _FINDERS.get(name)
    if find is None:
        raise DataError(f"it is not known where the keys stand in {name}, so it cannot be sent to a cluster")
    return find(command)


def _find_after_streams(command: Sequence[Argument]) -> range:
    begin = next(at for at, each in enumerate(command) if each in ("STREAMS", b"STREAMS")) + 1
    return range(begin, begin + (len(command) - begin) // 2)


_FINDERS: Mapping[str, Callable[[Sequence[Argument]], range]] = {
    **dict.fromkeys(_ALL, lambda command: range(1, len(command))),
    **dict.fromkeys(_TWO, lambda _: range(1, 3)),
    **dict.fromkeys(_NUMBERED, lambda command: range(3, 3 + int(str(command[2])))),
    **dict.fromkeys(_STREAMS, _find_after_streams),
}
