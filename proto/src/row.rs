//! What filter and sort see of a row: its id and, field by field, a typed value. The runtime
//! shows its live tables through it, in place; the console its messages. Knows neither tables in
//! memory nor messages; which fields a table has is in [`crate::table`].

use std::fmt;

use crate::pb;

/// A row of any table.
///
/// Implementations read; they neither allocate nor lock, since a walk calls them a million times.
pub trait Row {
    /// The row's id: the tie-break of every order, and what a selection holds on to.
    fn id(&self) -> u64;

    /// The value of `field`. [`Value::Absent`] when the row has none or does not know it; then no
    /// comparison with it holds.
    fn value(&self, field: Field) -> Value<'_>;

    /// Where the row lies, for whoever owns the table: handed back in the page, so that the row
    /// need not be looked for. The id, unless the owner knows better.
    fn locator(&self) -> u64 {
        self.id()
    }
}

impl<R: Row + ?Sized> Row for &R {
    fn id(&self) -> u64 {
        (**self).id()
    }

    fn value(&self, field: Field) -> Value<'_> {
        (**self).value(field)
    }

    fn locator(&self) -> u64 {
        (**self).locator()
    }
}

/// One value of a row, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// There is none, or it is not known.
    Absent,
    /// A count or an id.
    Number(u64),
    /// A duration in ns; negative only where its field says so (a timer that is late is due in
    /// less than nothing).
    Nanos(i64),
    /// A share, 1.0 being all of it.
    Ratio(f64),
    /// One word of a closed list: its index in the column's `words`, which is the number of the
    /// schema's enum.
    Word(u8),
    /// Several words of a closed list: bit n is word n.
    Set(u64),
    /// Yes or no.
    Flag(bool),
    /// Text as it is.
    Text(&'a str),
    /// `stem-number`, put together with [`joint`].
    Numbered(&'a str, u64),
    /// `file:line:column`.
    Place(&'a str, u32, u32),
    /// What a task waits for, in words.
    Waiting(Waiting<'a>),
    /// Several lines of text; a text test holds if it holds for one of them.
    Lines(&'a [String]),
}

impl<'a> Value<'a> {
    /// A duration that the recorder holds as an unsigned number.
    #[must_use]
    pub fn nanos(ns: u64) -> Self {
        Value::Nanos(i64::try_from(ns).unwrap_or(i64::MAX))
    }

    /// How far moment `due` lies ahead of `now`, below zero once it has passed.
    #[must_use]
    pub fn due(due: u64, now: u64) -> Self {
        if due > now {
            return Value::nanos(due - now);
        }
        Value::Nanos(0i64.saturating_sub_unsigned(now - due))
    }

    /// Text, absent when empty: messages have no other way to say that there is none.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        if text.is_empty() {
            Value::Absent
        } else {
            Value::Text(text)
        }
    }

    /// A number, absent when 0: an id that names nothing.
    #[must_use]
    pub fn some_id(id: u64) -> Self {
        if id == 0 {
            Value::Absent
        } else {
            Value::Number(id)
        }
    }

    /// A word by the number of its enum; 0 is absent.
    #[must_use]
    pub fn word(number: i32) -> Self {
        match u8::try_from(number) {
            Ok(0) | Err(_) => Value::Absent,
            Ok(word) => Value::Word(word),
        }
    }
}

/// What a task waits for, ready to be put in words. The words are the same on both sides, so a
/// filter finds what the screen shows. Time left is not among them: it changes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waiting<'a> {
    /// What kind of thing.
    pub kind: pb::WaitKind,
    /// Its id. 0: none.
    pub id: u64,
    /// The type of resource, if it is one.
    pub resource: pb::ResourceKind,
    /// The thing's name. Empty: none.
    pub name: &'a str,
    /// The number after the name.
    pub number: Option<u64>,
    /// File descriptor, for I/O.
    pub fd: Option<i32>,
    /// It waits to read.
    pub readable: bool,
    /// It waits to write.
    pub writable: bool,
    /// Peer, program, signal or type of waker. Empty: none.
    pub detail: &'a str,
    /// Who holds the lock.
    pub holder: Option<u64>,
    /// How many of this kind.
    pub count: u32,
    /// The pipe of a child process, if it is one.
    pub pipe: Option<PipeOf<'a>>,
}

/// A pipe to or from a child process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeOf<'a> {
    /// The kernel's process id.
    pub pid: u32,
    /// Its program.
    pub program: &'a str,
    /// Which of the child's streams: 0 stdin, 1 stdout, 2 stderr.
    pub stream: Option<u32>,
    /// Its end was seen.
    pub ended: bool,
}

