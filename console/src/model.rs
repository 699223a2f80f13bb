//! The whole state of the console: what is known ([`Store`]) and what the user is doing with it ([`Ui`]). A plain value:
//! `update` changes it, `view` draws it. Knows no terminal and no socket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tui_input::Input;

use crate::keys::Where;
use crate::store::control::Deed;
use crate::store::{Goto, Listed, Query, Slot, Sort, Store};
use crate::view::Drawn;
use crate::view::theme::Colours;

/// The screens, in the order of their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Screen {
    #[default]
    Overview,
    Tasks,
    Loops,
    Timers,
    Io,
    Leaks,
    Resources,
    Jobs,
    Children,
}

impl Screen {
    /// All of them, in the order of their keys.
    pub const ALL: [Screen; 9] = [
        Screen::Overview,
        Screen::Tasks,
        Screen::Loops,
        Screen::Timers,
        Screen::Io,
        Screen::Leaks,
        Screen::Resources,
        Screen::Jobs,
        Screen::Children,
    ];

    /// Its name on its tab.
    pub fn title(self) -> &'static str {
        match self {
            Screen::Overview => "Overview",
            Screen::Tasks => "Tasks",
            Screen::Loops => "Loops",
            Screen::Timers => "Timers",
            Screen::Io => "I/O",
            Screen::Leaks => "Leaks",
            Screen::Resources => "Resources",
            Screen::Jobs => "Jobs",
            Screen::Children => "Children",
        }
    }

    /// Its place in [`Screen::ALL`].
    pub fn index(self) -> usize {
        Screen::ALL.iter().position(|s| *s == self).unwrap_or(0)
    }

    fn at(self) -> Where {
        match self {
            Screen::Overview => Where::OVERVIEW,
            Screen::Tasks => Where::TASKS,
            Screen::Loops => Where::LOOPS,
            Screen::Timers => Where::TIMERS,
            Screen::Io => Where::IO,
            Screen::Leaks => Where::LEAKS,
            Screen::Resources => Where::RESOURCES,
            Screen::Jobs => Where::JOBS,
            Screen::Children => Where::CHILDREN,
        }
    }
}

/// A list that can be scrolled and has a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListId {
    Findings,
    Tasks,
    Groups,
    Tree,
    Blocks,
    Timers,
    Io,
    Leaks,
    Resources,
    Jobs,
    Children,
}

impl ListId {
    /// All of them.
    pub const ALL: [ListId; 11] = [
        ListId::Findings,
        ListId::Tasks,
        ListId::Groups,
        ListId::Tree,
        ListId::Blocks,
        ListId::Timers,
        ListId::Io,
        ListId::Leaks,
        ListId::Resources,
        ListId::Jobs,
        ListId::Children,
    ];

    /// The order it has while the user chose none.
    pub fn default_sort(self) -> Option<Sort> {
        let (key, descending) = match self {
            ListId::Tasks => ("for", true),
            ListId::Groups => ("live", true),
            ListId::Blocks => ("age", false),
            ListId::Timers => ("due", false),
            ListId::Io => ("idle", true),
            ListId::Leaks => ("grade", false),
            ListId::Resources => ("waiters", true),
            ListId::Jobs => ("for", true),
            ListId::Children => ("age", false),
            // These come worst first, and stay so.
            // A tree has the order of descent.
            ListId::Findings | ListId::Tree => return None,
        };
        Some(Sort {
            key: key.to_owned(),
            descending,
        })
    }

    /// What its rows are called.
    pub fn noun(self) -> &'static str {
        match self {
            ListId::Findings => "findings",
            ListId::Tasks => "tasks",
            ListId::Groups => "places",
            ListId::Tree => "tasks",
            ListId::Blocks => "blocks over budget",
            ListId::Timers => "timers",
            ListId::Io => "I/O sources",
            ListId::Leaks => "leaks",
            ListId::Resources => "resources",
            ListId::Jobs => "jobs",
            ListId::Children => "child processes",
        }
    }
}

/// How the Tasks screen shows tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    List,
    /// Counted by the place that spawned them.
    Places,
    /// Each below the one that spawned it.
    Tree,
}

impl Shape {
    /// The list that shows this shape.
    pub fn list(self) -> ListId {
        match self {
            Shape::List => ListId::Tasks,
            Shape::Places => ListId::Groups,
            Shape::Tree => ListId::Tree,
        }
    }
}

