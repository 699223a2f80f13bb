//! Loom: a walk beside a growing slab finds every announced slot's chunk in place.

use loom::sync::Arc;
use loom::thread;

use super::*;

#[derive(Default)]
struct Bare(StdAtomicU64);

impl Row for Bare {
    fn id(&self) -> &StdAtomicU64 {
        &self.0
    }
}

#[test]
fn an_announced_slot_has_its_chunk() {
    loom::model(|| {
        let slab = Arc::new(Slab::<Bare>::new(2 * CHUNK));
        let reader = thread::spawn({
            let slab = slab.clone();
            move || {
                let slots = slab.slots();
                assert!((0..slots).all(|slot| slab.get(slot).is_some()));
            }
        });
        let slots = Slots::default();
        for _ in 0..=CHUNK {
            slab.take(&slots).expect("the slab has room");
        }
        reader.join().expect("the reader does not panic");
    });
}
