//! Clients that mean harm, or do not listen.

use super::*;
use futures_util::AsyncReadExt as _;

#[test]
fn a_client_that_speaks_http_1_or_nonsense_is_dropped_and_others_go_on() {
    let inspected = Inspected::new("nonsense");
    on_loop(|_| async move {
        for hello in [
            &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\0\0\0\0\0\0\0\0\0",
        ] {
            let mut stream = UnixStream::connect(&inspected.socket).await.unwrap();
            stream.write_all(hello).await.unwrap();
            let mut answer = Vec::new();
            // It ends: with a reset, or after a GOAWAY.
            let _ = stream.read_to_end(&mut answer).await;
            assert!(!answer.starts_with(b"HTTP/1.1 200"));
        }
        let mut client = inspected.client().await;
        assert!(client.hello(pb::HelloRequest::default()).await.is_ok());
    });
}

#[test]
fn a_foreign_authority_and_a_web_page_are_refused_on_every_call() {
    let inspected = Inspected::new("foreign");
    on_loop(|_| async move {
        let stream = UnixStream::connect(&inspected.socket).await.unwrap();
        let mut foreign = client(stream, "evil.example").await;
        let refused = foreign
            .hello(pb::HelloRequest::default())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let stream = UnixStream::connect(&inspected.socket).await.unwrap();
        let mut page = channel(stream).await;
        page.headers
            .push(("origin", "https://evil.example".to_owned()));
        let origin = format!("http://{AUTHORITY}").parse().unwrap();
        let mut page = InspectClient::with_origin(page, origin);
        let refused = [
            page.hello(pb::HelloRequest::default()).await.err(),
            page.watch(stream::empty()).await.err(),
            page.watch_events(pb::EventsRequest::default()).await.err(),
            page.task(pb::TaskRequest::default()).await.err(),
            page.command(pb::CommandRequest::default()).await.err(),
            page.judge(stream::empty()).await.err(),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap().code(), Code::PermissionDenied);
        }
    });
}

#[test]
fn a_ninth_connection_is_closed_and_gets_in_when_one_goes() {
    let inspected = Inspected::new("ninth");
    on_loop(|_| async move {
        let mut clients = Vec::new();
        for _ in 0..super::super::limits::CONNECTIONS {
            let mut client = inspected.client().await;
            client.hello(pb::HelloRequest::default()).await.unwrap();
            clients.push(client);
        }
        let mut ninth = UnixStream::connect(&inspected.socket).await.unwrap();
        let mut byte = [0];
        assert_eq!(ninth.read(&mut byte).await.unwrap_or(0), 0, "closed");
        clients.pop();
        for _ in 0..1000 {
            // Closed at once while the place has not come back yet.
            let stream = UnixStream::connect(&inspected.socket).await.unwrap();
            if let Ok(channel) = try_channel(stream).await {
                let origin = format!("http://{AUTHORITY}").parse().unwrap();
                let mut client = InspectClient::with_origin(channel, origin);
                if client.hello(pb::HelloRequest::default()).await.is_ok() {
                    return;
                }
            }
        }
        panic!("a place that was given back can be taken");
    });
}

#[test]
fn a_request_above_64_kib_is_refused() {
    let inspected = Inspected::new("large");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let request = pb::HelloRequest {
            client: "x".repeat(70 << 10),
            ..pb::HelloRequest::default()
        };
        let refused = client.hello(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange);
    });
}

#[test]
fn a_call_ends_at_its_own_deadline() {
    let inspected = Inspected::new("deadline");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let mut request = tonic::Request::new(stream::pending::<pb::Query>());
        request.set_timeout(Duration::from_millis(30));
        let ended = match client.watch(request).await {
            Ok(views) => views.into_inner().message().await.unwrap_err(),
            Err(status) => status,
        };
        assert_eq!(ended.code(), Code::DeadlineExceeded);
    });
}

#[test]
fn a_client_that_does_not_read_costs_one_message_and_holds_nobody_up() {
    let inspected = Inspected::new("slow");
    on_loop(|id| async move {
        let tasks: Vec<_> = (0..2000)
            .map(|_| create_task(std::future::pending::<()>()))
            .collect();
        yield_now().await;
        let mut slow = inspected.client().await;
        let mut standing = query(pb::Target::Tasks, &format!("loop={id}"));
        (standing.interval_ms, standing.limit) = (50, 2000);
        let queries = stream::iter([standing]).chain(stream::pending());
        // Held and never read: its flow-control window fills and stays full.
        let views = slow.watch(queries).await.unwrap().into_inner();
        let mut quick = inspected.client().await;
        for _ in 0..50 {
            let (view, _) = ask(&mut quick, query(pb::Target::Loops, &format!("id={id}"))).await;
            assert_eq!(view.loops.len(), 1);
        }
        let sent = inspected
            .shared
            .gauges
            .bytes_sent
            .load(std::sync::atomic::Ordering::Relaxed);
        assert!(sent < 4 << 20, "{sent} bytes went to two clients");
        drop((views, tasks));
    });
}

#[test]
fn a_name_full_of_escapes_arrives_as_it_is_and_is_escaped_where_it_is_shown() {
    let inspected = Inspected::new("hostile");
    on_loop(|id| async move {
        let hostile = "\x1b]0;owned\x07\u{202e}evil\n";
        let task = crate::Task::<()>::builder()
            .name(hostile)
            .spawn(std::future::pending::<()>());
        yield_now().await;
        let mut client = inspected.client().await;
        let wanted = query(
            pb::Target::Tasks,
            &format!("loop={id} id={}", task.id().get()),
        );
        let (view, texts) = ask(&mut client, wanted).await;
        let name = texts.name(view.tasks[0].name.as_ref());
        assert_eq!(name, hostile);
        assert!(loop_proto::escape::is_harmless(
            &loop_proto::escape::escape(&name, 80)
        ));
    });
}

#[test]
fn the_socket_and_its_note_are_gone_with_the_inspector() {
    let inspected = Inspected::new("gone");
    let (socket, note) = (
        inspected.socket.clone(),
        loop_proto::endpoint::note_path(&inspected.socket),
    );
    let there = |path: &Path| path.exists();
    assert!(there(&socket) && there(&note));
    drop(inspected);
    assert!(!there(&socket) && !there(&note));
}

#[test]
fn a_fifth_stream_of_events_is_refused_with_the_reason_and_another_client_gets_its_own() {
    let _alone = super::calls::alone();
    let inspected = Inspected::new("feeds");
    on_loop(|_| async move {
        let mut greedy = inspected.client().await;
        let mut held = Vec::new();
        for _ in 0..4 {
            let events = greedy.watch_events(pb::EventsRequest::default()).await;
            held.push(events.unwrap().into_inner());
        }
        let refused = greedy.watch_events(pb::EventsRequest::default()).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("end one first"), "{refused}");
        let mut other = inspected.client().await;
        let events = other.watch_events(pb::EventsRequest::default()).await;
        assert!(events.unwrap().into_inner().message().await.is_ok());
    });
}
