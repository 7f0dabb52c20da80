-- Runs commands as one, while the fence holds the token of who calls.
--
-- KEYS: the fence, the newest tick, then the keys of the commands, in order.
-- ARGV: the token ('' where none was ever taken), a tick that was committed (or ''); then of each command its name, how
--       many keys it begins with, how many other words it has, and those.
--
-- Returns an error that begins with FENCED and names the holder where the fence holds another token or none, and one
-- that begins with BEHIND and names the newest tick where that is older than the one that was committed: nothing is
-- written then. As in a transaction of Redis, an error of one command does not keep the others back; the first is
-- returned, with the command's name and key.

local try = redis.pcall
local key, word, failure = 3, 3, nil
while ARGV[word] do
    local name, first, last = ARGV[word], word + 3, word + 2 + ARGV[word + 2]
    local names = tonumber(ARGV[word + 1])
    local answer
    if names == 1 then
        answer = try(name, KEYS[key], unpack(ARGV, first, last))
    elseif names == 0 then
        answer = try(name, unpack(ARGV, first, last))
    else
        answer = try(name, KEYS[key], KEYS[key + 1], unpack(ARGV, first, last))
    end
    if type(answer) == 'table' and answer.err and not failure then
        failure = tostring(answer.err) .. ' (' .. name .. ' ' .. (names > 0 and KEYS[key] or '') .. ')'
    end
    key, word = key + names, last + 1
end
if failure then
    return redis.error_reply(failure)
end
return redis.status_reply('OK')
