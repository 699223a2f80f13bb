//! What the filter language promises. Rows here are lists of values.

use proptest::prelude::*;

use super::*;
use crate::row::Waiting;

struct Fake(Vec<(Field, Value<'static>)>);

impl Row for Fake {
    fn id(&self) -> u64 {
        match self.value(Field::Id) {
            Value::Number(id) => id,
            _ => 0,
        }
    }

    fn value(&self, field: Field) -> Value<'_> {
        self.0
            .iter()
            .find(|(own, _)| *own == field)
            .map_or(Value::Absent, |(_, value)| *value)
    }
}

const STATE_WAIT: u8 = 3;

fn conn() -> Fake {
    Fake(vec![
        (Field::Id, Value::Number(311)),
        (Field::Name, Value::Numbered("http::Conn", 17)),
        (Field::State, Value::Word(STATE_WAIT)),
        (Field::Loop, Value::Number(2)),
        (
            Field::Place,
            Value::Place("/home/me/shop/src/serve.rs", 60, 9),
        ),
        (Field::For, Value::Nanos(31_000_000_000)),
        (Field::Busy, Value::Ratio(0.002)),
        (Field::Polls, Value::Number(1_044)),
        (Field::Detached, Value::Flag(true)),
        (Field::Finding, Value::Set(1 << 2 | 1 << 5)),
        (
            Field::On,
            Value::Waiting(Waiting {
                kind: pb::WaitKind::Io,
                fd: Some(41),
                readable: true,
                name: "",
                detail: "10.0.4.7:50012",
                id: 0,
                resource: pb::ResourceKind::Unspecified,
                number: None,
                writable: false,
                holder: None,
                count: 1,
                pipe: None,
            }),
        ),
    ])
}

fn parse(text: &str) -> Result<Filter, ParseError> {
    Filter::parse(Table::Tasks, text)
}

fn passes(text: &str) -> bool {
    parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .matches(&conn())
}

fn refused(text: &str) -> ParseError {
    parse(text).expect_err(text)
}

#[test]
fn the_example_of_the_manual_does_what_it_says() {
    assert!(!passes(
        "state=wait for>30s busy>5% name~conn !loop=3 finding=leak"
    ));
    assert!(passes(
        "state=wait for>30s busy>0.1% name~conn !loop=3 finding=leak"
    ));
    assert!(passes("(state=ready or state=wait) and not kind=callback"));
}

#[test]
fn every_kind_of_value_is_compared() {
    for text in [
        "id=311",
        "id=1,311",
        "id!=1",
        "polls>1K",
        "polls<=1.044K",
        "polls<2M",
        "state=WAIT",
        "state=run,wait",
        "state!=run",
        "for>=31s",
        "for=31s",
        "for<0.6m",
        "for>30999ms",
        "busy<1%",
        "busy=0.2%",
        "detached=yes",
        "detached!=false",
        "name=http::conn-17",
        "name~^http*-1?$",
        "name!~^conn",
        "place=serve.rs:60",
        "place=src/serve.rs",
        "place~shop/src",
        "on~\"fd 41\"",
        "on~10.0.4",
        "finding=stranded",
        "finding!=growing",
        "finding=leak",
        "for > 30s",
        "FOR>30s",
        "for_ns>30s",
        "waiting_on~io",
    ] {
        assert!(passes(text), "{text}");
    }
    for text in [
        "id=31",
        "polls>1045",
        "state!=wait",
        "for<31s",
        "busy>0.2%",
        "detached=no",
        "name=conn",
        "finding=growing",
    ] {
        assert!(!passes(text), "{text}");
    }
}

#[test]
fn bare_words_look_into_names_places_and_what_is_waited_for() {
    for text in [
        "conn",
        "Conn-17",
        "serve.rs:60",
        "10.0.4.7",
        "\"fd 41\"",
        "311",
        "http serve",
        "conn or nope",
        "\"io r\"",
    ] {
        assert!(passes(text), "{text}");
    }
    for text in ["CONN", "31", "nope", "http nope", "!conn", "not conn"] {
        assert!(!passes(text), "{text}");
    }
}

#[test]
fn what_is_not_known_is_neither_more_nor_less() {
    assert!(!passes("parent>0") && !passes("parent<9") && !passes("parent=1"));
    assert!(passes("parent!=1") && passes("!parent=1"));
    assert!(
        passes("parent=none")
            && !passes("parent=any")
            && passes("loop=any")
            && passes("parent!=any")
    );
    assert!(passes("finding=any") && !passes("finding=none"));
    assert!(!passes("error~x") && passes("error!~x"));
}

#[test]
fn joiners_bind_as_documented() {
    assert!(passes("state=run state=run or state=wait"));
    assert!(!passes("state=run (state=run or state=wait)"));
    assert!(passes("!state=run state=wait"));
    assert!(passes("state=wait&&loop=2||loop=9"));
    assert!(!passes("!(state=wait or loop=9)"));
    assert!(passes("! ! state=wait"));
    assert!(passes("not not state=wait AND loop=2"));
}

#[test]
fn blank_is_everything() {
    assert!(parse("").expect("blank").is_all() && parse(" \t").expect("blank").is_all());
    assert!(Filter::all(Table::Tasks).matches(&conn()));
}

#[test]
fn faults_are_located_and_explained() {
    let cases: &[(&str, usize, usize, &str)] = &[
        ("stat=wait", 0, 4, "Tasks have no field of that name"),
        ("loop=2 for>30", 11, 2, "with a unit of ns us ms s m h d"),
        ("busy>5", 5, 1, "with the %"),
        ("state=waiting", 6, 7, "run, ready, wait or done"),
        ("state>wait", 5, 1, "has no order"),
        ("id~3", 2, 1, "not text"),
        ("state=", 6, 0, "needs a value"),
        ("name~", 5, 0, "needs a value"),
        ("(state=wait", 0, 1, "not closed"),
        ("state=wait)", 10, 1, "closes nothing"),
        ("state=wait and", 14, 0, "missing"),
        ("or x", 0, 2, "joins two tests"),
        ("x or or y", 5, 2, "joins two tests"),
        ("()", 1, 1, "missing before"),
        ("=3", 0, 1, "field's name is missing"),
        ("\"abc", 0, 4, "quote is not closed"),
        ("detached=maybe", 9, 5, "yes or"),
        ("Vec<u8>", 0, 3, "double quotes"),
        ("name~a\\", 6, 1, "needs a character"),
        ("id=99999999999999999999", 3, 20, "a number"),
        ("for>9999999999d", 4, 11, "a duration"),
    ];
    for (text, offset, length, message) in cases {
        let error = refused(text);
        assert_eq!(
            (error.offset, error.length),
            (*offset, *length),
            "{text}: {error}"
        );
        assert!(error.message.contains(message), "{text}: {error}");
    }
}

#[test]
fn what_may_have_been_meant_is_said() {
    assert_eq!(refused("stat=wait").suggestion.as_deref(), Some("state"));
    assert_eq!(refused("state=weit").suggestion.as_deref(), Some("wait"));
    assert_eq!(
        refused("finding=strandet").suggestion.as_deref(),
        Some("stranded")
    );
    assert_eq!(refused("finding=leek").suggestion.as_deref(), Some("leak"));
    assert_eq!(refused("qwertz=1").suggestion, None);
    let message = refused("stat=1").to_message("filter");
    assert_eq!(
        (message.part.as_str(), message.offset, message.length),
        ("filter", 0, 4)
    );
    assert_eq!(message.suggestion, "state");
}

#[test]
fn deep_and_long_filters_are_refused_not_obeyed() {
    assert!(
        refused(&format!("{}x", "(".repeat(2_000)))
            .message
            .contains("32 deep")
    );
    assert!(
        refused(&format!("{}x", "!".repeat(2_000)))
            .message
            .contains("32 deep")
    );
    assert!(refused(&"ä".repeat(4_000)).message.contains("4096"));
    assert!(parse(&"(x) ".repeat(1_000)).is_ok());
}

#[test]
fn a_filter_knows_which_fields_it_needs() {
    let filter = parse("!(loop=1 or busy>5%) conn").expect("a filter");
    assert!(filter.uses(Field::Busy) && filter.uses(Field::Name) && !filter.uses(Field::Polls));
}

#[test]
fn the_normal_form_is_short() {
    let print = |text: &str| parse(text).expect(text).to_string();
    assert_eq!(
        print(" state = WAIT  and (for>90000ms) "),
        "state=wait for>90s"
    );
    assert_eq!(print("a (b c) or (d or e)"), "a b c or d or e");
    assert_eq!(print("not (a b)"), "!(a b)");
    assert_eq!(
        print("finding=leak"),
        "finding=stranded,deadlocked,left-behind"
    );
    assert_eq!(print("polls!=1.5K,2"), "polls!=1500,2");
    assert_eq!(print("\"or\" \"a b\""), "\"or\" \"a b\"");
    assert_eq!(print("name=none name=\"none\""), "name=none name=\"none\"");
}

#[test]
fn completion_offers_fields_then_words() {
    let names = |text: &str| {
        let completion = complete(Table::Tasks, text, text.len());
        (
            completion.from,
            completion
                .choices
                .into_iter()
                .map(|choice| choice.insert)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(names("st"), (0, vec!["state=".to_owned()]));
    assert_eq!(
        names("loop=2 wak"),
        (7, vec!["wakes=".to_owned(), "wakers=".to_owned()])
    );
    assert_eq!(names("!(sta"), (2, vec!["state=".to_owned()]));
    assert_eq!(
        names("state=r"),
        (6, vec!["run".to_owned(), "ready".to_owned()])
    );
    assert_eq!(names("state=run,w"), (10, vec!["wait".to_owned()]));
    assert_eq!(
        names("state = "),
        (
            8,
            ["run", "ready", "wait", "done"].map(str::to_owned).to_vec()
        )
    );
    assert_eq!(names("finding=le").1, ["left-behind", "leak"]);
    assert_eq!(names("detached=").1, ["yes", "no"]);
    assert_eq!(names("name~\"st").1, Vec::<String>::new());
    let all = names("state=run ");
    assert_eq!((all.0, all.1.len()), (10, Table::Tasks.columns().len()));
    assert!(complete(Table::Tasks, "for>", 4).hint.contains("30s"));
}

#[test]
fn what_completion_offers_is_accepted() {
    for table in Table::ALL {
        for choice in complete(table, "", 0).choices {
            let values = complete(table, &choice.insert, choice.insert.len());
            for word in &values.choices {
                let text = format!("{}{}", choice.insert, word.insert);
                assert!(Filter::parse(table, &text).is_ok(), "{table:?} {text}");
            }
            assert!(
                !values.choices.is_empty() || !values.hint.is_empty(),
                "{table:?} {}",
                choice.insert
            );
        }
    }
}

/// Texts that look like filters, more often than chance would have it.
fn filterish() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "state", "for", "busy", "name", "loop", "finding", "place", "id", "detached", "=", "!=",
        "<", ">=", "~", "!~", "!", "(", ")", " ", " and ", " or ", " not ", "&&", "||", ",", "\"",
        "\\", "30s", "5%", "1K", "wait", "leak", "any", "none", "^conn", "a|b$", "é", "-", "0",
        ".", "µs", "\u{202e}",
    ]);
    prop_oneof![
        any::<String>(),
        prop::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat())
    ]
}

