-- wrk's side of the serving benchmark: posts the file named by BODY, and prints one line to be read back:
-- RESULT requests microseconds p50_us p99_us errors
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
file:close()

function done(summary, latency, _)
  local e = summary.errors
  local errors = e.status + e.connect + e.read + e.write + e.timeout
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, p50, p99, errors))
end
