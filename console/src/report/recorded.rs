//! What a report is made of, read from a recording: a dump of the flight recorder, or the file that a process left. Knows no
//! socket and no text.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use loop_proto::escape::escape;
use loop_proto::pb;
use loop_proto::recording::{LARGEST, MAGIC, Recording};

use super::facts::Facts;
use crate::exit::{Exit, Failure};
use crate::store::Table;
use crate::store::decode::Decoder;

/// Events that a report has room for.
const EVENTS: usize = 40;

/// The facts of the recording that a word of the command line names. `None`: it names none, so it means an app.
///
/// Errors: the file cannot be read, or it is no recording that this console can read.
pub fn read(word: Option<&str>) -> Option<Result<Facts, Failure>> {
    let path = Path::new(word?);
    let failed = |why: String| {
        Failure::new(
            Exit::Usage,
            format!(
                "{} cannot be read: {}.",
                escape(&path.display().to_string(), 1024),
                escape(&why, 512)
            ),
            "",
        )
    };
    let about = std::fs::metadata(path).ok()?;
    if !about.is_file() {
        return None;
    }
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return Some(Err(failed(error.to_string()))),
    };
    let mut magic = [0; MAGIC.len()];
    // An app's own executable may have the name of the app.
    if file.read_exact(&mut magic).is_err() || magic != MAGIC {
        return None;
    }
    if about.len() > LARGEST {
        return Some(Err(failed(format!("it has more than {LARGEST} bytes"))));
    }
    let mut bytes = magic.to_vec();
    if let Err(error) = file.take(LARGEST).read_to_end(&mut bytes) {
        return Some(Err(failed(error.to_string())));
    }
    Some(match Recording::read(&bytes) {
        Ok(recording) => Ok(facts(&path.display().to_string(), recording)),
        Err(why) => Err(failed(why.to_string())),
    })
}

/// What a recording tells, and what is the matter with it.
fn facts(path: &str, recording: Recording) -> Facts {
    let events = recording.events();
    let (made, gone) = recording.counts();
    let last_ns = recording.last_ns();
    let (head, mut doubts) = (recording.head, recording.doubts);
    let Some(snapshot) = recording.snapshot else {
        doubts
            .push("What there was to see: the recording has no snapshot that is whole.".to_owned());
        let hello = pb::HelloReply {
            app_name: head.name,
            pid: head.pid,
            started_unix_ns: head.began_unix_ns,
            anchor_monotonic_ns: head.clock.mono_ns,
            anchor_unix_ns: head.clock.unix_ns,
            ..pb::HelloReply::default()
        };
        return Facts {
            recording: Some(path.to_owned()),
            at_ns: last_ns,
            doubts,
            ..Facts::of(hello)
        };
    };
    let mut facts = Facts::of(snapshot.hello.unwrap_or_default());
    facts.recording = Some(match head.reason.as_str() {
        "" => path.to_owned(),
        reason => format!("{path}, written for {reason}"),
    });
    if snapshot.head.left_out > 0 {
        doubts.push(format!(
            "{} rows that found no room in the recording.",
            snapshot.head.left_out
        ));
    }
    if gone > 0 {
        doubts.push(format!(
            "{gone} of {made} events: newer ones took their place in the recording."
        ));
    }
    facts.doubts = doubts;
    let mut decoder = Decoder::new();
    for view in &snapshot.views {
        decoder.learn(view.interned.clone());
    }
    let mut names = HashMap::new();
    for task in snapshot.views.iter().flat_map(|view| &view.tasks) {
        names.insert(task.id, task.name.clone());
    }
    let mut own = Vec::new();
    for batch in snapshot.events {
        decoder.learn(batch.interned);
        own.extend(batch.events);
    }
    for mut view in snapshot.views {
        let target = pb::Target::try_from(view.slot.cast_signed()).unwrap_or_default();
        let table = match target {
            pb::Target::Overview => Table::Overview,
            pb::Target::Cost => Table::Cost,
            pb::Target::Loops => Table::Loops,
            pb::Target::Findings => Table::Findings,
            pb::Target::Hour => Table::Hour,
            _ => continue,
        };
        // A part that was cut for lack of room is all that there is of it.
        view.complete = true;
        if let Some(view) = decoder.view(view, table) {
            facts.take(view);
        }
    }
    facts.at_ns = facts.at_ns.max(last_ns);
    let mut events: Vec<pb::Event> = events.into_iter().chain(own).collect();
    events.sort_by_key(|event| event.at_ns);
    let from = events.len().saturating_sub(EVENTS);
    let mut events: Vec<pb::Event> = events.split_off(from);
    for event in events.iter_mut().filter(|event| event.name.is_none()) {
        event.name = names.get(&event.task_id).cloned().flatten();
    }
    facts.events = decoder.events(pb::EventBatch {
        events,
        ..pb::EventBatch::default()
    });
    facts
}

