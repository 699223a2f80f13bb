//! Executor jobs as a viewer sees them.

use super::*;
use crate::{Executor, run_in_executor, run_in_executor_on, to_thread_on};

#[test]
fn a_job_is_listed_with_its_name_and_that_of_the_pool_that_runs_it() {
    let inspected = Inspected::new("jobs");
    on_loop(|id| async move {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (began, begins) = std::sync::mpsc::channel();
        let database = Executor::new(1, "database");
        let select = move || {
            began.send(()).unwrap();
            wait.recv().unwrap();
        };
        let running = to_thread_on(&database, "select", select);
        let queued = run_in_executor_on(&database, || ());
        begins.recv().unwrap();
        let mut client = inspected.client().await;
        let mine = query(pb::Target::Jobs, &format!("loop={id}"));
        let (view, texts) = ask(&mut client, mine).await;
        let mut jobs = view.jobs;
        jobs.sort_by_key(|job| job.id);
        let told: Vec<_> = jobs
            .iter()
            .map(|job| {
                (
                    job.pool.as_str(),
                    texts.name(job.name.as_ref()),
                    job.state(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("database", "select".to_owned(), pb::JobState::Run),
                ("database", String::new(), pb::JobState::Queued)
            ]
        );
        assert_ne!(jobs[0].tid, 0);
        go.send(()).unwrap();
        running.await.unwrap();
        queued.await.unwrap();
        run_in_executor(|| ()).await.unwrap();
        let mine = query(pb::Target::Jobs, &format!("loop={id}"));
        assert!(ask(&mut client, mine).await.0.jobs.is_empty());
    });
}
