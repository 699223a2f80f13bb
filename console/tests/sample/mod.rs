//! A small shop of an app, as answers: every screen has content, every number is fixed.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::time::Duration;

use loop_console::drive::Driver;
use loop_console::store::*;
use loop_console::update::wanted;

pub(crate) const S: u64 = 1_000_000_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const US: u64 = 1_000;
/// The app's clock when the sample was taken: 2:13:07 after its start.
pub(crate) const AT: u64 = 7_987 * S;

pub(crate) fn hello() -> Hello {
    Hello {
        instance: "00112233445566778899aabbccddeeff".into(),
        name: "shop-api".into(),
        version: "1.4.2".into(),
        pid: 48_211,
        started_unix_ns: 1_700_000_000 * S,
        now_ns: AT,
        now_unix_ns: 1_700_007_987 * S,
        runtime_version: "0.1.0".into(),
        protocol: "1.0".into(),
        tick_source: "tsc".into(),
        block_budget_ns: 100 * MS,
        role: "observe".into(),
        ..Hello::default()
    }
}

fn strip(values: &[u64]) -> Strip {
    Strip {
        slot_ns: S,
        end_ns: AT,
        values: values.to_vec(),
    }
}

fn wait(kind: &str, what: &str, target: Option<Goto>) -> Option<Wait> {
    Some(Wait {
        kind: kind.into(),
        what: what.into(),
        target,
        ..Wait::default()
    })
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|n| (*n).to_owned()).collect()
}

fn a_task(
    id: u64,
    name: &str,
    state: TaskState,
    loop_id: u64,
    for_ns: u64,
    place: &str,
) -> TaskRow {
    TaskRow {
        id,
        name: name.into(),
        kind: "async".into(),
        state,
        loop_id,
        for_ns,
        spawned_ns: AT - 2_500 * S,
        spawned_at: place.into(),
        polls: id % 97 + 3,
        busy_ns: id * 37 * US,
        max_poll_ns: id * 13 * US,
        wakes: id % 89 + 3,
        wakers: 1,
        handles: 1,
        strip: Some(strip(&vec![id * 100 * US; 60])),
        ..TaskRow::default()
    }
}

pub(crate) fn tasks() -> Vec<TaskRow> {
    let mut out = vec![
        TaskRow {
            wait: Some(Wait {
                nothing: true,
                kind: "nothing".into(),
                ..Wait::default()
            }),
            findings: names(&["stranded"]),
            wakers: 0,
            handles: 0,
            detached: true,
            ..a_task(
                2071,
                "ws::reader",
                TaskState::Wait,
                1,
                2_284 * S,
                "src/ws.rs:41:9",
            )
        },
        TaskRow {
            wait: wait("task", "409 (gather)", Some(Goto::Task(409))),
            more_waits: 30,
            kids: 31,
            ..a_task(
                402,
                "batch",
                TaskState::Wait,
                3,
                70 * S,
                "src/batch.rs:19:5",
            )
        },
        TaskRow {
            wait: Some(Wait {
                kind: "timer".into(),
                due_ns: Some(AT + 28 * S),
                target: Some(Goto::Timer(411)),
                ..Wait::default()
            }),
            ..a_task(400, "tick", TaskState::Wait, 3, 32 * S, "src/main.rs:77:5")
        },
        TaskRow {
            wait: wait("io", "r fd 41 10.0.4.7:50012", Some(Goto::Io(41))),
            last_woken_ns: Some(AT - 31 * S),
            woken_by: "io source 41".into(),
            ..a_task(
                311,
                "http::conn",
                TaskState::Wait,
                0,
                31 * S,
                "src/serve.rs:60:13",
            )
        },
        TaskRow {
            wait: wait("lock", "cart, held by 298", Some(Goto::Task(298))),
            parent: Some(402),
            ..a_task(
                312,
                "cart::add",
                TaskState::Wait,
                0,
                30 * S,
                "src/cart.rs:102:5",
            )
        },
        TaskRow {
            woken_by: "itself".into(),
            findings: names(&["spinning"]),
            self_wakes: 90_000,
            wakes: 91_220,
            polls: 91_220,
            ..a_task(
                88,
                "poller",
                TaskState::Ready,
                0,
                2 * MS,
                "src/poll.rs:12:5",
            )
        },
        TaskRow {
            findings: names(&["blocked", "large-future"]),
            max_poll_ns: 412 * MS,
            parent: Some(402),
            future_bytes: Some(18_637),
            strip: Some(strip(&[0, 0, 412 * MS, 0, 0, 0, 388 * MS, 0])),
            ..a_task(
                1093,
                "report::render",
                TaskState::Run,
                2,
                MS,
                "/home/me/.cargo/registry/src/index-1/report-2.0.1/src/render.rs:88:17",
            )
        },
        // A name that tries to be the terminal's master.
        TaskRow {
            wait: None,
            ..a_task(
                666,
                "evil\u{1b}[2J\u{202e}txt",
                TaskState::Wait,
                0,
                S,
                "src/\u{7}evil.rs:1:1",
            )
        },
    ];
    out.extend((3000..3030).map(|id| TaskRow {
        wait: wait("io", &format!("r fd {}", id - 2900), Some(Goto::Io(id))),
        ..a_task(
            id,
            "http::conn",
            TaskState::Wait,
            id % 4,
            (3031 - id) * 10 * MS,
            "src/serve.rs:60:13",
        )
    }));
    out
}

