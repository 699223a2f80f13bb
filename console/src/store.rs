//! What the console knows of one app: the latest answer per question asked, how fresh it is, and how the link stands.
//! Changed only by [`Store::apply`]. Knows neither protobuf (see `store/decode.rs`), keys nor drawing.

pub mod control;
pub mod decode;
pub mod page;
pub mod row;
pub mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub use page::{Listed, Mark, Page};
pub use row::*;

use crate::recorded::About;

/// The number of one question of this viewer; an answer carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Which rows a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One [`Overview`], no rows.
    Overview,
    /// One [`Cost`], no rows.
    Cost,
    /// For each loop one row a resolution.
    Series,
    /// One [`Hour`], no rows.
    Hour,
    Tasks,
    /// Tasks, each below the one that spawned it.
    Tree,
    /// Tasks that ended.
    History,
    /// Tasks counted by the place that spawned them.
    Groups,
    Loops,
    Blocks,
    Timers,
    Io,
    Resources,
    Jobs,
    Children,
    Signals,
    /// One [`Waiting`]: who waits for the resource of the filter.
    ResourceWaiters,
    /// The same for a job.
    JobWaiters,
    /// The same for a child process.
    ChildWaiters,
    Findings,
    /// Those findings whose names are in [`LEAKS`].
    Leaks,
    /// One [`TaskDetail`], of the task `subject`: asked again and again at `every`, since the protocol answers it once.
    Task,
}

impl Table {
    /// The schema's table whose rows it is about; `None`: it has no rows.
    pub fn of_schema(self) -> Option<loop_proto::table::Table> {
        use loop_proto::table::Table as T;
        Some(match self {
            Table::Overview | Table::Cost | Table::Series | Table::Hour | Table::Task => {
                return None;
            }
            Table::Tasks | Table::Tree => T::Tasks,
            Table::History => T::History,
            Table::Groups => T::Places,
            Table::Loops => T::Loops,
            Table::Blocks => T::Blocks,
            Table::Timers => T::Timers,
            Table::Io => T::Io,
            Table::Resources | Table::ResourceWaiters => T::Resources,
            Table::Jobs | Table::JobWaiters => T::Jobs,
            Table::Children | Table::ChildWaiters => T::Children,
            Table::Signals => T::Signals,
            Table::Findings | Table::Leaks => T::Findings,
        })
    }
}

/// A question to the inspector: sent again, with the same slot, whenever anything in it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub slot: Slot,
    pub table: Table,
    /// The filter language of `loop_proto::filter`; empty means all rows.
    pub filter: String,
    /// A column's sort key; `None` leaves the order to the inspector.
    pub sort: Option<Sort>,
    pub seek: Seek,
    /// How many rows are wanted from there.
    pub limit: u32,
    /// Fields wanted beyond the usual ones (`busy`, `strip`, …).
    pub columns: Vec<String>,
    /// The task of [`Table::Task`].
    pub subject: Option<u64>,
    /// How often an answer is wanted; zero: once.
    pub every: Duration,
}

/// Where the wanted rows begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// At this place of the sorted and filtered list, from 0.
    Rank(u64),
    /// At the page that holds this row; if it is nowhere, at the first.
    Id(u64),
}

/// A sort key and its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    pub key: String,
    pub descending: bool,
}

/// Everything the transport tells the screens.
///
/// The transport never waits for a screen and the screens never touch a socket: these values are all that passes.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The link's state changed, or its countdown began anew.
    Link(Link),
    /// The apps found on this machine; sent whenever the list changes while nothing is attached, and on request.
    Apps(Vec<App>),
    /// The app answered. A new `instance` means that this is another run.
    Hello(Box<Hello>),
    /// The answer to one question, whole: it replaces the one before. Answers to a question that was replaced meanwhile are
    /// dropped by the transport.
    View(Box<View>),
    /// Events in order, oldest first.
    Events(Vec<Event>),
    /// One sentence for the user.
    Notice(String),
    /// What became of a command.
    Answer(Box<control::Answer>),
}

