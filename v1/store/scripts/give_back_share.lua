-- Gives a partition back, if it is still had under the token, and returns whether it was.
--
-- KEYS: the fence. ARGV: the token.

if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
