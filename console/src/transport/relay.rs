//! `relay TARGET`: an app's socket joined to stdin and stdout, so that `--via 'ssh host loop-console relay app'` needs no port.
//! Two threads that copy; knows nothing of what passes.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Joins the socket at `path` to this process's stdin and stdout until one of them ends.
///
/// Errors: the socket cannot be opened, or breaks.
pub fn join(path: &Path) -> io::Result<()> {
    let socket = UnixStream::connect(path)?;
    let mut to_app = socket.try_clone()?;
    let mut from_app = socket;
    std::thread::Builder::new()
        .name("relay-in".to_owned())
        .spawn(move || {
            // The end of our input is told to the app; what it still has to say comes out.
            let _ = copy(&mut io::stdin().lock(), &mut to_app);
            let _ = to_app.shutdown(Shutdown::Write);
        })?;
    match copy(&mut from_app, &mut io::stdout().lock()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Copies and flushes each piece: the other end waits for it.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
