-- Commits a tick of some metrics, while the fence holds the token of who calls.
--
-- KEYS: the fence, the newest tick; then of each metric its state, its hour of samples if it has a sample, and each hour
--       that leaves the day.
-- ARGV: the token ('' where none was ever taken), a tick that was committed (or ''), the tick, the newest tick that has
--       left the day, the seconds that samples and states live; two bytes a metric (flags, and how many hours leave);
--       then of each metric its sample if it has one, and its state unless it is over.
-- Flags: 1 it has a sample; 2 that takes the place of one at the same tick; 4 it is over: its state is removed.
--
-- Returns an error that begins with FENCED and names the holder where the fence holds another token or none, and one
-- that begins with BEHIND and names the newest tick where that is older than the one that was committed: nothing is
-- written then. An error of one metric (a key of another type) is returned once the others are committed, with the key of
-- its state.

local at, left, keep_samples, keep_state, shapes = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local byte = string.byte
local key, word = 3, 8

local function commit(flags, hours)
    local state = KEYS[key]
    key = key + 1
    if flags % 2 == 1 then
        local samples, sample = KEYS[key], ARGV[word]
        key, word = key + 1, word + 1
        if flags % 4 >= 2 then
            call('ZREMRANGEBYSCORE', samples, at, at)
        end
        call('ZADD', samples, at, sample)
        call('EXPIRE', samples, keep_samples)
    end
    for _ = 1, hours do
        call('ZREMRANGEBYSCORE', KEYS[key], '-inf', left)
        key = key + 1
    end
    if flags >= 4 then
        call('DEL', state)
    else
        call('SET', state, ARGV[word], 'EX', keep_state)
    end
end

local failure
for place = 1, #shapes, 2 do
    local flags, hours = byte(shapes, place, place + 1)
    local state, has_sample = KEYS[key], flags % 2
    local next_key = key + 1 + has_sample + hours
    local next_word = word + has_sample + (flags >= 4 and 0 or 1)
    local is_done, problem = pcall(commit, flags, hours)
    if not is_done and not failure then
        failure = (type(problem) == 'table' and problem.err or tostring(problem)) .. ' (' .. state .. ')'
    end
    key, word = next_key, next_word
end
if failure then
    return redis.error_reply(failure)
end
return redis.status_reply('OK')
