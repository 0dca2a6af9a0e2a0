class Tree {
  constructor(key) { this.key = key; this.left = this.right = null; }
  add(key) {
    const side = key < this.key ? 'left' : 'right';
    if (this[side]) this[side].add(key); else this[side] = new Tree(key);
  }
  *walk() { if (this.left) yield* this.left.walk(); yield this.key; if (this.right) yield* this.right.walk(); }
}
let seed = 1, found = 0;
for (let round = 0; round < 60; round++) {
  const tree = new Tree(1 << 30), counts = new Map();
  for (let i = 0; i < 40000; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    tree.add(seed);
    const part = String(seed).slice(0, 3);
    counts.set(part, (counts.get(part) || 0) + 1);
  }
  const text = JSON.stringify({ keys: [...tree.walk()], counts: [...counts] }, null, 1);
  found += (text.match(/(\d)\1/g) || []).length + JSON.parse(text).keys.map(k => `${k}`).sort().length;
}
console.log(found);
