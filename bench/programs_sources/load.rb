Node = Struct.new(:key, :left, :right)
def add(node, key)
  return Node.new(key) if node.nil?
  key < node.key ? node.left = add(node.left, key) : node.right = add(node.right, key)
  node
end
def depth(node) = node.nil? ? 0 : 1 + [depth(node.left), depth(node.right)].max
seed = 1
70.times do
  root, counts = nil, Hash.new(0)
  25_000.times do
    seed = (seed * 1664525 + 1013904223) & 0xffffffff
    root = add(root, seed)
    counts[seed.to_s[0, 3]] += 1
  end
  text = counts.map { |key, n| "#{key}=#{n}" }.join(",")
  puts depth(root), text.scan(/(\d)\1/).size, counts.sort_by { |key, n| [n, key] }.first.inspect
end
