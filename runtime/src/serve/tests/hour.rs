//! What a viewer that comes late is told of what was before.

use super::*;

/// The past findings of a loop.
fn of_loop(view: &pb::View, id: u32) -> Vec<&pb::PastFinding> {
    let all = view.past_findings.iter();
    all.filter(|past| {
        let finding = past.finding.as_ref().expect("each has its finding");
        finding.loop_id == Some(id.into())
    })
    .collect()
}

#[test]
fn who_comes_late_sees_what_was_wrong_and_is_over() {
    let inspected = Inspected::new("late");
    on_loop(|id| async move {
        let begun = crate::clock::mono();
        // Nothing can wake it but its handle, which is held: it can still be cancelled.
        let stuck = create_task(std::future::poll_fn(|_| Poll::<()>::Pending));
        yield_now().await;
        let mut early = inspected.client().await;
        let wanted = query(pb::Target::Findings, &format!("loop={id}"));
        let (view, _) = ask(&mut early, wanted.clone()).await;
        assert_eq!(view.findings.len(), 1, "{:?}", view.findings);
        let held = view.findings[0].clone();
        stuck.cancel();
        let _ = stuck.await;
        while !ask(&mut early, wanted.clone()).await.0.findings.is_empty() {}
        drop(early);

        let mut late = inspected.client().await;
        let (view, texts) = ask(&mut late, query(pb::Target::Hour, "")).await;
        let past = of_loop(&view, id);
        assert_eq!(past.len(), 1, "{past:?}");
        let finding = past[0].finding.as_ref().unwrap();
        assert_eq!((finding.id, finding.name), (held.id, held.name));
        assert!(finding.cleared && !finding.evidence.is_empty());
        assert!(texts.get(finding.place_text).contains("hour.rs:"));
        let cleared = past[0].cleared_at_ns.expect("it is over");
        assert!(begun <= past[0].first_at_ns && past[0].first_at_ns <= cleared);
        assert!(cleared <= view.at_ns);
        assert_eq!(past[0].times, 1);
        let hour = view.hour.expect("what the hour comes to");
        assert!(hour.from_ns > 0 && hour.from_ns <= view.at_ns);
        assert_eq!(hour.findings_dropped, 0);
        assert!(hour.look_interval_ms > 0);
    });
}

#[test]
fn what_still_holds_is_told_with_the_evidence_of_now_and_costs_a_fixed_size() {
    let inspected = Inspected::new("holds");
    on_loop(|id| async move {
        create_task(std::future::poll_fn(|_| Poll::<()>::Pending)).detach();
        yield_now().await;
        let mut client = inspected.client().await;
        let (view, _) = ask(&mut client, query(pb::Target::Hour, "")).await;
        let past = of_loop(&view, id);
        assert_eq!(past.len(), 1, "{past:?}");
        let finding = past[0].finding.as_ref().unwrap();
        assert_eq!(finding.name(), pb::FindingName::Stranded);
        assert_eq!(past[0].cleared_at_ns, None);
        assert!(!finding.cleared && finding.last_seen_ns > 0);
        let (view, _) = ask(&mut client, query(pb::Target::Cost, "")).await;
        let cost = view.cost.expect("a cost");
        assert!(cost.hour_bytes > 0 && cost.hour_bytes <= cost.hour_limit_bytes);
        assert!(cost.recorder_bytes >= cost.hour_bytes);
        assert!(
            cost.hour_limit_bytes <= 4 << 20,
            "{}",
            cost.hour_limit_bytes
        );
    });
}