impl fmt::Display for PipeOf<'_> {
    /// `stdout of pid 4711 (ping, alive)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = match self.stream {
            Some(0) => "stdin",
            Some(1) => "stdout",
            Some(2) => "stderr",
            _ => "a pipe",
        };
        write!(f, "{stream} of pid {} (", self.pid)?;
        if !self.program.is_empty() {
            write!(f, "{}, ", self.program)?;
        }
        f.write_str(if self.ended { "ended)" } else { "alive)" })
    }
}

impl Waiting<'_> {
    fn write_name(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if self.name.is_empty() {
            return Ok(());
        }
        out.write_char(' ')?;
        out.write_str(self.name)?;
        match self.number {
            Some(number) => write!(out, "{}{number}", joint(self.name)),
            None => Ok(()),
        }
    }

    /// Writes the words, unescaped: `io r fd 41 10.0.4.7:50012`, `lock cart, held by 298`,
    /// `nothing can wake it`.
    pub fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        use pb::WaitKind as K;
        match self.kind {
            K::Unspecified => out.write_str("unknown")?,
            K::Nothing => out.write_str("nothing can wake it")?,
            K::Timer => out.write_str("timer")?,
            K::Io => {
                out.write_str(match (self.readable, self.writable) {
                    (true, false) => "io r",
                    (false, true) => "io w",
                    _ => "io rw",
                })?;
                if let Some(fd) = self.fd {
                    write!(out, " fd {fd}")?;
                }
                if let Some(pipe) = self.pipe {
                    write!(out, " {pipe}")?;
                }
            }
            K::Task => write!(out, "task {}", self.id)?,
            K::Future => out.write_str("future")?,
            K::Resource => out.write_str(resource_word(self.resource))?,
            K::Job => write!(out, "job {}", self.id)?,
            K::Child => write!(out, "child {}", self.id)?,
            K::Signal => out.write_str("signal")?,
            K::External => out.write_str("external waker")?,
            K::Turn => out.write_str("its turn")?,
            K::Forever => out.write_str("nothing, on purpose")?,
        }
        self.write_name(out)?;
        if !self.detail.is_empty() {
            out.write_char(' ')?;
            out.write_str(self.detail)?;
        }
        if let Some(holder) = self.holder {
            write!(out, ", held by {holder}")?;
        }
        if self.count > 1 {
            write!(out, " +{}", self.count - 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// One word for a type of resource.
#[must_use]
pub const fn resource_word(kind: pb::ResourceKind) -> &'static str {
    use pb::ResourceKind as R;
    match kind {
        R::Unspecified | R::Other => "resource",
        R::Future => "future",
        R::Lock => "lock",
        R::Event => "event",
        R::Condition => "condition",
        R::Semaphore => "semaphore",
        R::Barrier => "barrier",
        R::Queue => "queue",
        R::Channel => "channel",
        R::Group => "group",
        R::Scope => "scope",
        R::Token => "token",
    }
}

/// The fields of all tables. What a field is called, what kind of value it has and which words it
/// knows depends on the table: see [`crate::table::Table::columns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(
    missing_docs,
    reason = "each is described in the column tables, beside its name"
)]
pub enum Field {
    Id,
    Name,
    Kind,
    State,
    Loop,
    Parent,
    Age,
    Place,
    Type,
    Wait,
    On,
    At,
    For,
    Polls,
    Busy,
    BusyTime,
    Scheduled,
    Max,
    Wakes,
    SelfWakes,
    Wakers,
    Handles,
    WokenBy,
    Detached,
    Cancel,
    Outcome,
    Error,
    Finding,
    Children,
    Size,
    Ended,
    Thread,
    Tasks,
    Ready,
    LagP50,
    Lag,
    LagMax,
    Iterations,
    Timers,
    Sources,
    Blocks,
    Worst,
    Spawned,
    Finished,
    Lost,
    Task,
    Owner,
    Gone,
    Due,
    Late,
    Every,
    Fired,
    Rearmed,
    Fd,
    Local,
    Peer,
    Want,
    Idle,
    Spurious,
    Buffered,
    Pool,
    Waiters,
    Holder,
    Value,
    Capacity,
    Uses,
    Contended,
    Pid,
    Code,
    Signal,
    Grade,
    Subject,
    Count,
    Evidence,
    Lower,
    Upper,
    Wall,
    Cause,
    Running,
    Live,
    Failed,
    Generations,
    Took,
    By,
    Detail,
    Internal,
    Number,
    Last,
    Pipes,
    Child,
    Program,
}

