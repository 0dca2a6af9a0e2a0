"""Call trees whose function names spell their position: t_0_3_1 is called by t_0_3 alone, at one place."""
import random


class Node:
    """One marker function. style: what its frame looks like; via: how its caller calls it; reps: how often in a row."""
    def __init__(self, name, number, parent, caller):
        self.name, self.number, self.parent, self.caller = name, number, parent, caller
        self.children = []
        self.style = "small"
        self.via = "direct"
        self.reps = 1
        self.detail = 0

    @property
    def depth(self):
        return self.name.count("_")

    def path(self):
        """This node and its callers within the tree, leaf first."""
        node, path = self, []
        while node:
            path.append(node)
            node = node.parent
        return path


class Forest:
    """All trees of one program, and the truth about them."""
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.nodes = []
        self.extra_parents = {}  # markers outside the trees: handlers
        self.callers = {}        # libc function -> its only caller

    def add(self, name, parent, caller):
        node = Node(name, len(self.nodes), parent, caller)
        self.nodes.append(node)
        if parent:
            parent.children.append(node)
        return node

    def child(self, parent):
        return self.add(f"{parent.name}_{len(parent.children)}", parent, parent.name)

    def grow(self, name, caller, markers, depth):
        """A tree of about so many markers: one path of the full depth, then branches from random places.

        caller: "main", or None for the entry of a thread or a coroutine."""
        rng = self.rng
        tree = [self.add(name, None, caller)]
        while len(tree) < markers:
            node = tree[-1] if len(tree) == 1 else rng.choice([n for n in tree if n.depth < depth and len(n.children) < 4])
            length = depth - node.depth if len(tree) == 1 else rng.randint(1, depth - node.depth)
            for _ in range(length):
                node = self.child(node)
                tree.append(node)
        return tree

    def dress(self, tree, inner, leaf, reps):
        """Give the nodes of a tree styles: weighted dictionaries for those with children and those without."""
        for node in tree:
            styles = inner if node.children else leaf
            node.style = self.rng.choices(list(styles), list(styles.values()))[0]
            node.detail = self.rng.randrange(1 << 16)
            if not node.children and node.parent:
                node.reps = self.rng.randint(*reps)

    def by_style(self, style):
        return [node for node in self.nodes if node.style == style]

    def parents(self):
        return {**{node.name: node.caller for node in self.nodes}, **self.extra_parents}