pub(crate) fn block(id: u64, ago: u64, for_ns: u64, stack: bool) -> BlockRow {
    let frame = |function: &str, place: &str, yours: bool, culprit: bool| Frame {
        function: function.into(),
        place: place.into(),
        yours,
        culprit,
        ..Frame::default()
    };
    let stack = if stack {
        vec![
            frame(
                "deflate::compress_block",
                "/x/registry/src/i/deflate-1.0.0/src/lz.rs:412:1",
                false,
                false,
            ),
            frame(
                "deflate::write",
                "/x/registry/src/i/deflate-1.0.0/src/lib.rs:88:1",
                false,
                false,
            ),
            frame(
                "pdf::Page::finish",
                "/x/registry/src/i/pdf-0.9.1/src/page.rs:203:1",
                false,
                false,
            ),
            frame("report::render_pdf", "src/report.rs:88:5", true, true),
            frame("report::render", "src/report.rs:61:5", true, false),
            Frame {
                module: "libc.so.6".into(),
                offset: 0x2a1c,
                ..Frame::default()
            },
        ]
    } else {
        Vec::new()
    };
    BlockRow {
        id,
        at_ns: AT - ago * S,
        loop_id: 2,
        for_ns,
        at_most_ns: Some(for_ns + 3 * MS),
        budget_ns: 100 * MS,
        task: Some(1093),
        name: "report::render".into(),
        place: "src/report.rs:88:5".into(),
        place_from: if stack.is_empty() { "await" } else { "stack" }.into(),
        function: "render_pdf".into(),
        waited: Some(9),
        waited_worst_ns: Some(for_ns + 18 * MS),
        cause: "cpu".into(),
        cause_reason: "the thread's CPU clock moved all the time".into(),
        no_stack: if stack.is_empty() {
            "the block ended before the watchdog looked".into()
        } else {
            String::new()
        },
        stack_at_ns: (!stack.is_empty()).then_some(AT - ago * S + 100 * MS),
        stack,
        ..BlockRow::default()
    }
}

