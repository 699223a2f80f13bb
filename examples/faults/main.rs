//! Programs whose fault is known, and healthy ones that look like them. What the inspector says of
//! each is compared with what is known, in `tests/faults.rs`.
//!
//! Try:  cargo run -p loop-examples --example faults -- --list
//! or    loop-console check --deny suspect,warning -- target/debug/examples/faults lock-cycle
//!
//! Each ends by itself, most within a second, so that a gate can judge it. `--list` prints the
//! name, the finding that is true of it (or `healthy`), what else may be true of it, the file
//! that its places are in, and a sentence. A program that this host does not let be what it is says
//! so and exits with 77: it was not tried.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use loop_runtime::{BlockingCall, Builder, LeakLimits, RunError};

mod at_rest;
mod blocking;
mod deadlocks;
mod fds_and_errors;
mod healthy;
mod leaks;
mod no_deadlocks;
mod quota;
mod storms;
mod whole_loop;

/// What a program's main task runs.
type Body = Pin<Box<dyn Future<Output = ()>>>;

/// One program of the corpus.
struct Program {
    name: &'static str,
    /// The finding that is true of it, or `healthy`.
    finds: &'static str,
    /// What else may be true of it, with a comma between.
    also: &'static str,
    says: &'static str,
    body: fn() -> Body,
    /// What rests is suspected after a second, and a generation is a quarter of one: a leak that takes
    /// minutes to show does so in seconds.
    quick: bool,
    /// Its loop looks for blocking calls.
    looks: bool,
    /// It puts itself under this CPU quota, in hundredths of a CPU.
    quota: Option<u32>,
}

const fn program(
    name: &'static str,
    finds: &'static str,
    says: &'static str,
    body: fn() -> Body,
) -> Program {
    Program {
        name,
        finds,
        also: "",
        says,
        body,
        quick: false,
        looks: false,
        quota: None,
    }
}

impl Program {
    /// With limits short enough for a program that lasts some seconds.
    const fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// What may follow from its fault.
    const fn also(mut self, also: &'static str) -> Self {
        self.also = also;
        self
    }

    /// In a control group of its own, with a CPU quota.
    const fn under_a_quota(mut self, hundredths: u32) -> Self {
        self.quota = Some(hundredths);
        self
    }

    /// Its loop meets blocking calls at the call itself, as tests may have it.
    const fn looks_for_calls(mut self) -> Self {
        self.looks = true;
        self
    }
}

/// Each group with the file that its programs are in.
const ALL: [(&str, &[Program]); 10] = [
    ("blocking.rs", &blocking::PROGRAMS),
    ("leaks.rs", &leaks::PROGRAMS),
    ("deadlocks.rs", &deadlocks::PROGRAMS),
    ("whole_loop.rs", &whole_loop::PROGRAMS),
    ("storms.rs", &storms::PROGRAMS),
    ("quota.rs", &quota::PROGRAMS),
    ("fds_and_errors.rs", &fds_and_errors::PROGRAMS),
    ("healthy.rs", &healthy::PROGRAMS),
    ("at_rest.rs", &at_rest::PROGRAMS),
    ("no_deadlocks.rs", &no_deadlocks::PROGRAMS),
];

/// What a program exits with that cannot be tried on this host.
const NOT_TRIED: u8 = 77;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "--list" {
        for (file, programs) in ALL {
            for program in programs {
                let (finds, also) = (program.finds, program.also);
                println!(
                    "{}\t{finds}\t{also}\t{file}\t{}",
                    program.name, program.says
                );
            }
        }
        return ExitCode::SUCCESS;
    }
    let mut all = ALL.iter().flat_map(|(_, programs)| *programs);
    let Some(program) = all.find(|program| program.name == name) else {
        eprintln!("there is no program called {name:?}; --list tells which there are");
        return ExitCode::from(2);
    };
    let mut builder = Builder::new().name(program.name);
    if program.quick {
        let limits = LeakLimits::default().idle(ms(1_000)).outlived(ms(1_000));
        builder = builder.leak_limits(limits.generation(ms(250)));
    }
    if program.looks {
        builder = builder.on_blocking_call(BlockingCall::Warn);
    }
    let group = match program.quota.map(quota::Group::enter).transpose() {
        Ok(group) => group,
        Err(why) => return cannot(&why),
    };
    let ended = builder.run((program.body)());
    drop(group);
    match ended {
        Ok(()) => match quota::missed() {
            Some(why) => cannot(&why),
            None => ExitCode::SUCCESS,
        },
        // How it ends is its fault, and what the gate is to say of it.
        Err(error @ RunError::Deadlock(_)) if program.finds == "deadlocked" => {
            eprintln!("{error}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn cannot(why: &str) -> ExitCode {
    eprintln!("cannot be tried here: {why}");
    ExitCode::from(NOT_TRIED)
}