fn needles() -> impl Strategy<Value = Vec<Needle>> {
    prop::collection::vec(any::<String>().prop_map(|text| Needle::new(&text)), 1..3)
}

fn tests() -> impl Strategy<Value = Expr> {
    let compare = || {
        prop::sample::select(vec![
            Compare::Less,
            Compare::LessOrEqual,
            Compare::More,
            Compare::MoreOrEqual,
        ])
    };
    let bits = |count: u32| 1u64..1 << count;
    let test = |field: Field, negated: bool, operand: Operand| {
        Expr::Test(Test {
            field,
            negated,
            operand,
        })
    };
    prop_oneof![
        (compare(), any::<u64>()).prop_map(move |(c, n)| test(
            Field::Polls,
            false,
            Operand::Number(c, n)
        )),
        (any::<bool>(), prop::collection::vec(any::<u64>(), 1..3))
            .prop_map(move |(negated, any)| test(Field::Loop, negated, Operand::Numbers(any))),
        (compare(), -i64::MAX..i64::MAX).prop_map(move |(c, ns)| test(
            Field::For,
            false,
            Operand::Nanos(c, ns)
        )),
        (
            any::<bool>(),
            prop::collection::vec(-i64::MAX..i64::MAX, 1..3)
        )
            .prop_map(move |(negated, any)| test(
                Field::Age,
                negated,
                Operand::NanosEqual(any)
            )),
        (compare(), 0.0f64..1e6).prop_map(move |(c, p)| test(
            Field::Busy,
            false,
            Operand::Percent(c, p)
        )),
        (any::<bool>(), bits(4)).prop_map(move |(negated, set)| test(
            Field::State,
            negated,
            Operand::Words(set << 1)
        )),
        (any::<bool>(), bits(19)).prop_map(move |(negated, set)| test(
            Field::Finding,
            negated,
            Operand::Set(set << 1)
        )),
        (any::<bool>(), any::<bool>()).prop_map(move |(negated, flag)| test(
            Field::Detached,
            negated,
            Operand::Flag(flag)
        )),
        any::<bool>().prop_map(move |negated| test(Field::Parent, negated, Operand::Any)),
        (any::<bool>(), needles()).prop_map(move |(negated, any)| test(
            Field::Name,
            negated,
            Operand::Texts(any)
        )),
        (any::<bool>(), needles()).prop_map(move |(negated, any)| test(
            Field::Place,
            negated,
            Operand::Places(any)
        )),
        (any::<bool>(), any::<String>()).prop_filter_map("no pattern", move |(negated, source)| {
            Some(test(
                Field::On,
                negated,
                Operand::Pattern(Pattern::new(&source).ok()?),
            ))
        }),
        any::<String>().prop_map(|text| Parserless::search(&text)),
    ]
}

