-- Takes over what one entry of a partition's homeward list leaves to be done, each alert once, while the fence holds the
-- token of who calls.
--
-- KEYS: the fence, the newest tick, the alerts, the event log, the outbox, what is acknowledged; then the key of each new
--       alert, and of each that has ended.
-- ARGV: the token (''), a tick that was committed (''), the tick of the entry, seconds that alerts live, whether events
--       are pushed ('1'), most events, seconds that they live, most messages in the outbox, how many new alerts, how many
--       have ended; then of each new alert itself and whether it is sent ('1'); the ids of those that have ended; the
--       fields that are not acknowledged any more.
--
-- Returns an error as `run_together` does, FENCED or BEHIND.

local alerts, events, outbox, acknowledged = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local at, keep, is_pushed = ARGV[3], ARGV[4], ARGV[5] == '1'
local most_events, keep_events, most_messages = ARGV[6], ARGV[7], ARGV[8]
local new, ended = tonumber(ARGV[9]), tonumber(ARGV[10])
local key, word = 7, 11

local function push(kind, value)
    if is_pushed then
        call('XADD', events, 'MAXLEN', '~', most_events, '*', kind, value)
        call('EXPIRE', events, keep_events)
    end
end

for _ = 1, new do
    local alert, is_sent = ARGV[word], ARGV[word + 1] == '1'
    if call('HSETNX', KEYS[key], 'told', at) == 1 then
        call('EXPIRE', KEYS[key], keep)
        call('ZADD', alerts, at, alert)
        call('EXPIRE', alerts, keep)
        push('alert', alert)
        if is_sent then
            call('XADD', outbox, 'MAXLEN', '~', most_messages, '*', 'alert', alert)
            call('EXPIRE', outbox, keep)
        end
    end
    key, word = key + 1, word + 2
end
for _ = 1, ended do
    if call('HSETNX', KEYS[key], 'ended_at', at) == 1 then
        call('EXPIRE', KEYS[key], keep)
        push('ended', ARGV[word])
    end
    key, word = key + 1, word + 1
end
while ARGV[word] do
    call('HDEL', acknowledged, ARGV[word])
    word = word + 1
end
return redis.status_reply('OK')