/// How the link to an app stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// No app is running; what was looked at is listed.
    Searching { looked: Vec<Looked> },
    /// Several apps run and none was chosen.
    Choosing,
    /// On the way; `step` says what is done right now ("reading 1,284 tasks").
    Connecting { target: String, step: String },
    /// Attached; answers arrive.
    Live,
    /// The link broke; the next try starts in `retry_in` from now.
    Lost { reason: String, retry_in: Duration },
    /// The app speaks another protocol major.
    VersionGap(Box<VersionGap>),
    /// The app said goodbye: `how` is its exit note.
    Ended { how: String },
}

/// A place where sockets were looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub place: String,
    /// What was there ("0 sockets", "no such directory", "not owned by you").
    pub found: String,
}

impl Looked {
    /// A line for each place, the first of them with what they are.
    #[must_use]
    pub fn lines(looked: &[Self]) -> Vec<String> {
        let heads = std::iter::once("  looked in  ").chain(std::iter::repeat("             "));
        heads
            .zip(looked)
            .map(|(head, at)| {
                let text = format!("{} ({})", at.place, at.found);
                format!("{head}{}", loop_proto::escape::escape(&text, 1024))
            })
            .collect()
    }
}

/// Both ends of a gap that cannot be bridged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionGap {
    pub app: String,
    pub pid: u32,
    pub app_version: String,
    pub app_protocol: String,
    pub console_version: String,
    pub console_protocol: String,
    /// The command or change that mends it.
    pub fix: String,
}

/// An app that could be attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// What `Ask::Connect` takes to get there.
    pub target: String,
    pub pid: u32,
    pub name: String,
    pub up: Option<Duration>,
    pub loops: Option<u32>,
    /// The worst finding in words, if it was asked.
    pub worst: Option<String>,
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hello {
    /// 128 random bits of this run, as hex.
    pub instance: String,
    pub name: String,
    pub version: String,
    pub pid: u32,
    /// The app's start on the wall clock, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// The app's monotonic clock at the moment of this answer, in nanoseconds, and the wall clock then.
    pub now_ns: u64,
    pub now_unix_ns: u64,
    pub runtime_version: String,
    pub protocol: String,
    /// Where durations come from ("tsc", "cntvct", "clock_gettime").
    pub tick_source: String,
    /// What this runtime can record and answer, by name.
    pub capabilities: Vec<String>,
    pub block_budget_ns: u64,
    pub hostname: String,
    pub platform: String,
    pub debug_build: bool,
    /// The role this viewer has: `observe` or `control`.
    pub role: String,
    /// Why it may not command; empty: it may.
    pub role_reason: String,
    /// What can be recorded, whether it is, and what to do about it.
    pub recorded: Vec<Recorded>,
    /// The file that will outlive the process; `None`: the app does not speak of one.
    pub kept: Option<Kept>,
    /// It is no app that answers but a recording of one.
    pub recording: Option<Box<About>>,
}

/// One thing that can be recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    pub what: String,
    pub on: bool,
    pub detail: String,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub slot: Slot,
    /// The app's monotonic clock when the rows were read, nanoseconds.
    pub at_ns: u64,
    pub body: Body,
    /// Why the rows are fewer than there were; empty: nothing is missing.
    pub incomplete: String,
}

/// What an answer holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Overview(Box<Overview>),
    Cost(Box<Cost>),
    Series(Vec<SeriesRow>),
    Hour(Box<Hour>),
    Tasks(Rows<TaskRow>),
    Tree(Rows<TaskRow>),
    Groups(Rows<GroupRow>),
    Loops(Rows<LoopRow>),
    Blocks(Rows<BlockRow>),
    Timers(Rows<TimerRow>),
    Io(Rows<IoRow>),
    Resources(Rows<ResourceRow>),
    Jobs(Rows<JobRow>),
    Children(Rows<ChildRow>),
    Signals(Rows<SignalRow>),
    /// `None`: the row is gone.
    Waiting(Option<Box<Waiting>>),
    Findings(Rows<Finding>),
    Leaks(Rows<Finding>),
    Task(Box<TaskDetail>),
    /// The task asked for is not known (ended long ago, or never was).
    NoTask {
        id: u64,
    },
    /// The question was not understood.
    Refused(Refusal),
}

