//! B71 under TLS: the same streams, encrypted. The key is made for these tests and guards nothing.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use loop_runtime::net::tls::{self, TlsAcceptor, TlsConnector};
use loop_runtime::net::{
    ReadError, StreamOptions, StreamReader, StreamWriter, TcpStream, open_connection, start_server,
};
use loop_runtime::testing::TestLoop;
use loop_runtime::yield_now;

use super::{echo, free, run, says_back, tcp_pair, until, waits};

const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIBzSfsUloArBlEh3AXI+MQAJsm+JnPpu9UBxA1kDFGi4
-----END PRIVATE KEY-----
";
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBFDCBx6ADAgECAgEBMAUGAytlcDAcMRowGAYDVQQDDBFsb29wLXJ1bnRpbWUg
dGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowHDEaMBgGA1UE
AwwRbG9vcC1ydW50aW1lIHRlc3QwKjAFBgMrZXADIQA0dC5rxWm/UavvJfFQz8bk
QsDMlNcP5aZFr0t/dQWM5qMsMCowGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAAB
MAwGA1UdEwEB/wQCMAAwBQYDK2VwA0EAO2qn/5ixmyBMIgxROy90vWeykUavpIcQ
mTHuKlzaSvYXrOWjwzEofrzJuahX9GkNzumWEyf9fKEsTlynzRGNCw==
-----END CERTIFICATE-----
";

fn acceptor() -> TlsAcceptor {
    TlsAcceptor::new(CERTIFICATE, KEY).unwrap()
}

fn connector() -> TlsConnector {
    TlsConnector::with_roots(CERTIFICATE).unwrap()
}

async fn pair() -> (tls::TlsStream, tls::TlsStream) {
    let (a, b) = tcp_pair().await;
    let (connector, acceptor) = (connector(), acceptor());
    let (a, b) = join(connector.connect("localhost", a), acceptor.accept(b)).await;
    (a.unwrap(), b.unwrap())
}

#[test]
fn b71_a_server_under_tls_answers_who_trusts_it_and_goes_on_after_who_does_not() {
    run(async {
        let server = tls::start_server(echo, free(), &acceptor()).await.unwrap();
        let port = server.sockets()[0].ip().unwrap().port();
        // Mozilla's authorities do not vouch for it.
        let stranger = TlsConnector::new().unwrap();
        let error = tls::open_connection(("localhost", port), &stranger).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        // It is not what it was asked to be.
        let stream = TcpStream::connect_host(("localhost", port)).await.unwrap();
        let error = connector().connect("elsewhere.example", stream).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
        // Not TLS at all.
        let (mut reader, writer) = open_connection(("localhost", port)).await.unwrap();
        writer.write(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let _alert = reader.read_to_end().await;
        until(|| server.connections() == 0).await;
        for host in ["localhost", "127.0.0.1"] {
            let (mut reader, writer) = tls::open_connection((host, port), &connector())
                .await
                .unwrap();
            says_back(&mut reader, &writer).await;
        }
    });
}

#[test]
fn b71_megabytes_pass_under_tls_and_what_is_buffered_goes_out_by_itself() {
    run(async {
        let (a, b) = pair().await;
        let (mut reader, writer) = a.into_streams(StreamOptions::default()).unwrap();
        let (mut peer, answers) = b.into_streams(StreamOptions::default()).unwrap();
        let sent: Vec<u8> = (0..8u32 << 20).map(|i| ((i * 31) >> 5) as u8).collect();
        writer.write(&sent).unwrap();
        assert!(writer.buffered().unwrap() > 0);
        let mut drain = pin!(writer.drain());
        waits(drain.as_mut()).await;
        let (drained, got) = join(drain, peer.readexactly(sent.len())).await;
        drained.unwrap();
        assert!(got.unwrap() == sent);
        // One end may go on after the other one ended.
        writer.close();
        assert_eq!(peer.read_to_end().await.unwrap(), b"");
        writer.wait_closed().await.unwrap();
        drop(answers);
        assert_eq!(reader.read_to_end().await.unwrap(), b"");
    });
}

#[test]
fn b71_an_end_without_a_word_of_it_is_a_cut() {
    run(async {
        let (mut a, b) = pair().await;
        a.write_all(b"part").await.unwrap();
        a.flush().await.unwrap();
        a.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        let (mut reader, _writer) = b.into_streams(StreamOptions::default()).unwrap();
        match reader.readexactly(8).await.unwrap_err() {
            ReadError::Io(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
            other => panic!("{other}"),
        }
        assert_eq!(reader.buffered(), b"part");
    });
}

#[test]
fn b71_a_tls_stream_has_the_traits_of_futures_and_tells_who_the_peer_is() {
    run(async {
        let (mut a, mut b) = pair().await;
        assert_eq!(a.peer_certificates().unwrap().len(), 1);
        assert!(b.peer_certificates().is_none());
        assert_eq!(
            a.protocol_version(),
            Some(tls::rustls::ProtocolVersion::TLSv1_3)
        );
        assert_eq!(a.alpn_protocol(), None);
        let send = async {
            a.write_all(&vec![5; 1 << 20]).await.unwrap();
            a.close().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), read) = join(send, b.read_to_end(&mut got)).await;
        assert_eq!((read.unwrap(), got.len()), (1 << 20, 1 << 20));
        b.write_all(b"still").await.unwrap();
        b.close().await.unwrap();
        let mut text = String::new();
        a.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "still");
    });
}