/// Makes a search as the parser does, without parsing.
struct Parserless;

impl Parserless {
    fn search(text: &str) -> Expr {
        let fields = Table::Tasks
            .columns()
            .iter()
            .filter(|column| column.searched)
            .map(|column| column.field);
        Expr::Search(Search {
            needle: Needle::new(text),
            fields: fields.collect(),
            id: text.parse().ok(),
        })
    }
}

/// Expressions in the form that the parser makes: lists of two and more, none nested in its like.
fn exprs() -> impl Strategy<Value = Expr> {
    tests().prop_recursive(4, 24, 4, |inner| {
        let some = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            some().prop_map(|exprs| {
                let flat = exprs.into_iter().flat_map(|expr| match expr {
                    Expr::And(inner) => inner,
                    other => vec![other],
                });
                Expr::And(flat.collect())
            }),
            some().prop_map(|exprs| {
                let flat = exprs.into_iter().flat_map(|expr| match expr {
                    Expr::Or(inner) => inner,
                    other => vec![other],
                });
                Expr::Or(flat.collect())
            }),
            inner.clone().prop_map(|expr| Expr::Not(Box::new(expr))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_makes_the_parser_panic_and_faults_lie_within_it(text in filterish()) {
        for table in Table::ALL {
            if let Err(error) = Filter::parse(table, &text) {
                prop_assert!(error.offset + error.length <= text.len(), "{:?}", error);
                prop_assert!(text.is_char_boundary(error.offset), "{:?}", error);
                prop_assert!(text.is_char_boundary(error.offset + error.length), "{:?}", error);
                prop_assert!(!error.message.is_empty());
            }
        }
    }

    #[test]
    fn what_parses_prints_to_what_parses_to_the_same(text in filterish()) {
        if let Ok(filter) = parse(&text) {
            let again = parse(&filter.to_string());
            prop_assert_eq!(again.map(|filter| filter.root), Ok(filter.root.clone()), "{}", filter);
        }
    }

    #[test]
    fn every_filter_prints_to_what_parses_to_it(expr in exprs()) {
        let filter = Filter { table: Table::Tasks, root: Some(expr) };
        let text = filter.to_string();
        prop_assume!(text.len() <= MAX_LENGTH);
        prop_assert_eq!(parse(&text).map(|filter| filter.root), Ok(filter.root), "{}", text);
    }

    #[test]
    fn completing_never_panics_and_replaces_what_lies_before_the_cursor(text in filterish(), cursor in 0usize..200) {
        for table in Table::ALL {
            let completion = complete(table, &text, cursor);
            prop_assert!(completion.from <= completion.to && completion.to <= cursor.min(text.len()));
            prop_assert!(text.is_char_boundary(completion.from) && text.is_char_boundary(completion.to));
        }
    }

    #[test]
    fn a_negated_filter_passes_exactly_the_other_rows(expr in exprs()) {
        prop_assert_ne!(expr.matches(&conn()), Expr::Not(Box::new(expr.clone())).matches(&conn()));
    }
}
