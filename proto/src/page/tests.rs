//! Pages against a plain sort of everything. Rows here are a number, a name and a state.

use proptest::prelude::*;

use super::*;
use crate::filter::Filter;
use crate::row::{Field, Value};
use crate::sort::Sort;
use crate::table::Table;

#[derive(Clone, Debug)]
struct Fake {
    id: u64,
    polls: Option<u64>,
    name: &'static str,
}

impl Row for Fake {
    fn id(&self) -> u64 {
        self.id
    }

    fn value(&self, field: Field) -> Value<'_> {
        match field {
            Field::Id => Value::Number(self.id),
            Field::Polls => self.polls.map_or(Value::Absent, Value::Number),
            Field::Name => Value::Text(self.name),
            _ => Value::Absent,
        }
    }

    fn locator(&self) -> u64 {
        self.id + 1_000_000
    }
}

impl RowSource for Vec<Fake> {
    type Row<'a> = Fake;

    fn visit(&self, each: impl FnMut(&Fake)) {
        self.iter().for_each(each);
    }
}

fn request(filter: &str, sort: &str, seek: Seek, limit: usize) -> Request {
    Request {
        filter: Filter::parse(Table::Tasks, filter).expect(filter),
        sort: Sort::parse(Table::Tasks, sort).expect(sort),
        seek,
        limit,
    }
}

fn ids(page: &Page) -> Vec<u64> {
    page.rows.iter().map(Entry::id).collect()
}

/// All rows that pass, in order, by the plain way.
fn sorted(rows: &[Fake], filter: &str, sort: &str) -> Vec<u64> {
    let request = request(filter, sort, Seek::Start, 1);
    let mut kept: Vec<&Fake> = rows
        .iter()
        .filter(|row| request.filter.matches(*row))
        .collect();
    kept.sort_by(|left, right| {
        let (mut a, mut b) = (Composed::new(), Composed::new());
        request.sort.compare(
            request.sort.key(*left, &mut a),
            request.sort.key(*right, &mut b),
        )
    });
    kept.into_iter().map(|row| row.id).collect()
}

/// A big table with many equal keys and no luck: keys in no order.
fn many(count: u64, kinds: u64) -> Vec<Fake> {
    let names = [
        "http::conn::reader",
        "http::conn::writer",
        "http::conn",
        "tick",
    ];
    (1..=count)
        .map(|id| {
            let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            Fake {
                id,
                polls: Some(mixed % kinds),
                name: names[(mixed % 4) as usize],
            }
        })
        .collect()
}

#[test]
fn the_first_page_tells_rows_totals_and_where_they_lie() {
    let rows = many(1_000, 10);
    let page = select(&rows, request("polls>7", "-polls", Seek::Start, 5));
    assert_eq!(ids(&page), sorted(&rows, "polls>7", "-polls")[..5]);
    assert_eq!((page.total, page.first_rank), (1_000, 0));
    assert_eq!(page.matched, sorted(&rows, "polls>7", "polls").len() as u64);
    assert_eq!(page.rows[0].locator(), page.rows[0].id() + 1_000_000);
}

#[test]
fn any_rank_of_a_big_table_is_reached() {
    let rows = many(60_000, 3);
    for sort in ["polls", "-polls", "name", "-name", "-id"] {
        let all = sorted(&rows, "", sort);
        for rank in [0, 1, 4_095, 4_096, 20_000, 59_990, 59_999] {
            let page = select(&rows, request("", sort, Seek::Rank(rank), 50));
            let from = rank as usize;
            assert_eq!(
                ids(&page),
                all[from..all.len().min(from + 50)],
                "{sort} {rank}"
            );
            assert_eq!((page.first_rank, page.torn), (rank, false), "{sort} {rank}");
        }
    }
}

