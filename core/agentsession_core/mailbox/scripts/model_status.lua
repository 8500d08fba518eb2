-- What the model upstream last answered in this turn; 200 clears an earlier failure.
-- KEYS: turn   ARGV: turn status
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then return {'unknown_turn'} end
if ARGV[2] == '200' then redis.call('HDEL', KEYS[1], 'model_status')
else redis.call('HSET', KEYS[1], 'model_status', ARGV[2]) end
return {'ok'}
