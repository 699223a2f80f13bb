//! Rows as an order alone needs them: one field, read in place. Of hundreds of thousands a page
//! shows few, and only those are put into messages. Knows no filter.

use std::sync::atomic::Ordering;

use loop_proto::filter::Filter;
use loop_proto::row::{Field, Row, Value};
use loop_proto::table::Table;

use crate::inspect::ids::IdSet;
use crate::inspect::tables::{Look, LoopLook, Spot};
use crate::inspect::waiters::Waiters;
use crate::record::resource::{Kind as Thing, ResourceRow};
use crate::record::slab::{self, Row as _};
use crate::record::task::On;
use crate::record::timer::Kind as TimerKind;

/// Whether rows of `table` in the order of `field` can be told by that field alone.
pub(super) fn is_enough(table: Table, filter: &Filter, field: Field) -> bool {
    let known = matches!(
        (table, field),
        (Table::Timers, Field::Due) | (Table::Resources, Field::Waiters)
    );
    known && filter.takes_all()
}

/// Who waits for resources whose rows do not count them: groups. Mostly there are none, and no task
/// need be looked at.
pub(super) fn uncounted(look: &Look) -> Waiters {
    let mut groups = IdSet::default();
    for at in &look.loops {
        let rows = at.record.resources.live().map(|(_, row)| row);
        let rows = rows.filter(|row| row.kind.load(Ordering::Relaxed) == Thing::Group as u8);
        groups.extend(rows.map(ResourceRow::resource_id));
    }
    if groups.is_empty() {
        return Waiters::default();
    }
    Waiters::of(look, On::Resource, |id| groups.contains(&id))
}

/// One row, by the field that it is ordered by.
pub(super) struct Quick {
    id: u64,
    value: Value<'static>,
    locator: u64,
}

impl Quick {
    /// The timer in that slot, by when it is due, as far as it is shown.
    pub(super) fn timer(look: &Look, at: &LoopLook, spot: Spot) -> Option<Self> {
        let (row, relaxed) = (at.record.timers.get(spot.slot)?, Ordering::Relaxed);
        let (id, due, shown) = slab::consistent(row.id(), |id| {
            let internal = row.kind.load(relaxed) >= TimerKind::Internal as u8;
            let shown = row.armed.load(relaxed) != 0 && (look.internal || !internal);
            (id, row.deadline.load(relaxed), shown)
        })?;
        shown.then(|| Self {
            id,
            value: Value::due(due, look.now.mono),
            locator: spot.raw(),
        })
    }

    /// The resource in that slot, by how many wait for it.
    pub(super) fn resource(at: &LoopLook, spot: Spot, waiters: &Waiters) -> Option<Self> {
        let (row, relaxed) = (at.record.resources.get(spot.slot)?, Ordering::Relaxed);
        let (id, counted) = slab::consistent(row.id(), |id| {
            let first = u32::from(row.waiter.load(relaxed) != 0);
            (id, row.waiters.load(relaxed).max(first))
        })?;
        let listed = u32::try_from(waiters.get(id).len()).unwrap_or(u32::MAX);
        Some(Self {
            id,
            value: Value::Number(counted.max(listed).into()),
            locator: spot.raw(),
        })
    }
}

impl Row for Quick {
    #[inline]
    fn id(&self) -> u64 {
        self.id
    }

    /// Only the field of the order is asked for.
    #[inline]
    fn value(&self, _: Field) -> Value<'_> {
        self.value
    }

    #[inline]
    fn locator(&self) -> u64 {
        self.locator
    }
}
