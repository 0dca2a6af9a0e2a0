// Rust without frame pointers: closures, trait objects, iterators, a thread. shapes_rs SECONDS (of CPU)
use std::hint::black_box;

extern "C" {
    fn clock() -> i64; // microseconds of the process's CPU time
}

fn cpu() -> i64 {
    unsafe { clock() }
}

#[inline(never)]
fn spin(until: i64) {
    let mut sum = 0u64;
    while cpu() < until {
        for i in 0..100000u64 {
            sum = black_box(sum + i);
        }
    }
    black_box(sum);
}

trait Work {
    fn work(&self, until: i64) -> u64;
}

struct Leaf;
struct Node(Box<dyn Work>);

impl Work for Leaf {
    #[inline(never)]
    fn work(&self, until: i64) -> u64 {
        spin(until);
        black_box(1)
    }
}

impl Work for Node {
    #[inline(never)]
    fn work(&self, until: i64) -> u64 {
        let frame = black_box([7u8; 40]);
        self.0.work(until) + u64::from(frame[3])
    }
}

#[inline(never)]
fn body(until: i64) -> u64 {
    let mut chain: Box<dyn Work> = Box::new(Leaf);
    for _ in 0..5 {
        chain = Box::new(Node(chain));
    }
    (0..3).map(|_| black_box(&chain).work(until)).sum::<u64>() + 1
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let until = cpu() + (seconds * 1e6) as i64;
    let thread = std::thread::spawn(move || body(until));
    black_box(body(until));
    thread.join().unwrap();
}
