-- Begins each script that changes what a feeder feeds: returns an error, before anything is written, where the fence holds
-- another token than the caller's or none, or where a tick that was committed is not there any more.
--
-- KEYS: the fence, the newest tick.
-- ARGV: the token ('' where none was ever taken), a tick that was committed (or '').

local call = redis.call
if ARGV[1] ~= '' then
    local holder = call('GET', KEYS[1])
    if holder ~= ARGV[1] then
        return redis.error_reply('FENCED ' .. (holder or ''))
    end
end
if ARGV[2] ~= '' then
    local tick = call('GET', KEYS[2])
    if (tonumber(tick) or -1) < tonumber(ARGV[2]) then
        return redis.error_reply('BEHIND ' .. (tick or ''))
    end
end
-- Changes nothing, and is refused where the memory is full: all of the script is then, and not what comes after a part.
call('SETRANGE', KEYS[1], 0, '')

