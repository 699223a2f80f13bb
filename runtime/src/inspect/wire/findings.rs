//! Findings as messages.

use loop_proto::finding::fingerprint;
use loop_proto::pb::{self, FindingName};

use super::Wire;
use super::blocks::place_kind;
use crate::inspect::judge::Held;

impl Wire<'_> {
    pub(crate) fn finding(&mut self, held: &Held) -> pb::Finding {
        let place = match &held.culprit {
            Some((place, _)) => place.clone(),
            None => held.place.map(ToString::to_string).unwrap_or_default(),
        };
        let function = match held.subject_name {
            Some(name) if held.function.is_empty() => name.text,
            _ => &held.function,
        };
        // The worst of the loop's late timers is another one each time.
        let known_by = match held.name {
            FindingName::LateTimer => "",
            _ => &place,
        };
        pb::Finding {
            name: held.name as i32,
            grade: held.grade as i32,
            subject_kind: held.subject as i32,
            subject_id: held.subject_id,
            subject_name: held.subject_name.and_then(|name| self.name(name)),
            loop_id: Some(held.loop_id.get().into()),
            place_text: match held.place {
                Some(place) => self.texts.place(Some(place)),
                None => self.texts.own(&place),
            },
            place_kind: held
                .culprit
                .as_ref()
                .map_or(0, |(_, kind)| place_kind(*kind) as i32),
            evidence: held.evidence.clone(),
            fingerprint: fingerprint(held.name, known_by, function),
            since_ns: held.since_ns,
            count: held.count,
            last_seen_ns: held.last_seen_ns,
            cleared: held.cleared,
            measured_ns: held.measured_ns,
            limit_ns: held.limit_ns,
            user: held.user,
            id: held.id,
        }
    }
}
