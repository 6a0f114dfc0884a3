"""The Lua scripts: each is one atomic step in Redis.

The guard repeats a command whose answer was lost. Each script therefore does its work once, however often the same
call arrives. The exception is HIT: it counts a repeated hit twice, which errs on the safe side.
"""

import hashlib

ADD = """
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

REPLACE = """
local found = redis.call('GET', KEYS[1])
if found ~= ARGV[1] and (ARGV[2] == '' or found ~= ARGV[2]) then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""

# A reservation is a member `holder tokens micro_usd` of a sorted set; its score is the time when it lapses, and 0 once
# it has lapsed and is reported: it counts as spent then (see ledger.py). A second sorted set holds the holders that
# have settled.
RESERVE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local function booked(name) return tonumber(redis.call('HGET', KEYS[1], name) or 0) end
local spent = {booked('tokens'), booked('micro_usd')}
local new, taken, others = {0, 0}, {0, 0}, 0
local function add(sum, t, u) sum[1], sum[2] = sum[1] + t, sum[2] + u end
local held = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for i = 1, #held, 2 do
  local holder, t, u = string.match(held[i], '^(.*) (%d+) (%d+)$')
  local lapses, own = tonumber(held[i + 1]), holder == ARGV[1]
  if lapses <= now then
    add(spent, t, u)
    if lapses > 0 then add(new, t, u) end
    if own then
      redis.call('HINCRBY', KEYS[1], 'tokens', t)
      redis.call('HINCRBY', KEYS[1], 'micro_usd', u)
      redis.call('PEXPIRE', KEYS[1], ARGV[7])
    elseif lapses > 0 then
      redis.call('ZADD', KEYS[2], 0, held[i])
    end
  elseif not own then
    add(taken, t, u)
    others = others + 1
  end
  if own then redis.call('ZREM', KEYS[2], held[i]) end
end
redis.call('ZREM', KEYS[3], ARGV[1])
local limit = {tonumber(ARGV[4]), tonumber(ARGV[5])}
if spent[1] >= limit[1] or spent[2] >= limit[2] then return {'spent', new[1], new[2]} end
add(taken, spent[1] + ARGV[2], spent[2] + ARGV[3])
if others > 0 and (taken[1] > limit[1] or taken[2] > limit[2]) then return {'wait', new[1], new[2]} end
redis.call('ZADD', KEYS[2], now + ARGV[6], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[6] + ARGV[7])
return {'held', new[1], new[2]}
"""

SETTLE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if redis.call('ZADD', KEYS[3], 'NX', now + ARGV[5], ARGV[1]) == 0 then return 0 end
redis.call('PEXPIRE', KEYS[3], ARGV[5])
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if string.sub(member, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then redis.call('ZREM', KEYS[2], member) end
end
redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'micro_usd', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""

# A hit is a member of a sorted set whose score is its time; Redis' own clock, so that replicas' need not agree.
HIT = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local hits = redis.call('ZCARD', KEYS[1])
local allowed = 0
if hits < tonumber(ARGV[1]) then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  hits, allowed = hits + 1, 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {allowed, hits, oldest[2] + ARGV[2] - now}
"""


def digest(script: str) -> str:
    """The name under which a server keeps a script that it has run."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def every_command(key: str, *, shared_breakers: bool) -> list[tuple[str | int, ...]]:
    """One of each command that the service sends, alone or in a script. Only this function uses `key`."""
    tagged = f"{{{key}}}"  # one slot of a cluster, and the form that the keys of accounts have
    table, ranked = f"{tagged}:hash", f"{tagged}:set"
    commands: list[tuple[str | int, ...]] = [
        ("SET", key, 0, "PX", 60_000),
        ("GET", key),
        ("TIME",),
        ("ZADD", ranked, 0, "a"),
        ("ZREM", ranked, "b"),
        ("ZCARD", ranked),
        ("ZRANGE", ranked, 0, -1),
        ("ZREMRANGEBYSCORE", ranked, 1, 1),
        ("HINCRBY", table, "a", 1),
        ("HGET", table, "a"),
        ("PEXPIRE", ranked, 60_000),
        ("EVAL", "return 0", 0),
        ("EVALSHA", digest("return 0"), 0),
    ]
    if shared_breakers:
        commands += [("HSET", table, "b", 0), ("HGETALL", table), ("HDEL", table, "b"), ("EXPIRE", table, 60)]
    return [*commands, ("DEL", key, ranked, table)]
