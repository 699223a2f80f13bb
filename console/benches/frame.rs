//! How long a frame takes while the list is long: run with `cargo bench -p loop-console`. Prints, asserts nothing.

use std::hint::black_box;
use std::time::{Duration, Instant};

use loop_console::drive::Driver;
use loop_console::store::*;
use loop_console::update::wanted;

fn page(total: u64, at_hand: u64) -> Update {
    let row = |id: u64| TaskRow {
        id,
        name: format!("http::conn-{id}"),
        loop_id: id % 4,
        spawned_ns: 1,
        spawned_at: "/home/me/.cargo/registry/src/index-1/server-1.2.3/src/serve.rs:60:13".into(),
        wait: Some(Wait {
            kind: "io".into(),
            what: format!("r fd {id} 10.0.4.7:50012"),
            ..Wait::default()
        }),
        for_ns: id * 1_000,
        polls: id * 3,
        strip: Some(Strip {
            slot_ns: 1_000_000_000,
            end_ns: 9,
            values: vec![id; 60],
        }),
        ..TaskRow::default()
    };
    let rows = (1..=at_hand).map(row).collect();
    let body = Body::Tasks(Rows {
        total,
        matched: total,
        offset: 0,
        rows,
        torn: false,
    });
    Update::View(Box::new(View {
        slot: wanted::TASKS,
        at_ns: 10,
        incomplete: String::new(),
        body,
    }))
}

/// The median and the worst of many turns of `work`.
fn measure(turns: usize, mut work: impl FnMut()) -> (Duration, Duration) {
    let mut took: Vec<Duration> = (0..turns)
        .map(|_| {
            let before = Instant::now();
            work();
            before.elapsed()
        })
        .collect();
    took.sort();
    (took[took.len() / 2], took[took.len() - 1])
}

fn main() {
    println!("{:<44} {:>10} {:>10}", "", "median", "worst");
    for (total, at_hand) in [
        (1_000_u64, 300_u64),
        (100_000, 300),
        (1_000_000, 300),
        (100_000, 100_000),
    ] {
        for (width, height) in [(120, 36), (200, 60)] {
            let mut d = Driver::new();
            d.learn(Update::Hello(Box::new(Hello {
                instance: "a".into(),
                ..Hello::default()
            })));
            d.learn(Update::Link(Link::Live));
            d.keys("2");
            d.learn(page(total, at_hand));
            d.frame(width, height);
            let (median, worst) = measure(200, || {
                d.keys("j");
                black_box(d.frame(width, height));
            });
            println!(
                "a key and its frame, {total:>9} tasks, {at_hand:>6} at hand, {width}x{height:<4} {median:>10.1?} {worst:>10.1?}"
            );
        }
    }
    let mut d = Driver::new();
    d.learn(Update::Hello(Box::new(Hello {
        instance: "a".into(),
        ..Hello::default()
    })));
    d.learn(Update::Link(Link::Live));
    d.keys("2");
    d.frame(120, 36);
    let answer = page(1_000_000, 300);
    let (median, worst) = measure(200, || {
        d.now += Duration::from_secs(2);
        d.learn(answer.clone());
    });
    println!("an answer of 300 of 1,000,000 rows taken in      {median:>10.1?} {worst:>10.1?}");
}
