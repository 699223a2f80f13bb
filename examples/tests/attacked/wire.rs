//! HTTP/2 as somebody writes it who means harm: frames by hand, over the app's socket. Knows no
//! answer.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection on which nothing was said yet.
pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("the app listens");
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit).expect("a limit");
    stream.set_write_timeout(limit).expect("a limit");
    stream
}

/// A connection that has greeted as HTTP/2 wants it.
pub(crate) fn greeted(socket: &Path) -> UnixStream {
    let mut stream = connect(socket);
    // The app may have closed it by now; whoever writes next finds out.
    let _ = stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    stream
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload");
    let mut out = length.to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// The headers of a call, as literals without an index.
pub(crate) fn call(method: &str) -> Vec<u8> {
    let path = format!("/inspect.v1.Inspect/{method}");
    // :method POST and :scheme http are in HPACK's static table.
    let mut out = vec![0x83, 0x86];
    out.extend(literal(0x04, &path));
    out.extend(literal(0x01, "loop-console"));
    out.extend([0x0f, 0x10]);
    out.extend(text("application/grpc"));
    out.push(0);
    out.extend(text("te"));
    out.extend(text("trailers"));
    out
}

/// One call with one message.
pub(crate) fn ask(stream: u32, method: &str, message: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).expect("small").to_be_bytes());
    body.extend(message);
    let mut out = frame(HEADERS, END_HEADERS, stream, &call(method));
    out.extend(frame(DATA, END_STREAM, stream, &body));
    out
}

fn literal(first: u8, value: &str) -> Vec<u8> {
    let mut out = vec![first];
    out.extend(text(value));
    out
}

fn text(text: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(text.len()).expect("below 127")];
    out.extend(text.as_bytes());
    out
}
