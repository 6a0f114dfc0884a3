-- Sends $BODY (a GET without one) to the address; each `%d` of it becomes the request's number.
-- KEYS: how many keys take turns. IDEMPOTENT: each request has an Idempotency-Key. REQUESTS: ends after so many.
-- Prints what the round gave as JSON.

local body, key, run = os.getenv("BODY"), os.getenv("KEY"), os.getenv("RUN")
local keys, requests = tonumber(os.getenv("KEYS")), tonumber(os.getenv("REQUESTS"))
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. key }
local sent, answered = 0, 0

function request()
  sent = sent + 1
  if keys then headers["Authorization"] = "Bearer " .. key .. "-" .. sent % keys end
  if os.getenv("IDEMPOTENT") then headers["Idempotency-Key"] = run .. "-" .. sent end
  if not body then return wrk.format("GET", nil, headers) end
  return wrk.format("POST", nil, headers, (body:gsub("%%d", run .. "-" .. sent)))
end

if requests then
  local ffi = require("ffi")
  ffi.cdef("int getpid(void); int kill(int process, int signal);")

  function response()
    answered = answered + 1
    if answered == requests then ffi.C.kill(ffi.C.getpid(), 2) end -- as Ctrl-C does; wrk knows no other way
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"count": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed
  ))
end
