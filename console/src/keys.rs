//! One table of keys. Input, footer, help overlay, palette and the docs all read it, so none can disagree with another.
//! Knows what a key is called and where it works; what it does is `update`'s.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    HalfUp,
    HalfDown,
    Top,
    Bottom,
    Open,
    Back,
    Close,
    Screen(u8),
    NextScreen,
    PreviousScreen,
    NextPanel,
    PreviousPanel,
    NextTask,
    PreviousTask,
    Filter,
    DropFilter,
    SortMenu,
    SortLeft,
    SortRight,
    Reverse,
    Columns,
    Group,
    Tree,
    Fold,
    Unfold,
    Narrow,
    Preview,
    Zoom,
    Waker,
    Parent,
    LateCause,
    Freeze,
    Copy,
    CopyRow,
    Editor,
    Explain,
    Hide,
    Cancel,
    Nudge,
    Budget,
    Recorded,
    FindNow,
    Events,
    Cost,
    Palette,
    Help,
    Apps,
    Retry,
    Mouse,
    Redraw,
    Suspend,
    Quit,
    /// Ctrl-C: leaves an input, else quits.
    Interrupt,
    Accept,
    Complete,
    Older,
    Newer,
    Toggle,
    MoveLeft,
    MoveRight,
}

/// Where a key works: a set of screens and layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where(pub u32);

impl Where {
    pub const OVERVIEW: Where = Where(1);
    pub const TASKS: Where = Where(1 << 1);
    pub const LOOPS: Where = Where(1 << 2);
    pub const TIMERS: Where = Where(1 << 3);
    pub const IO: Where = Where(1 << 4);
    pub const LEAKS: Where = Where(1 << 5);
    pub const DETAIL: Where = Where(1 << 6);
    /// No data to show: searching, connecting, a version gap.
    pub const SPLASH: Where = Where(1 << 7);
    pub const FILTER: Where = Where(1 << 8);
    pub const MENU: Where = Where(1 << 9);
    pub const COLUMNS: Where = Where(1 << 10);
    pub const PALETTE: Where = Where(1 << 11);
    pub const APPS: Where = Where(1 << 12);
    pub const HELP: Where = Where(1 << 13);
    /// A text on top: what a finding means, costs, events.
    pub const NOTE: Where = Where(1 << 14);
    pub const RESOURCES: Where = Where(1 << 15);
    pub const JOBS: Where = Where(1 << 16);
    pub const CHILDREN: Where = Where(1 << 17);
    /// What a key would have the app do, before it is done.
    pub const CONFIRM: Where = Where(1 << 18);
    /// Where a budget is typed.
    pub const BUDGET: Where = Where(1 << 19);
    /// What is recorded.
    pub const SWITCHES: Where = Where(1 << 20);

    /// Screens whose selected row has links of its own.
    pub const THINGS: Where = Where::RESOURCES.or(Where::JOBS).or(Where::CHILDREN);
    /// Every screen with a list.
    pub const LISTS: Where = Where(0b11_1111).or(Where::THINGS);
    const TABLES: Where = Where(0b11_1110).or(Where::THINGS);
    /// Every screen that shows an app's data.
    pub const SCREENS: Where = Where::LISTS.or(Where::DETAIL);
    const BASE: Where = Where::SCREENS.or(Where::SPLASH);
    const TYPING: Where =
        Where(Where::FILTER.0 | Where::PALETTE.0 | Where::APPS.0 | Where::HELP.0 | Where::BUDGET.0);
    const PICKING: Where =
        Where(Where::MENU.0 | Where::COLUMNS.0 | Where::NOTE.0 | Where::SWITCHES.0);
    const LAYERS: Where = Where(Where::TYPING.0 | Where::PICKING.0 | Where::CONFIRM.0);

    /// Either of two places.
    pub const fn or(self, other: Where) -> Where {
        Where(self.0 | other.0)
    }

    /// Whether two sets have a place in common.
    pub fn meets(self, other: Where) -> bool {
        self.0 & other.0 != 0
    }
}

/// A key as the table names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Ctrl(char),
    /// One character after another.
    Chord(char, char),
    Code(KeyCode),
    BackTab,
}

