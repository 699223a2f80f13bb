//! What is asked of a queue and may have to wait: room for an item, an item, the end of all.

use std::marker::PhantomData;

use super::super::asking::Ask;
use super::super::resource::Resource;
use super::super::waiters::{Left, Waiters};
use super::{END, Order, QueueShutDown, Shared, Shut, State};
use crate::record::bound::LoopBound;

pub(super) struct Put<T, O> {
    /// There until it is put or given back.
    item: Option<T>,
    order: PhantomData<fn() -> O>,
}

impl<T, O> Put<T, O> {
    pub(super) fn new(item: T) -> Self {
        Self {
            item: Some(item),
            order: PhantomData,
        }
    }

    fn item(&mut self) -> T {
        self.item
            .take()
            .expect("a put is not polled after it ended")
    }
}

impl<'a, T: Send + 'static, O: Order<T>> Ask<'a> for Put<T, O> {
    type Shared = LoopBound<State<T, O>>;
    type Output = Result<(), QueueShutDown<T>>;
    const WHAT: &'static str = "queue";

    fn line(state: &State<T, O>) -> &Waiters {
        &state.putters
    }

    fn resource(state: &State<T, O>) -> &Resource {
        &state.row
    }

    #[inline]
    fn now(&mut self, _shared: &'a Shared<T, O>, state: &State<T, O>) -> Option<Self::Output> {
        if state.shut.get() != Shut::Open {
            return Some(Err(QueueShutDown::new(self.item())));
        }
        (state.putters.is_empty() && state.has_room()).then(|| {
            state.push(self.item());
            Ok(())
        })
    }

    fn granted(
        &mut self,
        _shared: &'a Shared<T, O>,
        state: &State<T, O>,
        word: usize,
    ) -> Option<Self::Output> {
        if word != END {
            state.reserved.set(state.reserved.get() - 1);
        }
        Some(if state.shut.get() == Shut::Open {
            state.push(self.item());
            Ok(())
        } else {
            Err(QueueShutDown::new(self.item()))
        })
    }

    fn seen(state: &State<T, O>) {
        state.seen();
    }

    fn left(state: &State<T, O>, left: Left) {
        state.seen();
        if matches!(left, Left::Granted(word) if word != END) {
            state.reserved.set(state.reserved.get() - 1);
            state.serve_putters();
        }
    }
}

pub(super) struct Get<T, O>(PhantomData<fn() -> (T, O)>);

impl<T, O> Get<T, O> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'a, T: Send + 'static, O: Order<T>> Ask<'a> for Get<T, O> {
    type Shared = LoopBound<State<T, O>>;
    type Output = Result<T, QueueShutDown>;
    const WHAT: &'static str = "queue";

    fn line(state: &State<T, O>) -> &Waiters {
        &state.getters
    }

    fn resource(state: &State<T, O>) -> &Resource {
        &state.row
    }

    #[inline]
    fn now(&mut self, _shared: &'a Shared<T, O>, state: &State<T, O>) -> Option<Self::Output> {
        if state.has_item() {
            return state.pop().map(Ok);
        }
        state.is_over().then_some(Err(QueueShutDown::new(())))
    }

    fn granted(
        &mut self,
        _shared: &'a Shared<T, O>,
        state: &State<T, O>,
        word: usize,
    ) -> Option<Self::Output> {
        // A shutdown at once took back what had been promised.
        if word == END || state.shut.get() == Shut::Now {
            return Some(Err(QueueShutDown::new(())));
        }
        state.promised.set(state.promised.get() - 1);
        let item = state.pop();
        Some(Ok(item.expect("a promised item is there")))
    }

    fn seen(state: &State<T, O>) {
        state.seen();
    }

    fn left(state: &State<T, O>, left: Left) {
        state.seen();
        if matches!(left, Left::Granted(word) if word != END) && state.shut.get() != Shut::Now {
            state.promised.set(state.promised.get() - 1);
            state.serve_getters();
        }
    }
}

pub(super) struct Join<T, O>(PhantomData<fn() -> (T, O)>);

impl<T, O> Join<T, O> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'a, T: Send + 'static, O: Order<T>> Ask<'a> for Join<T, O> {
    type Shared = LoopBound<State<T, O>>;
    type Output = ();
    const WHAT: &'static str = "queue";

    fn line(state: &State<T, O>) -> &Waiters {
        &state.joiners
    }

    fn resource(state: &State<T, O>) -> &Resource {
        &state.row
    }

    fn now(&mut self, _shared: &'a Shared<T, O>, state: &State<T, O>) -> Option<()> {
        (state.unfinished.get() == 0).then_some(())
    }

    fn granted(
        &mut self,
        _shared: &'a Shared<T, O>,
        _state: &State<T, O>,
        _word: usize,
    ) -> Option<()> {
        Some(())
    }

    fn seen(state: &State<T, O>) {
        state.seen();
    }

    fn left(state: &State<T, O>, _left: Left) {
        state.seen();
    }
}
