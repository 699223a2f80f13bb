//! Task factories: a hook that sees every spawn of a loop and may change how it is done.

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;

use super::TaskBuilder;
use crate::executor::{Factory, How, Made};
use crate::id::TaskId;
use crate::record::names;
use crate::record::task::Kind;

/// Called with each spawn; gives the builder that the task is spawned with.
///
/// What it spawns itself does not pass it again.
pub type TaskFactory = Rc<dyn Fn(TaskBuilder, &NewTask) -> TaskBuilder>;

/// A task that is about to be spawned, as a factory sees it.
#[derive(Clone, Debug)]
pub struct NewTask {
    place: &'static Location<'static>,
    made: Made,
    name: String,
    parent: Option<TaskId>,
    main: bool,
}

impl NewTask {
    fn new(how: &How, made: Made) -> Self {
        Self {
            place: how.place,
            made,
            name: (how.name.text())
                .map_or_else(String::new, |text| names::numbered(text, how.number)),
            parent: TaskId::from_raw(how.parent),
            main: how.kind == Kind::Main,
        }
    }

    /// Where it is spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.place
    }

    /// The type of its future, as rustc prints it.
    pub fn type_name(&self) -> &'static str {
        self.made.type_name
    }

    /// The size of its future.
    pub fn future_bytes(&self) -> usize {
        self.made.size
    }

    /// The name it was given; empty for none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The task that spawns it; `None`: outside of any.
    pub fn parent(&self) -> Option<TaskId> {
        self.parent
    }

    /// Whether it is the main task of a run.
    pub fn is_main(&self) -> bool {
        self.main
    }
}

/// A task factory that starts every task eagerly, as `TaskBuilder::eager` does.
///
/// Source: asyncio's `eager_task_factory`.
///
/// ```
/// use std::rc::Rc;
/// loop_runtime::run(async {
///     let el = loop_runtime::get_running_loop().unwrap();
///     el.set_task_factory(Some(Rc::new(loop_runtime::eager_task_factory)));
///     assert!(loop_runtime::create_task(async {}).done());
/// })
/// .unwrap();
/// ```
pub fn eager_task_factory(task: TaskBuilder, _: &NewTask) -> TaskBuilder {
    task.eager(true)
}

/// The factory as the executor keeps it.
pub(crate) fn kept(factory: TaskFactory) -> Factory {
    /// Cleared also when the factory panics.
    struct Inside<'a>(&'a Cell<bool>);
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            self.0.set(false);
        }
    }
    let inside = Cell::new(false);
    Rc::new(move |how, context, made| {
        if inside.replace(true) {
            return;
        }
        let _inside = Inside(&inside);
        let task = TaskBuilder::of(how, context.take());
        *context = factory(task, &NewTask::new(how, made)).apply(how);
    })
}
