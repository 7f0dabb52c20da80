-- Takes or renews the fence of a partition; returns who else holds it, and changes nothing then.
--
-- KEYS: the fence. ARGV: the token, the seconds that it lives, whether it is taken from whoever has it ('1').

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and ARGV[3] == '' then
    return holder
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return false
