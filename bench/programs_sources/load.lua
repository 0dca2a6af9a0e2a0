local rounds = tonumber(arg[1])
local function add(t, key)
  if not t then return { key = key } end
  if key < t.key then t.left = add(t.left, key) else t.right = add(t.right, key) end
  return t
end
local function walk(t, visit) if t then walk(t.left, visit); visit(t.key); walk(t.right, visit) end end
local seed = 1
for round = 1, rounds do
  local tree, parts = nil, {}
  for i = 1, 30000 do
    seed = (seed * 16807) % 2147483647
    tree = add(tree, seed)
  end
  walk(tree, function(key) parts[#parts + 1] = tostring(key):sub(1, 4) end)
  table.sort(parts, function(a, b) return a > b end)
  local text, found = table.concat(parts, " "), 0
  for digits in text:gmatch("%d+7") do found = found + #digits end
  local sum = 0
  for i = 1, 3000000 do sum = sum + (i % 7) * 0.5 end
  print(round, found, sum)
end
