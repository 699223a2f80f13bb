//! `dump`: has an app write its flight recorder to a file. Knows no file: the app chooses and writes it.

use loop_proto::escape::escape;
use loop_proto::pb;
use serde_json::json;

use crate::cli::Global;
use crate::commands::said;
use crate::control::{SERIAL, command};
use crate::exit::{Exit, Failure};
use crate::print::json::SCHEMA;

/// Asks for it, and prints where it is.
pub fn dump(
    global: &Global,
    target: Option<String>,
    json: bool,
    reason: String,
) -> Result<Exit, Failure> {
    let request = pb::CommandRequest {
        serial: SERIAL,
        action: Some(pb::command_request::Action::Dump(pb::Dump { reason })),
    };
    let (host, reply) = command(global, target.as_deref(), request)?;
    let reply = reply.map_err(|why| not_written(&why))?;
    if reply.status() != pb::CommandStatus::Done {
        return Err(not_written(&reply.reason));
    }
    if json {
        let value = json!({"schema": SCHEMA, "dump": {"path": reply.path, "host": host}});
        return said(format!("{value}\n"));
    }
    // The path alone, so that it can be handed on: `report "$(loop-console dump)"`.
    said(format!("{}\n", escape(&reply.path, 4096)))
}

fn not_written(why: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!(
            "No dump was written: {}.",
            escape(why.trim_end_matches('.'), 1024)
        ),
        "",
    )
}
