//! Bytes through hyper's traits, without hyper's protocols.

use std::mem::MaybeUninit;
use std::task::Waker;

use futures_util::io::Cursor;
use hyper::rt::ReadBuf;

use super::*;

fn poll<R>(f: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
    f(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_read_fills_what_hyper_offers_and_no_more() {
    let text: Vec<u8> = (0..=255).cycle().take(CHUNK + 1_000).collect();
    let mut stream = HyperIo::new(Cursor::new(text.clone()));
    let mut got = Vec::new();
    for room in [1, 10, CHUNK * 2, 100, 2_000, 5] {
        let mut raw = vec![MaybeUninit::uninit(); room];
        let mut buf = ReadBuf::uninit(&mut raw);
        let read = poll(|cx| Pin::new(&mut stream).poll_read(cx, buf.unfilled()));
        assert!(matches!(read, Poll::Ready(Ok(()))));
        got.extend_from_slice(buf.filled());
    }
    assert_eq!(got, text);
}

#[test]
fn a_stream_that_reads_through_another_finds_the_landing_free() {
    struct Nested(HyperIo<Cursor<Vec<u8>>>);
    impl AsyncRead for Nested {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let mut inner = ReadBuf::new(buf);
            ready!(Pin::new(&mut self.0).poll_read(cx, inner.unfilled()))?;
            Poll::Ready(Ok(inner.filled().len()))
        }
    }
    let mut stream = HyperIo::new(Nested(HyperIo::new(Cursor::new(b"through".to_vec()))));
    let mut raw = [MaybeUninit::uninit(); 16];
    let mut buf = ReadBuf::uninit(&mut raw);
    let read = poll(|cx| Pin::new(&mut stream).poll_read(cx, buf.unfilled()));
    assert!(matches!(read, Poll::Ready(Ok(()))));
    assert_eq!(buf.filled(), b"through");
}

#[test]
fn several_slices_go_out_in_one_write() {
    let mut stream = HyperIo::new(Cursor::new(Vec::new()));
    let slices = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    let wrote = poll(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &slices));
    assert!(matches!(wrote, Poll::Ready(Ok(8))), "{wrote:?}");
    assert_eq!(stream.into_inner().into_inner(), b"headbody");
}
