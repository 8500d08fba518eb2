-- The turn's messages have passed a stage; once per turn, however many runs it takes.
-- KEYS: turn   ARGV: turn stage
local record = redis.call('HMGET', KEYS[1], 'turn', 'came_at', 'launch')
if record[1] ~= ARGV[1] or not record[2] then return {'unknown_turn', ''} end
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
if redis.call('HSETNX', KEYS[1], ARGV[2] .. '_at', at) == 0 then return {'known', ''} end
return {'passed', cjson.encode({came = record[2], launch = record[3], [ARGV[2]] = at})}
