-- The one who waits for the workspace still waits.
-- KEYS: export   ARGV: id seconds
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return {'gone'} end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {'ok'}
