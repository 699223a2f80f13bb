//! The corpus at full scale, for `tools/corpus`: every program of `faults/` judged several times, how
//! often the inspector was right, and how soon it told. Measures; fails nothing.
//!
//! Usage: corpus [ROUNDS [AT_ONCE]]. Needs `faults` and `loop-console` beside itself.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod measure;

#[cfg(target_os = "linux")]
fn main() {
    let number = |at: usize, usual: usize| {
        let word = std::env::args().nth(at);
        word.map_or(usual, |word| match word.parse() {
            Ok(number @ 1..) => number,
            _ => {
                eprintln!("corpus: {word:?} is not a number from 1 on");
                std::process::exit(2);
            }
        })
    };
    measure::run(number(1, 3), number(2, 2));
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("corpus: only on Linux, whose clock programs and console share");
    std::process::exit(2);
}