/// What a list is narrowed to, beside its filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Narrow {
    #[default]
    All,
    /// Only rows with a finding.
    Findings,
    /// Only rows of this loop.
    Loop(u64),
    /// Instead of the tasks that live, those that ended, as many as the app still holds.
    Ended,
}

/// How one list is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// The selected row's place in the sorted and filtered list.
    pub rank: u64,
    /// Which row that is; the selection follows it. `None` until the row at `rank` has been seen.
    pub id: Option<u64>,
    /// The place of the first row on screen.
    pub top: u64,
    /// The user moved in it. An untouched selection stays on the first row, whichever that is.
    pub touched: bool,
    pub sort: Option<Sort>,
    pub filter: String,
    pub narrow: Narrow,
    /// Columns that the user switched, against their default.
    pub switched: BTreeSet<&'static str>,
    /// The user's order of columns; those not in it follow in the table's.
    pub order: Vec<&'static str>,
    /// A row that was asked for by its id and whose place is not known yet.
    pub find: Option<u64>,
    /// How many rows fit on the screen, as last drawn.
    pub rows: u16,
}

/// What lies over a screen. The last one has the keys.
#[derive(Clone, Debug)]
pub enum Layer {
    Filter {
        input: Input,
        before: String,
        at: Option<usize>,
    },
    Sort {
        cursor: usize,
    },
    Columns {
        cursor: usize,
    },
    Palette {
        input: Input,
        cursor: usize,
    },
    Apps {
        input: Input,
        cursor: usize,
    },
    Help {
        input: Input,
        scroll: u16,
    },
    Note {
        note: Note,
        scroll: u16,
    },
    /// What would be done, before it is.
    Confirm {
        deed: Deed,
    },
    Budget {
        input: Input,
        /// `None`: of every loop.
        loop_id: Option<u64>,
        /// Why what was typed is no budget.
        wrong: String,
    },
    /// What is recorded.
    Recorded {
        cursor: usize,
    },
}

/// A text over a screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// What a finding of this name means.
    Finding(String),
    Cost,
    Events,
}

/// The opened task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    pub id: u64,
    pub panel: usize,
    pub scroll: u16,
}

/// Where one was, to go back there.
#[derive(Clone, Debug, PartialEq)]
pub struct Crumb {
    pub screen: Screen,
    pub shape: Shape,
    pub detail: Option<Detail>,
}

/// A picture that stands still while the app runs on.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub since: Duration,
    pub store: Box<Store>,
}

/// What the user is doing.
#[derive(Clone, Debug, Default)]
pub struct Ui {
    /// The console's clock at the last message.
    pub now: Duration,
    pub screen: Screen,
    /// How the Tasks screen shows them.
    pub shape: Shape,
    pub detail: Option<Detail>,
    pub lists: BTreeMap<ListId, List>,
    pub layers: Vec<Layer>,
    pub crumbs: Vec<Crumb>,
    pub frozen: Option<Frozen>,
    /// One panel has the whole screen.
    pub zoom: bool,
    /// The keys are in the pane that follows the selection, on this one of its links: its place when it was chosen, and
    /// where it leads. Waiters come and go meanwhile.
    pub inside: Option<(u16, Goto)>,
    /// The preview panes; `None`: as the size of the screen suggests.
    pub preview: Option<bool>,
    pub history: Vec<String>,
    pub toast: Option<(String, Duration)>,
    /// The first half of a chord.
    pub chord: Option<char>,
    pub last_key: Option<Duration>,
    /// When rows last changed places.
    pub last_sort: Option<Duration>,
    pub mouse: bool,
    /// The mouse was dragged once: the hint about selecting text was given.
    pub drag_hinted: bool,
    pub colours: Colours,
    pub ascii: bool,
    /// Seconds east of UTC of the clock on the wall here.
    pub utc_offset_s: i32,
    /// What was drawn where, for clicks.
    pub drawn: Drawn,
    /// What was asked and not taken back.
    pub asked: BTreeMap<Slot, Query>,
    pub asked_events: bool,
    /// A command was queued at this moment of the app's clock, and its event has not come yet.
    pub awaits: Option<u64>,
    pub asked_apps: bool,
    /// How long the last frame took, for the cost panel.
    pub frame: Option<Duration>,
    /// Something on the screen changed since it was drawn.
    pub dirty: bool,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub store: Store,
    pub ui: Ui,
}

