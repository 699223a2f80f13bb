//! The console's only loop: messages in, model updated, screen drawn, effects carried out. Knows neither what is on the
//! screens nor how an app is reached.

use std::io;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use crate::model::Model;
use crate::store::{Link, Update};
use crate::terminal::{self, Terminal};
use crate::update::{self, Ask, Effect, Message};
use crate::view::theme::Colours;
use crate::view::{fmt, view};

/// Where the transport puts what it learns; any number of clones, from any thread.
#[derive(Clone, Debug)]
pub struct Inbox(To);

#[derive(Clone, Debug)]
enum To {
    Updates(Sender<Update>),
    Messages(Sender<Message>),
}

impl Inbox {
    /// An inbox that puts into `sender`; tests and one-shots read the other end.
    pub fn new(sender: Sender<Update>) -> Self {
        Inbox(To::Updates(sender))
    }

    /// Hands an update to the screens, without waiting. `false`: the screens are gone, stop.
    pub fn send(&self, update: Update) -> bool {
        match &self.0 {
            To::Updates(to) => to.send(update).is_ok(),
            To::Messages(to) => to.send(Message::Update(update)).is_ok(),
        }
    }
}

/// The other side: finds apps, talks to one, and answers into the [`Inbox`] it was made with.
pub trait Transport {
    /// Takes a wish. Must return at once: the caller is the thread that draws.
    fn ask(&mut self, ask: Ask);
}

/// How the screens are to look.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub colours: Colours,
    pub ascii: bool,
    pub mouse: bool,
}

/// Messages taken before a frame is drawn, so that a flood of them cannot hold the screen.
const BATCH: usize = 256;

/// Runs the screens until the user quits.
///
/// `transport` is made with the inbox it must fill. Returns how the link stood at the end, from which the exit code follows.
///
/// Errors: there is no terminal, or it went away. It has been given back in any case.
pub fn run<T: Transport>(
    options: Options,
    transport: impl FnOnce(Inbox) -> T,
) -> io::Result<Option<Link>> {
    let terminal = Terminal::take(options.mouse)?;
    let (to, messages) = mpsc::channel();
    terminal.read_into(to.clone())?;
    terminal::listen(to.clone())?;
    let mut model = Model::default();
    model.ui.colours = options.colours;
    model.ui.ascii = options.ascii;
    model.ui.mouse = options.mouse;
    model.ui.utc_offset_s = jiff::tz::TimeZone::system()
        .to_offset(jiff::Timestamp::now())
        .seconds();
    model.ui.dirty = true;
    let transport = transport(Inbox(To::Messages(to)));
    let mut console = Console {
        terminal,
        transport,
        model,
        began: Instant::now(),
    };
    console.turn(&messages)?;
    Ok(console.model.store.link.take())
}

struct Console<T> {
    terminal: Terminal,
    transport: T,
    model: Model,
    began: Instant,
}

impl<T: Transport> Console<T> {
    fn turn(&mut self, messages: &Receiver<Message>) -> io::Result<()> {
        let mut tick = Instant::now();
        loop {
            // A screen that is shown first knows no sooner than now how much it has room for.
            for _ in 0..2 {
                if !self.model.ui.dirty {
                    break;
                }
                let before = Instant::now();
                let drawn = self.terminal.draw(|buffer| view(&self.model, buffer))?;
                if self.take(Message::Drawn(drawn, before.elapsed()))? {
                    return Ok(());
                }
            }
            let message =
                match messages.recv_timeout(tick.saturating_duration_since(Instant::now())) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        let over = self.take(Message::Tick)?;
                        tick = Instant::now() + update::tick_in(&self.model);
                        if over {
                            return Ok(());
                        }
                        continue;
                    }
                    // The input thread holds the other end for good.
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                };
            if self.take(message)? {
                return Ok(());
            }
            for _ in 1..BATCH {
                let Ok(message) = messages.try_recv() else {
                    break;
                };
                if self.take(message)? {
                    return Ok(());
                }
            }
            // What came may move by itself sooner than the tick that was planned.
            tick = tick.min(Instant::now() + update::tick_in(&self.model));
        }
    }

    /// Does what a message asks; `true`: the end.
    fn take(&mut self, message: Message) -> io::Result<bool> {
        // After a stop from outside the terminal is not as we left it.
        if matches!(message, Message::Resumed) {
            self.terminal.again()?;
        }
        let effects = update::update(&mut self.model, message, self.began.elapsed());
        for effect in effects {
            match effect {
                Effect::Ask(ask) => self.transport.ask(ask),
                Effect::Copy(text) => self.terminal.copy(&text)?,
                Effect::Edit(place) => {
                    let said = self.edit(&place)?;
                    update::update(
                        &mut self.model,
                        Message::Update(Update::Notice(said)),
                        self.began.elapsed(),
                    );
                }
                Effect::Mouse(on) => self.terminal.set_mouse(on)?,
                Effect::Redraw => self.terminal.redraw()?,
                Effect::Suspend => {
                    self.terminal.suspend()?;
                    self.model.ui.dirty = true;
                }
                Effect::Quit => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Opens a place in the user's editor; says how that went.
    fn edit(&mut self, place: &str) -> io::Result<String> {
        let Some((file, line)) = file_and_line(place) else {
            return Ok(format!("{place} is no place in a file"));
        };
        if !std::path::Path::new(file).exists() {
            return Ok(format!(
                "{file} is not here: the app was built elsewhere, or start the console in its workspace"
            ));
        }
        let editor = ["VISUAL", "EDITOR"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()));
        let Some(editor) = editor else {
            return Ok("set EDITOR to open places with o".to_owned());
        };
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).arg(format!("+{line}")).arg(file);
        self.model.ui.dirty = true;
        Ok(match self.terminal.lend(&mut command) {
            Ok(status) if status.success() => format!("closed {}", fmt::place(place)),
            Ok(status) => format!("{program} ended with {status}"),
            Err(error) => format!("cannot start {program}: {error}"),
        })
    }
}

/// `file:line:column` or `file:line` in its parts. A file's name cannot begin with `-`: the editor would take it for a flag.
fn file_and_line(place: &str) -> Option<(&str, u32)> {
    let mut parts = place.rsplitn(3, ':');
    let (last, middle, first) = (parts.next()?, parts.next()?, parts.next());
    let (file, line) = match (first, middle.parse(), last.parse::<u32>()) {
        (Some(file), Ok(line), Ok(_)) => (file, line),
        (_, _, Ok(line)) => (place.strip_suffix(last)?.strip_suffix(':')?, line),
        _ => return None,
    };
    (!file.is_empty() && !file.starts_with('-')).then_some((file, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_and_a_line() {
        assert_eq!(file_and_line("src/ws.rs:41:9"), Some(("src/ws.rs", 41)));
        assert_eq!(file_and_line("src/ws.rs:41"), Some(("src/ws.rs", 41)));
        assert_eq!(
            file_and_line("C:/app/src/ws.rs:41:9"),
            Some(("C:/app/src/ws.rs", 41))
        );
        assert_eq!(file_and_line("--help:1:1"), None);
        assert_eq!(file_and_line("nowhere"), None);
        assert_eq!(file_and_line(""), None);
    }
}
