//! The terminal as a guest: taken whole, given back whole, on every way out: quit, Ctrl-Z, signal, panic. Knows nothing of
//! what is drawn.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
    Event,
};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;

use crate::update::Message;
use crate::view::theme::Colours;

/// The terminal is ours now; the panic hook asks this.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// How long the input thread waits for a key before it looks whether the terminal is wanted by another program.
const LOOK_UP: Duration = Duration::from_millis(200);

/// The terminal, in raw mode and on its other screen.
#[derive(Debug)]
pub struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    mouse: bool,
    input: Arc<Input>,
}

/// Who may read the terminal.
#[derive(Debug, Default)]
struct Input {
    /// Held while one event is waited for and read.
    reading: Mutex<()>,
    /// Another program wants to read.
    wanted: AtomicBool,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// Errors: the output is no terminal, or it refused.
    pub fn take(mouse: bool) -> io::Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "standard input or output is not a terminal",
            ));
        }
        hook_panics();
        enter(mouse)?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout()));
        let inner = ratatui::Terminal::new(backend).inspect_err(|_| leave())?;
        Ok(Terminal {
            inner,
            mouse,
            input: Arc::default(),
        })
    }

    /// Draws a frame: `draw` fills the buffer, only what changed is written.
    pub fn draw<R>(&mut self, draw: impl FnOnce(&mut Buffer) -> R) -> io::Result<R> {
        let mut out = None;
        self.inner
            .draw(|frame| out = Some(draw(frame.buffer_mut())))?;
        Ok(out.expect("draw calls its closure once"))
    }

    /// Reads keys, mouse and resizes on a thread of its own, for good.
    pub fn read_into(&self, to: Sender<Message>) -> io::Result<()> {
        let input = Arc::clone(&self.input);
        std::thread::Builder::new()
            .name("console-input".into())
            .spawn(move || read(&input, &to))
            .map(drop)
    }

    /// Takes the mouse, or leaves it to the terminal so that text can be selected.
    pub fn set_mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        if on {
            execute!(io::stdout(), EnableMouseCapture)
        } else {
            execute!(io::stdout(), DisableMouseCapture)
        }
    }

    /// Puts a text on the clipboard of the terminal, over SSH too (OSC 52). The terminal may refuse, and does not say so.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }

    /// Every cell is written anew with the next frame.
    pub fn redraw(&mut self) -> io::Result<()> {
        self.inner.clear()
    }

    /// Gives the terminal back, stops as the shell expects of Ctrl-Z, and takes it again when continued.
    pub fn suspend(&mut self) -> io::Result<()> {
        leave();
        stop();
        self.again()
    }

    /// The terminal may have been changed while we were stopped from outside.
    pub fn again(&mut self) -> io::Result<()> {
        enter(self.mouse)?;
        self.inner.clear()
    }

    /// Lets another program have the terminal until it ends.
    pub fn lend(&mut self, program: &mut Command) -> io::Result<std::process::ExitStatus> {
        self.input.wanted.store(true, Ordering::SeqCst);
        let reading = self
            .input
            .reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        leave();
        let status = program.status();
        self.input.wanted.store(false, Ordering::SeqCst);
        drop(reading);
        enter(self.mouse)?;
        self.inner.clear()?;
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

fn enter(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    execute!(
        out,
        EnterAlternateScreen,
        EnableBracketedPaste,
        cursor::Hide
    )?;
    if mouse {
        execute!(out, EnableMouseCapture)
    } else {
        Ok(())
    }
}

/// Undoes all of `enter`; twice does no harm. Errors have nowhere to go: the terminal may be gone.
fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = execute!(
            out,
            DisableMouseCapture,
            DisableBracketedPaste,
            LeaveAlternateScreen,
            cursor::Show
        );
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// A panic's message must land on the usual screen, in a terminal that works.
fn hook_panics() {
    static ONCE: Once = Once::new();
    let drawer = std::thread::current().id();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = TAKEN.load(Ordering::SeqCst);
            leave();
            before(info);
            // The screens would go on drawing over the shell, with nobody behind them.
            if ours && std::thread::current().id() != drawer {
                std::process::exit(101);
            }
        }));
    });
}

