//! The last events of all loops, kept while something may cause a dump: taken in as a viewer takes
//! them, so that the loops do for it what they do for any viewer, and nothing otherwise.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use loop_proto::pb;

use crate::clock;
use crate::inspect::desk::Desk;
use crate::inspect::events::Feeds;
use crate::serve::shared::Shared;
use crate::time::sleep;

/// Events that are kept.
const KEPT: usize = 8_192;
/// Texts that they use; beyond, older ones are forgotten and events lose a word.
const TEXTS: usize = 16_384;
/// So often they are taken in.
const BEAT: Duration = Duration::from_millis(250);
/// Rings are emptied at most this often.
const DRAIN: Duration = Duration::from_millis(5);

/// What is kept.
#[derive(Default)]
pub(super) struct Story {
    feed: Option<u64>,
    events: VecDeque<pb::Event>,
    texts: HashMap<u32, String>,
    /// By kind, what passed it by.
    lost: Vec<pb::Lost>,
    /// Events that gave way to newer ones.
    gone: u64,
}

impl Story {
    /// Takes in what happened since.
    fn follow(&mut self, on: bool, feeds: &mut Feeds, desk: &mut Desk) {
        let feed = match (self.feed, on) {
            (None, false) => return,
            (Some(feed), false) => {
                feeds.close(feed);
                *self = Self::default();
                return;
            }
            (Some(feed), true) => feed,
            (None, true) => match feeds.open(&everything()) {
                Ok(feed) => *self.feed.insert(feed),
                // No filter, so there is nothing to be wrong with it.
                Err(_) => return,
            },
        };
        if feeds.is_due(clock::mono(), DRAIN) {
            feeds.drain(desk);
        }
        while let Some(batch) = feeds.batch(feed, false, desk) {
            self.take(batch);
        }
    }

    fn take(&mut self, batch: pb::EventBatch) {
        if self.texts.len() > TEXTS {
            self.texts.clear();
        }
        let texts = batch.interned.into_iter();
        self.texts.extend(texts.map(|one| (one.id, one.text)));
        self.lost = batch.lost;
        self.events.extend(batch.events);
        let over = self.events.len().saturating_sub(KEPT);
        self.gone += over as u64;
        self.events.drain(..over);
    }

    /// What is kept, with the texts that it uses.
    fn batch(&self) -> pb::EventBatch {
        let events: Vec<pb::Event> = self.events.iter().cloned().collect();
        let mut used: Vec<u32> = events.iter().flat_map(texts_of).collect();
        used.sort_unstable();
        used.dedup();
        let text = |id: u32| Some((id, self.texts.get(&id)?.clone()));
        pb::EventBatch {
            interned: used
                .into_iter()
                .filter_map(text)
                .map(|(id, text)| pb::Interned { id, text })
                .collect(),
            delivered: self.gone + events.len() as u64,
            until_ns: events.last().map_or(0, |event| event.at_ns),
            events,
            lost: self.lost.clone(),
            ..pb::EventBatch::default()
        }
    }
}

/// The texts that an event names.
fn texts_of(event: &pb::Event) -> Vec<u32> {
    let stem = |name: &Option<pb::Name>| name.as_ref().map_or(0, |name| name.stem_text);
    let mut used = vec![event.place_text, stem(&event.name)];
    if let Some(finding) = &event.finding {
        used.extend([finding.place_text, stem(&finding.subject_name)]);
    }
    used
}

fn everything() -> pb::EventsRequest {
    pb::EventsRequest {
        backlog: true,
        ..pb::EventsRequest::default()
    }
}

/// Follows what happens, while something may cause a dump.
pub(crate) async fn follow(shared: Arc<Shared>) {
    loop {
        let flight = &shared.flight;
        let on = flight.log.causes().any();
        {
            let mut feeds = shared.feeds();
            flight.story().follow(on, &mut feeds, &mut shared.desk());
        }
        if on {
            sleep(BEAT).await;
        } else {
            flight.switched.wait().await;
            flight.switched.take();
        }
    }
}

/// The last events, up to now. Where none are followed, those that the inspector keeps itself:
/// findings, blocks, commands.
pub(crate) fn last(shared: &Shared) -> pb::EventBatch {
    let mut feeds = shared.feeds();
    let mut desk = shared.desk();
    let mut followed = shared.flight.story();
    if shared.flight.log.causes().any() {
        followed.follow(true, &mut feeds, &mut desk);
        return followed.batch();
    }
    let mut story = Story::default();
    story.follow(true, &mut feeds, &mut desk);
    let batch = story.batch();
    story.follow(false, &mut feeds, &mut desk);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(from: u64, count: u64) -> pb::EventBatch {
        let event = |at_ns: u64| pb::Event {
            at_ns,
            place_text: (at_ns % 3) as u32 + 1,
            ..pb::Event::default()
        };
        pb::EventBatch {
            interned: (1..=3)
                .map(|id| pb::Interned {
                    id,
                    text: format!("src/{id}.rs"),
                })
                .collect(),
            events: (from..from + count).map(event).collect(),
            ..pb::EventBatch::default()
        }
    }

    #[test]
    fn the_newest_are_kept_with_the_texts_they_use_and_the_others_are_counted() {
        let mut story = Story::default();
        for round in 0..20 {
            story.take(batch(round * 1_000, 1_000));
        }
        let kept = story.batch();
        assert_eq!(kept.events.len(), KEPT);
        assert_eq!(kept.events.last().map(|event| event.at_ns), Some(19_999));
        assert_eq!(kept.delivered, 20_000);
        assert_eq!(kept.interned.len(), 3);
        let one = Story {
            events: VecDeque::from(vec![batch(0, 1).events[0].clone()]),
            ..story
        };
        assert_eq!(one.batch().interned.len(), 1, "no text that nobody uses");
    }
}
