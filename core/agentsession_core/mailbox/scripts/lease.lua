-- One process of several does the work: whoever holds the key, as long as it renews it.
-- A holder that Redis has forgotten takes it again. KEYS: lease   ARGV: holder milliseconds (0 gives it back)
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {'other'} end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return {'free'}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'held'}
