//! Roles to styles. A screen names a role and puts a word or mark beside it; only this file knows colours.

use ratatui::style::{Color, Modifier, Style};

/// What a cell means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Plain,
    /// Always beside ▲ or a word of its own.
    Problem,
    /// Always beside ! or a word of its own.
    Warning,
    Good,
    /// Something that a key or a click leads to; the name of a key.
    Link,
    /// Ended, stale, secondary.
    Dim,
    Head,
    Selected,
}

/// Which colours a terminal gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// The terminal's own 16 colours on its own background: right on light and dark.
    #[default]
    Sixteen,
    /// No colour at all, only bold, dim, underline and reverse: for NO_COLOR.
    Mono,
}

impl Colours {
    /// How a role looks in these colours.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        match (role, self) {
            (Role::Plain, _) => plain,
            (Role::Head, _) => plain.add_modifier(Modifier::BOLD),
            (Role::Dim, _) => plain.add_modifier(Modifier::DIM),
            // Reverse video survives every palette and NO_COLOR.
            (Role::Selected, _) => plain.add_modifier(Modifier::REVERSED),
            (Role::Problem, Colours::Sixteen) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Role::Warning, Colours::Sixteen) => plain.fg(Color::Yellow),
            (Role::Good, Colours::Sixteen) => plain.fg(Color::Green),
            (Role::Link, Colours::Sixteen) => plain.fg(Color::Cyan),
            (Role::Problem, Colours::Mono) => {
                plain.add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
            }
            (Role::Warning, Colours::Mono) => plain.add_modifier(Modifier::BOLD),
            (Role::Good, Colours::Mono) => plain,
            (Role::Link, Colours::Mono) => plain.add_modifier(Modifier::UNDERLINED),
        }
    }
}