#[test]
fn b71_a_connection_goes_on_under_tls_when_both_ends_agree() {
    run(async {
        let serve = async |mut reader: StreamReader, writer: StreamWriter| {
            assert_eq!(reader.readline().await?, b"STARTTLS\n");
            writer.write(b"go on\n")?;
            writer.start_tls_server(&mut reader, &acceptor()).await?;
            let line = reader.readline().await?;
            writer.write(&line)?;
            std::io::Result::Ok(())
        };
        let server = start_server(serve, free()).await.unwrap();
        let address = server.sockets()[0].ip().unwrap();
        let (mut reader, writer) = open_connection(address).await.unwrap();
        writer.write(b"STARTTLS\n").unwrap();
        assert_eq!(reader.readline().await.unwrap(), b"go on\n");
        writer
            .start_tls(&mut reader, &connector(), "localhost")
            .await
            .unwrap();
        writer.write(b"secret\n").unwrap();
        assert_eq!(reader.readline().await.unwrap(), b"secret\n");
        let trusts = connector();
        let again = writer.start_tls(&mut reader, &trusts, "localhost");
        assert_eq!(again.await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    });
}

#[test]
fn b71_what_was_sent_in_the_clear_before_tls_is_refused() {
    run(async {
        let (a, mut b) = tcp_pair().await;
        let (mut reader, writer) = a.into_streams(StreamOptions::default()).unwrap();
        b.write_all(b"go on\nRCPT TO:<injected>\n").await.unwrap();
        assert_eq!(reader.readline().await.unwrap(), b"go on\n");
        let trusts = connector();
        let upgraded = writer.start_tls(&mut reader, &trusts, "localhost");
        assert_eq!(
            upgraded.await.unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    });
}

#[test]
fn b71_a_client_that_never_shakes_hands_is_shut_out_after_its_minute() {
    let mut test = TestLoop::new();
    let called = Rc::new(Cell::new(false));
    let calls = called.clone();
    let acceptor = acceptor();
    let server = test.run(async move {
        let handler = async move |_: StreamReader, _: StreamWriter| calls.set(true);
        tls::start_server(handler, free(), &acceptor).await.unwrap()
    });
    let server = server.unwrap();
    let address = test.enter(|| server.sockets()[0].ip().unwrap());
    let client = std::net::TcpStream::connect(address).unwrap();
    while test.enter(|| server.connections()) == 0 {
        test.turn();
    }
    test.advance(Duration::from_secs(59));
    assert_eq!(test.enter(|| server.connections()), 1);
    test.advance(Duration::from_secs(1));
    assert_eq!(test.enter(|| server.connections()), 0);
    assert!(!called.get());
    // One that is aborted meanwhile goes at once.
    let second = std::net::TcpStream::connect(address).unwrap();
    while test.enter(|| server.connections()) == 0 {
        test.turn();
    }
    test.enter(|| server.abort_clients());
    test.turn();
    assert_eq!(test.enter(|| server.connections()), 0);
    assert_eq!(test.timers(), 0);
    drop((client, second));
    test.enter(|| drop(server));
}

#[test]
fn b71_what_is_no_certificate_or_key_is_said_when_it_is_given() {
    for (chain, key) in [(KEY, KEY), (CERTIFICATE, CERTIFICATE), (&b""[..], KEY)] {
        let error = TlsAcceptor::new(chain, key).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
    assert!(TlsConnector::with_roots(b"nothing").is_err());
    run(async {
        let (a, _b) = tcp_pair().await;
        let error = connector().connect("not a name", a).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        yield_now().await;
    });
}
