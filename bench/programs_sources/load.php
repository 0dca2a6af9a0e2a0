<?php
function add(?array $t, int $key): array {
    if ($t === null) return [$key, null, null];
    $side = $key < $t[0] ? 1 : 2;
    $t[$side] = add($t[$side], $key);
    return $t;
}
$seed = 1;
for ($round = 0; $round < 80; $round++) {
    $tree = null; $counts = [];
    for ($i = 0; $i < 20000; $i++) {
        $seed = ($seed * 1664525 + 1013904223) & 0xffffffff;
        $tree = add($tree, $seed);
        $part = substr((string)$seed, 0, 3);
        $counts[$part] = ($counts[$part] ?? 0) + 1;
    }
    $text = json_encode([$tree, $counts], 0, 4096);
    arsort($counts);
    echo preg_match_all('/(\d)\1/', $text), ' ', md5($text), ' ', strlen(gzcompress($text)), ' ', key($counts), "\n";
}