#[allow(
    clippy::disallowed_methods,
    reason = "this thread only reads the terminal; nobody waits for it"
)]
fn read(input: &Input, to: &Sender<Message>) {
    loop {
        // Whoever waits for the lock gets it: a lock by itself is not fair.
        while input.wanted.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let turn = input.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let message = match event::poll(LOOK_UP) {
            Ok(false) => continue,
            Ok(true) => match event::read() {
                Ok(Event::Key(key)) => Message::Key(key),
                Ok(Event::Mouse(mouse)) => Message::Mouse(mouse),
                Ok(Event::Paste(text)) => Message::Paste(text),
                Ok(Event::Resize(..)) => Message::Resize,
                Ok(Event::FocusGained | Event::FocusLost) => continue,
                // The terminal is gone.
                Err(_) => Message::Terminated,
            },
            Err(_) => Message::Terminated,
        };
        drop(turn);
        let last = matches!(message, Message::Terminated);
        if to.send(message).is_err() || last {
            return;
        }
    }
}

#[cfg(unix)]
fn stop() {
    // As if nobody had caught it: the shell sees a stopped job. Returns when continued.
    let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP);
}

#[cfg(not(unix))]
fn stop() {}

/// Turns signals into messages: SIGTERM, SIGHUP and SIGINT end the console in order, SIGTSTP and SIGCONT are Ctrl-Z and fg.
#[cfg(unix)]
pub fn listen(to: Sender<Message>) -> io::Result<()> {
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGTSTP, SIGCONT])?;
    let turn = move || {
        for signal in signals.forever() {
            let message = match signal {
                SIGTSTP => Message::Stopped,
                SIGCONT => Message::Resumed,
                _ => Message::Terminated,
            };
            if to.send(message).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("console-signals".into())
        .spawn(turn)
        .map(drop)
}

/// The terminal's own Ctrl-C arrives as a key; there is nothing else to listen to.
#[cfg(not(unix))]
pub fn listen(_to: Sender<Message>) -> io::Result<()> {
    Ok(())
}

/// What `--color` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// Whether to use colours: the flag, then NO_COLOR, CLICOLOR_FORCE, CLICOLOR and TERM.
pub fn colours(choice: ColorChoice, env: impl Fn(&str) -> Option<String>) -> Colours {
    let set = |name: &str| env(name).filter(|v| !v.is_empty());
    let on = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("NO_COLOR").is_some() => false,
        ColorChoice::Auto if set("CLICOLOR_FORCE").is_some_and(|v| v != "0") => true,
        ColorChoice::Auto => {
            set("CLICOLOR").is_none_or(|v| v != "0") && set("TERM").is_none_or(|v| v != "dumb")
        }
    };
    if on { Colours::Sixteen } else { Colours::Mono }
}

/// Whether the locale can show only ASCII: the first of LC_ALL, LC_CTYPE and LANG that is set decides, as everywhere.
pub fn is_ascii(env: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| env(name).filter(|v| !v.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    !(cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| {
            set.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        }
    }

    #[test]
    fn the_flag_wins_over_the_environment() {
        assert_eq!(
            colours(ColorChoice::Always, env(&[("NO_COLOR", "1")])),
            Colours::Sixteen
        );
        assert_eq!(colours(ColorChoice::Never, env(&[])), Colours::Mono);
        assert_eq!(
            colours(
                ColorChoice::Auto,
                env(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")])
            ),
            Colours::Mono
        );
        assert_eq!(
            colours(ColorChoice::Auto, env(&[("NO_COLOR", "")])),
            Colours::Sixteen
        );
        assert_eq!(
            colours(ColorChoice::Auto, env(&[("CLICOLOR", "0")])),
            Colours::Mono
        );
        assert_eq!(
            colours(
                ColorChoice::Auto,
                env(&[("CLICOLOR", "0"), ("CLICOLOR_FORCE", "1")])
            ),
            Colours::Sixteen
        );
        assert_eq!(
            colours(ColorChoice::Auto, env(&[("TERM", "dumb")])),
            Colours::Mono
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_first_locale_that_is_set_decides() {
        assert!(!is_ascii(env(&[("LANG", "de_DE.UTF-8")])));
        assert!(is_ascii(env(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
        assert!(!is_ascii(env(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")])));
        assert!(is_ascii(env(&[])));
    }
}
