//! The screens without a terminal: keys and updates in, frames as text out, on a clock turned by hand. For tests and for the
//! pictures of the docs.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::Model;
use crate::store::Update;
use crate::update::{Effect, Message, update};
use crate::view::view;

/// A console whose world is a list of effects.
#[derive(Clone, Debug, Default)]
pub struct Driver {
    pub model: Model,
    pub now: Duration,
    /// Everything asked for since the start, or since somebody took it.
    pub effects: Vec<Effect>,
}

impl Driver {
    /// A console that knows of no app yet.
    pub fn new() -> Self {
        Driver::default()
    }

    /// Hands a message over, and keeps what it asks for.
    pub fn send(&mut self, message: Message) {
        let effects = update(&mut self.model, message, self.now);
        self.effects.extend(effects);
    }

    /// Hands over what a transport would tell.
    pub fn learn(&mut self, update: Update) {
        self.send(Message::Update(update));
    }

    /// Turns the clock, then lets the console see it.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.send(Message::Tick);
    }

    /// Presses keys, one for each word: `j`, `Enter`, `Ctrl-c`, `space`.
    ///
    /// Panics: a word is no key.
    pub fn keys(&mut self, keys: &str) {
        for word in keys.split_whitespace() {
            self.send(Message::Key(key(word)));
        }
    }

    /// Types a text, one key for each character.
    pub fn type_in(&mut self, text: &str) {
        for c in text.chars() {
            self.send(Message::Key(KeyEvent::new(
                KeyCode::Char(c),
                KeyModifiers::NONE,
            )));
        }
    }

    /// Draws a frame, and tells the model what lies where, as `run` does: again, if that changed what should be drawn.
    pub fn frame(&mut self, width: u16, height: u16) -> Buffer {
        for _ in 0..4 {
            let buffer = self.draw(width, height);
            if !self.model.ui.dirty {
                return buffer;
            }
        }
        panic!("four frames, and still something to draw anew");
    }

    fn draw(&mut self, width: u16, height: u16) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        let drawn = view(&self.model, &mut buffer);
        self.send(Message::Drawn(drawn, Duration::from_millis(1)));
        buffer
    }
}

/// The key that a word names.
fn key(word: &str) -> KeyEvent {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    if let Some(letter) = word.strip_prefix("Ctrl-") {
        let c = letter.chars().next().expect("a letter after Ctrl-");
        return KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    }
    match word {
        "Enter" => plain(KeyCode::Enter),
        "Esc" => plain(KeyCode::Esc),
        "Tab" => plain(KeyCode::Tab),
        "S-Tab" => plain(KeyCode::BackTab),
        "Backspace" => plain(KeyCode::Backspace),
        "space" => plain(KeyCode::Char(' ')),
        "Up" => plain(KeyCode::Up),
        "Down" => plain(KeyCode::Down),
        "Left" => plain(KeyCode::Left),
        "Right" => plain(KeyCode::Right),
        "PgUp" => plain(KeyCode::PageUp),
        "PgDn" => plain(KeyCode::PageDown),
        "Home" => plain(KeyCode::Home),
        "End" => plain(KeyCode::End),
        _ => {
            let mut letters = word.chars();
            match (letters.next(), letters.next()) {
                (Some(c), None) => plain(KeyCode::Char(c)),
                _ => panic!("no key is called {word}"),
            }
        }
    }
}

/// A frame as text, a line each, blanks at the end of lines left out.
pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip > 0 {
                skip -= 1;
                continue;
            }
            skip = crate::view::fmt::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
