//! `dump`: has an app write its flight recorder to a file. Knows no file: the app chooses and writes it.

use loop_proto::escape::escape;
use loop_proto::pb;
use serde_json::json;

use crate::cli::Global;
use crate::commands::{leave_on_interrupt, open, options, said};
use crate::exit::{Exit, Failure};
use crate::print::json::SCHEMA;
use crate::transport::address::Target;
use crate::transport::connect::Connector;
use crate::transport::discover::Places;
use crate::transport::on_loop;
use crate::transport::session::refused;

/// Asks for it, and prints where it is.
pub fn dump(
    global: &Global,
    target: Option<String>,
    json: bool,
    reason: String,
) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let target = Target::read(target.as_deref())?;
    let options = options(global);
    let (host, reply) = on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        let why = session.ask_to_command().await;
        let why = why.map_err(|status| not_written(&refused(&status)))?;
        if !why.is_empty() {
            return Err(not_written(&why));
        }
        let request = pb::CommandRequest {
            serial: 1,
            action: Some(pb::command_request::Action::Dump(pb::Dump { reason })),
        };
        let reply = session.command(request).await;
        let reply = reply.map_err(|status| not_written(&refused(&status)))?;
        Ok((session.hello.hostname, reply))
    })??;
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
