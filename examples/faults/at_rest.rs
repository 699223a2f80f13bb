//! Programs that keep, pool, ramp and rest as healthy ones do: no leak may be suspected of them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use loop_runtime::net::UnixStream;
use loop_runtime::sync::{Event, Queue};
use loop_runtime::{Task, create_task, run_in_executor, select, sleep, yield_now};

use super::healthy::healthy;
use super::{Program, ms};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const PROGRAMS: [Program; 16] = [
    healthy(
        "idle-workers",
        "Detached workers had jobs, and sleep while there are none.",
        || Box::pin(idle_workers()),
    )
    .quick(),
    healthy(
        "ramp-up-and-down",
        "Load comes and goes, over and over; each task ends.",
        || Box::pin(ramp_up_and_down()),
    )
    .quick(),
    healthy(
        "ramp-by-steps",
        "Load doubles every second and stays; each task ends.",
        || Box::pin(ramp_by_steps()),
    )
    .quick(),
    healthy(
        "ramp-cut-off",
        "Load ramps up, stops at its highest, and what is left ends.",
        || Box::pin(ramp_cut_off()),
    )
    .quick(),
    healthy(
        "steady-pool",
        "Twenty tasks live at any moment, each for a while.",
        || Box::pin(steady_pool()),
    )
    .quick(),
    healthy(
        "cache-warm-up",
        "A cache fills with tasks that stay, and is full.",
        || Box::pin(cache_warm_up()),
    )
    .quick(),
    healthy(
        "slow-down",
        "Requests take ever longer, and none is lost.",
        || Box::pin(slow_down()),
    )
    .quick(),
    healthy(
        "connection-pool",
        "A stream is lent to one task after the other, and rests between.",
        || Box::pin(connection_pool()),
    )
    .quick(),
    healthy(
        "sleep-handed-on",
        "A task begins a sleep, and another one sleeps it to the end.",
        || Box::pin(sleep_handed_on()),
    )
    .quick(),
    healthy(
        "kept-deadline",
        "A deadline for all is asked for at each turn.",
        || Box::pin(kept_deadline()),
    )
    .quick(),
    healthy(
        "long-sleepers",
        "Detached tasks sleep for longer than most, and end.",
        || Box::pin(long_sleepers()),
    )
    .quick(),
    healthy(
        "daemons",
        "Detached daemons wait for work for ever, as they are allowed to.",
        || Box::pin(daemons()),
    )
    .quick(),
    healthy(
        "child-ends-soon",
        "A request starts a task on the side, which ends soon after it.",
        || Box::pin(child_ends_soon()),
    )
    .quick(),
    healthy(
        "slow-job",
        "Of ninety requests one waits for a job that takes long.",
        || Box::pin(one_in_ninety(Rest::Job)),
    )
    .quick(),
    healthy(
        "answer-or-timeout",
        "Of ninety requests one waits for an answer, but not for ever.",
        || Box::pin(one_in_ninety(Rest::Either)),
    )
    .quick(),
    healthy(
        "many-waits",
        "One task waits for eight hundred things at once.",
        || Box::pin(many_waits()),
    )
    .quick(),
];

async fn idle_workers() {
    let jobs = Rc::new(Queue::<u32>::new(0));
    for _ in 0..4 {
        let jobs = jobs.clone();
        create_task(async move {
            while jobs.get().await.is_ok() {
                sleep(ms(1)).await;
            }
        })
        .detach();
    }
    for job in 0..100 {
        jobs.put(job).await.expect("it is open");
        sleep(ms(2)).await;
    }
    sleep(ms(2_500)).await;
    jobs.shutdown(false);
    sleep(ms(20)).await;
}

async fn ramp_up_and_down() {
    for round in 0..3 {
        for step in (0..12).chain((0..12).rev()) {
            for _ in 0..step * (round + 1) {
                create_task(async move { sleep(ms(20 + step * 10)).await }).detach();
            }
            sleep(ms(80)).await;
        }
    }
    sleep(ms(200)).await;
}

async fn ramp_by_steps() {
    for load in [2, 4, 8, 16] {
        for _ in 0..20 {
            for _ in 0..load {
                create_task(async { sleep(ms(120)).await }).detach();
            }
            sleep(ms(50)).await;
        }
    }
    sleep(ms(200)).await;
}

async fn ramp_cut_off() {
    for load in 1..40 {
        for _ in 0..load {
            create_task(async move { sleep(ms(300 + load * 10)).await }).detach();
        }
        sleep(ms(50)).await;
    }
    sleep(ms(900)).await;
}

