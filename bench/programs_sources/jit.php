<?php
function mandelbrot(float $x, float $y): int {
    for ($a = $b = 0.0, $n = 0; $n < 5000 && $a * $a + $b * $b < 4; $n++) { $t = $a * $a - $b * $b + $x; $b = 2 * $a * $b + $y; $a = $t; }
    return $n;
}
function depth(int $n, array $keys): int { return $n == 0 ? count(array_unique($keys)) : 1 + depth($n - 1, $keys); }
function fib(int $n): int { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
$sum = fib(39); $keys = [];
for ($y = 0; $y < 1500; $y++) {
    for ($x = 0; $x < 1200; $x++) $sum += mandelbrot($x / 300 - 2, $y / 450 - 1);
    for ($x = 0; $x < 900; $x++) $keys[] = sprintf('%x', $x * $y * 7919 % 10007);
    if ($y % 9 == 0) { $sum += depth(50, $keys); $keys = []; }
}
echo $sum, "\n";
