-- The session was not deleted after all.
-- KEYS: mailbox   ARGV: session_uid
if redis.call('HGET', KEYS[1], 'session') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'state', 'open')
  redis.call('HDEL', KEYS[1], 'reopened')
end
return {'open'}
