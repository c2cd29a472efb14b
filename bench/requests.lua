-- wrk script: sends requests that were signed beforehand, one after the other, and says so when they are used up (unless they repeat):
-- wrk itself sleeps until its time is over, so whoever started it sends SIGINT then.
-- Arguments: FILE (one request per line: METHOD TAB TARGET TAB Name: value TAB …), BODY_FILE or "-", REPEAT 0/1, SEED
-- Every body differs from all others in the first 16 bytes of each MiB, so that nothing is deduplicated.
local heads, count, at, sent, repeats, seed = {}, 0, 0, 0, false, 0
local tried = false
local pieces = nil
local MIB = 1048576

function init(args)
  repeats = args[3] == "1"
  seed = tonumber(args[4])
  local body
  if args[2] ~= "-" then
    local file = assert(io.open(args[2], "rb"))
    body = file:read("*a")
    file:close()
    pieces = {}
    for from = 1, #body, MIB do pieces[#pieces + 1] = body:sub(from + 16, from + MIB - 1) end
  end
  for line in io.lines(args[1]) do
    local fields = {}
    for field in line:gmatch("[^\t]+") do fields[#fields + 1] = field end
    local headers = {}
    for i = 3, #fields do
      local name, value = fields[i]:match("^([^:]+): (.*)$")
      headers[name] = value
    end
    count = count + 1
    local head = wrk.format(fields[1], fields[2], headers)
    if body then head = head:sub(1, -3) .. "Content-Length: " .. #body .. "\r\n\r\n" end
    heads[count] = head
  end
end

function request()
  at = at + 1
  if at > count then
    if not repeats then
      wrk.thread:stop()
      io.stderr:write("USED UP\n")
      at = count
    else
      at = 1
    end
  end
  local head = heads[at]
  -- wrk asks once to see what the script makes, and does not send it.
  if not tried then tried, at = true, 0 end
  if not pieces then return head end
  local parts = { head }
  for i = 1, #pieces do
    sent = sent + 1
    parts[#parts + 1] = string.format("%08x%08x", seed, sent)
    parts[#parts + 1] = pieces[i]
  end
  return table.concat(parts)
end

function done(summary, latency, all)
  io.write(string.format("RESULT %d %d %d %d %.3f %.3f\n", summary.requests, summary.bytes, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