impl Model {
    /// What the screens show: the frozen picture, else what is known now.
    pub fn shown(&self) -> &Store {
        self.ui.frozen.as_ref().map_or(&self.store, |f| &f.store)
    }

    /// The list that has the keys on the present screen.
    pub fn list_id(&self) -> Option<ListId> {
        if self.ui.detail.is_some() {
            return None;
        }
        Some(match self.ui.screen {
            Screen::Overview => ListId::Findings,
            Screen::Tasks => self.ui.shape.list(),
            Screen::Loops => ListId::Blocks,
            Screen::Timers => ListId::Timers,
            Screen::Io => ListId::Io,
            Screen::Leaks => ListId::Leaks,
            Screen::Resources => ListId::Resources,
            Screen::Jobs => ListId::Jobs,
            Screen::Children => ListId::Children,
        })
    }

    /// How a list is looked at; as new if nobody touched it.
    pub fn list(&self, id: ListId) -> &List {
        static NEW: List = List {
            rank: 0,
            id: None,
            top: 0,
            touched: false,
            sort: None,
            filter: String::new(),
            narrow: Narrow::All,
            switched: BTreeSet::new(),
            order: Vec::new(),
            find: None,
            rows: 0,
        };
        self.ui.lists.get(&id).unwrap_or(&NEW)
    }

    /// The order of a list.
    pub fn sort(&self, id: ListId) -> Option<Sort> {
        self.list(id).sort.clone().or_else(|| id.default_sort())
    }

    /// How a list is looked at, to change.
    pub fn list_mut(&mut self, id: ListId) -> &mut List {
        self.ui.lists.entry(id).or_default()
    }

    /// Whether there is anything to show: an app answered once.
    pub fn has_data(&self) -> bool {
        self.store.hello.is_some()
    }

    /// Which keys count: those of the top layer, else of the screen.
    pub fn at(&self) -> Where {
        match self.ui.layers.last() {
            Some(Layer::Filter { .. }) => Where::FILTER,
            Some(Layer::Sort { .. }) => Where::MENU,
            Some(Layer::Columns { .. }) => Where::COLUMNS,
            Some(Layer::Palette { .. }) => Where::PALETTE,
            Some(Layer::Apps { .. }) => Where::APPS,
            Some(Layer::Help { .. }) => Where::HELP,
            Some(Layer::Note { .. }) => Where::NOTE,
            Some(Layer::Confirm { .. }) => Where::CONFIRM,
            Some(Layer::Budget { .. }) => Where::BUDGET,
            Some(Layer::Recorded { .. }) => Where::SWITCHES,
            None => self.base(),
        }
    }

    /// Which keys count when no layer is open.
    pub fn base(&self) -> Where {
        if !self.has_data() {
            Where::SPLASH
        } else if self.ui.detail.is_some() {
            Where::DETAIL
        } else {
            self.ui.screen.at()
        }
    }
}

/// The rows of a list, whichever they are.
pub fn page(store: &Store, list: ListId) -> &dyn Listed {
    match list {
        ListId::Findings => &store.findings,
        ListId::Tasks => &store.tasks,
        ListId::Groups => &store.groups,
        ListId::Tree => &store.tree,
        ListId::Blocks => &store.blocks,
        ListId::Timers => &store.timers,
        ListId::Io => &store.io,
        ListId::Leaks => &store.leaks,
        ListId::Resources => &store.resources,
        ListId::Jobs => &store.jobs,
        ListId::Children => &store.children,
    }
}

/// The same, to change.
pub fn page_mut(store: &mut Store, list: ListId) -> &mut dyn Listed {
    match list {
        ListId::Findings => &mut store.findings,
        ListId::Tasks => &mut store.tasks,
        ListId::Groups => &mut store.groups,
        ListId::Tree => &mut store.tree,
        ListId::Blocks => &mut store.blocks,
        ListId::Timers => &mut store.timers,
        ListId::Io => &mut store.io,
        ListId::Leaks => &mut store.leaks,
        ListId::Resources => &mut store.resources,
        ListId::Jobs => &mut store.jobs,
        ListId::Children => &mut store.children,
    }
}
