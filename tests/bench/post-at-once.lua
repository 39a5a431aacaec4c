-- For wrk: posts JSON bodies. The arguments after "--": path, API key, kind, and the license keys.
-- kind "activation": every request is another instance; kind "usage": every request is one more use.
local count = 0
local path, kind, licenses = nil, nil, {}
local thread_id = 0
local headers = { ["Content-Type"] = "application/json" }

function setup(thread)
  thread:set("id", thread_id)
  thread_id = thread_id + 1
end

function init(args)
  path, headers["X-API-Key"], kind = args[1], args[2], args[3]
  for index = 4, #args do licenses[#licenses + 1] = args[index] end
  math.randomseed(os.time() + id)
end

function request()
  count = count + 1
  local license = licenses[math.random(#licenses)]
  local body
  if kind == "activation" then
    body = string.format('{"license_key":"%s","instance_id":"i-%d-%d-%d"}', license, os.time(), id, count)
  else
    body = string.format('{"license_key":"%s","metric":"exports","quantity":1}', license)
  end
  return wrk.format("POST", path, headers, body)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout
  ))
end
