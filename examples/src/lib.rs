//! Arguments that examples share. The examples themselves are files in `examples/`; each says in
//! its first lines what the console will show, and the command to try.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::str::FromStr;

/// The value of `--name value` or `--name=value`, or `default`.
///
/// A value that does not parse ends the process with exit code 2.
pub fn argument<T>(name: &str, default: T) -> T
where
    T: FromStr,
    T::Err: Display,
{
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let Some(rest) = argument.strip_prefix(name) else {
            continue;
        };
        let value = match rest.strip_prefix('=') {
            Some(value) => value.to_owned(),
            None if rest.is_empty() => arguments.next().unwrap_or_default(),
            None => continue,
        };
        return value.parse().unwrap_or_else(|error| {
            eprintln!("{name} {value}: {error}");
            std::process::exit(2)
        });
    }
    default
}

/// The programs in the README and in the docs compile.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/guide.md")]
    struct Guide;

    #[doc = include_str!("../../docs/check.md")]
    struct Check;

    #[doc = include_str!("../../docs/asyncio.md")]
    struct Asyncio;

    #[doc = include_str!("../../docs/tokio.md")]
    struct Tokio;

    #[doc = include_str!("../../docs/textbook.md")]
    struct Textbook;
}