pub(crate) fn loops() -> Vec<LoopRow> {
    let one = |id: u64, name: &str, p99: u64, max: u64| LoopRow {
        id,
        name: name.into(),
        thread: name.into(),
        state: "run".into(),
        tasks: 305 + id,
        ready: id * 3,
        lag_p50_ns: Some(35 * US),
        lag_p99_ns: Some(p99),
        lag_max_ns: Some(max),
        budget_ns: 100 * MS,
        backend: "epoll".into(),
        ..LoopRow::default()
    };
    vec![
        one(0, "main", 3_100 * US, 88 * MS),
        LoopRow {
            state: "park".into(),
            ..one(1, "loop-1", 400 * US, 9 * MS)
        },
        LoopRow {
            blocks: 31,
            worst_block_ns: 412 * MS,
            ..one(2, "loop-2", 371 * MS, 412 * MS)
        },
        one(3, "loop-3", 900 * US, 12 * MS),
    ]
}

fn series() -> Vec<SeriesRow> {
    let mut out = Vec::new();
    for id in 0..4 {
        let values: Vec<u64> = (0..60)
            .map(|i| {
                if id == 2 && i % 6 == 1 {
                    412 * MS
                } else {
                    300 * US
                }
            })
            .collect();
        let s = |slot_ns| Strip {
            slot_ns,
            end_ns: AT,
            values: values.clone(),
        };
        out.push(SeriesRow {
            loop_id: id,
            lag_max: s(S),
            block_max: s(S),
            ..SeriesRow::default()
        });
        out.push(SeriesRow {
            loop_id: id,
            lag_max: s(10 * S),
            block_max: s(10 * S),
            ..SeriesRow::default()
        });
    }
    out
}

pub(crate) fn findings() -> Vec<Finding> {
    let one = |id: u64, name: &str, grade, place: &str, ago: u64, evidence: &[&str]| Finding {
        id,
        name: name.into(),
        grade,
        place: place.into(),
        since_ns: AT - ago * S,
        count: 1,
        fingerprint: format!("{id:016x}"),
        evidence: names(evidence),
        user: true,
        ..Finding::default()
    };
    vec![
        Finding {
            subject: Some(Goto::Task(1093)),
            subject_name: "report::render".into(),
            loop_id: Some(2),
            count: 31,
            ..one(
                1,
                "blocked",
                Grade::Certain,
                "src/report.rs:88:5",
                14,
                &["loop 2 could not turn for 412 ms"],
            )
        },
        Finding {
            subject: Some(Goto::Task(2071)),
            subject_name: "ws::reader".into(),
            count: 3,
            ..one(
                2,
                "stranded",
                Grade::Certain,
                "src/ws.rs:41:9",
                2_284,
                &[
                    "no waker is alive",
                    "no handle is alive",
                    "it is not queued",
                ],
            )
        },
        one(
            3,
            "growing",
            Grade::Suspect,
            "src/session.rs:120:5",
            600,
            &["212 live tasks of this place, 180 more than 10 minutes ago"],
        ),
        Finding {
            subject: Some(Goto::Task(88)),
            subject_name: "poller".into(),
            ..one(
                4,
                "spinning",
                Grade::Suspect,
                "src/poll.rs:12:5",
                45,
                &["it woke itself in 96 % of its polls"],
            )
        },
        one(
            5,
            "unread-error",
            Grade::Warning,
            "src/mail.rs:33:5",
            3,
            &["ended with an error that nobody read"],
        ),
    ]
}

pub(crate) fn leaks() -> Vec<Finding> {
    findings().into_iter().filter(Finding::is_leak).collect()
}

fn timers() -> Vec<TimerRow> {
    vec![
        TimerRow {
            id: 77,
            kind: "call_at".into(),
            owner: Some(640),
            owner_gone: true,
            loop_id: 2,
            due_ns: AT - 4 * S,
            late_ns: Some(4 * S),
            set_at: "src/ws.rs:90:9".into(),
            findings: names(&["orphan-timer", "late-timer"]),
            ..TimerRow::default()
        },
        TimerRow {
            id: 9001,
            kind: "sleep".into(),
            owner: Some(311),
            owner_name: "http::conn".into(),
            due_ns: AT + 12 * MS,
            set_at: "src/serve.rs:71:9".into(),
            has_waker: true,
            ..TimerRow::default()
        },
        TimerRow {
            id: 411,
            kind: "interval".into(),
            owner: Some(400),
            owner_name: "tick".into(),
            loop_id: 3,
            due_ns: AT + 480 * MS,
            every_ns: Some(500 * MS),
            late_ns: Some(2_100 * US),
            fired: 15_940,
            set_at: "src/main.rs:71:9".into(),
            has_waker: true,
            ..TimerRow::default()
        },
    ]
}