/// Why a question was not answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// A sentence: what is wrong and what is allowed.
    pub why: String,
    /// `filter`, `sort`, `target`, `columns`, `seek`.
    pub part: String,
    /// Which bytes of that part are meant.
    pub offset: usize,
    pub length: usize,
    /// What may have been meant; empty: nothing is near.
    pub suggestion: String,
}

/// Some rows of a longer list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows<T> {
    /// All rows there are, before the filter.
    pub total: u64,
    /// The rows that the filter let through.
    pub matched: u64,
    /// The place of `rows[0]` among those.
    pub offset: u64,
    pub rows: Vec<T>,
    /// Rows moved while they were read: a few may be missing or twice.
    pub torn: bool,
}

/// The state of what is known.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub link: Option<Link>,
    /// When `link` last changed, on the console's clock.
    pub link_since: Duration,
    /// When the data on screen stopped being live, while it is not.
    pub lost_since: Option<Duration>,
    pub apps: Vec<App>,
    pub hello: Option<Hello>,
    /// The run before this one, when the app was restarted under our eyes.
    pub restarted_from: Option<u32>,
    /// When the last answer arrived, on the console's clock.
    pub heard_at: Option<Duration>,
    /// The app's clock at the last answer.
    pub at_ns: u64,
    pub overview: Option<Overview>,
    /// The overview before that one and when it was, for rates.
    pub overview_before: Option<(u64, Overview)>,
    pub overview_at_ns: u64,
    pub cost: Option<Cost>,
    /// The cost before that one and when both were, for rates.
    pub cost_before: Option<(u64, Cost)>,
    pub cost_at_ns: u64,
    pub series: Vec<SeriesRow>,
    /// What the app keeps of the last hour.
    pub hour: Option<Hour>,
    /// The app's clock when this console first heard of this run.
    pub came_ns: u64,
    pub tasks: Page<TaskRow>,
    /// What is seen of `branches`.
    pub tree: Page<TaskRow>,
    pub branches: tree::Tree,
    pub groups: Page<GroupRow>,
    pub loops: Page<LoopRow>,
    pub blocks: Page<BlockRow>,
    pub timers: Page<TimerRow>,
    pub io: Page<IoRow>,
    pub resources: Page<ResourceRow>,
    pub jobs: Page<JobRow>,
    pub children: Page<ChildRow>,
    pub signals: Page<SignalRow>,
    /// Who waits for the selected row, once it was answered.
    pub waiting: Option<Waiting>,
    /// All findings, less those the user hid.
    pub findings: Page<Finding>,
    /// Findings about what lives on without use, or whose end nobody saw.
    pub leaks: Page<Finding>,
    /// Fingerprints of the findings that the user hid.
    pub hidden: BTreeSet<String>,
    /// The opened task, or what is known of why it is not there.
    pub task: Option<Result<TaskDetail, u64>>,
    pub refused: BTreeMap<Slot, Refusal>,
    /// What nudges showed, by task, the latest last.
    pub nudges: VecDeque<(u64, control::Nudged)>,
    /// Why the rows of a question are fewer than there were.
    pub incomplete: BTreeMap<Slot, String>,
    pub events: VecDeque<Event>,
}

impl Body {
    /// Whether it is a list without rows.
    pub fn is_empty(&self) -> bool {
        match self {
            Body::Tasks(rows) | Body::Tree(rows) => rows.rows.is_empty(),
            Body::Groups(rows) => rows.rows.is_empty(),
            Body::Loops(rows) => rows.rows.is_empty(),
            Body::Blocks(rows) => rows.rows.is_empty(),
            Body::Timers(rows) => rows.rows.is_empty(),
            Body::Io(rows) => rows.rows.is_empty(),
            Body::Resources(rows) => rows.rows.is_empty(),
            Body::Jobs(rows) => rows.rows.is_empty(),
            Body::Children(rows) => rows.rows.is_empty(),
            Body::Signals(rows) => rows.rows.is_empty(),
            Body::Findings(rows) | Body::Leaks(rows) => rows.rows.is_empty(),
            _ => false,
        }
    }
}

/// Events kept for the screens; older ones leave.
pub const EVENTS_KEPT: usize = 512;

