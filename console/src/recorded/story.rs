//! What happened, as the rings and the inspector's own log have it: kept as it lies in the file, and put into messages as far as
//! somebody asks. Knows no tables.

use std::collections::HashMap;

use loop_proto::filter::Filter;
use loop_proto::message::{Of, Texts};
use loop_proto::pb::{self, EventKind};
use loop_proto::recording::{Moment, Recording, Slot, event_kind};
use loop_proto::table::Table;

/// Events of one message.
const BATCH: usize = 1_000;

/// What happened, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    clock: Moment,
    /// When, on the app's clock, and where it came from.
    all: Vec<(u64, From)>,
    own: Vec<pb::Event>,
    /// Texts of spawn places by loop and number.
    sites: HashMap<(u32, u32), u32>,
    names: HashMap<u64, pb::Name>,
    lost: Vec<pb::Lost>,
    last_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum From {
    /// The ring of this loop, where it was the event of that number.
    Ring(u32, u64, Slot),
    /// The inspector's own log.
    Own(usize),
}

impl Story {
    /// The events of the rings.
    pub(super) fn new(recording: &Recording) -> Self {
        let clock = recording.clock();
        let mut all = Vec::new();
        for ring in &recording.rings {
            let known = ring.events.iter().zip(ring.first..);
            let known = known.filter(|(slot, _)| event_kind(slot.kind).is_some());
            all.extend(known.map(|(slot, number)| {
                // A block is told when it is over; all else when it begins.
                let at = match event_kind(slot.kind) {
                    Some(EventKind::LoopUnblocked) => slot.ends_at(),
                    _ => slot.at,
                };
                (clock.mono_of(at), From::Ring(ring.loop_id, number, *slot))
            }));
        }
        all.sort_by_key(|(at, _)| *at);
        let sites = recording.snapshot.as_ref();
        Self {
            clock,
            all,
            sites: sites.map(|of| of.sites.clone()).unwrap_or_default(),
            lost: recording.lost(),
            last_ns: recording.last_ns(),
            ..Self::default()
        }
    }

    /// Events that are in no ring.
    pub(super) fn add(&mut self, own: Vec<pb::Event>) {
        let more = own.iter().enumerate();
        self.all
            .extend(more.map(|(at, event)| (event.at_ns, From::Own(at))));
        self.all.sort_by_key(|(at, _)| *at);
        self.own = own;
        self.last_ns = self.all.last().map_or(0, |(at, _)| *at).max(self.last_ns);
    }

    /// Names of tasks, which slots do not have.
    pub(super) fn name(&mut self, names: HashMap<u64, pb::Name>) {
        self.names = names;
    }

    /// How many there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The last moment of which anything is known.
    #[must_use]
    pub(super) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// How many of them are in no ring.
    pub(super) fn own_events(&self) -> u64 {
        self.own.len() as u64
    }

    /// The last event.
    pub(super) fn last_event_ns(&self) -> Option<u64> {
        let ends = |from: &From, at: u64| match from {
            From::Ring(_, _, slot) => self.clock.mono_of(slot.ends_at()),
            From::Own(_) => at,
        };
        self.all.iter().map(|(at, from)| ends(from, *at)).max()
    }

    /// What was in the rings and is not any more, a kind.
    pub(super) fn lost(&self) -> &[pb::Lost] {
        &self.lost
    }

    fn event(&self, from: From) -> Option<pb::Event> {
        let mut event = match from {
            From::Own(at) => self.own.get(at)?.clone(),
            From::Ring(loop_id, _, slot) => {
                let place = |site| self.sites.get(&(loop_id, site)).copied();
                slot.event(loop_id, &self.clock, place)?
            }
        };
        if event.name.is_none() {
            event.name = self.names.get(&event.task_id).cloned();
        }
        Some(event)
    }

    /// The events after a moment, oldest first.
    pub(super) fn after(&self, ns: u64) -> impl Iterator<Item = pb::Event> + '_ {
        let from = self.all.partition_point(|(at, _)| *at <= ns);
        self.all[from..]
            .iter()
            .filter_map(|(_, from)| self.event(*from))
    }
}