fn io() -> Vec<IoRow> {
    let one = |id: u64, fd: i64, kind: &str, peer: &str, task: u64, idle: u64| IoRow {
        id,
        fd: Some(fd),
        kind: kind.into(),
        local: "10.0.1.5:443".into(),
        peer: peer.into(),
        interest: "r".into(),
        ready: "-".into(),
        task: Some(task),
        task_name: "http::conn".into(),
        last_ready_ns: Some(AT - idle),
        wakes: 2_201,
        spurious: 4,
        buffered: 0,
        place: "src/serve.rs:60:13".into(),
        since_ns: AT - 3_000 * S,
        ..IoRow::default()
    };
    vec![
        IoRow {
            findings: names(&["abandoned-fd"]),
            ..one(88, 88, "tcp", "10.0.4.9:51122", 2071, 2_470 * S)
        },
        one(41, 41, "tcp", "10.0.4.7:50012", 311, 31 * S),
        one(12, 12, "listen", "", 3, 2 * MS),
    ]
}

pub(crate) fn overview() -> Overview {
    let histogram = Histogram {
        buckets: vec![
            (40 * US, 530),
            (900 * US, 201),
            (9 * MS, 61),
            (90 * MS, 13),
            (412 * MS, 7),
        ],
        count: 812_004,
        floor_ns: 400,
        below_floor: 811_192,
        p50_ns: 200,
        p90_ns: 300,
        p95_ns: 410 * US,
        p99_ns: 2_200 * US,
        max_ns: 412 * MS,
        since_ns: 0,
    };
    Overview {
        tasks: 1_284,
        run: 3,
        ready: 321,
        wait: 960,
        spawned: 91_000,
        finished: 89_716,
        timers: 402,
        next_due_ns: Some(AT + 12 * MS),
        timers_fired: 40_000,
        timers_cancelled: 5_400,
        sources: 588,
        sources_ready: 4,
        io_events: 900_000,
        io_spurious: 2_700,
        fds_open: Some(588),
        fds_limit: Some(1_024),
        jobs_run: 6,
        workers: 16,
        pools: [(2, "executor", 8, 6), (2, "lookup", 1, 4)]
            .map(|(id, name, queued, limit)| Pool {
                name: name.into(),
                loop_id: Some(id),
                threads: limit,
                busy: if queued > 1 { limit } else { 1 },
                limit,
                queued,
                finished: 414,
            })
            .into(),
        certain: 2,
        suspect: 2,
        warning: 1,
        blocks: 31,
        lag: Histogram {
            p99_ns: 371 * MS,
            max_ns: 412 * MS,
            ..histogram.clone()
        },
        timer_late: Histogram {
            p99_ns: 371 * MS,
            ..histogram.clone()
        },
        poll: histogram,
        ..Overview::default()
    }
}

