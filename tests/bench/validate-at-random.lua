-- For wrk: validates licenses drawn at random. The file given after "--" has one "<license key> <API key>" a line.
local requests = {}

function init(args)
  for line in io.lines(args[1]) do
    local license, key = line:match("^(%S+) (%S+)$")
    requests[#requests + 1] = wrk.format(
      "POST",
      "/v1/integration/licenses/" .. license .. "/validate",
      { ["X-API-Key"] = key }
    )
  end
  math.randomseed(os.time())
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout
  ))
end
