//! The gate's side of a verdict, as `check -- CMD` has it: the app connects and serves.

use super::*;
use crate::inspect::verdict::{Run, judge_now, verdict};
use loop_proto::pb::judge_request::Step;

fn step(step: Step) -> pb::JudgeRequest {
    pb::JudgeRequest { step: Some(step) }
}

#[test]
fn an_app_hands_its_verdict_over_and_gets_a_receipt() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let shared = shared(Arc::default());
    let serving = shared.clone();
    let inspector = std::thread::spawn(move || super::super::run(&serving, Doors::gate(theirs)));
    let judging = shared.clone();
    // The app: its loop has a task that nothing can wake, and ends.
    let app = std::thread::spawn(move || {
        let begun = judging
            .gate
            .begun()
            .expect("the gate says what to judge by");
        assert_eq!(begun.grace_ns, 5);
        let event_loop = EventLoop::new().unwrap();
        event_loop
            .run_until_complete(async {
                create_task(std::future::poll_fn(|_| Poll::<()>::Pending)).detach();
                yield_now().await;
            })
            .unwrap();
        judge_now(&mut judging.desk());
        let run = Run {
            loop_id: Some(event_loop.id()),
            test: "a_test".to_owned(),
            last: true,
            ..Run::default()
        };
        let made = judging
            .gate
            .compose(|sequence, sent| verdict(&run, sequence, &mut judging.desk(), sent));
        let received = judging.gate.hand_over(made);
        event_loop.close().unwrap();
        received
    });
    let findings = on_loop(|_| async move {
        let stream = UnixStream::from_std(ours).unwrap();
        let mut client = client(stream, AUTHORITY).await;
        client.hello(pb::HelloRequest::default()).await.unwrap();
        let begin = pb::JudgeBegin {
            block_budget_ns: 0,
            grace_ns: 5,
        };
        let (promise, receipt) = create_future();
        let steps = stream::once(async move { step(Step::Begin(begin)) })
            .chain(stream::once(async move { receipt.await.unwrap() }))
            .chain(stream::pending());
        let mut verdicts = client.judge(steps).await.unwrap().into_inner();
        let verdict = verdicts.message().await.unwrap().unwrap();
        assert!(verdict.complete && verdict.last);
        assert_eq!((verdict.sequence, verdict.test.as_str()), (1, "a_test"));
        assert_eq!(verdict.loops.len(), 1);
        promise.set_result(step(Step::Receipt(1))).unwrap();
        assert_eq!(
            verdicts.message().await.unwrap(),
            None,
            "the stream ends after the last"
        );
        verdict.findings
    });
    assert!(app.join().unwrap(), "the receipt came");
    let stranded = findings
        .iter()
        .filter(|finding| finding.name() == pb::FindingName::Stranded);
    assert_eq!(stranded.count(), 1, "{findings:?}");
    shared.stop.raise();
    inspector.join().unwrap();
}

#[test]
fn without_a_gate_nobody_waits_for_a_receipt() {
    let shared = shared(Arc::default());
    shared.gate.close();
    assert_eq!(shared.gate.begun(), None);
    assert!(!shared.gate.hand_over(pb::Verdict::default()));
}