/// How many bytes of a composed text (a numbered name, a place, a wait in words) are looked at.
pub const COMPOSED: usize = 256;

/// What stands between a stem and its number: nothing where the stem ends with a sign of its own,
/// as `127.0.0.1:` does.
#[must_use]
pub fn joint(stem: &str) -> &'static str {
    if stem.ends_with([':', '-', '#', '/', ' ']) {
        ""
    } else {
        "-"
    }
}

/// A text put together on the stack. What does not fit is cut at a character's border.
pub(crate) struct Composed {
    bytes: [u8; COMPOSED],
    len: usize,
}

impl Composed {
    pub(crate) const fn new() -> Self {
        Composed {
            bytes: [0; COMPOSED],
            len: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only whole characters are pushed")
    }

    pub(crate) fn push(&mut self, text: &str) {
        let mut take = text.len().min(COMPOSED - self.len);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
    }

    /// The decimal digits of `number`, with zeros before them up to `width`. The formatter of the
    /// standard library takes five times as long, and a sort by name does this for each row.
    pub(crate) fn push_number(&mut self, mut number: u64, width: usize) {
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        let from = at.min(digits.len() - width.min(digits.len()));
        self.push(std::str::from_utf8(&digits[from..]).expect("digits are ASCII"));
    }

    pub(crate) fn lowercase(&mut self) {
        self.bytes[..self.len].make_ascii_lowercase();
    }
}

impl fmt::Write for Composed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_put_in_words() {
        let of = |waiting: Waiting<'_>| waiting.to_string();
        let io = Waiting {
            kind: pb::WaitKind::Io,
            fd: Some(41),
            readable: true,
            detail: "10.0.4.7:50012",
            ..Default::default()
        };
        assert_eq!(of(io), "io r fd 41 10.0.4.7:50012");
        let lock = Waiting {
            kind: pb::WaitKind::Resource,
            resource: pb::ResourceKind::Lock,
            name: "cart",
            holder: Some(298),
            ..Default::default()
        };
        assert_eq!(of(lock), "lock cart, held by 298");
        let gather = Waiting {
            kind: pb::WaitKind::Task,
            id: 409,
            name: "item",
            number: Some(3),
            count: 31,
            ..Default::default()
        };
        assert_eq!(of(gather), "task 409 item-3 +30");
        assert_eq!(
            of(Waiting {
                kind: pb::WaitKind::Nothing,
                ..Default::default()
            }),
            "nothing can wake it"
        );
    }

    #[test]
    fn composed_text_is_cut_between_characters() {
        let mut composed = Composed::new();
        composed.push(&"é".repeat(COMPOSED));
        composed.push("x");
        assert_eq!(composed.as_str().chars().count(), COMPOSED / 2);
        composed.clear();
        composed.push_number(0, 0);
        composed.push_number(42, 5);
        composed.push_number(u64::MAX, 20);
        assert_eq!(composed.as_str(), "00004218446744073709551615");
    }
}
