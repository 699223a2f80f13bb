//! What a viewer asks for: filter, order, where the page begins and how long it is. Knows no rows.

use crate::filter::Filter;
use crate::pb;
use crate::sort::{Key, Sort};
use crate::table::Table;

/// The most rows of a page.
pub const MAX_LIMIT: usize = 10_000;

/// The rows of a page whose query names no number.
pub const DEFAULT_LIMIT: usize = 100;

/// A row's place in an order: its key and its id. It means the same when the row is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    order: u64,
    text: Box<str>,
    id: u64,
}

impl Position {
    pub(super) fn of(key: Key<'_>) -> Self {
        Position {
            order: key.order,
            text: key.text.into(),
            id: key.id,
        }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn key(&self) -> Key<'_> {
        Key {
            order: self.order,
            text: &self.text,
            id: self.id,
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_message(&self) -> pb::Position {
        pb::Position {
            id: self.id,
            number: self.order,
            text: self.text.to_string(),
        }
    }

    /// As it came. Whatever a viewer sends is a position; one that was never handed out lies
    /// somewhere.
    #[must_use]
    pub fn from_message(message: &pb::Position) -> Self {
        Position {
            order: message.number,
            text: message.text.as_str().into(),
            id: message.id,
        }
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Seek {
    /// At the first row.
    Start,
    /// At the row of this rank, from 0; beyond the end, the last page.
    Rank(u64),
    /// At the start of the page, counted in whole pages, that holds the row of this id.
    Holding(u64),
    /// Right after this position.
    After(Position),
    /// So that it ends right before this position.
    Before(Position),
    /// So that it ends with the last row.
    End,
}

impl Seek {
    /// As it came.
    #[must_use]
    pub fn from_message(message: Option<&pb::Seek>) -> Self {
        use pb::seek::To;
        match message.and_then(|seek| seek.to.as_ref()) {
            None => Seek::Start,
            Some(To::Rank(0)) => Seek::Start,
            Some(To::Rank(rank)) => Seek::Rank(*rank),
            Some(To::Id(id)) => Seek::Holding(*id),
            Some(To::After(position)) => Seek::After(Position::from_message(position)),
            Some(To::Before(position)) => Seek::Before(Position::from_message(position)),
            Some(To::End(true)) => Seek::End,
            Some(To::End(false)) => Seek::Start,
        }
    }
}

/// What a viewer wants to see of one table.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which rows.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// From where on.
    pub seek: Seek,
    /// How many.
    pub limit: usize,
}

impl Request {
    /// Reads a query.
    ///
    /// Errors: a target without rows, a filter or sort key that does not parse, a column that the
    /// table does not have.
    pub fn from_message(query: &pb::Query) -> Result<Self, pb::QueryError> {
        let table = Table::of(query.target()).ok_or_else(|| pb::QueryError {
            message: "This target is unknown here, or has no rows to filter.".to_owned(),
            part: "target".to_owned(),
            ..Default::default()
        })?;
        let filter =
            Filter::parse(table, &query.filter).map_err(|error| error.to_message("filter"))?;
        let sort = Sort::parse(table, &query.sort).map_err(|error| error.to_message("sort"))?;
        for name in &query.columns {
            if !table.extras().contains(&name.as_str()) {
                crate::filter::column(table, name, 0)
                    .map_err(|error| error.to_message("columns"))?;
            }
        }
        let limit = match query.limit as usize {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        };
        Ok(Request {
            filter,
            sort,
            seek: Seek::from_message(query.seek.as_ref()),
            limit,
        })
    }
}
