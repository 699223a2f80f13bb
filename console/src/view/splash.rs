//! What stands there while no app's data can: where was looked and what to add, the way to an app, or why it cannot be.

use std::time::Duration;

use ratatui::layout::Rect;

use super::fmt;
use super::glyph::SPINNER;
use super::paint::{Painter, middle};
use super::theme::Role;
use crate::model::Model;
use crate::store::{Link, Looked};

/// A try that succeeds within this time never shows its spinner.
const CALM: Duration = Duration::from_millis(300);

pub(super) fn draw(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let lines = lines(model);
    let height = lines.len() as u16;
    let width = lines.iter().map(|(t, _)| fmt::width(t)).max().unwrap_or(0) as u16;
    let area = middle(area, width.min(area.width.saturating_sub(2)), height);
    for (y, (text, role)) in lines.iter().enumerate() {
        p.text(
            area,
            0,
            y as u16,
            &fmt::cut_end(&p.clean(text), usize::from(area.width)),
            *role,
        );
    }
}

fn lines(model: &Model) -> Vec<(String, Role)> {
    let now = model.ui.now;
    let since = now.saturating_sub(model.store.link_since);
    let plain = |text: &str| (text.to_owned(), Role::Plain);
    let spinner = SPINNER[(now.as_millis() / 150 % 4) as usize];
    match &model.store.link {
        None => vec![plain("Looking for apps …")],
        Some(Link::Searching { looked }) => {
            let mut out = vec![("No running app found.".to_owned(), Role::Head)];
            out.extend(Looked::lines(looked).iter().map(|line| plain(line)));
            out.extend([
                plain(""),
                plain("  An app on loop-runtime shows itself while it runs under"),
                (
                    "      #[loop_runtime::main]   or   loop_runtime::run(…)".to_owned(),
                    Role::Link,
                ),
                plain("  With a loop of its own, or if it was hidden, start it with"),
                ("      LOOP_CONSOLE=on".to_owned(), Role::Link),
                plain(""),
                plain(&format!(
                    "  {spinner} waiting: attaches the moment one appears (q quits)"
                )),
            ]);
            out
        }
        Some(Link::Choosing) => vec![plain("Several apps are running: ` shows the list.")],
        Some(Link::Connecting { target, step }) if since >= CALM => vec![
            (format!("Connecting to {target}"), Role::Head),
            plain(&format!("{spinner} {step}")),
        ],
        Some(Link::Connecting { .. }) => Vec::new(),
        Some(Link::Live) if since < CALM => Vec::new(),
        Some(Link::Live) => vec![plain(&format!(
            "{spinner} attached, waiting for the first answer"
        ))],
        Some(Link::Lost { reason, retry_in }) => {
            let left = retry_in.saturating_sub(since);
            vec![
                ("Cannot connect.".to_owned(), Role::Head),
                plain(reason),
                plain(&format!(
                    "Trying again in {:.1} s (r now, ` other app, q quits)",
                    left.as_secs_f64()
                )),
            ]
        }
        Some(Link::Ended { how }) => vec![
            ("The app has ended.".to_owned(), Role::Head),
            plain(how),
            plain("(` other app, q quits)"),
        ],
        Some(Link::VersionGap(gap)) => vec![
            (
                format!(
                    "▲ Cannot talk to {} (pid {}): it speaks protocol {}, I speak {}.",
                    gap.app, gap.pid, gap.app_protocol, gap.console_protocol
                ),
                Role::Problem,
            ),
            plain(&format!("  app      runtime {}", gap.app_version)),
            plain(&format!("  console  loop-console {}", gap.console_version)),
            plain(&format!("  Fix: {}", gap.fix)),
            plain(""),
            plain("(` other app, q quits)"),
        ],
    }
}
