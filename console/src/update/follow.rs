//! Selections follow their rows, and the part of a list on screen follows its selection.

use crate::model::{ListId, Model, page, page_mut};

/// Brings every list's selection and scroll in line with the rows at hand.
pub(super) fn follow(model: &mut Model) {
    for id in ListId::ALL {
        follow_list(model, id);
    }
}

fn follow_list(model: &mut Model, id: ListId) {
    let mut list = model.list(id).clone();
    let page = page(model.shown(), id);
    let (len, loaded) = (page.len(), page.loaded());
    let mut lost = false;
    if let (Some(wanted), true) = (list.find, loaded) {
        list.find = None;
        list.touched = true;
        match page.rank_of(wanted) {
            Some(rank) => {
                list.rank = rank;
                list.id = Some(wanted);
                list.top = rank.saturating_sub(u64::from(list.rows / 2));
            }
            None => lost = true,
        }
    }
    if list.find.is_none() && loaded {
        if !list.touched {
            list.rank = 0;
            list.top = 0;
            list.id = page.id_at(0);
        } else if let Some(rank) = list.id.and_then(|id| page.rank_of(id)) {
            // The row moved: the screen moves with it, so that it stays on its line.
            list.top = (list.top + rank).saturating_sub(list.rank);
            list.rank = rank;
        }
        let last = len.saturating_sub(1);
        if list.rank > last {
            list.rank = last;
            list.id = None;
        }
        // A row that is nowhere near has given its place to the one that is there now.
        let near = list.id.is_some_and(|id| page.rank_of(id).is_some());
        if let (false, Some(here)) = (near, page.id_at(list.rank)) {
            list.id = Some(here);
        }
    }
    let rows = u64::from(list.rows.max(1));
    list.top = list.top.min(len.saturating_sub(rows)).min(list.rank);
    if list.rank >= list.top + rows {
        list.top = list.rank + 1 - rows;
    }
    let pin = list.id.filter(|_| list.touched);
    if *model.list(id) != list {
        model.ui.lists.insert(id, list);
    }
    page_mut(&mut model.store, id).pin(pin);
    if lost {
        super::say(
            model,
            format!("That one is not among the {} any more.", id.noun()),
        );
    }
}

/// Moves the selection of a list by `by` rows.
pub(super) fn move_by(model: &mut Model, id: ListId, by: i64) {
    let rank = model.list(id).rank;
    move_to(model, id, rank.saturating_add_signed(by));
}

/// Moves the selection of a list to a place, or as near as there are rows.
pub(super) fn move_to(model: &mut Model, id: ListId, rank: u64) {
    let page = page(model.shown(), id);
    let rank = rank.min(page.len().saturating_sub(1));
    let at = page.id_at(rank);
    model.ui.inside = None;
    let list = model.list_mut(id);
    list.rank = rank;
    list.id = at;
    list.find = None;
    list.touched = true;
    let rows = u64::from(list.rows.max(1));
    list.top = list.top.clamp((rank + 1).saturating_sub(rows), rank);
}