#[test]
fn beyond_the_end_lies_the_last_page() {
    let rows = many(10_000, 100);
    let all = sorted(&rows, "", "polls");
    for seek in [Seek::End, Seek::Rank(10_000), Seek::Rank(u64::MAX)] {
        let page = select(&rows, request("", "polls", seek.clone(), 30));
        assert_eq!(ids(&page), all[9_970..], "{seek:?}");
        assert_eq!(page.first_rank, 9_970, "{seek:?}");
    }
    let few = many(7, 3);
    let page = select(&few, request("", "polls", Seek::Rank(99), 5));
    assert_eq!((ids(&page).len(), page.first_rank), (5, 2));
}

#[test]
fn the_page_that_holds_a_row_is_found() {
    let rows = many(5_000, 7);
    let all = sorted(&rows, "", "-polls");
    for id in [1, 77, 4_999] {
        let page = select(&rows, request("", "-polls", Seek::Holding(id), 40));
        let rank = all
            .iter()
            .position(|other| *other == id)
            .expect("it is there");
        assert_eq!(page.first_rank as usize, rank / 40 * 40);
        assert_eq!(
            ids(&page),
            all[rank / 40 * 40..all.len().min(rank / 40 * 40 + 40)]
        );
        assert!(!page.seek_missed);
    }
}

#[test]
fn a_row_that_is_not_there_gives_the_first_page_and_says_so() {
    let rows = many(100, 7);
    for (id, filter) in [(101, ""), (5, "id!=5")] {
        let page = select(&rows, request(filter, "id", Seek::Holding(id), 10));
        assert!(page.seek_missed);
        assert_eq!(page.rows[0].id(), 1);
    }
}

#[test]
fn unknown_keys_come_last_in_both_directions() {
    let rows: Vec<Fake> = [(1, None), (2, Some(5)), (3, None), (4, Some(9))]
        .map(|(id, polls)| Fake {
            id,
            polls,
            name: "x",
        })
        .to_vec();
    assert_eq!(
        ids(&select(&rows, request("", "polls", Seek::Start, 9))),
        [2, 4, 1, 3]
    );
    assert_eq!(
        ids(&select(&rows, request("", "-polls", Seek::Start, 9))),
        [4, 2, 1, 3]
    );
}

#[test]
fn rows_that_move_between_walks_are_told() {
    let mut rows = many(30_000, 1_000);
    let mut selector = Selector::new(request("", "polls", Seek::Rank(20_000), 10));
    let page = loop {
        rows.visit(|row| selector.offer(row));
        if let Some(page) = selector.end_walk() {
            break page;
        }
        // Before each further walk the first twentieth is gone.
        let gone = rows
            .iter()
            .filter_map(|row| row.polls)
            .min()
            .map(|least| least + 50);
        rows.retain(|row| row.polls >= gone);
    };
    assert!(page.torn);
    let all = sorted(&rows, "", "polls");
    let first = page.first_rank as usize;
    assert_eq!(
        ids(&page),
        all[first..first + page.rows.len()],
        "the page is what its own walk saw"
    );
}

#[test]
fn an_empty_table_has_empty_pages() {
    for seek in [
        Seek::Start,
        Seek::End,
        Seek::Rank(9_999),
        Seek::Holding(1),
        Seek::After(Position::default()),
    ] {
        let page = select(&Vec::<Fake>::new(), request("", "id", seek, 10));
        assert_eq!(
            (page.rows.len(), page.matched, page.total, page.first_rank),
            (0, 0, 0, 0)
        );
    }
}

#[test]
fn queries_are_read_and_faults_named_by_their_part() {
    let query = |filter: &str, sort: &str| pb::Query {
        target: pb::Target::Tasks.into(),
        filter: filter.to_owned(),
        sort: sort.to_owned(),
        ..Default::default()
    };
    let read = Request::from_message(&query("loop=1", "-polls")).expect("a query");
    assert_eq!(
        (read.limit, read.sort.to_string().as_str(), read.seek),
        (DEFAULT_LIMIT, "-polls", Seek::Start)
    );
    let huge = pb::Query {
        limit: u32::MAX,
        ..query("", "")
    };
    assert_eq!(
        Request::from_message(&huge).expect("a query").limit,
        MAX_LIMIT
    );
    let part = |query: &pb::Query| Request::from_message(query).expect_err("a fault").part;
    assert_eq!(part(&query("loop=x", "")), "filter");
    assert_eq!(part(&query("", "nope")), "sort");
    assert_eq!(part(&pb::Query::default()), "target");
    let columns = |names: &[&str]| pb::Query {
        columns: names.iter().map(|name| (*name).to_owned()).collect(),
        ..query("", "")
    };
    assert!(Request::from_message(&columns(&["type", "busy", "buckets", "strip"])).is_ok());
    assert_eq!(part(&columns(&["type", "nope"])), "columns");
}

