-- Writes what a worker says of itself, and returns all that were heard of lately: their names, each with what it said.
-- Who has not been heard of for long is forgotten. The time is that of the server, which is one for all.
--
-- KEYS: the workers, when each was heard of.
-- ARGV: the name of who calls ('' of who only asks), what it says, for how many milliseconds one counts as alive, after
--       how many it is forgotten.

local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
    call('HSET', KEYS[1], ARGV[1], ARGV[2])
    call('ZADD', KEYS[2], now, ARGV[1])
    call('PEXPIRE', KEYS[1], ARGV[4])
    call('PEXPIRE', KEYS[2], ARGV[4])
end
for _, name in ipairs(call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[4])) do
    call('HDEL', KEYS[1], name)
    call('ZREM', KEYS[2], name)
end
local alive = {}
for _, name in ipairs(call('ZRANGEBYSCORE', KEYS[2], '(' .. (now - ARGV[3]), '+inf')) do
    alive[#alive + 1] = name
    alive[#alive + 1] = call('HGET', KEYS[1], name) or ''
end
return alive