impl Key {
    /// Its name on the screen and in the docs.
    pub fn name(self) -> String {
        match self {
            Key::Char(' ') => "space".into(),
            Key::Char(c) => c.to_string(),
            Key::Ctrl(c) => format!("Ctrl-{c}"),
            Key::Chord(a, b) => format!("{a} {b}"),
            Key::BackTab => "S-Tab".into(),
            Key::Code(code) => match code {
                KeyCode::Up => "↑".into(),
                KeyCode::Down => "↓".into(),
                KeyCode::Left => "←".into(),
                KeyCode::Right => "→".into(),
                KeyCode::PageUp => "PgUp".into(),
                KeyCode::PageDown => "PgDn".into(),
                other => format!("{other:?}"),
            },
        }
    }

    fn is(self, event: &KeyEvent) -> bool {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        let alt = event.modifiers.contains(KeyModifiers::ALT);
        match self {
            Key::Char(c) => !ctrl && !alt && event.code == KeyCode::Char(c),
            // Shift with Ctrl is not reported by every terminal, so the letter's case says nothing.
            Key::Ctrl(c) => {
                ctrl && matches!(event.code, KeyCode::Char(e) if e.eq_ignore_ascii_case(&c))
            }
            Key::Chord(..) => false,
            Key::Code(code) => !ctrl && event.code == code,
            Key::BackTab => event.code == KeyCode::BackTab,
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    pub keys: &'static [Key],
    pub action: Action,
    pub at: Where,
    /// The footer's word; empty: never in the footer.
    pub hint: &'static str,
    /// The help's sentence.
    pub help: &'static str,
}

use Action as A;
use Key::{BackTab, Char, Chord, Code, Ctrl};
use KeyCode::{Backspace, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up};

const fn key(
    keys: &'static [Key],
    action: Action,
    at: Where,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
        action,
        at,
        hint,
        help,
    }
}

/// The keys, in the order of the footer: the most useful first.
#[rustfmt::skip]
pub static TABLE: &[Binding] = &[
    // Layers come first: what is on top has the keys.
    key(&[Code(Esc)], A::Close, Where::LAYERS, "close", "close this"),
    key(&[Code(Enter)], A::Accept, Where(Where::FILTER.0 | Where::PALETTE.0 | Where::APPS.0 | Where::MENU.0), "take it", "take what is chosen"),
    key(&[Code(Enter), Char('y')], A::Accept, Where::CONFIRM, "do it", "have the app do it"),
    key(&[Char('n'), Char('q')], A::Close, Where::CONFIRM, "", "leave it"),
    key(&[Code(Enter)], A::Accept, Where::BUDGET, "set it", "set the budget"),
    key(&[Code(Tab)], A::Toggle, Where::BUDGET, "of which loop", "of the next loop, or of all"),
    key(&[Char(' '), Code(Enter)], A::Accept, Where::SWITCHES, "switch", "turn it on or off"),
    key(&[Char('q'), Char('T')], A::Close, Where::SWITCHES, "", "close this"),
    key(&[Code(Enter)], A::Close, Where::HELP, "", "close this"),
    key(&[Code(Up)], A::Older, Where::FILTER, "history", "an older filter"),
    key(&[Code(Down)], A::Newer, Where::FILTER, "", "a newer filter"),
    key(&[Code(Tab)], A::Complete, Where::FILTER, "complete", "complete a field's name"),
    key(&[Code(Up), Char('k')], A::Up, Where::PICKING, "", "up"),
    key(&[Code(Down), Char('j')], A::Down, Where::PICKING, "move", "down"),
    key(&[Code(Up)], A::Up, Where(Where::PALETTE.0 | Where::APPS.0 | Where::HELP.0), "", "up"),
    key(&[Code(Down)], A::Down, Where(Where::PALETTE.0 | Where::APPS.0 | Where::HELP.0), "move", "down"),
    key(&[Code(PageUp)], A::PageUp, Where(Where::PALETTE.0 | Where::HELP.0 | Where::NOTE.0), "", "a page up"),
    key(&[Code(PageDown)], A::PageDown, Where(Where::PALETTE.0 | Where::HELP.0 | Where::NOTE.0), "", "a page down"),
    key(&[Char(' '), Code(Enter)], A::Toggle, Where::COLUMNS, "show or hide", "show or hide the column"),
    key(&[Code(Left), Char('<')], A::MoveLeft, Where::COLUMNS, "", "move the column left"),
    key(&[Code(Right), Char('>')], A::MoveRight, Where::COLUMNS, "reorder", "move the column right"),
    key(&[Char('I')], A::Reverse, Where::MENU, "reverse", "turn the order round"),
    key(&[Char('s'), Char('q')], A::Close, Where::MENU, "", "close this"),
    key(&[Char('c'), Char('q')], A::Close, Where::COLUMNS, "", "close this"),
    key(&[Char('q'), Char('d'), Char('i'), Char('0'), Char('e'), Code(Enter)], A::Close, Where::NOTE, "", "close this"),
    // The screens.
    key(&[Code(Up), Char('k')], A::Up, Where::SCREENS, "", "up"),
    key(&[Code(Down), Char('j')], A::Down, Where::SCREENS, "", "down"),
    key(&[Code(PageUp)], A::PageUp, Where::SCREENS, "", "a page up"),
    key(&[Code(PageDown)], A::PageDown, Where::SCREENS, "", "a page down"),
    key(&[Ctrl('u')], A::HalfUp, Where::SCREENS, "", "half a page up"),
    key(&[Ctrl('d')], A::HalfDown, Where::SCREENS, "", "half a page down"),
    key(&[Chord('g', 'g'), Code(Home)], A::Top, Where::SCREENS, "", "to the first"),
    key(&[Char('G'), Code(End)], A::Bottom, Where::SCREENS, "", "to the last"),
    key(&[Code(Enter)], A::Open, Where::SCREENS, "open", "open what is selected"),
    key(&[Code(Tab)], A::NextPanel, Where::DETAIL, "next panel", "next panel"),
    key(&[BackTab], A::PreviousPanel, Where::DETAIL, "", "previous panel"),
    key(&[Char('J')], A::NextTask, Where::DETAIL, "", "next task of the list"),
    key(&[Char('K')], A::PreviousTask, Where::DETAIL, "J K next", "previous task of the list"),
    key(&[Char('/')], A::Filter, Where::TABLES, "filter", "filter this list"),
    key(&[Char('\\')], A::DropFilter, Where::TABLES, "drop filter", "drop the filter"),
    key(&[Char('s')], A::SortMenu, Where::TABLES, "sort", "sort menu"),
    key(&[Char('<')], A::SortLeft, Where::TABLES, "", "sort by the column to the left"),
    key(&[Char('>')], A::SortRight, Where::TABLES, "", "sort by the column to the right"),
    key(&[Char('I')], A::Reverse, Where::TABLES, "", "turn the order round"),
    key(&[Char('c')], A::Columns, Where::TABLES, "columns", "choose and move columns"),
    key(&[Char('v')], A::Group, Where::TASKS, "group", "group tasks by the place that spawned them"),
    key(&[Char('t')], A::Tree, Where::TASKS, "tree", "tasks below those that spawned them"),
    key(&[Char('-')], A::Fold, Where::TASKS, "", "in the tree: fold what lies below the task, or below its parent"),
    key(&[Char('+')], A::Unfold, Where::TASKS, "", "in the tree: unfold it"),
    key(&[Char('z')], A::Narrow, Where::TASKS.or(Where::LOOPS).or(Where::TIMERS).or(Where::IO).or(Where::THINGS), "narrow",
        "narrow: with findings, this loop only, ended tasks, all"),
    key(&[Char('w')], A::Waker, Where::TASKS.or(Where::DETAIL), "its waker", "go to what will wake it"),
    key(&[Char('u')], A::Parent, Where::TASKS.or(Where::DETAIL), "parent", "go to the task that spawned it"),
    key(&[Char('L')], A::LateCause, Where::TIMERS, "what made it late", "the loop's blocks: what made it late"),
    key(&[Char('p')], A::Preview, Where::TASKS.or(Where::LEAKS).or(Where::LOOPS).or(Where::THINGS), "preview", "the pane that follows the selection"),
    key(&[Char('+')], A::Zoom, Where::DETAIL.or(Where::LOOPS).or(Where::THINGS), "zoom", "one panel on the whole screen"),
    key(&[Char('d')], A::Explain, Where::OVERVIEW.or(Where::LEAKS).or(Where::TASKS).or(Where::DETAIL), "explain",
        "what a finding means and what to do"),
    key(&[Char('x')], A::Hide, Where::OVERVIEW, "hide", "hide a finding for this session"),
    key(&[Char('C')], A::Cancel, Where::TASKS.or(Where::DETAIL), "cancel", "have the app cancel the task; asks first"),
    key(&[Char('N')], A::Nudge, Where::TASKS.or(Where::DETAIL), "nudge", "wake the task without a cause: shows whether a wake was lost; asks first"),
    key(&[Char('b')], A::Budget, Where::LOOPS, "budget", "change how long a poll may take"),
    key(&[Char('F')], A::FindNow, Where::OVERVIEW.or(Where::LEAKS), "", "have the app look for findings now; asks first"),
    key(&[Char('T')], A::Recorded, Where::SCREENS, "", "what is recorded, to turn on and off"),
    key(&[Char('e')], A::Events, Where::OVERVIEW, "events", "the newest events"),
    key(&[Char(' ')], A::Freeze, Where::SCREENS, "freeze", "freeze my view, the app runs on"),
    key(&[Char('y')], A::Copy, Where::SCREENS, "copy", "copy the selected thing"),
    key(&[Char('Y')], A::CopyRow, Where::SCREENS, "", "copy the whole row"),
    key(&[Char('o')], A::Editor, Where::SCREENS, "", "open the place in $EDITOR"),
    key(&[Char('r')], A::Retry, Where::BASE, "retry now", "try to connect again now"),
    // Everywhere.
    key(&[Char('1')], A::Screen(0), Where::SCREENS, "", "overview"),
    key(&[Char('2')], A::Screen(1), Where::SCREENS, "", "tasks: what asyncio calls all_tasks"),
    key(&[Char('3')], A::Screen(2), Where::SCREENS, "", "loops"),
    key(&[Char('4')], A::Screen(3), Where::SCREENS, "", "timers"),
    key(&[Char('5')], A::Screen(4), Where::SCREENS, "", "I/O"),
    key(&[Char('6')], A::Screen(5), Where::SCREENS, "", "leaks"),
    key(&[Char('7')], A::Screen(6), Where::SCREENS, "", "resources: locks, queues, futures"),
    key(&[Char('8')], A::Screen(7), Where::SCREENS, "", "jobs of executors"),
    key(&[Char('9')], A::Screen(8), Where::SCREENS, "", "child processes"),
    key(&[Code(Tab)], A::NextScreen, Where::LISTS, "", "next screen"),
    key(&[BackTab], A::PreviousScreen, Where::LISTS, "", "previous screen"),
    key(&[Code(Backspace)], A::Back, Where::SCREENS, "back", "back to where I came from"),
    key(&[Code(Esc)], A::Close, Where::SCREENS, "", "close one layer; never quits"),
    key(&[Char(':')], A::Palette, Where::BASE, "", "every action, by name"),
    key(&[Char('?')], A::Help, Where::BASE, "all keys", "this help"),
    key(&[Char('`')], A::Apps, Where::BASE, "", "the other apps"),
    key(&[Char('i'), Char('0')], A::Cost, Where::SCREENS, "", "what being watched costs"),
    key(&[Char('m')], A::Mouse, Where::BASE, "", "mouse off and on, to select text"),
    key(&[Ctrl('l')], A::Redraw, Where::BASE, "", "draw the screen anew"),
    key(&[Ctrl('z')], A::Suspend, Where(u32::MAX), "", "to the shell; fg returns"),
    key(&[Char('q')], A::Quit, Where::BASE, "quit", "quit"),
    key(&[Ctrl('c')], A::Interrupt, Where(u32::MAX), "", "leave an input, else quit"),
];

/// What a key press asks for at a place. `before` is the first half of a chord.
pub fn lookup(event: &KeyEvent, at: Where, before: Option<char>) -> Option<Action> {
    let here = || TABLE.iter().filter(|b| b.at.meets(at));
    if let (Some(first), KeyCode::Char(second)) = (before, event.code) {
        let chord = here().find(|b| b.keys.contains(&Key::Chord(first, second)));
        if let Some(binding) = chord {
            return Some(binding.action);
        }
    }
    here()
        .find(|b| b.keys.iter().any(|k| k.is(event)))
        .map(|b| b.action)
}

/// Whether a character may be the first half of a chord at a place.
pub fn begins_chord(c: char, at: Where) -> bool {
    TABLE.iter().any(|b| {
        b.at.meets(at)
            && b.keys
                .iter()
                .any(|k| matches!(k, Key::Chord(first, _) if *first == c))
    })
}

/// All keys of a binding: `↑ k`.
pub fn names(binding: &Binding) -> String {
    binding
        .keys
        .iter()
        .map(|k| k.name())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The whole table as text, for `keys` and the docs: one section for each place.
pub fn document() -> String {
    const PLACES: [(&str, Where); 21] = [
        ("Everywhere", Where::SCREENS),
        ("Overview", Where::OVERVIEW),
        ("Tasks (all_tasks)", Where::TASKS),
        ("Task detail", Where::DETAIL),
        ("Loops", Where::LOOPS),
        ("Timers", Where::TIMERS),
        ("I/O", Where::IO),
        ("Leaks", Where::LEAKS),
        ("Resources", Where::RESOURCES),
        ("Jobs", Where::JOBS),
        ("Children", Where::CHILDREN),
        ("While typing a filter", Where::FILTER),
        ("Sort menu", Where::MENU),
        ("Columns", Where::COLUMNS),
        ("Palette", Where::PALETTE),
        ("Apps", Where::APPS),
        ("Help", Where::HELP),
        (
            "A text on top: what a finding means, events, costs",
            Where::NOTE,
        ),
        ("Before the app does something", Where::CONFIRM),
        ("While typing a budget", Where::BUDGET),
        ("What is recorded", Where::SWITCHES),
    ];
    let everywhere = |b: &Binding| b.at.0 & Where::SCREENS.0 == Where::SCREENS.0;
    let mut out = String::new();
    for (title, at) in PLACES {
        out.push_str(title);
        out.push('\n');
        for b in TABLE
            .iter()
            .filter(|b| b.at.meets(at) && everywhere(b) == (at == Where::SCREENS))
        {
            out.push_str(&format!("  {:<14} {}\n", names(b), b.help));
        }
        out.push('\n');
    }
    // One blank line between sections, none at the end.
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ctrl-C and Ctrl-Z are in every place and are not letters, so they cannot clash with typing.
    #[test]
    fn no_key_means_two_things_in_one_place() {
        for bit in 0..21 {
            let at = Where(1 << bit);
            let mut seen: Vec<(Key, Action)> = Vec::new();
            for b in TABLE.iter().filter(|b| b.at.meets(at)) {
                for &k in b.keys {
                    if let Some((_, other)) = seen.iter().find(|(s, _)| *s == k) {
                        panic!(
                            "{} is both {:?} and {:?} in {at:?}",
                            k.name(),
                            other,
                            b.action
                        );
                    }
                    seen.push((k, b.action));
                }
            }
        }
    }

    #[test]
    fn a_letter_is_text_where_one_types() {
        for c in ('a'..='z').chain('0'..='9').chain(['?', ':', '/', ' ']) {
            let event = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
            for at in [
                Where::FILTER,
                Where::PALETTE,
                Where::APPS,
                Where::HELP,
                Where::BUDGET,
            ] {
                assert_eq!(lookup(&event, at, None), None, "{c} in {at:?}");
            }
        }
    }

    #[test]
    fn every_key_has_a_sentence() {
        assert!(
            TABLE
                .iter()
                .all(|b| !b.help.is_empty() && !b.keys.is_empty())
        );
        let text = document();
        assert!(text.contains("Ctrl-z") && text.contains("g g") && text.contains("all_tasks"));
    }
}