async fn steady_pool() {
    let mut tasks = VecDeque::new();
    for _ in 0..200 {
        tasks.push_back(create_task(async { sleep(ms(480)).await }));
        if tasks.len() > 20 {
            let first = tasks.pop_front().expect("there are twenty");
            first.await.expect("it sleeps");
        }
        sleep(ms(24)).await;
    }
    for task in tasks {
        task.await.expect("it sleeps");
    }
}

async fn cache_warm_up() {
    let full = Rc::new(Event::new());
    let entry = |full: Rc<Event>| async move { full.wait().await };
    let mut entries = Vec::new();
    for _ in 0..25 {
        entries.push(create_task(entry(full.clone())));
        sleep(ms(100)).await;
    }
    sleep(ms(1_500)).await;
    full.set();
    for entry in entries {
        entry.await.expect("it ends");
    }
}

async fn slow_down() {
    let mut tasks = Vec::new();
    for at in 0..60 {
        tasks.push(create_task(async move { sleep(ms(20 + at * 10)).await }));
        sleep(ms(50)).await;
    }
    for task in tasks {
        task.await.expect("it sleeps");
    }
}

async fn connection_pool() {
    let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
    let server = create_task(async move {
        let mut bytes = [0; 4];
        while far.read_exact(&mut bytes).await.is_ok() {
            sleep(ms(5)).await;
            far.write_all(&bytes).await.expect("it reads");
        }
    });
    for _ in 0..4 {
        let request = create_task(async move {
            near.write_all(b"ping").await.expect("it reads");
            near.read_exact(&mut [0; 4]).await.expect("it answers");
            near
        });
        near = request.await.expect("it ends");
    }
    sleep(ms(2_000)).await;
    drop(near);
    server.await.expect("its peer is gone");
}

async fn sleep_handed_on() {
    // What the task gives back is the sleep itself, for another to wait out.
    #[allow(clippy::async_yields_async)]
    let begun = create_task(async {
        let mut nap = Box::pin(sleep(ms(1_500)));
        poll_fn(|cx| {
            assert!(nap.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        nap
    });
    begun.await.expect("it ends").await;
}

async fn kept_deadline() {
    let mut deadline = Box::pin(sleep(HOUR));
    for _ in 0..2_000 {
        select! {
            () = sleep(ms(1)) => {}
            () = &mut deadline => unreachable!("that is long"),
        }
    }
}

async fn long_sleepers() {
    for at in 0..40 {
        let nap = if at % 10 == 0 { ms(2_500) } else { ms(5) };
        create_task(async move {
            yield_now().await;
            sleep(nap).await;
        })
        .detach();
        sleep(ms(10)).await;
    }
    sleep(ms(2_600)).await;
}

async fn daemons() {
    let work = Rc::new(Queue::<u32>::new(0));
    for _ in 0..3 {
        let work = work.clone();
        let daemon = async move { while work.get().await.is_ok() {} };
        Task::<()>::builder().allow_forever().spawn(daemon).detach();
    }
    sleep(ms(2_500)).await;
    work.shutdown(false);
}

async fn child_ends_soon() {
    for _ in 0..5 {
        let request = create_task(async {
            create_task(sleep(ms(400))).detach();
            sleep(ms(20)).await;
        });
        request.await.expect("it ends");
        sleep(ms(300)).await;
    }
    sleep(ms(400)).await;
}

/// What a request waits for.
#[derive(Clone, Copy)]
enum Rest {
    Short,
    Job,
    Either,
}

async fn one_in_ninety(rest: Rest) {
    let request = |rest: Rest| async move {
        yield_now().await;
        match rest {
            Rest::Short => sleep(ms(5)).await,
            Rest::Job => {
                let job = run_in_executor(|| std::thread::sleep(ms(2_500)));
                job.await.expect("it ends");
            }
            Rest::Either => {
                let never = Event::new();
                select! {
                    () = sleep(ms(2_500)) => {}
                    () = never.wait() => unreachable!("nobody sets it"),
                }
            }
        }
    };
    for at in 0..90 {
        let rest = if at == 7 { rest } else { Rest::Short };
        create_task(request(rest)).detach();
        sleep(ms(4)).await;
    }
    for _ in 0..40 {
        create_task(request(Rest::Short)).detach();
        sleep(ms(60)).await;
    }
}

async fn many_waits() {
    let open = Rc::new(Event::new());
    let waits = open.clone();
    let task = create_task(async move {
        let mut all: Vec<_> = (0..800).map(|_| Box::pin(waits.wait())).collect();
        poll_fn(|cx| {
            all.retain_mut(|wait| wait.as_mut().poll(cx).is_pending());
            if all.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    });
    sleep(ms(1_500)).await;
    open.set();
    task.await.expect("it ends");
}