const NAMES: [&str; 5] = [
    "",
    "a",
    "http::conn::reader",
    "http::conn::writer",
    "http::co",
];

fn tables() -> impl Strategy<Value = Vec<Fake>> {
    let row = (1u64..500, prop::option::of(0u64..6), 0..NAMES.len());
    prop::collection::vec(row, 0..150).prop_map(|rows| {
        let mut seen = std::collections::HashSet::new();
        rows.into_iter()
            .filter(|(id, ..)| seen.insert(*id))
            .map(|(id, polls, name)| Fake {
                id,
                polls,
                name: NAMES[name],
            })
            .collect()
    })
}

fn sorts() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["polls", "-polls", "name", "-name", "id", "-id"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pages_one_after_the_other_are_the_sorted_whole(rows in tables(), sort in sorts(), limit in 1usize..20) {
        let mut seek = Seek::Start;
        let mut all = Vec::new();
        loop {
            let page = select(&rows, request("polls!=3", sort, seek, limit));
            prop_assert_eq!(page.first_rank, all.len() as u64);
            all.extend(ids(&page));
            match page.rows.last() {
                Some(last) => seek = Seek::After(Position::from_message(&last.position().to_message())),
                None => break,
            }
        }
        prop_assert_eq!(all, sorted(&rows, "polls!=3", sort));
    }

    #[test]
    fn pages_one_before_the_other_are_the_sorted_whole_too(rows in tables(), sort in sorts(), limit in 1usize..20) {
        let mut seek = Seek::End;
        let mut all = Vec::new();
        loop {
            let page = select(&rows, request("", sort, seek, limit));
            let mut front = ids(&page);
            match page.rows.first() {
                Some(first) => seek = Seek::Before(first.position().clone()),
                None => break,
            }
            front.extend(all);
            all = front;
        }
        prop_assert_eq!(all, sorted(&rows, "", sort));
    }

    #[test]
    fn a_position_means_the_same_when_rows_come_and_go(
        before in tables(), after in tables(), sort in sorts(), at in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!before.is_empty());
        let page = select(&before, request("", sort, Seek::Start, 200));
        let position = page.rows[at.index(page.rows.len())].position().clone();
        let rest = select(&after, request("", sort, Seek::After(position.clone()), 200));
        let front = select(&after, request("", sort, Seek::Before(position.clone()), 200));
        // Both sides and the row itself, if it is still there with the same key, are the whole.
        let own = after.iter().find(|row| row.id == position.id() && {
            let mut buffer = Composed::new();
            let sort = Sort::parse(Table::Tasks, sort).expect("a key");
            sort.compare(sort.key(*row, &mut buffer), position.key()).is_eq()
        });
        let joined = [ids(&front), own.iter().map(|row| row.id).collect(), ids(&rest)].concat();
        prop_assert_eq!(joined, sorted(&after, "", sort));
        prop_assert_eq!(rest.first_rank, (front.rows.len() + usize::from(own.is_some())) as u64);
    }

    #[test]
    fn a_rank_is_a_slice_of_the_sorted_whole(rows in tables(), sort in sorts(), rank in 0u64..160, limit in 1usize..20) {
        let page = select(&rows, request("", sort, Seek::Rank(rank), limit));
        let all = sorted(&rows, "", sort);
        let from = if (rank as usize) < all.len() { rank as usize } else { all.len().saturating_sub(limit) };
        prop_assert_eq!(ids(&page), &all[from..all.len().min(from + limit)]);
        prop_assert_eq!(page.first_rank as usize, from);
    }
}