impl Store {
    /// Folds or unfolds task `id` of the tree. Gives the task that the keys are on then; `None`: it
    /// stays as it was.
    pub fn fold(&mut self, id: u64, fold: bool, now: Duration) -> Option<u64> {
        let to = match fold {
            true => self.branches.fold(id),
            false => self.branches.unfold(id).then_some(id),
        }?;
        let at_ns = self.branches.at_ns;
        // The one that was selected may be hidden now: it does not stay as one that ended.
        Listed::pin(&mut self.tree, Some(to));
        self.tree.take(self.branches.seen(), now, at_ns, true);
        Some(to)
    }

    /// Takes in what the transport told. `resort` says whether rows may change places now (see `page`).
    ///
    /// Returns a sentence for the user when something happened that no screen shows by itself.
    pub fn apply(&mut self, update: Update, now: Duration, resort: bool) -> Option<String> {
        match update {
            Update::Link(link) => {
                if matches!(link, Link::Live) {
                    self.lost_since = None;
                } else if self.hello.is_some() && self.lost_since.is_none() {
                    self.lost_since = Some(self.heard_at.unwrap_or(now));
                }
                self.link = Some(link);
                self.link_since = now;
                None
            }
            Update::Apps(apps) => {
                self.apps = apps;
                None
            }
            Update::Hello(hello) => self.greet(*hello, now),
            Update::View(view) => {
                self.view(*view, now, resort);
                None
            }
            Update::Events(events) => {
                for event in events {
                    if self.events.len() == EVENTS_KEPT {
                        self.events.pop_front();
                    }
                    self.events.push_back(event);
                }
                None
            }
            Update::Notice(text) => Some(text),
            // Its sentence is made where what it was asked for is known.
            Update::Answer(_) => None,
        }
    }

    /// Another run starts clean: what is left of the old one must not look like the new one's.
    fn greet(&mut self, hello: Hello, now: Duration) -> Option<String> {
        let before = self.hello.take();
        let same_run = before
            .as_ref()
            .is_some_and(|b| b.instance == hello.instance);
        let mut said = None;
        if !same_run {
            let (link, link_since, apps) = (
                self.link.take(),
                self.link_since,
                std::mem::take(&mut self.apps),
            );
            *self = Store {
                link,
                link_since,
                apps,
                ..Store::default()
            };
            if let Some(before) = before
                && before.name == hello.name
            {
                self.restarted_from = Some(before.pid);
                said = Some(format!(
                    "{} restarted ({} \u{2192} {})",
                    hello.name, before.pid, hello.pid
                ));
            }
        }
        if !same_run {
            self.came_ns = hello.now_ns;
        }
        self.at_ns = hello.now_ns;
        self.hello = Some(hello);
        self.heard_at = Some(now);
        said
    }

