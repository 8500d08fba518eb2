-- The run goes on after its turn: whoever wanted it to end has changed their mind.
-- KEYS: run mailbox   ARGV: run
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return {'stale'} end
if redis.call('HDEL', KEYS[1], 'last_turn') == 1 then redis.call('HDEL', KEYS[1], 'why') end
redis.call('HDEL', KEYS[2], 'held_told')
return {'ok'}