pub(crate) fn detail() -> TaskDetail {
    let row = tasks()
        .into_iter()
        .find(|t| t.id == 1093)
        .expect("in the sample");
    let h = overview().poll;
    let waits = vec![
        Wait {
            kind: "task".into(),
            what: "1201 db::fetch".into(),
            target: Some(Goto::Task(1201)),
            place: "src/db.rs:40:9".into(),
            ..Wait::default()
        },
        Wait {
            kind: "timer".into(),
            due_ns: Some(AT + 4_100 * MS),
            target: Some(Goto::Timer(9002)),
            place: "src/report.rs:99:9".into(),
            ..Wait::default()
        },
    ];
    let mut awaits = AwaitStep::first(1093, &row.name, &waits);
    awaits[0].on_name = "db::fetch".into();
    awaits[0].on_state = "WAIT".into();
    let behind = |depth, kind: &str, what: &str, on: Option<u64>, on_name: &str| AwaitStep {
        depth,
        task: 1201,
        name: "db::fetch".into(),
        wait: Wait {
            kind: kind.into(),
            what: what.into(),
            since_ns: Some(AT - 3 * S),
            place: "src/pool.rs:18:30".into(),
            holder: on,
            ..Wait::default()
        },
        on,
        on_name: on_name.into(),
        on_state: if on.is_some() {
            "WAIT".into()
        } else {
            String::new()
        },
        ring: false,
    };
    awaits.insert(
        1,
        behind(2, "lock", "pool, held by 298", Some(298), "db::migrate"),
    );
    awaits.insert(
        2,
        AwaitStep {
            task: 298,
            name: "db::migrate".into(),
            ..behind(3, "io", "r fd 41 10.0.4.7:5432", None, "")
        },
    );
    TaskDetail {
        at_ns: AT,
        waits,
        awaits,
        awaited_by: vec![AwaitStep {
            depth: 1,
            task: 402,
            name: "conn-7".into(),
            wait: Wait {
                kind: "task".into(),
                what: "1093 checkout".into(),
                target: Some(Goto::Task(1093)),
                since_ns: Some(AT - 9 * S),
                place: "src/http.rs:214:27".into(),
                ..Wait::default()
            },
            on: Some(1093),
            ..AwaitStep::default()
        }],
        parents: vec![
            tasks()
                .into_iter()
                .find(|t| t.id == 402)
                .expect("in the sample"),
        ],
        findings: findings().into_iter().filter(|f| f.id == 1).collect(),
        polls: Some(Histogram {
            since_ns: AT - 50 * S,
            ..h.clone()
        }),
        scheduled: Some(h),
        blocks: vec![block(900, 14, 412 * MS, true)],
        busy: row.strip.clone(),
        joined_by: vec![402],
        woken_by: vec![("task".into(), 17), ("io source".into(), 11)],
        row,
        ..TaskDetail::default()
    }
}

pub(crate) fn cost(lost: u64) -> Cost {
    Cost {
        inspector_cpu_ns: 9 * S,
        watchdog_cpu_ns: 80 * MS,
        recorder_bytes: 3 << 20,
        ring_capacity: 65_536,
        ring_fill: 120,
        losses: if lost > 0 {
            vec![Loss {
                kind: "polled".into(),
                count: lost,
            }]
        } else {
            Vec::new()
        },
        viewers: 1,
        viewers_limit: 16,
        ..Cost::default()
    }
}

pub(crate) fn resources() -> Vec<ResourceRow> {
    let thing = |id: u64, kind: &str, name: &str, waiters: u64| ResourceRow {
        id,
        kind: kind.into(),
        name: name.into(),
        loop_id: Some(id % 3),
        owner: Some(1),
        owner_name: "main".into(),
        waiters,
        oldest_wait_ns: (waiters > 0).then_some(id * S),
        uses: 4_000 + id,
        contended: id,
        place: format!("src/cart.rs:{id}:16"),
        made_ns: AT - 7_000 * S,
        ..ResourceRow::default()
    };
    vec![
        ResourceRow {
            level: Some(0),
            capacity: Some(8),
            ..thing(26, "semaphore", "db-connections", 24)
        },
        ResourceRow {
            state: "held".into(),
            holder: Some(298),
            holder_name: "cart::checkout".into(),
            held_since_ns: Some(AT - 31 * S),
            ..thing(21, "lock", "cart", 1)
        },
        ResourceRow {
            state: "broken".into(),
            owner_gone: true,
            ..thing(25, "future", "", 1)
        },
        ResourceRow {
            state: "free".into(),
            ..thing(27, "lock", "evil\u{1b}[2J\u{202e}txt", 0)
        },
    ]
}

