//! What is recorded of children: their rows, and what links a pipe and an exit to one.

use std::future::Future;
use std::task::Poll;

use super::*;
use crate::context;
use crate::event_loop::EventLoop;
use crate::record;
use crate::record::child::{ChildFacts, pipe};
use crate::record::source::{Kind, SourceFacts};
use crate::record::task::On;
use crate::spawn::create_task;

fn children() -> Vec<ChildFacts> {
    context::expect(|organs| {
        let rows = organs.record.children.live();
        rows.filter_map(|(_, row)| row.read()).collect()
    })
}

fn sources() -> Vec<SourceFacts> {
    context::expect(|organs| {
        let rows = organs.record.sources.live();
        rows.filter_map(|(_, row)| row.read()).collect()
    })
}

fn run<T: 'static>(test: impl Future<Output = std::io::Result<T>> + 'static) -> T {
    let el = EventLoop::new().unwrap();
    el.run_until_complete(test).unwrap().unwrap()
}

async fn once<F: Future + Unpin>(mut future: F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut future).poll(cx).is_pending()))
        .await
}

#[test]
fn a_row_tells_how_a_child_stands_from_its_start_to_the_last_pipe() {
    run(async {
        let command = create_subprocess_shell("read line; exit 7");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let row = children().remove(0);
        assert_eq!(row.pid, u64::from(child.pid()));
        assert_eq!(row.program.text(), Some("sh"));
        assert_eq!((row.status, row.ended, row.lost), (None, 0, false));
        assert_eq!(row.pipes, pipe::STDIN | pipe::STDOUT);
        assert_eq!(row.owner, record::current_task());
        assert_eq!(row.place.map(|place| place.file()), Some(file!()));

        child.stdin = None;
        assert_eq!(children()[0].pipes, pipe::STDOUT);
        let (first, second) = (child.wait(), child.wait());
        assert!(once(first).await);
        let mut second = second;
        assert!(once(&mut second).await);
        assert_eq!(children()[0].waiters, 1, "the first one waits no longer");
        second.await?;
        let row = children().remove(0);
        assert_eq!((row.status, row.waiters), (Some(7 << 8), 0));
        assert!(row.ended >= row.since);

        let stdout = child.stdout.take();
        drop(child);
        assert_eq!(children().len(), 1, "its output can still be read");
        drop(stdout);
        assert_eq!(children().len(), 0);
        Ok(())
    });
}

#[test]
fn who_waits_for_an_exit_or_an_output_is_said_to_wait_for_that_child() {
    run(async {
        let command = create_subprocess_shell("read line; exit 0");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let id = children()[0].id;
        let wait = child.wait();
        let waits = create_task(async move { wait.await.map(|status| status.success()) });
        let mut stdout = child.stdout.take().expect("asked for");
        let reads = create_task(async move { stdout.read_to_end(&mut Vec::new()).await });
        crate::spawn::yield_now().await;

        let facts = |task: u64| {
            context::expect(|organs| record::find_task(&organs.record, task).unwrap().1)
        };
        let waiting = facts(waits.id().get());
        assert_eq!(
            (waiting.waiting_on.kind(), waiting.waiting_on.id()),
            (On::Child, id)
        );
        assert_eq!(waiting.waiting_at.map(|place| place.file()), Some(file!()));

        let reading = facts(reads.id().get());
        assert_eq!(reading.waiting_on.kind(), On::Source);
        let sources = sources();
        let source = sources
            .iter()
            .find(|source| source.id == reading.waiting_on.id());
        let source = source.unwrap();
        assert_eq!((source.kind, source.child), (Kind::Pipe, id));
        assert_eq!(source.reader, reads.id().get());
        let exits: Vec<_> = sources.iter().filter(|s| s.kind == Kind::Child).collect();
        if let [exit] = *exits {
            assert_eq!(
                (exit.child, exit.reader),
                (id, 0),
                "the loop itself looks after it"
            );
        }
        child.stdin = None;
        assert!(waits.await.unwrap()?);
        assert_eq!(reads.await.unwrap()?, 0);
        Ok(())
    });
}

#[test]
fn a_conversation_waits_for_the_output_as_long_as_there_may_be_some() {
    run(async {
        let command = create_subprocess_shell("exec >&-; read line; exit 0");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let talks = create_task(async move { child.communicate(b"").await.map(|o| o.status) });
        let on = |task: u64| {
            let facts = context::expect(|organs| record::find_task(&organs.record, task));
            facts.map(|(_, facts)| facts.waiting_on)
        };
        // Its output is closed at once, its error output with its end.
        loop {
            crate::time::sleep(std::time::Duration::from_millis(1)).await;
            if children()[0].pipes == pipe::STDIN | pipe::STDERR {
                break;
            }
        }
        let waiting = on(talks.id().get()).unwrap();
        assert_eq!(waiting.kind(), On::Source);
        let stderr = sources()
            .into_iter()
            .find(|source| source.id == waiting.id());
        assert_eq!(stderr.unwrap().child, children()[0].id);
        drop(stdin);
        assert!(talks.await.unwrap()?.success());
        Ok(())
    });
}

#[test]
fn a_status_that_somebody_took_is_marked_in_the_row() {
    run(async {
        let command = create_subprocess_shell("read line; exit 0").stdin(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin = None;
        let pid = rustix::process::Pid::from_raw(child.pid().cast_signed()).unwrap();
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
        child.wait().await?;
        let row = children().remove(0);
        assert_eq!((row.status, row.lost), (Some(255 << 8), true));
        Ok(())
    });
}
