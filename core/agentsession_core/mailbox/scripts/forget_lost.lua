-- The user has been told of a message that Redis lost.
-- KEYS: mailbox   ARGV: message
if redis.call('HGET', KEYS[1], 'lost_message') ~= ARGV[1] then return {'known'} end
redis.call('HDEL', KEYS[1], 'lost_message')
return {'forgotten'}
