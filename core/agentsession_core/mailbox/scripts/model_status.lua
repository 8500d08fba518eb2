-- What the model upstream last answered in this turn; 200 clears an earlier failure.
-- KEYS: turn   ARGV: turn status code detail
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then return {'unknown_turn'} end
if ARGV[2] == '200' then redis.call('HDEL', KEYS[1], 'model_status', 'model_code', 'model_detail')
else redis.call('HSET', KEYS[1], 'model_status', ARGV[2], 'model_code', ARGV[3], 'model_detail', ARGV[4]) end
return {'ok'}
