//! What each finding means, in words for people: when it is said, what usually causes it, an
//! example, and what to do. Knows no app.

use crate::pb::FindingName;

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Its word.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub summary: &'static str,
    /// When exactly it is said.
    pub condition: &'static str,
    /// How sure it is: `certain`, `left-behind`, `suspect`, `warning`.
    pub grade: &'static str,
    /// What is said with it.
    pub evidence: &'static str,
    /// What usually causes it.
    pub cause: &'static str,
    /// Code that does it.
    pub example: &'static str,
    /// What to do.
    pub fix: &'static str,
}

impl FindingName {
    /// What it means. Empty texts for the name that was not said.
    #[must_use]
    pub fn explain(self) -> Explanation {
        let [summary, condition, cause, example, fix] = texts(self);
        let [grade, evidence] = grade_and_evidence(self);
        Explanation {
            name: self.word(),
            summary,
            condition,
            grade,
            evidence,
            cause,
            example,
            fix,
        }
    }
}

fn grade_and_evidence(name: FindingName) -> [&'static str; 2] {
    match name {
        FindingName::Unspecified => [""; 2],
        FindingName::Blocked => [
            "certain; suspect where the host does not tell who had the CPU",
            "How long the loop was held at least and at most, the time on the wall, the budget, the cause with what the kernel said, the place by its stack, and how many tasks waited behind it.",
        ],
        FindingName::Stranded => [
            "certain",
            "For how long it has been pending, that no waker and no handle is alive, how often it was polled, where it awaits; whether its last poll kept no waker, or when the last one was dropped, by which task, timer, source or thread, and in which line, where the loop's own thread did it; who spawned it and what woke it last.",
        ],
        FindingName::Deadlocked => [
            "certain for joins; suspect where a lock, a semaphore, a queue, a channel or a promise takes part: the evidence says why",
            "A line a task: where it waits and for what; where that was made, which tasks hold it, have its permits, keep its promise or could use its other end, and of a lock for how long and where it was taken; and why it is not certain, if so.",
        ],
        FindingName::LeftBehind => [
            "left-behind",
            "How long ago its run, scope or test ended, the grace, whether anybody asked it to stop, where it awaits.",
        ],
        FindingName::OutlivedParent => [
            "suspect",
            "How long ago its parent ended or its group was dropped, and that nobody holds it, or that it was asked to cancel.",
        ],
        FindingName::Growing => [
            "suspect",
            "Generations alive then and now, how many are alive, the age of the oldest, and how old tasks of its place usually get.",
        ],
        FindingName::IdleOrphan => [
            "suspect",
            "For how long it was not woken, what is usual at its place, that nobody holds it and that no timer will wake it.",
        ],
        FindingName::StuckAbortable => [
            "warning",
            "For how long it has been pending, that no waker is alive, how many handles could cancel it, and how the last waker went, as for stranded.",
        ],
        FindingName::Starved | FindingName::NeverPolled => [
            "warning",
            "Since when it is ready, and how many tasks of its loop are.",
        ],
        FindingName::Spinning => [
            "warning",
            "The share of its polls that it woke itself for, polls a second and in which time, and how long a poll took on average.",
        ],
        FindingName::WakeStorm => [
            "warning",
            "Wakes a second and in which time, and how long a poll took on average.",
        ],
        FindingName::NeverYields => ["warning", "For how long its first poll has lasted."],
        FindingName::LateTimer => ["warning", "How late it is, or was when it last fired."],
        FindingName::OrphanTimer => [
            "warning",
            "Whether its task has ended, or how often that was polled since it last asked for the timer; when it was armed and when it is due.",
        ],
        FindingName::AbandonedFd => [
            "suspect",
            "Why nobody can use it, for how long nothing has happened on it, and its peer.",
        ],
        FindingName::UnreadError => [
            "warning",
            "Whether it panicked or returned an error, and the error's text.",
        ],
        FindingName::IgnoredCancel => [
            "warning",
            "How long ago it was asked to stop, and what it does now.",
        ],
        FindingName::LargeFuture => ["warning", "The size of its future, and the limit."],
        FindingName::BlockingCall => [
            "warning",
            "Which call it was and how often it was made, through which functions the app came to it, and, of waits for another thread, how long the longest took.",
        ],
        FindingName::LockOrder => [
            "suspect",
            "A line an order: the task, the lock it took and where, the lock it had then and where that was taken, where both were made, how often and how long ago; that no further lock was held each time; how many orders were forgotten, if any were.",
        ],
        FindingName::WakerHoard => ["warning", "How many wakers of it are alive, and the limit."],
    }
}

