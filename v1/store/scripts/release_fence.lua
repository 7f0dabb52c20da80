-- Gives the fence of a partition back, if it holds the token.
--
-- KEYS: the fence. ARGV: the token.

if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return false
