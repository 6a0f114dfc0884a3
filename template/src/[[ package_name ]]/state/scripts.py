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

# A reservation is a member `holder tokens micro_usd` of a sorted set; its score is the time when it lapses. A second
# sorted set holds the holders that have settled.
RESERVE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREM', KEYS[2], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[1])
local tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens') or 0)
local micro_usd = tonumber(redis.call('HGET', KEYS[1], 'micro_usd') or 0)
if tokens >= tonumber(ARGV[4]) or micro_usd >= tonumber(ARGV[5]) then return 'spent' end
local held = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, member in ipairs(held) do
  local t, u = string.match(member, ' (%d+) (%d+)$')
  tokens, micro_usd = tokens + t, micro_usd + u
end
local full = tokens + ARGV[2] > tonumber(ARGV[4]) or micro_usd + ARGV[3] > tonumber(ARGV[5])
if #held > 0 and full then return 'wait' end
redis.call('ZADD', KEYS[2], now + ARGV[6], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return 'held'
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
