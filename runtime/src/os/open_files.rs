//! What is true, and what helps, where the system had no descriptor to give. Reads the limits at the
//! moment it is asked and opens nothing, since just that cannot be done then.
//!
//! Knows no socket and no file.

use std::error::Error;
use std::io;

/// What to do about an error for want of a descriptor or of memory for one, in words that can
/// follow it. `None`: it is about something else.
pub(crate) fn advice(error: &io::Error) -> Option<String> {
    advice_for(code(error)?)
}

/// The system's number for the error, or for the one that it is about.
fn code(error: &io::Error) -> Option<i32> {
    if let Some(code) = error.raw_os_error() {
        return Some(code);
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        let code = error.downcast_ref::<io::Error>();
        if let Some(code) = code.and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        cause = error.source();
    }
    None
}

#[cfg(unix)]
fn advice_for(code: i32) -> Option<String> {
    match code {
        libc::EMFILE => {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            Some(of_process(limit.current, limit.maximum, open()))
        }
        libc::ENFILE => Some(
            "the whole system is out of descriptors (fs.file-max), not this process: a higher \
             `ulimit -n` does not help"
                .to_owned(),
        ),
        libc::ENOBUFS | libc::ENOMEM => Some(
            "the system has no memory for one more descriptor: a higher `ulimit -n` does not help"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(not(unix))]
fn advice_for(_code: i32) -> Option<String> {
    None
}

/// `64 of at most 64 descriptors are open; …`.
#[cfg(any(unix, test))]
fn of_process(limit: Option<u64>, most: Option<u64>, open: Option<u64>) -> String {
    let Some(limit) = limit else {
        return "this process can open no more descriptors, though `ulimit -n` sets no limit"
            .to_owned();
    };
    let open = match open {
        Some(open) => {
            format!("{open} descriptors of this process are open, and it may have {limit}")
        }
        None => format!("this process may have {limit} descriptors open"),
    };
    let raise = match most {
        Some(most) if most <= limit => {
            "raise the hard limit (`ulimit -Hn`, which needs root)".to_owned()
        }
        Some(most) => format!("raise the limit (`ulimit -n`, up to {most} without root)"),
        None => "raise the limit (`ulimit -n`)".to_owned(),
    };
    format!("{open}: close some, or {raise}")
}

/// Open descriptors of this process. `None`: the system does not tell, or tells only who can open
/// one more.
#[cfg(unix)]
pub(crate) fn open() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    // Since Linux 6.2 that directory's size is their number.
    let told = std::fs::metadata("/proc/self/fd").ok()?.len();
    if told > 0 {
        return Some(told);
    }
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // The one that reads the directory is not counted.
    Some((entries.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_that_can_be_raised_is_said_to_help() {
        let said = of_process(Some(64), Some(4_096), Some(64));
        assert_eq!(
            said,
            "64 descriptors of this process are open, and it may have 64: close some, or raise the \
             limit (`ulimit -n`, up to 4096 without root)"
        );
        let said = of_process(Some(64), Some(64), None);
        assert!(said.contains("`ulimit -Hn`, which needs root"), "{said}");
        assert!(
            !said.contains("are open"),
            "no count that nobody told: {said}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn an_error_is_known_by_what_it_is_about_and_others_have_no_advice() {
        let of = |code| io::Error::from_raw_os_error(code);
        assert!(advice(&of(libc::EADDRNOTAVAIL)).is_none());
        assert!(advice(&io::Error::other("no number")).is_none());
        let whole = advice(&of(libc::ENFILE)).unwrap();
        assert!(whole.contains("does not help"), "{whole}");
        #[derive(Debug)]
        struct Wraps(io::Error);
        impl std::fmt::Display for Wraps {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("1.2.3.4:80")
            }
        }
        impl Error for Wraps {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let wrapped = io::Error::other(Wraps(of(libc::EMFILE)));
        let said = advice(&wrapped).unwrap();
        assert!(said.contains("ulimit"), "{said}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn open_descriptors_are_counted() {
        let before = open().unwrap();
        assert!(before >= 3, "{before}");
    }
}
