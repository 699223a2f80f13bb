//! Names as people read them: the type of a future as a path, and the texts of interned names
//! without a lock for each look. Knows no row.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::record::names::NameId;

/// The texts of names that were looked up before.
#[derive(Default)]
pub(crate) struct Names(RefCell<Vec<Option<&'static str>>>);

impl Names {
    /// The text; empty for no name.
    #[inline]
    pub(crate) fn text(&self, name: NameId) -> &'static str {
        let at = name.raw() as usize;
        if at == 0 {
            return "";
        }
        if let Some(Some(text)) = self.0.borrow().get(at) {
            return text;
        }
        self.learn(name)
    }

    #[cold]
    fn learn(&self, name: NameId) -> &'static str {
        let Some(text) = name.text() else { return "" };
        let (mut known, at) = (self.0.borrow_mut(), name.raw() as usize);
        if known.len() <= at {
            known.resize(at + 1, None);
        }
        known[at] = Some(text);
        text
    }
}

/// The readable form of a type's name. Made once a type and kept, since a process has only so many.
pub(crate) fn of_type(type_name: &'static str) -> &'static str {
    static KNOWN: Mutex<Option<HashMap<(usize, usize), &'static str>>> = Mutex::new(None);
    let key = (type_name.as_ptr() as usize, type_name.len());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().entry(key).or_insert_with(|| {
        let short = readable(type_name);
        if short == type_name {
            type_name
        } else {
            Box::leak(short.into_boxed_str())
        }
    })
}

/// Boxes that say nothing of what is in them.
const BOXES: [&str; 4] = [
    "core::pin::Pin<",
    "alloc::boxed::Box<",
    "core::panic::unwind_safe::AssertUnwindSafe<",
    "loop_runtime::spawn::cancel::CatchCancel<",
];

/// `shop::ws::reader` for `shop::ws::reader::{{closure}}`: without closures, boxes and what stands
/// in angle brackets.
fn readable(type_name: &str) -> String {
    let mut name = type_name.trim();
    while let Some(inner) = BOXES
        .iter()
        .find_map(|head| name.strip_prefix(head)?.strip_suffix('>'))
    {
        name = inner.trim();
    }
    if let Some(object) = name.strip_prefix("dyn ") {
        let path = object.split(['<', ' ']).next().unwrap_or(object);
        return format!("dyn {}", path.rsplit("::").next().unwrap_or(path));
    }
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_u32;
    for c in name.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    let parts: Vec<&str> = out
        .split("::")
        .filter(|part| !part.is_empty() && !part.starts_with('{'))
        .collect();
    // A type that is nothing but brackets, such as a function pointer's, stays as it is.
    if parts.is_empty() {
        type_name.to_owned()
    } else {
        parts.join("::")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_named_by_its_function() {
        for (type_name, short) in [
            ("shop::ws::reader::{{closure}}", "shop::ws::reader"),
            ("shop::main::{{closure}}::{{closure}}", "shop::main"),
            (
                "shop::serve<hyper::Body>::{{closure}}::{{closure}}",
                "shop::serve",
            ),
            (
                "core::pin::Pin<alloc::boxed::Box<shop::poller::{{closure}}>>",
                "shop::poller",
            ),
            (
                "core::pin::Pin<alloc::boxed::Box<dyn core::future::future::Future<Output = ()> + core::marker::Send>>",
                "dyn Future",
            ),
            ("<shop::Cache as shop::Store>::fill::{{closure}}", "fill"),
            ("loop_runtime::time::Sleep", "loop_runtime::time::Sleep"),
            ("(other)", "(other)"),
        ] {
            assert_eq!(readable(type_name), short, "{type_name}");
        }
    }

    #[test]
    fn one_type_is_made_readable_once() {
        let type_name = "shop::a::{{closure}}";
        assert!(std::ptr::eq(of_type(type_name), of_type(type_name)));
    }
}