/// A stream of events out of a story: in batches, as an app sends them.
#[derive(Clone, Debug)]
pub struct Told {
    filter: Filter,
    kinds: Vec<i32>,
    /// Places in the story that are to be told.
    rest: std::vec::IntoIter<usize>,
    delivered: u64,
    /// Texts have been sent.
    begun: bool,
    /// What was lost is to be told.
    losses: bool,
}

impl Told {
    /// A stream of what `request` asks for; of what was before at most the `newest`, or nothing of it.
    ///
    /// Errors: the filter is wrong.
    pub(super) fn begin(
        request: &pb::EventsRequest,
        story: &Story,
        newest: Option<usize>,
    ) -> Result<Self, pb::QueryError> {
        let filter = Filter::parse(Table::Events, &request.filter)
            .map_err(|error| error.to_message("filter"))?;
        let all = story.len();
        let from = match (request.backlog, newest) {
            (false, _) => all,
            (true, Some(newest)) => all.saturating_sub(newest),
            (true, None) => 0,
        };
        Ok(Self {
            filter,
            kinds: request.kinds.clone(),
            rest: (from..all).collect::<Vec<_>>().into_iter(),
            delivered: 0,
            begun: false,
            losses: true,
        })
    }

    /// The next batch; `None`: everything has been told.
    pub(super) fn next(
        &mut self,
        story: &Story,
        texts: &Texts,
        interned: &[pb::Interned],
    ) -> Option<pb::EventBatch> {
        let news = std::mem::take(&mut self.losses);
        if !news && self.rest.len() == 0 {
            return None;
        }
        let mut batch = pb::EventBatch::default();
        if !std::mem::replace(&mut self.begun, true) {
            batch.interned = interned.to_vec();
        }
        if news {
            batch.lost = story.lost().to_vec();
        }
        while batch.events.len() < BATCH
            && let Some((_, from)) = self.rest.next().and_then(|at| story.all.get(at))
        {
            if let Some(event) = story.event(*from).filter(|event| self.wants(event, texts)) {
                batch.events.push(event);
            }
        }
        self.delivered += batch.events.len() as u64;
        batch.delivered = self.delivered;
        if self.rest.len() == 0 {
            // Before that, a batch must not be taken for the last one.
            batch.until_ns = story.last_ns();
        }
        Some(batch)
    }

    /// After the recording was read again, all of `before` having been told: what is new is to be told. Moments are reckoned anew
    /// with each reading, so events are known by their numbers.
    pub(super) fn go_on(&mut self, before: &Story, now: &Story) {
        let mut told: HashMap<u32, u64> = HashMap::new();
        let mut own = 0;
        for (at, from) in &before.all {
            match from {
                From::Ring(of, number, _) => {
                    let next = told.entry(*of).or_default();
                    *next = (*next).max(number + 1);
                }
                From::Own(_) => own = own.max(*at),
            }
        }
        let is_new = |(at, from): &(u64, From)| match from {
            From::Ring(of, number, _) => told.get(of).is_none_or(|next| number >= next),
            From::Own(_) => *at > own,
        };
        let places = now.all.iter().enumerate();
        let new = places.filter(|(_, event)| is_new(event)).map(|(at, _)| at);
        self.rest = new.collect::<Vec<_>>().into_iter();
        self.losses = self.rest.len() > 0 || before.lost != now.lost;
        // The new reading may know more texts.
        self.begun = false;
    }

    fn wants(&self, event: &pb::Event, texts: &Texts) -> bool {
        let usual = !matches!(event.kind(), EventKind::TaskPolled | EventKind::TaskWoken);
        let kind = if self.kinds.is_empty() {
            usual
        } else {
            self.kinds.contains(&event.kind)
        };
        let of = Of {
            message: event,
            texts,
            at_ns: event.at_ns,
        };
        kind && self.filter.matches(&of)
    }
}
