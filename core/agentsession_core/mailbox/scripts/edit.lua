-- A person changes what they wrote, once per edition, as long as no turn has taken it up.
-- KEYS: incoming turn mailbox seen   ARGV: mailbox source id text seen_seconds max_bytes
-- `id`: the message's, or the beginning of it: an edition that came as a message of its own is `<id>.e<n>`.
local incoming, state = KEYS[1], KEYS[3]
if redis.call('EXISTS', KEYS[4]) == 1 then return {'known'} end
local running = {}
for _, id in ipairs(cjson.decode(redis.call('HGET', KEYS[2], 'ids') or '[]')) do running[id] = true end
local function read(entry)
  local found = {}
  for i = 1, #entry, 2 do found[entry[i]] = entry[i + 1] end
  return found
end
local items, place, begun = redis.call('XRANGE', incoming, '-', '+'), nil, false
for i, item in ipairs(items) do
  local entry = read(item[2])
  local own = entry.id or ''
  if entry.source == ARGV[2] and (own == ARGV[3] or own:sub(1, #ARGV[3] + 2) == ARGV[3] .. '.e') then
    if running[item[1]] then begun = true else place = i end
  end
end
if not place then return {begun and 'begun' or 'gone'} end
local old = read(items[place][2])
local bytes = tonumber(redis.call('HGET', state, 'incoming_bytes') or '0') + #ARGV[4] - #(old.text or '')
if bytes > tonumber(ARGV[6]) then return {'too_large'} end
-- An entry cannot be changed: it and all behind it come in anew, in their order.
for i = place, #items do
  pcall(redis.call, 'XACK', incoming, 'agent', items[i][1])
  redis.call('XDEL', incoming, items[i][1])
end
for i = place, #items do
  local fields = items[i][2]
  if i == place then
    local has_text = false
    for f = 1, #fields, 2 do
      if fields[f] == 'text' then fields[f + 1], has_text = ARGV[4], true end
    end
    if not has_text then
      fields[#fields + 1] = 'text'
      fields[#fields + 1] = ARGV[4]
    end
  end
  redis.call('XADD', incoming, '*', unpack(fields))
end
redis.call('HSET', state, 'incoming_bytes', math.max(0, bytes))
redis.call('SET', KEYS[4], '1 0', 'EX', ARGV[5])
return {'replaced'}