fn texts(name: FindingName) -> [&'static str; 5] {
    match name {
        FindingName::Unspecified => [""; 5],
        FindingName::Blocked => [
            "One poll held its loop for longer than the budget, so nothing else on that loop could run.",
            "Certain: the poll took longer than the budget even if the thread waited for a CPU as long as the kernel says it may have. Suspect: the host does not tell, and the wall's clock is over the budget. Not said when the watchdog overslept itself.",
            "A blocking call (file, DNS, a std lock, sleep) or a long computation inside async code.",
            "async fn render() { std::thread::sleep(Duration::from_millis(400)); }",
            "Move the work to run_in_executor or to_thread, use the async form of the call, or cut the computation into pieces with yield_now().await between them.",
        ],
        FindingName::Stranded => [
            "A task is pending, and nothing can ever wake or cancel it.",
            "Pending, not queued, polled at least once, no waker of it alive, no handle to it alive. A waker can only be made from a waker, so it stays so.",
            "The other half of what it waits for was dropped without a word, or a future was written that returns Pending and keeps no waker.",
            "create_task(poll_fn(|cx| { waiters.push(cx.waker().clone()); Poll::Pending })).detach(); waiters.clear();",
            "Keep and await the handle, drop senders when done, and store the waker of each poll that returns Pending. Tasks that shall wait for ever are spawned with allow_forever.",
        ],
        FindingName::Deadlocked => [
            "Tasks wait for each other in a circle: none of them can ever go on.",
            "Every waker of every task of the group is held by a task of the group, or by one behind which nothing moves, in two looks. Certain for joins. Suspect where a lock or a permit takes part, since a guard can be handed on unseen, and where a queue, channel, event, condition, barrier or promise does: all its handles were found in memory (Linux), and lie in futures of the group. Of a whole loop: nothing of its own can wake it, and nobody outside; `run` gives an error then.",
            "Two tasks that join each other, that take two locks in different orders, that want a second permit of a semaphore that is used up, or one that waits for what it would have to send itself.",
            "a: lock(x).await; lock(y).await;   b: lock(y).await; lock(x).await;",
            "Take locks in one order everywhere, hold none across an await that needs another, and let only the parent join its children.",
        ],
        FindingName::LeftBehind => [
            "A task was still pending when its run, scope or test had ended and its grace was over.",
            "Not ended, though the run, scope or test it belongs to ended longer ago than the grace (100 ms of a run and 250 ms of a test unless set).",
            "A background task that nobody cancels, or whose handle was dropped: dropping a handle detaches the task, it does not stop it.",
            "run(async { create_task(poll_for_ever()); })",
            "Spawn it in a TaskGroup, or keep its handle and cancel and await it before returning. Tasks that shall outlive everything are spawned with allow_forever.",
        ],
        FindingName::OutlivedParent => [
            "A task lives on though the task that spawned it has ended, and nobody holds its handle.",
            "Not ended, no handle alive, parent ended longer ago than the limit (10 s, or what `Builder::leak_limits` says); or its group was dropped before it ended.",
            "Work was started on the side of a request and forgotten.",
            "async fn handle(r: Request) { create_task(audit(r)); }",
            "Await it, spawn it in a TaskGroup of the request, or give it to a task that is meant to own such work.",
        ],
        FindingName::Growing => [
            "Ever more tasks spawned at one place survive.",
            "In at least 8 of the last 10 slots the number of surviving generations (minutes of birth) rose, and the oldest task is 5 times as old as the 99th percentile of those that ended. Where fewer than 20 have ended: in 27 of the last 30. A rush of load does not do this, a leak does. `Builder::leak_limits` sets the length of a slot.",
            "Tasks that wait for something that for some of them never comes: a peer without a timeout, a queue that is never closed.",
            "loop { let c = accept().await; create_task(async move { c.read_to_end().await }) }",
            "Give each wait a timeout, close queues when their senders are done, and look at what the oldest ones wait for.",
        ],
        FindingName::IdleOrphan => [
            "A task that nobody holds has slept far longer than tasks of its place usually do.",
            "Waits, no handle alive, waits for no timer and no visitor (a listening socket, a signal, a child, a job, another task), nor for several things at once, asleep for over 60 s and over 20 times what is usual at its place: the 99th percentile of the mean waits of its tasks, or the second longest wait that was seen to end. Not said while most tasks of the place sleep as long, as those of an idle pool do, unless 20 times as many have ended there. `Builder::leak_limits` sets the 60 s.",
            "It waits for a message or a peer that has gone away silently.",
            "create_task(async move { while let Some(m) = queue.get().await { work(m).await } });",
            "Close what it waits for, or give the wait a timeout; keep its handle if it may be cancelled.",
        ],
        FindingName::StuckAbortable => [
            "Nothing can wake a task any more, but somebody holds a handle and can still cancel it.",
            "Pending, not queued, polled at least once, no waker of it alive, at least one handle alive. Not said of tasks that wait for loop_runtime::pending().",
            "As for stranded; the handle only keeps it from being certain.",
            "let t = create_task(std::future::poll_fn(|_| Poll::<()>::Pending)); keep(t);",
            "Store the waker of each poll that returns Pending; cancel the task if it is meant to end that way.",
        ],
        FindingName::Starved => [
            "A task has been ready for long and has not been polled.",
            "Ready, polled before, woken longer ago than the limit (1 s).",
            "The loop is blocked, or has more ready tasks and longer polls than it can serve.",
            "for _ in 0..100_000 { create_task(heavy_poll()); }",
            "Shorten the polls before it (see blocked), move work to an executor, or spread the tasks over several loops.",
        ],
        FindingName::Spinning => [
            "A task wakes itself nearly every time it runs: it polls in a circle instead of waiting.",
            "In at least half a second: 1,000 polls a second or more, 90 % of them woken by the task itself, and 5 µs or less a poll on average; and it ran or was ready both when that time began and when it ended.",
            "A future that calls wake_by_ref and returns Pending until something changes, or yield_now in a loop that waits for a flag.",
            "while !flag.get() { yield_now().await }",
            "Wait for the thing itself: an Event, a channel, a Condition, a timer.",
        ],
        FindingName::WakeStorm => [
            "A task is woken very often and gets nothing done.",
            "In at least half a second: woken 5,000 times a second or more by others, and its polls took 5 µs or less on average.",
            "Many small messages that could be one, a waker shared by many sources, or a lock that is handed back and forth.",
            "for byte in bytes { tx.send(byte).await }",
            "Send in batches, drain all that is there in one poll, or give each source a waiter of its own.",
        ],
        FindingName::NeverYields => [
            "A task is still in its first poll, and has been for long.",
            "Running, in its first poll, longer than the limit (1 s) by the clock on the wall.",
            "An endless or very long loop without an await that waits; many awaits are ready at once and never give the loop a turn.",
            "create_task(async { loop { step() } });",
            "Put yield_now().await into the loop, or run it in an executor or a thread of its own.",
        ],
        FindingName::NeverPolled => [
            "A task was spawned and has not been polled once.",
            "Ready since it was spawned, longer ago than the limit (1 s).",
            "Its loop is blocked or overloaded, or nobody runs it.",
            "let l = new_event_loop(); l.create_task(work()); /* and never run */",
            "Run the loop; if it runs, look at what blocks it.",
        ],
        FindingName::LateTimer => [
            "A timer fired much later than it was due, or is due and has not fired.",
            "Late by more than the limit (100 ms), now or when it last fired.",
            "Its loop could not turn: the lag of the loop shows it.",
            "sleep(ms(10)).await while another task blocks the loop for 400 ms",
            "Remove the block or the load that holds the loop; nothing is wrong with the timer. All late timers of a loop are one finding, whose place is that of the latest.",
        ],
        FindingName::OrphanTimer => [
            "A timer is armed, but firing it will wake nobody.",
            "Armed, and no waker or callback belongs to it; or the task whose own waker it has is over, in two looks; or that task was polled 1,000 times since it last asked for the timer, which was armed more than 60 s ago.",
            "A sleep was polled by hand and then kept without being polled on, or its task has ended while something keeps the sleep.",
            "let mut s = Box::pin(sleep(hour)); poll_once(&mut s); store(s);",
            "Drop the sleep when nobody awaits it: that removes the timer.",
        ],
        FindingName::AbandonedFd => [
            "A descriptor is registered, but nobody can use it any more.",
            "The task that waited for it last (or, if none ever did, that registered it) has ended and nobody waits for it, or that task can never be woken; it was not handed from task to task, as a pool does; and nothing happened on it for 60 s, or what `Builder::leak_limits` says.",
            "A socket was kept in a map or a leaked value after the task that served it ended.",
            "connections.insert(id, stream); /* never removed */",
            "Drop the stream with the task that serves it.",
        ],
        FindingName::UnreadError => [
            "A task ended with an error or a panic that nobody looked at.",
            "Ended with an error or a panic, the result was not taken, and no handle is left. Of a plain task an Err is an output like any other: spawning is generic, and stable Rust has no specialization to tell Result from the rest, so errors are known of tasks spawned with spawn_fallible, panics of all.",
            "The handle was dropped, so the error had nowhere to go.",
            "create_task(async { save().await? });",
            "Await the task and look at its result, or handle the error inside it.",
        ],
        FindingName::IgnoredCancel => [
            "A task was asked to stop and goes on.",
            "Cancelling it was requested longer ago than the limit (5 s), and it has not ended.",
            "catch_cancel around something that does not end, a shield, or a poll that never returns.",
            "catch_cancel(async { loop { work().await } }).await",
            "After a cancel was caught, clean up and return; use a timeout for the clean-up.",
        ],
        FindingName::LargeFuture => [
            "The future of a task is very large.",
            "Its size is at or over the limit (16 KiB).",
            "A big array or many nested futures live across an await; each move of the future copies them.",
            "let buffer = [0u8; 65_536]; read(&mut buffer).await",
            "Put the buffer in a Vec, and box large futures before they are joined or selected.",
        ],
        FindingName::BlockingCall => [
            "A poll made a call that may hold its thread.",
            "The feature intercept is on and the loop looks for such calls (Builder::on_blocking_call): the C library's sleep, fsync, flock, getaddrinfo, wait, poll, or a read, receive, connect or accept on a descriptor that blocks; a wait for a thread or its lock counts from 1 ms on. Not inside allow_blocking.",
            "Code for threads was called from a task: std::fs, std::net, std::process, a client that is not async, a lock that another thread holds.",
            "let page = std::fs::read_to_string(path)?;",
            "Use the async form, or run_in_executor; allow_blocking with a reason where it is meant.",
        ],
        FindingName::LockOrder => [
            "Tasks took locks in opposite orders: it went well so far, and could end in a deadlock.",
            "A task took one lock while it had another, and other tasks took them the other way round, or in a circle of up to eight locks, at any time before. Not said if one task alone did it, if a further lock was had each time (at most four are looked at), or where try_lock took the second one, which does not wait. Each loop remembers 256 orders; those that were seen longest ago are forgotten first, and counted.",
            "Two functions that each need both locks and take them in the order in which they use them.",
            "pay: cart.lock().await; stock.lock().await;   restock: stock.lock().await; cart.lock().await;",
            "Take the locks in one order everywhere, for example by their names; or put both values under one lock; or let go of the first before taking the second.",
        ],
        FindingName::WakerHoard => [
            "Very many wakers of one task are alive.",
            "More than 1,000 wakers of it are alive. One is enough for each thing that a task waits for.",
            "Something clones the waker at each poll and keeps them all: a list of waiters that nobody clears, a channel that never forgets.",
            "poll_fn(|cx| { waiters.push(cx.waker().clone()); Poll::Pending })",
            "Keep one waker per wait and replace it only if will_wake says no; drop it when the wait ends.",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_explained_with_an_example_and_what_to_do() {
        let mut examples = Vec::new();
        for name in FindingName::ALL {
            let e = name.explain();
            for text in [e.summary, e.condition, e.evidence, e.cause, e.fix] {
                assert!(text.len() > 15, "{}: {text:?}", e.name);
                assert!(text.ends_with('.'), "{}: no sentence: {text:?}", e.name);
            }
            // Code, though not a whole program: those are in the corpus, one or more a finding.
            let count = |of: char| e.example.chars().filter(|c| *c == of).count();
            for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
                assert_eq!(count(open), count(close), "{}: {}", e.name, e.example);
            }
            assert!(e.example.len() > 10, "{}", e.name);
            examples.push(e.example);
        }
        examples.sort_unstable();
        examples.dedup();
        assert_eq!(examples.len(), FindingName::ALL.len(), "each has its own");
    }
}
