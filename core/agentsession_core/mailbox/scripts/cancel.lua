-- A person stops a turn. The turn's record says it to every gateway that looks, `control` who asked for it.
-- KEYS: turn control   ARGV: mailbox turn by   (turn empty: whichever runs)
local running = redis.call('HGET', KEYS[1], 'turn')
if not running then return {'no_turn', ''} end
if ARGV[2] ~= '' and ARGV[2] ~= running then return {'other_turn', running} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
if redis.call('HSETNX', KEYS[1], 'cancelled_at', at) == 0 then return {'cancelled', running} end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '100', '*', 'kind', 'cancel', 'turn', running, 'by', ARGV[3], 'at', at)
redis.call('XADD', 'sessions:events', 'MAXLEN', '~', '10000', '*', 'mailbox', ARGV[1], 'kind', 'cancel')
return {'cancelled', running}