#[cfg(test)]
mod tests {
    use loop_proto::fixture::{Viewer, shop};
    use loop_proto::recording::{Head, Kind, Moment, Writer, compose, ring_bytes};

    use super::*;

    /// A dump of the made-up shop, as an app writes it.
    fn dump() -> Vec<u8> {
        let shop = shop();
        let at = Moment {
            mono_ns: shop.at_ns,
            unix_ns: shop.hello.anchor_unix_ns,
            ticks: shop.at_ns,
            ns_per_tick: 1.0,
        };
        let mut writer = Writer::new(4 << 20);
        writer.hello(&shop.hello);
        let mut viewer = Viewer::new(shop.clone());
        for target in [
            pb::Target::Overview,
            pb::Target::Loops,
            pb::Target::Findings,
            pb::Target::Hour,
            pb::Target::Tasks,
        ] {
            let query = pb::Query {
                slot: target as u32,
                target: target as i32,
                limit: 1_000,
                ..pb::Query::default()
            };
            writer.view(viewer.answer(&query));
        }
        writer.events(&pb::EventBatch {
            events: shop.events.clone(),
            ..pb::EventBatch::default()
        });
        let head = Head {
            kind: Kind::Dump,
            pid: shop.hello.pid,
            name: shop.hello.app_name.clone(),
            reason: "block: loop 2 for 412ms".to_owned(),
            clock: at,
            ..Head::default()
        };
        let ring = ring_bytes(2, 7, &[7], &[]);
        compose(&head, &[ring], &writer.finish(1, &at))
    }

    fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("lc-report-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_dump_gives_the_report_that_the_app_would_have_given() {
        let path = file("dump", &dump());
        let facts = read(path.to_str()).expect("it is a recording").unwrap();
        let page = crate::report::text::report(&facts, 0, false);
        assert!(
            page.contains("written for block: loop 2 for 412ms"),
            "{page}"
        );
        assert!(
            page.contains("▲ stranded (certain): task 2071 ws::reader-0"),
            "{page}"
        );
        assert!(page.contains("Was wrong and is over"), "{page}");
        assert!(page.contains("What happened last"), "{page}");
        assert!(
            page.contains("7 of 7 events: newer ones took their place"),
            "{page}"
        );
        let wide = page.lines().find(|line| crate::view::fmt::width(line) > 80);
        assert_eq!(wide, None);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_recording_means_an_app_and_a_damaged_one_is_said_to_be_so() {
        assert!(read(None).is_none() && read(Some("shop-api")).is_none());
        let program = file("program", b"\x7fELF and so on");
        assert!(read(program.to_str()).is_none());
        let mut bytes = dump();
        bytes[200] ^= 1;
        let damaged = file("damaged", &bytes);
        let failure = read(damaged.to_str()).unwrap().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.what.contains("its head is damaged"), "{failure}");
        for path in [program, damaged] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_recording_that_was_cut_short_tells_what_is_left_and_that_something_is_missing() {
        let bytes = dump();
        for cut in [bytes.len() / 2, 4_096, 5_000] {
            let path = file(&format!("cut-{cut}"), &bytes[..cut]);
            let facts = read(path.to_str()).expect("its head is there").unwrap();
            assert_eq!(facts.hello.pid, shop().hello.pid);
            assert!(!facts.doubts.is_empty());
            let page = crate::report::text::report(&facts, 0, true);
            assert!(page.contains("no snapshot that is whole"), "{page}");
            std::fs::remove_file(path).unwrap();
        }
    }
}
