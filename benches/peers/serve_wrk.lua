-- wrk's side of the serving benchmark: posts the file named by BODY with the header lines in HEADERS, and
-- prints one line to be read back: RESULT requests microseconds p99_us errors
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
for name, value in os.getenv("HEADERS"):gmatch("([^\r\n:]+): ([^\r\n]+)") do
  wrk.headers[name] = value
end

function done(summary, latency, _)
  local e = summary.errors
  local errors = e.status + e.connect + e.read + e.write + e.timeout
  local p99 = latency:percentile(99)
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.duration, p99, errors))
end
