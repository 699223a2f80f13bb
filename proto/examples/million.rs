//! Prints what filtering, sorting and paging a million live rows cost, in CPU time of one thread:
//! `cargo run --release -p loop-proto --example million`. Rows are headers of 192 bytes in one
//! block of memory, read in place, as the runtime's task table is.

use std::hint::black_box;
use std::time::{Duration, Instant};

use loop_proto::filter::Filter;
use loop_proto::finding::{Limits, State, TaskFacts, of_task};
use loop_proto::page::{Page, Request, RowSource, Seek, select};
use loop_proto::row::{Field, Row, Value};
use loop_proto::sort::Sort;
use loop_proto::table::Table;

const ROWS: u64 = 1_000_000;

/// Three cache lines, the facts spread over them.
#[repr(C, align(64))]
struct Header {
    polls: u64,
    busy_ns: u64,
    since_ns: u64,
    state: u64,
    _hot: [u64; 4],
    wakes: u64,
    _foreign: [u64; 7],
    id: u64,
    number: u64,
    place: u64,
    loop_id: u64,
    _cold: [u64; 4],
}

const NOW: u64 = 1 << 40;
const NAMES: [&str; 4] = ["http::conn", "ws::reader", "cart::add", "report::render"];
const FILES: [&str; 4] = ["src/serve.rs", "src/ws.rs", "src/cart.rs", "src/report.rs"];

impl Row for Header {
    fn id(&self) -> u64 {
        self.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        match field {
            Field::Id => Value::Number(self.id),
            Field::Polls => Value::Number(self.polls),
            Field::Wakes => Value::Number(self.wakes),
            Field::State => Value::Word(self.state as u8),
            Field::For => Value::nanos(NOW - self.since_ns),
            Field::Busy => Value::Ratio(self.busy_ns as f64 / 6e10),
            Field::Loop => Value::Number(self.loop_id),
            Field::Name => Value::Numbered(NAMES[self.place as usize], self.number),
            Field::Place => Value::Place(FILES[self.place as usize], 41, 5),
            _ => Value::Absent,
        }
    }
}

struct Rows(Vec<Header>);

impl RowSource for Rows {
    type Row<'a> = Header;

    fn visit(&self, each: impl FnMut(&Header)) {
        self.0.iter().for_each(each);
    }
}

fn rows() -> Rows {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    Rows(
        (1..=ROWS)
            .map(|id| Header {
                polls: next(100_000),
                busy_ns: next(6_000_000_000),
                since_ns: NOW - next(120_000_000_000),
                state: 1 + next(3),
                _hot: [0; 4],
                wakes: next(1_000),
                _foreign: [0; 7],
                id,
                number: id,
                place: next(4),
                loop_id: next(4),
                _cold: [0; 4],
            })
            .collect(),
    )
}

/// CPU time of this thread where the kernel tells it, else the wall's.
fn cpu_time(begun: Instant) -> Duration {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .map_or_else(|| begun.elapsed(), Duration::from_nanos)
}

fn main() {
    let begun = Instant::now();
    let rows = rows();
    println!(
        "{ROWS} rows of {} bytes, median of 5, CPU time",
        size_of::<Header>()
    );
    let deep = Seek::Rank(ROWS / 2);
    for (what, filter, sort, seek, limit) in [
        (
            "count only, no filter, first 100 by id",
            "",
            "id",
            Seek::Start,
            100,
        ),
        (
            "first 100 by -id (each row better than the last)",
            "",
            "-id",
            Seek::Start,
            100,
        ),
        ("first 100 by -busy", "", "-busy", Seek::Start, 100),
        (
            "first 100 by -for, state=wait for>30s",
            "state=wait for>30s",
            "-for",
            Seek::Start,
            100,
        ),
        ("first 10,000 by -for", "", "-for", Seek::Start, 10_000),
        ("last page (G) by -busy", "", "-busy", Seek::End, 100),
        (
            "page that holds a row, by -busy",
            "",
            "-busy",
            Seek::Holding(777_777),
            100,
        ),
        ("rank 500,000 by -busy", "", "-busy", deep.clone(), 100),
        (
            "rank 500,000 by loop (four keys)",
            "",
            "loop",
            deep.clone(),
            100,
        ),
        ("first 100 by name", "", "name", Seek::Start, 100),
        ("rank 500,000 by name", "", "name", deep, 100),
        (
            "bare word `reader`, first 100 by -busy",
            "reader",
            "-busy",
            Seek::Start,
            100,
        ),
        (
            "name~^conn|er-1?$ or place=ws.rs:41, by -busy",
            "name~^conn|er-1?$ or place=ws.rs:41",
            "-busy",
            Seek::Start,
            100,
        ),
    ] {
        let request = Request {
            filter: Filter::parse(Table::Tasks, filter).expect("a filter"),
            sort: Sort::parse(Table::Tasks, sort).expect("a sort key"),
            seek,
            limit,
        };
        let mut page = Page::default();
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let before = cpu_time(begun);
                page = black_box(select(&rows, request.clone()));
                cpu_time(begun) - before
            })
            .collect();
        times.sort_unstable();
        let (took, matched) = (times[2].as_secs_f64() * 1e3, page.matched);
        println!("{took:8.1} ms   {matched:>9} matched   {what}");
    }
    judge(&rows, begun);
}

/// All rules of tasks, asked of every row.
fn judge(rows: &Rows, begun: Instant) {
    let limits = Limits::default();
    let before = cpu_time(begun);
    let mut findings = 0;
    for row in &rows.0 {
        let facts = TaskFacts {
            at_ns: NOW,
            state: [State::Run, State::Ready, State::Wait][row.state as usize % 3],
            since_ns: NOW - 1 - row.id % 900_000,
            polls: row.polls,
            wakers: u64::from(row.id % 1_000 != 0),
            handles: row.number % 2,
            ..TaskFacts::default()
        };
        findings += of_task(&facts, &limits).len();
    }
    let took = (cpu_time(begun) - before).as_secs_f64() * 1e3;
    println!("{took:8.1} ms   {findings:>9} found     all rules of tasks, no filter");
}