pub(crate) fn jobs() -> Vec<JobRow> {
    let job = |id: u64, state: &str, pool: &str, ago: u64| JobRow {
        id,
        state: state.into(),
        pool: pool.into(),
        loop_id: Some(2),
        task: Some(600 + id),
        task_name: "thumb::make".into(),
        place: "src/thumb.rs:33:20".into(),
        queued_ns: AT - ago,
        started_ns: (state != "queued").then_some(AT - ago + MS),
        tid: (state != "queued").then_some(48_220 + id),
        ..JobRow::default()
    };
    vec![
        job(8, "run", "executor", 40 * S),
        job(9, "abandoned", "executor", 9 * S),
        job(11, "run", "lookup", 3 * S),
        job(10, "queued", "executor", 20 * MS),
    ]
}

pub(crate) fn children() -> Vec<ChildRow> {
    let child = |id: u64, program: &str, ago: u64| ChildRow {
        id,
        pid: 48_900 + id,
        program: program.into(),
        loop_id: 2,
        task: Some(611),
        task_name: "probe::ping".into(),
        place: "src/probe.rs:19:9".into(),
        started_ns: AT - ago,
        ..ChildRow::default()
    };
    vec![
        ChildRow {
            open_pipes: 0b010,
            waiters: 1,
            ..child(32, "ping", 420 * S)
        },
        ChildRow {
            ended: true,
            ended_ns: Some(AT - 20 * S),
            exit_code: Some(2),
            ..child(33, "tar", 60 * S)
        },
        ChildRow {
            ended: true,
            ended_ns: Some(AT - 50 * S),
            signal: Some(9),
            ..child(34, "evil\u{1b}]0;owned\u{7}", 180 * S)
        },
    ]
}

pub(crate) fn signals() -> Vec<SignalRow> {
    vec![SignalRow {
        id: 15,
        number: 15,
        name: "SIGTERM".into(),
        listeners: 1,
        deliveries: 2,
        last_ns: Some(AT - 840 * S),
        place: "src/main.rs:31:10".into(),
        ..SignalRow::default()
    }]
}

/// The tasks that wait for the semaphore.
pub(crate) fn waiting() -> Waiting {
    Waiting {
        of: Goto::Resource(26),
        waiters: (0..24)
            .map(|n| Waiter {
                task: 1_300 + n,
                name: format!("db::query-{n}"),
                since_ns: Some(AT - (24 - n) * 400 * MS),
                place: "src/db.rs:31:22".into(),
            })
            .collect(),
        total: 24,
    }
}

/// An answer to a slot of the screens.
pub(crate) fn view(slot: Slot, body: Body) -> Update {
    Update::View(Box::new(View {
        incomplete: String::new(),
        slot,
        at_ns: AT,
        body,
    }))
}

pub(crate) fn rows<T>(rows: Vec<T>) -> Rows<T> {
    let n = rows.len() as u64;
    Rows {
        total: n,
        matched: n,
        offset: 0,
        rows,
        torn: false,
    }
}