    fn view(&mut self, view: View, now: Duration, resort: bool) {
        self.heard_at = Some(now);
        let at_ns = view.at_ns;
        self.at_ns = self.at_ns.max(at_ns);
        self.refused.remove(&view.slot);
        if view.incomplete.is_empty() {
            self.incomplete.remove(&view.slot);
        } else {
            self.incomplete.insert(view.slot, view.incomplete);
        }
        match view.body {
            Body::Overview(overview) => {
                if let Some(before) = self.overview.take() {
                    self.overview_before = Some((self.overview_at_ns, before));
                }
                self.overview_at_ns = view.at_ns;
                self.overview = Some(*overview);
            }
            Body::Cost(cost) => {
                if let Some(before) = self.cost.take() {
                    self.cost_before = Some((self.cost_at_ns, before));
                }
                self.cost_at_ns = at_ns;
                self.cost = Some(*cost);
            }
            Body::Series(series) => self.series = series,
            Body::Hour(hour) => self.hour = Some(*hour),
            Body::Tasks(rows) => self.tasks.take(rows, now, at_ns, resort),
            Body::Tree(rows) => {
                self.branches.take(rows, at_ns);
                self.tree.take(self.branches.seen(), now, at_ns, resort);
            }
            Body::Groups(rows) => {
                self.groups.take(rows, now, at_ns, resort);
                self.place_strips();
            }
            Body::Loops(rows) => self.loops.take(rows, now, at_ns, resort),
            // Alarms and findings are exempt from calm: a new one shows at once.
            Body::Blocks(rows) => self.blocks.take(rows, now, at_ns, true),
            Body::Findings(mut rows) => {
                let all = rows.rows.len();
                rows.rows.retain(|f| !self.hidden.contains(&f.fingerprint));
                let hidden = (all - rows.rows.len()) as u64;
                rows.matched = rows.matched.saturating_sub(hidden);
                rows.total = rows.total.saturating_sub(hidden);
                self.findings.take(rows, now, at_ns, true);
            }
            Body::Leaks(rows) => {
                self.leaks.take(rows, now, at_ns, true);
                self.place_strips();
            }
            Body::Timers(rows) => self.timers.take(rows, now, at_ns, resort),
            Body::Io(rows) => self.io.take(rows, now, at_ns, resort),
            Body::Resources(rows) => self.resources.take(rows, now, at_ns, resort),
            Body::Jobs(rows) => self.jobs.take(rows, now, at_ns, resort),
            Body::Children(rows) => self.children.take(rows, now, at_ns, resort),
            Body::Signals(rows) => self.signals.take(rows, now, at_ns, true),
            Body::Waiting(waiting) => self.waiting = waiting.map(|waiting| *waiting),
            Body::Task(detail) => self.task = Some(Ok(*detail)),
            Body::NoTask { id } => {
                // The last that was seen of an ended task stays on the screen.
                if !matches!(&self.task, Some(Ok(seen)) if seen.row.id == id) {
                    self.task = Some(Err(id));
                }
            }
            Body::Refused(refusal) => {
                self.refused.insert(view.slot, refusal);
            }
        }
    }

    /// Takes a finding off the list of what needs attention; the Leaks screen and the counts keep it.
    pub fn hide(&mut self, fingerprint: &str) {
        self.hidden.insert(fingerprint.to_owned());
        self.findings.remove(|f| f.fingerprint == fingerprint);
    }

    /// What was wrong within the last hour and is over, the latest first.
    pub fn over(&self) -> impl Iterator<Item = &PastFinding> {
        self.hour.iter().flat_map(Hour::over)
    }

    /// Whether something of the app's clock was before this console came.
    pub fn before_us(&self, app_ns: u64) -> bool {
        app_ns < self.came_ns
    }

    /// How fast a count of the overview grows, per second, between its last two answers.
    pub fn rate(&self, count: fn(&Overview) -> u64) -> Option<f64> {
        let (then_ns, before) = self.overview_before.as_ref()?;
        let span = self
            .overview_at_ns
            .checked_sub(*then_ns)
            .filter(|s| *s > 0)?;
        let grown = count(self.overview.as_ref()?).saturating_sub(count(before));
        Some(grown as f64 * 1e9 / span as f64)
    }

    /// Leaks of a place that is at hand get the number of its tasks over time.
    fn place_strips(&mut self) {
        for leak in self.leaks.rows.iter_mut().filter(|l| !l.place.is_empty()) {
            let of_place = self.groups.rows.iter().find(|g| g.place == leak.place);
            leak.live = of_place.and_then(|g| g.live_strip.clone());
        }
    }

    /// The recording that answers; `None`: an app does, or nobody.
    pub fn recording(&self) -> Option<&About> {
        self.hello.as_ref()?.recording.as_deref()
    }

    /// Whether the answers on screen are current.
    pub fn is_live(&self) -> bool {
        matches!(self.link, Some(Link::Live)) && self.hello.is_some()
    }

    /// The wall clock, in nanoseconds since 1970, of a moment of the app's clock; 0 while nobody answered.
    pub fn wall_ns(&self, app_ns: u64) -> u64 {
        match &self.hello {
            Some(h) => h
                .now_unix_ns
                .saturating_add(app_ns)
                .saturating_sub(h.now_ns),
            None => 0,
        }
    }

    /// How long the app has been up at the last answer.
    pub fn up(&self) -> Duration {
        let Some(hello) = &self.hello else {
            return Duration::ZERO;
        };
        Duration::from_nanos(
            self.wall_ns(self.at_ns)
                .saturating_sub(hello.started_unix_ns),
        )
    }
}
