import java.util.*;
import java.util.stream.*;
public class Load {
    record Item(int key, String text) {}
    static int depth(TreeMap<Integer, Item> tree, int n) { return n == 0 ? tree.size() : 1 + depth(tree, n - 1); }
    static long round(int seed) {
        TreeMap<Integer, Item> tree = new TreeMap<>();
        Map<String, Integer> counts = new HashMap<>();
        for (int i = 0; i < 60000; i++) {
            seed = seed * 1664525 + 1013904223;
            Item item = new Item(seed, Integer.toHexString(seed));
            tree.put(seed, item);
            counts.merge(item.text().substring(0, 2), 1, Integer::sum);
        }
        String all = tree.values().stream().filter(i -> i.key() % 3 != 0).sorted(Comparator.comparing(Item::text))
            .map(Item::text).collect(Collectors.joining(","));
        return all.replaceAll("([0-9a-f])\\1", "$1").length() + counts.size() + depth(tree, 200);
    }
    public static void main(String[] args) {
        System.out.println(IntStream.range(0, 40).parallel().mapToLong(Load::round).sum());
    }
}
