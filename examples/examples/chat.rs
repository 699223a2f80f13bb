//! A chat server on asyncio's streams: what one says, all others hear.
//!
//! Try:  cargo run -p loop-examples --example chat
//! then  nc 127.0.0.1 7778       in two terminals, and loop-console connect in a third
//!
//! The console shows two tasks for each guest: `client of …` waits for a line of theirs, `speaker`
//! for the guest's queue, which is a resource with its length. A guest who does not read fills
//! their queue and loses lines, not the others.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use loop_examples::argument;
use loop_runtime::Task;
use loop_runtime::net::{StreamReader, StreamWriter, start_server};
use loop_runtime::sync::Queue;

/// Lines that a guest may be behind.
const BEHIND: usize = 100;

#[derive(Default)]
struct Room {
    guests: RefCell<HashMap<u64, Rc<Queue<String>>>>,
    last: RefCell<u64>,
}

impl Room {
    fn enter(&self) -> (u64, Rc<Queue<String>>) {
        let mut last = self.last.borrow_mut();
        *last += 1;
        let queue = Rc::new(Queue::named("to a guest", BEHIND));
        self.guests.borrow_mut().insert(*last, queue.clone());
        (*last, queue)
    }

    fn leave(&self, guest: u64) {
        if let Some(queue) = self.guests.borrow_mut().remove(&guest) {
            queue.shutdown(true);
        }
    }

    fn say(&self, from: u64, line: &str) {
        for (guest, queue) in self.guests.borrow().iter() {
            if *guest != from {
                // Full: this guest is behind, and misses the line.
                let _ = queue.put_nowait(format!("{from}: {line}\n"));
            }
        }
    }
}

/// Writes to one guest what the others say.
async fn speak(queue: Rc<Queue<String>>, writer: Rc<StreamWriter>) -> io::Result<()> {
    while let Ok(line) = queue.get().await {
        writer.write(line.as_bytes())?;
        writer.drain().await?;
    }
    Ok(())
}

async fn listen(room: Rc<Room>, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let (me, queue) = room.enter();
    let writer = Rc::new(writer);
    let speaker = Task::<()>::builder()
        .name("speaker")
        .spawn(speak(queue, writer.clone()));
    writer.write(format!("you are guest {me}\n").as_bytes())?;
    while let Ok(line) = reader.readline().await {
        if line.is_empty() {
            break;
        }
        room.say(me, String::from_utf8_lossy(&line).trim_end());
    }
    room.leave(me);
    let _ = speaker.await;
    Ok(())
}

#[loop_runtime::main(name = "chat")]
async fn main() -> io::Result<()> {
    let room = Rc::new(Room::default());
    let address = argument("--addr", "127.0.0.1:7778".to_owned());
    let handler = move |reader, writer| listen(room.clone(), reader, writer);
    let server = start_server(handler, address.as_str()).await?;
    for socket in server.sockets() {
        println!("listening on {socket}");
    }
    server.serve_forever().await;
    Ok(())
}
