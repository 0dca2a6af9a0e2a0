import collections, json, re
class Tree:
    def __init__(self, key): self.key, self.left, self.right = key, None, None
    def add(self, key):
        side = "left" if key < self.key else "right"
        child = getattr(self, side)
        if child is None: setattr(self, side, Tree(key))
        else: child.add(key)
    def walk(self):
        if self.left: yield from self.left.walk()
        yield self.key
        if self.right: yield from self.right.walk()
seed, found = 1, 0
for _ in range(36):
    tree, counts = Tree(1 << 31), collections.Counter()
    for _ in range(30000):
        seed = (seed * 1664525 + 1013904223) & 0xffffffff
        tree.add(seed)
        counts[str(seed)[:3]] += 1
    text = json.dumps({"keys": list(tree.walk()), "counts": counts}, indent=1)
    found += len(re.findall(r"(\d)\1", text)) + len(sorted(json.loads(text)["keys"], key=lambda k: k % 1009))
print(found)
