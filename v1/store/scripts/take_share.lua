-- Takes a partition that nobody has, or keeps one; returns who has it afterwards.
--
-- KEYS: the fence. ARGV: the token that it was taken with ('' where it was not), a new one, the seconds that it lives.

local holder = redis.call('GET', KEYS[1])
if holder and holder == ARGV[1] then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
    return holder
end
if holder then
    return holder
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return ARGV[2]