/// A console that is attached to the sample.
pub(crate) fn full() -> Driver {
    let mut d = attached();
    for update in [
        view(wanted::OVERVIEW, Body::Overview(Box::new(overview()))),
        view(wanted::COST, Body::Cost(Box::new(cost(0)))),
        view(wanted::SERIES, Body::Series(series())),
        view(wanted::LOOPS, Body::Loops(rows(loops()))),
        view(wanted::FINDINGS, Body::Findings(rows(findings()))),
        view(wanted::LEAKS, Body::Leaks(rows(leaks()))),
        view(wanted::TASKS, Body::Tasks(rows(tasks()))),
        view(
            wanted::BLOCKS,
            Body::Blocks(rows(vec![
                block(900, 14, 412 * MS, true),
                block(899, 20, 388 * MS, true),
                block(898, 26, 131 * MS, false),
            ])),
        ),
        view(wanted::TIMERS, Body::Timers(rows(timers()))),
        view(wanted::IO, Body::Io(rows(io()))),
        view(wanted::RESOURCES, Body::Resources(rows(resources()))),
        view(wanted::JOBS, Body::Jobs(rows(jobs()))),
        view(wanted::CHILDREN, Body::Children(rows(children()))),
        view(wanted::SIGNALS, Body::Signals(rows(signals()))),
        view(wanted::WAITING, Body::Waiting(Some(Box::new(waiting())))),
        view(
            wanted::GROUPS,
            Body::Groups(rows(vec![GroupRow {
                id: 5,
                place: "src/serve.rs:60:13".into(),
                name: "http::conn".into(),
                live: 412,
                ready: 3,
                spawned: 90_000,
                finished: 89_588,
                busy_ns: 9 * S,
                polls: 1_000_000,
                max_poll_ns: 12 * MS,
                oldest_ns: Some(AT - 6_000 * S),
                ..GroupRow::default()
            }])),
        ),
    ] {
        d.learn(update);
    }
    let event = |ago: u64, kind: &str| Event {
        at_ns: AT - ago * S,
        kind: kind.into(),
        loop_id: Some(2),
        duration_ns: Some(412 * MS),
        ..Event::default()
    };
    d.learn(Update::Events(vec![
        event(20, "viewer-attached"),
        event(14, "unblocked"),
    ]));
    d
}

/// A console that is attached and has no answers yet.
pub(crate) fn attached() -> Driver {
    let mut d = Driver::new();
    d.now = Duration::from_secs(100);
    d.learn(Update::Link(Link::Connecting {
        target: "48211".into(),
        step: "hello".into(),
    }));
    d.learn(Update::Hello(Box::new(hello())));
    d.learn(Update::Link(Link::Live));
    d
}

/// A console attached to an app in which nothing is.
pub(crate) fn empty() -> Driver {
    let mut d = attached();
    for update in [
        view(wanted::OVERVIEW, Body::Overview(Box::default())),
        view(wanted::COST, Body::Cost(Box::default())),
        view(wanted::SERIES, Body::Series(Vec::new())),
        view(wanted::LOOPS, Body::Loops(Rows::default())),
        view(wanted::FINDINGS, Body::Findings(Rows::default())),
        view(wanted::LEAKS, Body::Leaks(Rows::default())),
        view(wanted::TASKS, Body::Tasks(Rows::default())),
        view(wanted::GROUPS, Body::Groups(Rows::default())),
        view(wanted::BLOCKS, Body::Blocks(Rows::default())),
        view(wanted::TIMERS, Body::Timers(Rows::default())),
        view(wanted::IO, Body::Io(Rows::default())),
        view(wanted::RESOURCES, Body::Resources(Rows::default())),
        view(wanted::JOBS, Body::Jobs(Rows::default())),
        view(wanted::CHILDREN, Body::Children(Rows::default())),
        view(wanted::SIGNALS, Body::Signals(Rows::default())),
    ] {
        d.learn(update);
    }
    d
}

/// A console whose app stopped answering 12 s ago.
pub(crate) fn lost() -> Driver {
    let mut d = full();
    d.now += Duration::from_secs(11);
    d.learn(Update::Link(Link::Lost {
        reason: "connection refused".into(),
        retry_in: Duration::from_millis(1_800),
    }));
    d.pass(Duration::from_secs(1));
    d
}

/// A console frozen 42 s ago; a finding came since.
pub(crate) fn frozen() -> Driver {
    let mut d = full();
    d.keys("space");
    let mut more = findings();
    more.push(Finding {
        id: 6,
        name: "starved".into(),
        count: 1,
        since_ns: AT,
        fingerprint: "06".into(),
        ..Finding::default()
    });
    d.now += Duration::from_secs(42);
    d.learn(view(wanted::FINDINGS, Body::Findings(rows(more))));
    d
}
