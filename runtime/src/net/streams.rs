//! asyncio's streams: `open_connection` and what it gives, a reader and a writer.
//!
//! Knows what carries the bytes; the server that accepts connections is its own module.

use std::io;
#[cfg(unix)]
use std::path::Path;
use std::time::Duration;

use super::family::{Family, Tcp};
use super::lookup::HostPort;
use super::race::{Race, STAGGER};
use super::stream::Stream;
#[cfg(unix)]
use crate::io::{PipeReader, PipeWriter};
#[cfg(unix)]
use crate::reactor::Direction;
use crate::record::outer::outer;

pub(super) mod conn;
mod reader;
pub(crate) mod transport;
mod writer;

pub use reader::{ReadError, StreamReader};
pub use transport::SocketName;
pub use writer::StreamWriter;

use conn::Shared;
#[cfg(unix)]
use transport::OneWay;
use transport::Transport;

/// How much is read ahead at most without a separator; as asyncio's.
pub(super) const LIMIT: usize = 64 << 10;

/// How streams are opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Bytes a line may have, and what is read ahead at most. 64 KiB.
    pub limit: usize,
    /// Bytes that may be buffered before `drain` waits. 64 KiB.
    pub high_water: usize,
    /// How long one address is tried before the next one joins it; `None`: until it failed. 250 ms.
    pub happy_eyeballs_delay: Option<Duration>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            limit: LIMIT,
            high_water: conn::HIGH_WATER,
            happy_eyeballs_delay: Some(STAGGER),
        }
    }
}

impl StreamOptions {
    /// Sets [`limit`](Self::limit).
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets [`high_water`](Self::high_water).
    pub fn high_water(mut self, bytes: usize) -> Self {
        self.high_water = bytes;
        self
    }

    /// Sets [`happy_eyeballs_delay`](Self::happy_eyeballs_delay).
    pub fn happy_eyeballs_delay(mut self, delay: Option<Duration>) -> Self {
        self.happy_eyeballs_delay = delay;
        self
    }

    /// The two halves of a connection over `transport`.
    pub(super) fn halves(
        self,
        transport: Box<dyn Transport>,
    ) -> io::Result<(StreamReader, StreamWriter)> {
        let shared = Shared::new(transport, self.high_water)?;
        Ok(self.halves_of(shared))
    }

    pub(super) fn halves_of(self, shared: std::sync::Arc<Shared>) -> (StreamReader, StreamWriter) {
        let reader = StreamReader::over(shared.clone(), self.limit);
        (reader, StreamWriter::over(shared))
    }
}

/// Connects to a host and gives the two halves of the connection.
///
/// A name's addresses are tried as RFC 8305 has it: the families in turn, each 250 ms after the one
/// before or as soon as that failed.
/// Errors: of the lookup; or of the address; or, if several failed,
/// [`ConnectErrors`](super::ConnectErrors) with all of them.
/// Cancel: closes all attempts.
/// Records: a job for the lookup, a source for each attempt.
/// Source: asyncio's `open_connection`.
///
/// ```
/// use loop_runtime::net::{open_connection, start_server};
/// # loop_runtime::run(async {
/// let server = start_server(
///     async |mut reader, writer| {
///         let line = reader.readline().await.unwrap();
///         writer.write(&line).unwrap();
///     },
///     "127.0.0.1:0",
/// )
/// .await?;
/// let address = server.sockets()[0].ip().unwrap();
/// let (mut reader, writer) = open_connection(address).await?;
/// writer.write(b"hello\n")?;
/// writer.drain().await?;
/// assert_eq!(reader.readline().await?, b"hello\n");
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[doc(alias = "create_connection")]
pub fn open_connection(
    host: impl Into<HostPort>,
) -> impl Future<Output = io::Result<(StreamReader, StreamWriter)>> {
    outer(async move { open_connection_with(host, StreamOptions::default()).await })
}

/// As [`open_connection`], with options.
pub fn open_connection_with(
    host: impl Into<HostPort>,
    options: StreamOptions,
) -> impl Future<Output = io::Result<(StreamReader, StreamWriter)>> {
    outer(async move {
        let addresses = host.into().addresses().await?;
        let stream = Race::new(addresses, options.happy_eyeballs_delay).await?;
        stream.into_streams(options)
    })
}

/// Connects to the socket file at `path` and gives the two halves of the connection.
///
/// Source: asyncio's `open_unix_connection`.
///
/// ```
/// use loop_runtime::net::{open_unix_connection, start_unix_server};
/// # let path = std::env::temp_dir().join(format!("loop-doc-open-{}", std::process::id()));
/// # loop_runtime::run(async move {
/// let server = start_unix_server(async |_reader, writer| writer.write(b"hi").unwrap(), &path)?;
/// let (mut reader, _writer) = open_unix_connection(&path).await?;
/// assert_eq!(reader.read_to_end().await?, b"hi");
/// # drop(server);
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[cfg(unix)]
pub fn open_unix_connection(
    path: impl AsRef<Path>,
) -> impl Future<Output = io::Result<(StreamReader, StreamWriter)>> {
    outer(async move {
        let stream = super::UnixStream::connect(path).await?;
        stream.into_streams(StreamOptions::default())
    })
}

impl<F: Family> Stream<F> {
    /// The two halves as asyncio has them: a reader of lines, and a writer that buffers.
    ///
    /// Errors: it belongs to another loop.
    pub fn into_streams(self, options: StreamOptions) -> io::Result<(StreamReader, StreamWriter)> {
        F::prepare(self.io().get()?);
        options.halves(Box::new(self))
    }
}

#[cfg(unix)]
impl PipeReader {
    /// As a reader of lines, as asyncio has a subprocess's output.
    ///
    /// Errors: it belongs to another loop.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let (reader, mut writer) = loop_runtime::io::pipe()?;
    /// writer.write_all(b"one\ntwo\n").await?;
    /// let mut reader = reader.into_reader(Default::default())?;
    /// assert_eq!(reader.readline().await?, b"one\n");
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    pub fn into_reader(self, options: StreamOptions) -> io::Result<StreamReader> {
        let end = OneWay::new(self.into_io(), Direction::Read)?;
        let shared = Shared::new(Box::new(end), options.high_water)?;
        Ok(StreamReader::over(shared, options.limit))
    }
}

#[cfg(unix)]
impl PipeWriter {
    /// As a writer that buffers, as asyncio has a subprocess's input. Its `write_eof` closes the
    /// descriptor.
    ///
    /// Errors: closed; it belongs to another loop.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let (mut reader, writer) = loop_runtime::io::pipe()?;
    /// let writer = writer.into_writer(Default::default())?;
    /// writer.write(b"all")?;
    /// writer.write_eof()?;
    /// let mut buf = [0; 8];
    /// assert_eq!(reader.read(&mut buf).await?, 3);
    /// assert_eq!(reader.read(&mut buf).await?, 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    pub fn into_writer(self, options: StreamOptions) -> io::Result<StreamWriter> {
        let end = OneWay::new(self.into_io()?, Direction::Write)?;
        let shared = Shared::new(Box::new(end), options.high_water)?;
        Ok(StreamWriter::over(shared))
    }
}

impl Stream<Tcp> {
    /// Connects to a host by name, as [`open_connection`] does.
    #[doc(alias = "create_connection")]
    pub fn connect_host(host: impl Into<HostPort>) -> impl Future<Output = io::Result<Self>> {
        outer(async move { Race::new(host.into().addresses().await?, Some(STAGGER)).await })
    }
}
